# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which answer is which outcome, at the edges of each range of statuses, with what is said of it and advised."""

from __future__ import annotations

import email.utils
import time

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import CannotSend, Response
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Record, encode
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.store import Store
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Absent, Refused, Unknown

LOCATION = Location("bucket", "jobs/a")
ORIGIN = "https://s3.example.com"
DATE = "Mon, 23 Nov 2026 04:49:36 GMT"
NOW = 1795409376.0
BODY = encode(Record("web-2", "5f2f2b0f", 7, 1, "n", 30.0, NOW, NOW, NOW + 32, {}))


UNTIL = 110.0


class Standing:
    """A clock that stands still."""

    def now(self):
        return 100.0


class OneAnswer:
    """A connection that always gives the same answer."""

    origin = ORIGIN

    def __init__(self, answer):
        self.answer = answer
        self.headers = {}

    def send(self, method, headers, body, most, stamp, before_last_byte):
        self.headers = headers
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def store(answer):
    return Store(OneAnswer(answer), LOCATION, Standing())


def read(answer, known=None):
    return store(answer).read(UNTIL, known)


def replace(answer):
    return store(answer).write(b"body", "e1", UNTIL)


def create(answer):
    return store(answer).write(b"body", None, UNTIL)


def answer(status, code="", date=DATE, extra="", **headers):
    body = f"<Error><Code>{code}</Code>{extra}</Error>".encode() if code else b""
    given = {"date": date, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Response(status, {name: value for name, value in given.items() if value is not None}, body)


def whole(**headers):
    """The object as it is read."""
    given = {"date": DATE, "etag": '"e1"', "last-modified": DATE, **headers}
    return Response(200, {name: value for name, value in given.items() if value is not None}, BODY)


# -- which outcome ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 403, 410, 500])
def test_rule_16_only_a_404_says_that_there_is_no_object(status):
    assert not isinstance(read(answer(status, "NoSuchKey")), Absent)


def test_rule_16_a_write_that_finds_no_object_is_not_told_as_a_read():
    assert isinstance(replace(answer(404, "NoSuchKey")), Unknown)


@pytest.mark.parametrize("ask", [replace, create])
@pytest.mark.parametrize(
    ("status", "kind"),
    [(199, Refused), (201, Unknown), (204, Unknown), (206, Unknown), (299, Unknown), (300, Refused), (301, Refused)],
)
def test_rule_12_a_write_with_any_other_success_has_landed_and_is_looked_for(ask, status, kind):
    assert isinstance(ask(answer(status, etag='"e2"')), kind)


@pytest.mark.parametrize("ask", [read, replace, create])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (303, Refused),
        (304, Unknown),
        (305, Refused),
        (400, Refused),
        (407, Refused),
        (410, Refused),
        (411, Refused),
        (413, Refused),
        (424, Refused),
        (426, Refused),
        (428, Refused),
        (430, Refused),
        (499, Refused),
        (500, Unknown),
        (501, Refused),
        (502, Unknown),
    ],
)
def test_rule_12_what_may_pass_is_unknown_and_what_would_fail_again_is_refused(ask, status, kind):
    assert isinstance(ask(answer(status, "SomeCode")), kind)


@pytest.mark.parametrize("ask", [read, replace, create])
def test_a_store_that_waited_too_long_for_the_request_is_asked_again(ask):
    assert ask(answer(400, "RequestTimeout")) == Unknown(f"{ORIGIN} answered 400 RequestTimeout")


@pytest.mark.parametrize("ask", [replace, create])
@pytest.mark.parametrize("headers", [{"date": None, "etag": '"e2"'}, {"etag": None}, {"etag": 'W/"e2"'}])
def test_rule_12_a_write_whose_answer_lacks_what_is_needed_is_unknown_and_says_so(ask, headers):
    assert ask(answer(200, **headers)) == Unknown(f"{ORIGIN} answered 200")


def test_a_request_that_could_not_be_sent_is_not_counted():
    asked = store(CannotSend("no credentials", "log in"))
    asked.read(UNTIL)
    assert asked.requests == 0


def test_a_write_says_that_it_is_json():
    connection = OneAnswer(answer(200, etag='"e2"'))
    Store(connection, LOCATION, Standing()).write(b"{}", "e1", UNTIL)
    assert connection.headers["Content-Type"] == "application/json"


# -- what is said of it -----------------------------------------------------------------------------------------------

CREDENTIALS = "Check the credentials: access_key, secret_key, session_token, profile, or their other sources"
REGION = "The bucket of s3://bucket/jobs/a is in another region: set region to eu-central-1"
NO_S3 = "This is not an S3 answer: check endpoint_url, and proxies on the way"
LEFT = "The lease s3://bucket/jobs/a was left unchanged"
PERMISSION = "Grant s3:PutObject and s3:GetObject on s3://bucket/jobs/a"
NO_DATE = Refused(
    f"{ORIGIN} answers without a usable Date, but leases need the store's clock", "Check for a proxy that removes it"
)


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (CannotSend("no credentials", "log in"), Refused("no credentials", "log in")),
        (whole(date=None), NO_DATE),
        (answer(404, "NoSuchKey", date=None), NO_DATE),
        (whole(**{"last-modified": None}), Refused(f"{ORIGIN} answers without a usable Last-Modified")),
        (
            whole(etag='W/"e1"'),
            Refused(
                f"{ORIGIN} answers with a weak ETag, which no write can be conditional on",
                "Check for a proxy that changes answers, for example by compressing them",
            ),
        ),
    ],
)
def test_an_answer_that_no_lease_can_be_read_from_is_refused_with_what_to_check(given, refused):
    assert read(given) == refused


