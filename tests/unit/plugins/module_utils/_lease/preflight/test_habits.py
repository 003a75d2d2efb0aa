# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import NoAnswer
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight import habits
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.conditions import accepted
from support.stores.odd import ExpectsNothing, HasRandomEtags, JudgesChecksums, Store, WantsBareEtags


@pytest.fixture
def written(workspace):
    """Makes a workspace, writes its scratch object twice, and returns what to write again with what stands there."""

    def make(kind=Store, **attributes):
        work = workspace(kind, **attributes)
        scratch, first = work.scratch(), work.draft()
        _check, created = accepted(work, "create", scratch, first, None)
        _check, replaced = accepted(work, "replace", scratch, work.draft(), created.etag)
        return work, scratch, first, created.etag, replaced.etag

    return make


def silent(_request):
    raise NoAnswer("no answer")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Store, "ETags come quoted, and If-Match takes them quoted"),
        (WantsBareEtags, "ETags come quoted, and If-Match takes them only bare"),
    ],
)
def test_the_form_of_etags_is_told(written, kind, words):
    check = habits.etag_form(written(kind)[0])
    assert check.verdict == "pass"
    assert check.seen.startswith(words)


def test_etags_may_come_bare(written):
    work = written(etag_of=lambda body: str(len(body)) + "a")[0]
    assert habits.etag_form(work).seen.startswith("ETags come bare")


@pytest.mark.parametrize(
    ("kind", "words"), [(Store, "the same body gets the same ETag again"), (HasRandomEtags, "gets another ETag")]
)
def test_it_is_told_whether_an_etag_comes_back(written, kind, words):
    work, scratch, first, etag, standing = written(kind)
    check, now = habits.etag_repeats(work, scratch, first, etag, standing)
    assert check.verdict == "pass"
    assert words in check.seen
    assert (now.etag == etag) is (kind is Store)


def test_where_the_body_cannot_be_written_again_nothing_is_known(written):
    work, scratch, first, etag, standing = written()
    work.connection.store.put(scratch.wire._connection.key, b"{}")
    check, now = habits.etag_repeats(work, scratch, first, etag, standing)
    assert (check.verdict, now) == ("unknown", None)
    work.connection.faults.append(silent)
    check, now = habits.etag_repeats(work, scratch, first, etag, standing)
    assert (check.verdict, now) == ("unknown", None)


@pytest.mark.parametrize(
    ("crc32", "md5", "verdict", "words"),
    [
        (0, 0, "pass", "CRC32 is understood; a wrong Content-MD5 is accepted, so it is not checked"),
        (0, 400, "pass", "CRC32 is understood; a wrong Content-MD5 is refused"),
        (400, 0, "warn", "a write with x-amz-checksum-crc32 is refused (400). Leases work: they send Content-MD5"),
        (
            503,
            0,
            "unknown",
            "a write with a checksum is answered with 503, one with a wrong checksum is answered with 200",
        ),
        (0, 503, "unknown", "one with a wrong checksum is answered with 503"),
    ],
)
def test_it_is_told_what_becomes_of_checksums(workspace, crc32, md5, verdict, words):
    work = workspace(JudgesChecksums, crc32=crc32, md5=md5)
    check = habits.checksums(work)
    assert check.verdict == verdict
    assert words in check.seen
    assert bool(check.advice) is (verdict == "warn")


def test_a_checksum_that_is_not_answered_is_unknown(workspace):
    work = workspace()
    work.connection.faults.append(silent)
    check = habits.checksums(work)
    assert (check.verdict, check.seen) == (
        "unknown",
        "a write with a checksum got no answer, one with a wrong checksum got no answer",
    )


@pytest.mark.parametrize(
    ("kind", "takes", "verdict", "words"),
    [
        (Store, 0.01, "pass", "is answered"),
        (ExpectsNothing, 0.01, "warn", "is refused (417)"),
        (Store, habits.EXPECT_WAIT, "warn", "is not answered"),
    ],
)
def test_it_is_told_whether_expect_is_answered(workspace, kind, takes, verdict, words):
    work = workspace(kind)
    work.look(work.scratch())
    work.connection.takes = takes
    check = habits.expect(work)
    assert check.verdict == verdict
    assert words in check.seen
    assert bool(check.advice) is (verdict == "warn")


def test_one_slow_answer_to_expect_is_no_habit(workspace):
    work = workspace()
    slow = [5.0]

    def is_slow_once(_request):
        work.clock.at += slow.pop() if slow else 0.0

    work.look(work.scratch())
    work.connection.faults.append(is_slow_once)
    assert habits.expect(work).verdict == "pass"


def test_an_expect_that_gets_no_clean_answer_is_unknown(workspace):
    work = workspace()
    work.connection.faults.append(lambda request: work.connection.store.error(500, "InternalError"))
    assert (habits.expect(work).verdict, habits.expect(work).seen) == (
        "unknown",
        "a write with Expect: 100-continue is answered with 500",
    )


@pytest.mark.parametrize(
    ("takes", "requests", "verdict", "words"),
    [
        (0.01, 3, "pass", "a request takes 10.0 ms (median), 10.0 ms (highest of 3)"),
        (2.5, 1, "pass", "2500.0 ms (highest of 1)"),
        (2.6, 1, "warn", "2600.0 ms (highest of 1)"),
        (0.01, 100, "pass", "10.0 ms (99th percentile of 100)"),
    ],
)
def test_the_latency_is_told_and_a_request_timeout_is_to_be_twice_as_long(workspace, takes, requests, verdict, words):
    work = workspace()
    work.connection.takes = takes
    for _number in range(requests):
        work.look(work.scratch())
    check = habits.latency(work)
    assert check.verdict == verdict
    assert words in check.seen
    assert ("request_timeout" in check.advice) is (verdict == "warn")


def test_the_one_slowest_of_a_hundred_does_not_count(workspace):
    work = workspace()
    for number in range(100):
        work.connection.takes = 60.0 if number == 50 else 0.01
        work.look(work.scratch())
    assert habits.latency(work).verdict == "pass"


def test_without_an_answer_there_is_no_latency(workspace):
    assert habits.latency(workspace()) is None
