# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import threading
import time
import urllib.parse

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import listing
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import CannotSend, NoAnswer
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.listing import (
    AT_ONCE,
    MOST_PAGE,
    Below,
    Listed,
    Listing,
    Object,
    parsed,
    summary,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import MAX_BODY, Record, Unreadable
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Endpoint, Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Seen,
    StoreError,
    StoreRefused,
    StoreUnreachable,
)
from support.leases import somebody_elses
from support.server import Answer, error
from support.stores.odd import Store
from support.wire import VirtualClock, Wire

NOW = 1795409376.0
ENDPOINT = Endpoint(endpoint_url="http://127.0.0.1:9000", request_timeout=5)
ODD_KEYS = ["a b", "a+b", "100%", "ü/🗝", "q?&=#'\"", "x" * 1024]
"""Beside their names in XML and in URLs, they have names that these could be mistaken for."""


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def wire(store):
    return Wire(store, VirtualClock())


def listing_of(wire, prefix="jobs/"):
    return Listing(wire, Below("bucket", prefix), ENDPOINT, wire.clock)


def read(wire, prefix="jobs/"):
    return listing_of(wire, prefix).read()


def keys(found):
    return [one.location.key for one in found]


def lists(request):
    return not request.key


def page(*keys, following="", prefix="", truncated=None, extra=""):
    """A page as a store answers with it."""
    truncated = ("true" if following else "false") if truncated is None else truncated
    contents = "".join(
        f"<Contents><Key>{prefix}{key}</Key><LastModified>2026-11-23T04:49:36.000Z</LastModified>"
        f"<ETag>&quot;e1&quot;</ETag><Size>419</Size></Contents>"
        for key in keys
    )
    token = f"<NextContinuationToken>{following}</NextContinuationToken>" if following else ""
    flag = f"<IsTruncated>{truncated}</IsTruncated>" if truncated else ""
    return f"<ListBucketResult>{flag}{token}{extra}{contents}</ListBucketResult>".encode()


URL = "<EncodingType>url</EncodingType>"


# -- What is listed


@pytest.mark.parametrize(("objects", "pages"), [(0, 1), (1, 1), (5, 1), (6, 2), (12, 3)])
def test_every_page_is_read_and_every_object_on_it_by_key(store, wire, objects, pages):
    store.page_size = 5
    names = [f"jobs/{number:02}" for number in range(objects)]
    for name in [*names[::-1], "jobs", "other"]:
        store.put(name, somebody_elses())
    of_jobs = listing_of(wire)
    found = of_jobs.read()
    assert keys(found) == names
    assert [str(one.location) for one in found] == [f"s3://bucket/{name}" for name in names]
    assert sum(map(lists, store.requests)) == pages
    assert of_jobs.requests == len(store.requests) == objects + pages
    assert {request.method for request in store.requests} <= {"GET"}


def test_the_order_of_a_store_does_not_matter(wire):
    pages = [page("jobs/c", "jobs/b", following="1"), page("jobs/a", "jobs/b")]
    wire.faults.append(lambda request: wire.store.answer(200, (), pages.pop(0)) if lists(request) else None)
    for name in "abc":
        wire.store.put(f"jobs/{name}", somebody_elses())
    assert keys(read(wire)) == ["jobs/a", "jobs/b", "jobs/c"]
    assert wire.store.count("GET", key="jobs/b") == 1


def test_without_a_prefix_it_is_the_whole_bucket(store, wire):
    for name in ("jobs/a", "a"):
        store.put(name, somebody_elses())
    assert keys(read(wire, "")) == ["a", "jobs/a"]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_and_prefix_is_the_one_that_is_meant(store, wire, key):
    store.page_size = 1
    names = sorted({key, key[:-1] + "!", urllib.parse.quote(key)})
    for name in names:
        store.put(name, somebody_elses())
    assert keys(read(wire, "")) == names
    assert keys(read(wire, key)) == [name for name in names if name.startswith(key)]


def test_a_query_is_encoded_as_the_signature_wants_it(wire):
    read(wire, "a b+/ü~")
    assert wire.store.requests[0].path == "/bucket/?list-type=2&encoding-type=url&prefix=a%20b%2B%2F%C3%BC~"


def test_a_key_that_is_not_encoded_is_taken_as_it_stands():
    (found,) = parsed(page(" a+b%20"), "", NOW).objects
    assert found == Object(" a+b%20", 419, "e1", NOW)


def test_a_key_that_is_encoded_is_decoded():
    (found,) = parsed(page("+a%2Bb%2520", extra=URL), "", NOW).objects
    assert found.key == " a+b%20"


def test_a_token_is_kept_to_the_letter():
    assert parsed(page("a", following=" a%2B+ "), "", NOW).following == " a%2B+ "
    assert parsed(page("a", following="b", truncated="false"), "", NOW).following == ""