def test_an_unchanged_object_without_a_date_is_refused_with_what_to_check():
    assert read(answer(304, date=None), known="e1") == NO_DATE


@pytest.mark.parametrize(
    ("given", "said", "advice"),
    [
        (
            answer(404, "NoSuchBucket"),
            "404 NoSuchBucket",
            "Create the bucket bucket, or set bucket to one that exists",
        ),
        (answer(300, "X", x_amz_bucket_region="eu-central-1"), "300 X", REGION),
        (answer(399, "X", x_amz_bucket_region="eu-central-1"), "399 X", REGION),
        (answer(301, "X"), "301 X", LEFT),
        (answer(400, "X", x_amz_bucket_region="eu-central-1"), "400 X", LEFT),
        (answer(199, "X", x_amz_bucket_region="eu-central-1"), "199 X", LEFT),
        (answer(299, "X", extra="<Region>eu-central-1</Region>"), "299 X", LEFT),
        (
            answer(400, "AuthorizationHeaderMalformed", extra="<Region>eu-central-1</Region>"),
            "400 AuthorizationHeaderMalformed",
            REGION,
        ),
        (answer(400, "AuthorizationHeaderMalformed"), "400 AuthorizationHeaderMalformed", LEFT),
        (answer(403, "InvalidAccessKeyId"), "403 InvalidAccessKeyId", CREDENTIALS),
        (answer(403, "SignatureDoesNotMatch"), "403 SignatureDoesNotMatch", CREDENTIALS),
        (answer(400, "InvalidToken"), "400 InvalidToken", CREDENTIALS),
        (answer(400, "ExpiredToken"), "400 ExpiredToken", CREDENTIALS),
        (answer(401, "X"), "401 X", PERMISSION),
        (answer(402, "X"), "402 X", LEFT),
        (answer(404, "X"), "404 X", NO_S3),
        (answer(400), "400", NO_S3),
        (answer(403), "403", NO_S3),
        (answer(501), "501", "This store does not implement conditional writes, so it cannot hold a lease"),
        (answer(501, "X"), "501 X", "This store does not implement conditional writes, so it cannot hold a lease"),
    ],
)
def test_a_refused_read_says_what_was_answered_and_what_to_do(given, said, advice):
    assert read(given) == Refused(f"{ORIGIN} answered {said}", advice)


@pytest.mark.parametrize("ask", [replace, create])
@pytest.mark.parametrize(("status", "advice"), [(401, PERMISSION), (402, LEFT), (403, PERMISSION), (405, LEFT)])
def test_a_refused_write_says_what_was_answered_and_what_to_do(ask, status, advice):
    assert ask(answer(status, "X")) == Refused(f"{ORIGIN} answered {status} X", advice)


@pytest.mark.parametrize("ask", [replace, create])
@pytest.mark.parametrize("status", [401, 403, 405])
def test_a_write_that_is_refused_by_a_proxy_says_so(ask, status):
    assert ask(answer(status)) == Refused(f"{ORIGIN} answered {status}", NO_S3)


def test_a_refused_read_says_that_the_lease_may_just_not_exist_yet():
    refused = read(answer(403, "AccessDenied"))
    assert refused.why == f"{ORIGIN} answered 403 AccessDenied"
    assert refused.advice.startswith(
        "Grant s3:GetObject on s3://bucket/jobs/a. Without s3:ListBucket, S3 gives the same answer"
    )


# -- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "date", [DATE, DATE.replace("GMT", "-0000"), DATE.replace("GMT", ""), DATE.replace("GMT", "+0000")]
)
def test_a_time_without_a_zone_is_utc_wherever_the_host_is(monkeypatch, date):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert read(whole(date=date)).store_time == NOW
    finally:
        monkeypatch.undo()
        time.tzset()


FAR_OFF = [
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Mon, 23 Nov 99999999999999999999 04:49:36 GMT",
    "Mon, 23 Nov 2026 99999999999999999999:49:36 GMT",
    "Mon, 23 Nov 2026 04:49:36 +99999999999999999999",
]


@pytest.mark.parametrize(("seconds", "usable"), [(0, False), (1, True), (250e9 - 1, True), (250e9, False)])
def test_a_time_is_one_from_which_others_can_be_counted(seconds, usable):
    outcome = read(whole(date=email.utils.formatdate(seconds, usegmt=True)))
    assert outcome.store_time == seconds if usable else outcome == NO_DATE


def test_a_time_in_another_zone_is_the_same_time():
    assert read(whole(date=DATE.replace("04:49:36 GMT", "13:49:36 +0900"))).store_time == NOW


@pytest.mark.parametrize("date", ["", "soon", "Mon, 23 Nov 2026", "Mon, 99 Nov 2026 04:49:36 GMT", *FAR_OFF])
def test_a_time_that_cannot_be_read_is_none(date):
    assert read(whole(date=date)) == NO_DATE
