# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import NoAnswer
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.conditions import accepted
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.reads import READS, reads_and_clock
from support.stores.odd import FailsConditionalReads, ServesStaleReads, Store


@pytest.fixture
def ask(workspace):
    """Judges the reads and the clock of a store, after ``before`` was done to the workspace."""

    def judge(kind=Store, before=lambda work: None, **attributes):
        work = workspace(kind, **attributes)
        scratch = work.scratch()
        _check, seen = accepted(work, "create", scratch, work.draft(), None)
        work.connection.store.forget()
        before(work)
        reads, clock = reads_and_clock(work, scratch, seen)
        assert (reads.name, clock.name) == ("reads", "clock")
        return work, reads, clock

    return judge


def test_a_store_whose_reads_see_the_write_before_them_passes(ask):
    work, reads, clock = ask()
    assert (reads.verdict, clock.verdict) == ("pass", "pass")
    assert reads.seen == f"{READS * 2} reads right after a write see it, over new connections"
    store = work.connection.store
    assert (store.count("PUT", condition="replace"), store.count("GET")) == (READS, READS * 2)
    assert len([one for one in store.requests if one.method == "GET" and one.if_none_match]) == READS


def test_the_reads_fall_on_all_parts_of_a_second(ask):
    """Date and Last-Modified tell whole seconds."""
    work, _reads, _clock = ask()
    assert all(0 <= pause < 1 for pause in work.clock.pauses)
    assert sum(work.clock.pauses) > 0.5


@pytest.mark.parametrize("conditional", [False, True])
def test_reads_that_lag_fail_the_store(ask, conditional):
    _work, reads, _clock = ask(ServesStaleReads, conditional=conditional)
    assert reads.verdict == "fail"
    assert "reads right after a write do not see it" in reads.seen
    assert "cache" in reads.advice


def test_reads_with_another_etag_than_the_write_fail_the_store(ask):
    def suffix(work):
        store = work.connection.store

        def suffixed(request):
            answer = store.take(request)
            if request.method != "GET":
                return answer
            headers = ((name, value[:-1] + '-gzip"' if name == "ETag" else value) for name, value in answer.headers)
            return answer._replace(headers=tuple(headers))

        work.connection.faults.append(suffixed)

    _work, reads, clock = ask(before=suffix)
    assert (reads.verdict, clock.verdict) == ("fail", "pass")
    assert f"{READS} reads come with another ETag" in reads.seen
    assert "no-gzip" in reads.advice


@pytest.mark.parametrize("status", [400, 500])
def test_reads_that_get_no_usable_answer_have_seen_nothing(ask, status):
    _work, reads, clock = ask(FailsConditionalReads, status=status)
    assert reads.verdict == "unknown"
    assert str(status) in reads.seen
    assert clock.verdict == "pass", "the read before it told the time"


def test_a_store_that_falls_silent_is_unknown_in_both(ask):
    def fall_silent(work):
        def silent(_request):
            raise NoAnswer("no answer")

        work.connection.faults.append(silent)

    _work, reads, clock = ask(before=fall_silent)
    assert (reads.verdict, clock.verdict) == ("unknown", "unknown")


def test_something_else_that_stands_there_is_told(ask):
    def overwrite(work):
        work.connection.faults.append(lambda request: work.connection.store.put(request.key, b"{}") and None)

    _work, reads, _clock = ask(before=overwrite)
    assert reads.verdict == "unknown"
    assert "the object had other content" in reads.seen


@pytest.mark.parametrize(("ahead", "verdict"), [(2.5, "fail"), (-2.5, "warn"), (0.0, "pass")])
def test_a_date_of_somebody_elses_is_found_out(ask, ahead, verdict):
    def shift(work):
        store, date = work.connection.store, work.connection.store.date

        def shifted():
            store.clock_offset += ahead
            try:
                return date()
            finally:
                store.clock_offset -= ahead

        store.date = shifted

    _work, reads, clock = ask(before=shift)
    assert (reads.verdict, clock.verdict) == ("pass", verdict)