# -- What is read


def test_a_lease_is_read_with_the_stores_times(store, wire):
    store.put("jobs/a", somebody_elses(leaseDurationSeconds=30))
    store.age("jobs/a", 7)
    ((location, found, size),) = read(wire)
    assert (location, found.record.holder) == (Location("bucket", "jobs/a"), "somebody else")
    assert size == len(store.get("jobs/a").body)
    assert 7 <= found.age <= 8, "a second may end between the write and the read"


def test_what_is_no_lease_is_listed_as_unreadable(store, wire):
    store.put("jobs/page", b"<html>")
    assert [(one.found.record, one.size) for one in read(wire)] == [(Unreadable("it is not JSON"), 6)]


@pytest.mark.parametrize(
    ("key", "body", "why"),
    [
        ("jobs/large", b" " * (MAX_BODY + 1), f"it is larger than {MAX_BODY} bytes"),
        ("jobs/", b"", "no lease can have this key"),
        ("jobs/../a", somebody_elses(), "no lease can have this key"),
        ("jobs/\x1b[2J", somebody_elses(), "no lease can have this key"),
    ],
)
def test_what_cannot_be_a_lease_is_not_read(store, wire, key, body, why):
    stored = store.put(key, body)
    (one,) = read(wire)
    assert (one.location.key, one.found.record, one.size) == (key, Unreadable(why), len(body))
    assert one.found.etag == stored.etag.strip('"')
    assert abs(one.found.modified - stored.modified) < 1
    assert all(map(lists, store.requests))


def test_an_object_of_the_largest_size_is_read(store, wire):
    store.put("jobs/a", somebody_elses().ljust(MAX_BODY))
    assert read(wire)[0].found.record.holder == "somebody else"


def test_an_object_that_vanishes_after_the_listing_is_left_out(store, wire):
    for name in "abc":
        store.put(f"jobs/{name}", somebody_elses())

    def vanish(request):
        if request.key:
            store.remove("jobs/b")

    wire.faults.append(vanish)
    assert keys(read(wire)) == ["jobs/a", "jobs/c"]


# -- How many at a time


class Counting(Wire):
    """Answers reads only once as many as ``together`` are in flight, and notes how many there are."""

    together = AT_ONCE

    def __init__(self, store):
        super().__init__(store, VirtualClock())
        self.counts = []
        self.shared = dict(flying=0, lock=threading.Condition())

    def send(self, *arguments, **options):
        if not self.key:
            return super().send(*arguments, **options)
        with self.shared["lock"]:
            self.shared["flying"] += 1
            self.counts.append(self.shared["flying"])
            self.shared["lock"].notify_all()
            self.shared["lock"].wait_for(lambda: max(self.counts) >= self.together, 20)
        time.sleep(0.05)  # one more would come now
        try:
            return super().send(*arguments, **options)
        finally:
            with self.shared["lock"]:
                self.shared["flying"] -= 1


@pytest.mark.parametrize(("objects", "together"), [(1, 1), (3, 3), (40, AT_ONCE)])
def test_a_bounded_number_is_read_at_a_time(store, objects, together):
    wire = Counting(store)
    wire.together = together
    for number in range(objects):
        store.put(f"jobs/{number:02}", somebody_elses())
    assert len(read(wire)) == objects
    assert max(wire.counts) == together


