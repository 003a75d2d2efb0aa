# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import NotStarted, Overdue
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.driver import drive, fresh_nonce
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Pause,
    Race,
    Raced,
    Read,
    Unknown,
    Write,
    Written,
)


class Timeless:
    """A clock that only moves when it is slept on, or by a call that hangs."""

    def __init__(self):
        self.time = 100.0
        self.bounds = []
        self.hangs = False
        self.starts = True

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds

    def bounded(self, call, seconds):
        self.bounds.append(seconds)
        if self.hangs:
            self.time += seconds
            raise Overdue()
        if not self.starts:
            raise NotStarted()
        return call(self.time + seconds)


class Remembering:
    """A store that notes what it is asked."""

    def __init__(self):
        self.asked = []

    def read(self, until, known):
        self.asked.append(("read", until, known))
        return Absent(1.0)

    def write(self, body, replaces, until, quoted, dated, expired):
        self.asked.append(("write", body, replaces, until, quoted, dated, expired))
        return Written("e1", 1.0)

    def race(self, bodies, replaces, until, quoted, dated):
        self.asked.append(("race", bodies, replaces, until, quoted, dated))
        return Raced((Written("e1", 1.0), Unknown("412", precondition_failed=True)))

    def of(self, slot):
        return self

    def forget_connection(self):
        self.asked.append("forget")


@pytest.fixture
def clock():
    return Timeless()


@pytest.fixture
def store():
    return Remembering()


def one(step):
    """An operation of one step that ends with its answer."""
    answer = yield step
    return answer


def test_reads_and_writes_reach_the_store_as_they_are(store, clock):
    assert drive(one(Read(200, "e0")), store, 5, clock).outcome == Absent(1.0)
    assert drive(one(Write(b"body", "e0", 200, False, True)), store, 5, clock).outcome == Written("e1", 1.0)
    drive(one(Write(b"body", "e0", 200, True, True, expired=True)), store, 5, clock)
    assert drive(one(Race((b"a", b"b"), "e0", 200, True, False)), store, 5, clock).outcome.outcomes[0].etag == "e1"
    assert store.asked == [
        ("read", 105.0, "e0"),
        ("write", b"body", "e0", 105.0, False, True, False),
        ("write", b"body", "e0", 105.0, True, True, True),
        ("race", (b"a", b"b"), "e0", 105.0, True, False),
    ]


@pytest.mark.parametrize(("until", "bound"), [(200, 5), (103, 3)])
def test_a_request_is_bounded_by_its_timeout_and_by_its_end(store, clock, until, bound):
    drive(one(Read(until)), store, 5, clock)
    assert clock.bounds == [bound]


def test_a_request_whose_end_has_passed_is_not_sent(store, clock):
    answer = drive(one(Write(b"body", None, 100)), store, 5, clock)
    assert isinstance(answer.outcome, Unknown)
    assert not answer.outcome.sent


def test_a_request_that_outlives_its_time_is_unknown_and_its_connection_is_not_used_again(store, clock):
    clock.hangs = True
    answer = drive(one(Read(200)), store, 5, clock)
    assert isinstance(answer.outcome, Unknown)
    assert (answer.asked, answer.at) == (100.0, 105.0)
    assert store.asked == ["forget"]


def test_a_request_for_which_there_is_no_thread_is_not_sent(store, clock):
    clock.starts = False
    assert not drive(one(Write(b"body", None, 200)), store, 5, clock).outcome.sent


def test_a_pause_lasts_somewhere_between_its_two_ends(store, clock):
    lengths = set()
    for _time in range(100):
        answer = drive(one(Pause(1, 2)), store, 5, clock)
        lengths.add(answer.at - answer.asked)
    assert all(1 <= length <= 2 for length in lengths)
    assert len(lengths) > 1


def test_rule_2_nonces_are_128_random_bits():
    assert len({fresh_nonce() for _time in range(1000)}) == 1000
    assert len(bytes.fromhex(fresh_nonce())) == 16
