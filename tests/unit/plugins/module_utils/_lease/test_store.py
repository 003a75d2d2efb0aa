# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import CannotSend, NoAnswer, Response
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Record, Unreadable, encode
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.store import Store
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
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

    def send(self, method, headers, body, most):
        self.sent.append((method, dict(headers), body, most))
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


def read(*answers, known=None):
    return Store(Scripted(*answers), LOCATION).read(known)


def write(*answers, replaces="e1"):
    return Store(Scripted(*answers), LOCATION).write(b"body", replaces)


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
    (answer(404, "NoSuchBucket"), ("404 NoSuchBucket", "Create the bucket", str(LOCATION))),
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
    (answer(403, "RequestTimeTooSkewed"), ("clock of the host", "set it right")),
    (answer(301, "PermanentRedirect", x_amz_bucket_region="eu-central-1"), ("set region to eu-central-1",)),
    (answer(307, "TemporaryRedirect", x_amz_bucket_region="eu-central-1"), ("set region to eu-central-1",)),
    (
        answer(400, body=b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"),
        ("set region to eu-west-1",),
    ),
    (answer(401), ("answered 401", "s3:GetObject")),
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
    store = Store(connection, LOCATION)
    store.write(b"new", None)
    store.write(b"next", "e1")
    create, replace = (sent[1] for sent in connection.sent)
    assert (create.get("If-None-Match"), create.get("If-Match")) == ("*", None)
    assert (replace.get("If-None-Match"), replace.get("If-Match")) == (None, '"e1"')
    assert [sent[2] for sent in connection.sent] == [b"new", b"next"]


def test_a_read_names_the_version_that_is_known():
    connection = Scripted(object_of(), answer(304))
    store = Store(connection, LOCATION)
    store.read()
    store.read("e1")
    assert [sent[1].get("If-None-Match") for sent in connection.sent] == [None, '"e1"']
    assert [sent[3] for sent in connection.sent] == [65536, 65536]


def test_rule_19_the_form_of_the_etag_that_was_learnt_is_kept():
    connection = Scripted(*[answer(200, etag='"e"')] * 5)
    store = Store(connection, LOCATION)
    store.write(b"1", "e1")
    store.write(b"2", "e1", requote=True)
    store.write(b"3", "e1")
    store.write(b"4", None)
    store.write(b"5", "e1", requote=True)
    assert [sent[1].get("If-Match") for sent in connection.sent] == ['"e1"', "e1", "e1", None, '"e1"']


def test_requests_are_counted_one_for_each_call():
    connection = Scripted(object_of(), NoAnswer("gone"), answer(503), answer(200, etag="e"))
    store = Store(connection, LOCATION)
    store.read()
    store.read()
    store.write(b"1", None)
    store.write(b"1", None)
    assert store.requests == len(connection.sent) == 4


def test_a_connection_is_forgotten_when_told():
    connection = Scripted()
    Store(connection, LOCATION).forget_connection()
    assert connection.forgotten == 1