def test_where_there_are_no_threads_it_takes_longer(store, wire, monkeypatch):
    def start(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    for number in range(20):
        store.put(f"jobs/{number:02}", somebody_elses())
    assert len(read(wire)) == 20


# -- All or nothing


@pytest.mark.parametrize("key", ["", "jobs/b"])
def test_an_answer_that_is_lost_is_asked_for_again(store, wire, key):
    for name in "abc":
        store.put(f"jobs/{name}", somebody_elses())
    lost = [NoAnswer("closed"), error(503, "SlowDown", headers=store.date()), NoAnswer("closed")]

    def lose(request):
        if request.key == key and lost:
            found = lost.pop()
            if isinstance(found, Exception):
                raise found
            return found
        return None

    wire.faults.append(lose)
    of_jobs = listing_of(wire)
    assert keys(of_jobs.read()) == ["jobs/a", "jobs/b", "jobs/c"]
    assert of_jobs.requests == 4 + 3


@pytest.mark.parametrize(
    ("key", "words"), [("", "s3://bucket/jobs/ cannot be listed"), ("jobs/b", "s3://bucket/jobs/b cannot be read")]
)
def test_a_store_that_is_silent_is_given_up_with_what_was_asked_for(store, wire, key, words):
    for name in "abc":
        store.put(f"jobs/{name}", somebody_elses())

    def silent(request):
        if request.key == key:
            raise NoAnswer("the store did not answer in time")

    wire.faults.append(silent)
    began = wire.clock.now()
    with pytest.raises(StoreUnreachable) as raised:
        read(wire)
    assert str(raised.value) == f"{words}: the store did not answer in time"
    assert wire.clock.now() - began < ENDPOINT.patience + 1


def test_where_one_object_may_not_be_read_nothing_is_told_and_the_rest_is_not_asked_for(store, wire):
    for number in range(500):
        store.put(f"jobs/{number:03}", somebody_elses())
    wire.faults.append(lambda request: store.error(403, "AccessDenied") if request.key == "jobs/007" else None)
    with pytest.raises(
        StoreRefused, match=r"^s3://bucket/jobs/007 cannot be read: .* answered 403 AccessDenied\. "
    ) as it:
        read(wire)
    assert "Grant s3:GetObject on s3://bucket/jobs/007" in str(it.value)
    assert len(store.requests) < 300


def test_an_error_of_the_program_is_none_of_the_stores(store, wire):
    failed = threading.Event()
    for number in range(20):
        store.put(f"jobs/{number:02}", somebody_elses())

    def fail(request):
        if request.key and threading.current_thread() is not threading.main_thread():
            failed.set()
            raise ZeroDivisionError
        if request.key:
            failed.wait(20)

    wire.faults.append(fail)
    with pytest.raises(ZeroDivisionError):
        read(wire)


DATE = (("Date", "Mon, 23 Nov 2026 04:49:36 GMT"),)
GRANT = "Grant s3:ListBucket on the bucket bucket"
NOT_S3 = "This is not an S3 answer: check endpoint_url, and proxies on the way"
UNABLE = "This store may be unable to list objects (ListObjectsV2). Ask for each lease by its key"


@pytest.mark.parametrize(
    ("answer", "what", "way_out"),
    [
        (error(403, "AccessDenied"), "answered 403 AccessDenied", GRANT),
        (error(401, "Unauthorized"), "answered 401 Unauthorized", GRANT),
        (error(403, "InvalidAccessKeyId"), "answered 403 InvalidAccessKeyId", "Check the credentials: access_key"),
        (error(404, "NoSuchBucket"), "answered 404 NoSuchBucket", "Create the bucket bucket, or set bucket to"),
        (error(404, "NoSuchKey"), "answered 404 NoSuchKey", NOT_S3),
        (error(501, "NotImplemented"), "answered 501 NotImplemented", UNABLE),
        (error(400, "InvalidArgument"), "answered 400 InvalidArgument", UNABLE),
        (Answer(403, "", (), b"<html>no</html>"), "answered 403", NOT_S3),
        (Answer(404, "", (), b"<html>no</html>"), "answered 404", NOT_S3),
        (Answer(200, "", DATE, b"<html>hello</html>"), "answered 200, but with no listing", NOT_S3),
        (Answer(200, "", DATE, b""), "answered 200, but with no listing", NOT_S3),
        (Answer(200, "", DATE, page("other/a")), "answered 200, but its listing has a key that does not", NOT_S3),
        (Answer(200, "", (), page("jobs/a")), "answers without a usable Date", "Check for a proxy that removes it"),
        (
            Answer(301, "", (("x-amz-bucket-region", "eu-west-1"),), b""),
            "answered 301",
            "The bucket of s3://bucket/jobs/ is in another region: set region to eu-west-1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_that_is_no_listing_is_told_with_the_bucket_and_the_way_out(wire, answer, what, way_out):
    wire.faults.append(lambda request: answer)
    with pytest.raises(StoreRefused) as raised:
        read(wire)
    assert str(raised.value).startswith(f"s3://bucket/jobs/ cannot be listed: {Wire.origin} {what}")
    assert raised.value.advice.startswith(way_out)
    assert len(wire.store.requests) == 1


def test_what_cannot_be_sent_is_told_with_what_to_do(wire):
    def refuse(request):
        raise CannotSend("no credentials were found", "Set access_key")

    wire.faults.append(refuse)
    with pytest.raises(
        StoreError, match=r"^s3://bucket/jobs/ cannot be listed: no credentials were found\. Set access"
    ):
        read(wire)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<ListAllMyBucketsResult/>", "with no listing"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + page("a"), "with no listing"),
        (page("a")[:-5], "with no listing"),
        (page("a") + b" " * MOST_PAGE, "with no listing"),
        (page("a", truncated=""), "its listing is malformed"),
        (page("a", truncated="perhaps"), "its listing is malformed"),
        (page("a").replace(b"419", b"large"), "its listing is malformed"),
        (page("a").replace(b"<Size>419</Size>", b""), "its listing is malformed"),
        (page("a").replace(b"2026-11-23T", b"today "), "its listing is malformed"),
        (
            re.sub(b"<LastModified>.*?<", b"<LastModified>9999-12-31T23:59:59-23:59<", page("a")),
            "its listing is malformed",
        ),
        (page("%FF", extra=URL), "its listing is malformed"),
        (page(""), "its listing has a key that does not begin with the prefix"),
        (page("a").replace(b"Key>", b"Name>"), "its listing has a key that does not begin with the prefix"),
        (page("a", truncated="true"), "its listing goes on without a continuation token"),
    ],
)
def test_a_listing_that_lacks_something_is_none(body, why):
    with pytest.raises(ValueError, match=f"^{why}$"):
        parsed(body, "", NOW)


@pytest.mark.parametrize("tokens", ["111", "1212"])
def test_a_listing_that_does_not_end_is_refused(wire, tokens):
    following = iter(tokens)
    wire.faults.append(lambda request: wire.store.answer(200, (), page(following=next(following))))
    with pytest.raises(StoreRefused, match=r"s3://bucket/jobs/ cannot be listed: .* begins the list anew"):
        read(wire)


def test_more_objects_than_can_be_read_are_refused_before_any_is(store, wire, monkeypatch):
    monkeypatch.setattr(listing, "MOST_OBJECTS", 5)
    store.page_size = 2
    for number in range(6):
        store.put(f"jobs/{number}", somebody_elses())
    with pytest.raises(
        StoreRefused, match=r"there are more than 5 objects below s3://bucket/jobs/\. Use a longer prefix"
    ):
        read(wire)
    assert all(map(lists, store.requests))
    store.remove("jobs/0")
    assert len(read(wire)) == 5


def test_pages_without_end_are_refused_even_if_nothing_is_on_them(wire, monkeypatch):
    monkeypatch.setattr(listing, "MOST_OBJECTS", 5)
    wire.faults.append(lambda request: wire.store.answer(200, (), page(following=len(wire.store.requests))))
    with pytest.raises(StoreRefused, match="there are more than 5 objects"):
        read(wire)


# -- The prefix


@pytest.mark.parametrize(
    ("bucket", "prefix", "words"),
    [
        ("bucket", "s3://bucket/jobs/", "it is a URL. Use bucket and a prefix like jobs/"),
        ("bucket", "jobs/\n", "it has a control character"),
        ("bucket", "ü" * 513, "it has 1026 bytes. Use at most 1024"),
        ("a b", "jobs/", 'bucket is "a b"'),
    ],
)
def test_a_prefix_that_cannot_be_one_is_refused(bucket, prefix, words):
    with pytest.raises(BadOption, match=words):
        Below(bucket, prefix).checked()


@pytest.mark.parametrize("prefix", ["", "jobs/", "jobs", "/", "jobs//", "ü" * 512])
def test_any_other_prefix_is_one(prefix):
    assert str(Below("bucket", prefix).checked()) == f"s3://bucket/{prefix}"


# -- The summary


def listed(state):
    record = Record("web-1", "session", 7, 1, "n", 30.0, NOW - 10, NOW, NOW, {})
    changes, age = {
        "held": ({}, 1.0),
        "expired": ({}, 60.0),
        "free": (dict(holder=""), 1.0),
        "held back": (dict(holder="", hold_at_least=60.0), 1.0),
        "not a lease": ({}, 1.0),
    }[state]
    found = Unreadable("it is not JSON") if state == "not a lease" else record._replace(**changes)
    return Listed(Location("bucket", "jobs/a"), Seen(found, "e1", NOW - age, NOW), 419)


STATES = ("held", "held", "not a lease", "free", "held back", "expired")


@pytest.mark.parametrize(
    ("states", "prefix", "words"),
    [
        ((), "jobs/", "no objects below jobs/"),
        ((), "", "no objects in the bucket bucket"),
        (("held",), "jobs/", "1 object below jobs/: 1 held"),
        (STATES, "jobs/", "6 objects below jobs/: 2 held, 1 held back, 1 free, 1 expired, 1 not a lease"),
        (STATES[1:4], "", "3 objects in the bucket bucket: 1 held, 1 free, 1 not a lease"),
    ],
)
def test_the_summary_counts_what_is_there_by_its_state(states, prefix, words):
    assert summary([*map(listed, states)], Location("bucket", prefix)) == words


def test_what_still_has_the_etag_that_was_known_is_not_read_again(store, wire):
    store.put("jobs/a", somebody_elses())
    store.put("jobs/b", somebody_elses())
    known = {one.location.key: one.found for one in read(wire)}
    store.put("jobs/b", somebody_elses(term=42))
    wire.clock.sleep(60)
    before = len(store.requests)
    a, b = listing_of(wire).read(known)
    assert [request.key for request in store.requests[before:]] == ["", "jobs/b"]
    assert (a.found.record, a.found.etag, a.found.modified) == known["jobs/a"][:3]
    assert a.found.age == pytest.approx(60, abs=2)  # it grows older all the same
    assert b.found.record.term == 42
