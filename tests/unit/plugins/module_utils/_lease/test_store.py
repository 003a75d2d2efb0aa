# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import store
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import CannotSend, NoAnswer, Response
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Record, Unreadable, encode
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.store import Store
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.store_time import SLACK, Stamp, StoreTime
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Held,
    Raced,
    Refused,
    Seen,
    Unchanged,
    Unknown,
    Written,
)

LOCATION = Location("bucket", "jobs/a")
NOW = 1795409376.0
DATE = "Mon, 23 Nov 2026 04:49:36 GMT"
MODIFIED = "Mon, 23 Nov 2026 04:49:32 GMT"
RECORD = Record("web-2", "5f2f2b0f", 7, 1, "n", 30.0, NOW, NOW, NOW + 32, {})
BODY = encode(RECORD)


class Scripted:
    """A connection that gives the answers of a list, and notes what was sent."""

    origin = "https://s3.example.com"

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent = []
        self.forgotten = 0

    def send(self, method, headers, body, most, stamp, before_last_byte):
        self.sent.append((method, dict(headers), body, most, stamp))
        before_last_byte()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def forget(self):
        self.forgotten += 1


def answer(status, code="", body=None, **headers):
    """An answer with a Date; a header that is None is left out."""
    given = {"date": DATE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body is None:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode() if code else b""
    return Response(status, {name: value for name, value in given.items() if value is not None}, body)


class Standing(Clock):
    """A clock that stands still."""

    def __init__(self, at=1000.0):
        self.at = at

    def now(self):
        return self.at


UNTIL = 1005.0
"""When the caller turns away, on that clock."""


def store_of(connection, clock=None):
    """A store whose time is known, to the second."""
    store = Store(connection, LOCATION, clock or Standing())
    store.time.saw(NOW, 1000.0, 1000.0)
    return store


def read(*answers, known=None):
    return store_of(Scripted(*answers)).read(UNTIL, known)


def write(*answers, replaces="e1"):
    return store_of(Scripted(*answers)).write(b"body", replaces, UNTIL)


def object_of(**headers):
    return answer(200, body=headers.pop("body", BODY), **{"etag": '"e1"', "last_modified": MODIFIED, **headers})


def test_a_record_is_seen_with_the_stores_two_times():
    assert read(object_of()) == Seen(RECORD, "e1", NOW - 4, NOW)


def test_what_is_no_record_is_seen_as_unreadable():
    assert isinstance(read(object_of(body=b"<html>")).record, Unreadable)


@pytest.mark.parametrize("etag", ['"e1"', "e1"])
def test_an_etag_is_kept_without_its_quotes(etag):
    assert read(object_of(etag=etag)).etag == "e1"
    assert write(answer(200, etag=etag)) == Written("e1", NOW)


def test_only_this_404_is_absent():
    assert read(answer(404, "NoSuchKey")) == Absent(NOW)


def test_a_304_is_unchanged():
    assert read(answer(304), known="e1") == Unchanged(NOW)


GET_REFUSED = [
    (answer(404, "NoSuchBucket"), ("404 NoSuchBucket", "Create the bucket bucket,")),
    (answer(404), ("answered 404", "not an S3 answer", "endpoint_url")),
    (answer(404, body=b"<html>404</html>"), ("answered 404", "not an S3 answer", "endpoint_url")),
    (answer(404, "NotFound"), ("404 NotFound", "not an S3 answer")),
    (answer(404, "NoSuchKey", date=None), ("without a usable Date", "s3.example.com")),
    (answer(404, "NoSuchKey", date="yesterday"), ("without a usable Date",)),
    (object_of(date=None), ("without a usable Date", "proxy")),
    (object_of(date="soon"), ("without a usable Date",)),
    (object_of(last_modified=None), ("without a usable Last-Modified",)),
    (object_of(last_modified=""), ("without a usable Last-Modified",)),
    (answer(403, "AccessDenied"), ("403 AccessDenied", "s3:GetObject", "s3:ListBucket", "create the lease first")),
    (answer(403, "InvalidAccessKeyId"), ("Check the credentials", "access_key", "session_token")),
    (answer(403, "SignatureDoesNotMatch"), ("Check the credentials", "secret_key")),
    (answer(400, "InvalidToken"), ("Check the credentials", "session_token")),
    (answer(400, "ExpiredToken"), ("Check the credentials", "session_token")),
    (answer(301, "PermanentRedirect", x_amz_bucket_region="eu-central-1"), ("set region to eu-central-1",)),
    (answer(307, "TemporaryRedirect", x_amz_bucket_region="eu-central-1"), ("set region to eu-central-1",)),
    (
        answer(400, body=b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"),
        ("set region to eu-west-1",),
    ),
    (answer(401, "Unauthorized"), ("answered 401", "s3:GetObject")),
    (answer(401), ("answered 401", "not an S3 answer", "proxies")),
    (answer(403, body=b"<html>403</html>"), ("answered 403", "not an S3 answer", "proxies")),
    (answer(501, "NotImplemented"), ("501 NotImplemented",)),
    (answer(206, body=BODY), ("answered 206",)),
    (answer(204), ("answered 204",)),
    (CannotSend("no credentials"), ("no credentials",)),
]


@pytest.mark.parametrize(("given", "words"), GET_REFUSED)
def test_a_read_is_refused_with_what_to_mend(given, words):
    outcome = read(given)
    assert isinstance(outcome, Refused)
    assert [word for word in words if word not in outcome.text] == []


PUT_REFUSED = [
    (answer(404, "NoSuchBucket"), ("404 NoSuchBucket", "Create the bucket")),
    (answer(403, "AccessDenied"), ("403 AccessDenied", "s3:PutObject", str(LOCATION))),
    (answer(403, "SignatureDoesNotMatch"), ("Check the credentials",)),
    (answer(501, "NotImplemented"), ("does not implement conditional writes",)),
    (answer(400, "InvalidRequest"), ("400 InvalidRequest", "left unchanged")),
    (answer(405, "MethodNotAllowed"), ("405 MethodNotAllowed",)),
    (answer(301, "PermanentRedirect", x_amz_bucket_region="eu-central-1"), ("set region to eu-central-1",)),
    (CannotSend("the TLS certificate is not trusted"), ("not trusted",)),
]


@pytest.mark.parametrize(("given", "words"), PUT_REFUSED)
def test_a_write_is_refused_with_what_to_mend(given, words):
    outcome = write(given)
    assert isinstance(outcome, Refused)
    assert [word for word in words if word not in outcome.text] == []


@pytest.mark.parametrize("ask", [read, write])
@pytest.mark.parametrize(
    ("status", "flags"),
    [
        (408, {}),
        (409, {"conflict": True}),
        (412, {"precondition_failed": True}),
        (425, {}),
        (429, {"throttled": True}),
        (500, {}),
        (502, {}),
        (503, {"throttled": True}),
        (504, {}),
        (599, {}),
    ],
)
def test_rule_12_nobody_can_tell_what_these_answers_mean(ask, status, flags):
    outcome = ask(answer(status, "SomeCode"))
    assert outcome == Unknown(f"https://s3.example.com answered {status} SomeCode", **flags)


@pytest.mark.parametrize("ask", [read, write])
def test_who_was_overtaken_on_ceph_is_known_by_its_answer(ask):
    assert ask(answer(500, "UnknownError")) == Unknown(
        "https://s3.example.com answered 500 UnknownError", conflict=True
    )


@pytest.mark.parametrize(
    "given",
    [
        answer(201, etag='"e1"'),
        answer(200, etag='"e1"', date=None),
        answer(200, etag='W/"e1"'),
        answer(200),
        answer(204),
    ],
)
def test_rule_12_a_write_that_landed_with_an_odd_answer_is_for_the_next_read_to_explain(given):
    assert isinstance(write(given), Unknown)


def test_a_weak_etag_is_refused_since_no_write_can_be_conditional_on_it():
    outcome = read(object_of(etag='W/"e1"'))
    assert isinstance(outcome, Refused)
    assert "proxy" in outcome.text


def test_rule_13_a_404_on_a_write_is_for_the_next_read_to_explain():
    assert isinstance(write(answer(404, "NoSuchKey")), Unknown)
    assert isinstance(write(answer(404)), Unknown)


@pytest.mark.parametrize("ask", [read, write])
def test_no_answer_is_unknown(ask):
    assert ask(NoAnswer("it closed the connection")) == Unknown("it closed the connection")


def test_rule_12_a_write_that_was_not_sent_to_its_end_is_not_in_doubt():
    unsent = store_of(Scripted(NoAnswer("nothing listens there", sent=False))).write(b"1", None, UNTIL)
    assert unsent == Unknown("nothing listens there", sent=False)


@pytest.mark.parametrize("ask", [read, write])
def test_an_answer_without_an_etag_is_unknown(ask):
    assert isinstance(ask(answer(200, etag=None, last_modified=MODIFIED, body=BODY)), Unknown)
    assert isinstance(ask(answer(200, etag='""', last_modified=MODIFIED, body=BODY)), Unknown)


def test_a_304_that_nobody_asked_for_is_no_lease():
    assert not isinstance(read(answer(304)), (Absent, Seen, Unchanged))


def test_a_304_to_a_write_is_no_success():
    assert not isinstance(write(answer(304, etag='"e2"')), Written)


def test_a_code_that_is_no_word_is_not_repeated():
    outcome = read(answer(400, body=b"<Error><Code>\x1b[31m evil <script></Code></Error>"))
    assert "evil" not in outcome.why


def test_rule_1_every_write_has_its_condition():
    connection = Scripted(*[answer(200, etag='"e2"')] * 2)
    store = store_of(connection)
    store.write(b"new", None, UNTIL)
    store.write(b"next", "e1", UNTIL)
    create, replace = (sent[1] for sent in connection.sent)
    assert (create.get("If-None-Match"), create.get("If-Match")) == ("*", None)
    assert (replace.get("If-None-Match"), replace.get("If-Match")) == (None, '"e1"')
    assert [sent[2] for sent in connection.sent] == [b"new", b"next"]


def test_a_read_names_the_version_that_is_known():
    connection = Scripted(object_of(), answer(304))
    store = store_of(connection)
    store.read(UNTIL)
    store.read(UNTIL, "e1")
    assert [sent[1].get("If-None-Match") for sent in connection.sent] == [None, '"e1"']
    assert [sent[3] for sent in connection.sent] == [65536, 65536]


@pytest.mark.parametrize(("quoted", "sent"), [(True, '"e1"'), (False, "e1")])
def test_rule_19_the_etag_has_the_form_that_is_asked_for(quoted, sent):
    connection = Scripted(answer(200, etag='"e"'))
    store_of(connection).write(b"1", "e1", UNTIL, quoted=quoted)
    assert connection.sent[0][1]["If-Match"] == sent


def test_requests_are_counted_one_for_each_call():
    connection = Scripted(object_of(), NoAnswer("gone"), answer(503), answer(200, etag="e"))
    store = store_of(connection)
    store.read(UNTIL)
    store.read(UNTIL)
    store.write(b"1", None, UNTIL)
    store.write(b"1", None, UNTIL)
    assert store.requests == len(connection.sent) == 4


# -- rule 25: dates ---------------------------------------------------------------------------------------------------


def test_rule_25_a_write_is_valid_for_as_long_as_its_caller_waits_and_a_little_more():
    connection = Scripted(answer(200, etag="e"), answer(200, etag="e"), answer(200, etag="e"))
    store = store_of(connection)
    store.write(b"1", None, UNTIL)
    store.write(b"1", None, 1000.3)
    store.write(b"1", None, UNTIL, dated=False)
    stamps = [sent[4] for sent in connection.sent]
    assert stamps == [Stamp(int(NOW), 5 + SLACK), Stamp(int(NOW), 1 + SLACK), Stamp(int(NOW), None)]


def test_rule_25_what_nobody_waits_for_any_more_is_not_sent_to_its_end():
    clock = Standing(UNTIL)
    outcome = store_of(Scripted(answer(200, etag="e")), clock).write(b"1", None, UNTIL)
    assert isinstance(outcome, Unknown)
    assert not outcome.sent


LATE = "Mon, 23 Nov 2026 04:49:44 GMT"
"""After the use-by date of a write that was dated by DATE."""


@pytest.mark.parametrize("status", [400, 401, 403])
def test_rule_25_a_write_that_was_refused_for_its_date_goes_again_once_by_the_stores_clock(status):
    connection = Scripted(answer(status, "AccessDenied", date=LATE), answer(200, etag="e"))
    assert store_of(connection).write(b"1", None, UNTIL) == Written("e", NOW)
    assert [sent[4].at for sent in connection.sent] == [NOW, NOW + 8]


def test_rule_25_a_write_that_came_late_is_unknown_and_not_refused():
    connection = Scripted(answer(403, "AccessDenied", date=LATE))
    clock = Standing()
    store = store_of(connection, clock)
    connection.send_before = connection.send

    def send(*args):
        clock.at += 4.9
        response = connection.send_before(*args)
        clock.at += 3
        return response

    connection.send = send
    assert isinstance(store.write(b"1", None, UNTIL), Unknown)
    assert len(connection.sent) == 1


def test_rule_25_a_write_that_has_expired_is_refused_and_does_not_go_again():
    connection = Scripted(answer(403, "AccessDenied"))
    outcome = store_of(connection).write(b"1", "e1", UNTIL, expired=True)
    assert outcome == Refused(f"{connection.origin} answered 403 AccessDenied", outcome.advice)
    assert [sent[4] for sent in connection.sent] == [Stamp(NOW - 30, 1)]


def test_rule_25_a_write_that_was_refused_in_time_is_refused():
    connection = Scripted(answer(403, "AccessDenied"))
    assert isinstance(store_of(connection).write(b"1", None, UNTIL), Refused)
    assert len(connection.sent) == 1


@pytest.mark.parametrize("hours", [-24, 24])
@pytest.mark.parametrize("method", ["read", "write"])
def test_a_host_whose_clock_is_a_day_off_takes_part(monkeypatch, hours, method):
    monkeypatch.setattr("time.time", lambda: NOW + hours * 3600)
    connection = Scripted(answer(403, "RequestTimeTooSkewed"), object_of())
    store = Store(connection, LOCATION, Standing())
    outcome = store.read(UNTIL) if method == "read" else store.write(b"1", None, UNTIL)
    assert isinstance(outcome, (Seen, Written))
    assert [sent[4].at for sent in connection.sent] == [NOW + hours * 3600, NOW]
    assert store.requests == 2


def test_a_request_that_was_refused_for_its_date_does_not_go_again_once_its_caller_has_turned_away():
    clock = Standing()

    class Slow(Scripted):
        def send(self, *request):
            refusal = super().send(*request)
            clock.at = UNTIL
            return refusal

    connection = Slow(answer(403, "RequestTimeTooSkewed", date="Tue, 24 Nov 2026 04:49:44 GMT"), object_of())
    assert isinstance(Store(connection, LOCATION, clock).read(UNTIL), Unknown)
    assert len(connection.sent) == 1


def test_a_store_that_goes_on_refusing_dates_is_asked_no_third_time():
    connection = Scripted(
        *[answer(403, "RequestTimeTooSkewed", date=date) for date in (LATE, "Tue, 24 Nov 2026 04:49:44 GMT")]
    )
    store = Store(connection, LOCATION, Standing())
    assert isinstance(store.read(UNTIL), Unknown)
    assert len(connection.sent) == 2


def test_a_lease_that_is_held_tells_the_stores_time():
    store = Store(Scripted(answer(200, etag="e")), LOCATION, Standing())
    store.learn_time(Held(Seen(RECORD, "e1", NOW, NOW), lapses_at=1010.0, heard_at=981.0))
    assert store.time.now() == NOW + 19


def test_several_leases_of_a_store_share_what_is_known_of_its_time():
    time = StoreTime(Standing())
    assert Store(Scripted(), LOCATION, Standing(), time).time is time


# -- rule 18: a race --------------------------------------------------------------------------------------------------


class Contested(Scripted):
    """Answers to two at the same time, once both have sent all but their last byte."""

    def __init__(self, *answers):
        super().__init__(*answers)
        self.arrived = []

    def send(self, method, headers, body, most, stamp, before_last_byte):
        before_last_byte()
        self.arrived.append(body)
        return self.answers.pop(0)


def test_rule_18_two_writes_race_under_the_same_condition():
    connection = Contested(answer(200, etag="e2"), answer(412))
    raced = Store(connection, LOCATION, Clock()).race((b"a", b"b"), "e1", Clock().now() + 10, True, True)
    assert sorted(connection.arrived) == [b"a", b"b"]
    assert {type(one) for one in raced.outcomes} == {Written, Unknown}


def test_rule_18_a_write_is_held_before_its_last_byte():
    order = []

    class Sending(Scripted):
        def send(self, method, headers, body, most, stamp, before_last_byte):
            before_last_byte()
            order.append("last byte")
            return answer(200, etag="e2")

    store_of(Sending()).write(b"a", None, UNTIL, hold=lambda: order.append("held"))
    assert order == ["held", "last byte"]


def test_rule_18_both_writes_of_a_race_are_held_while_their_caller_waits(monkeypatch):
    held = []

    def one_by_one(writes, seconds, clock):
        return [write(lambda: held.append(seconds)) for write in writes]

    monkeypatch.setattr(store, "at_once", one_by_one)
    connection = Scripted(answer(412), answer(200, etag="e2"))
    raced = store_of(connection).race((b"a", b"b"), "e1", UNTIL, True, True)
    assert raced == Raced((Unknown(f"{connection.origin} answered 412", precondition_failed=True), Written("e2", NOW)))
    assert held == [5.0, 5.0]


def test_a_connection_is_forgotten_when_told():
    connection = Scripted()
    store_of(connection).forget_connection()
    assert connection.forgotten == 1
