# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever finds a lease free after a slow read looks again before it writes (rule 29); so a crowd thins itself out."""

from __future__ import annotations

import collections
import functools
import heapq
import random

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Proof, Record, decode
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Answer,
    Claimant,
    Pause,
    Race,
    Raced,
    Read,
    Refused,
    Seen,
    StoreUnreachable,
    Unchanged,
    Unknown,
    Want,
    Why,
    Write,
    Written,
)
from support.dialogue import Dialogue, nonces

ME = Claimant("web-1", "my-session")
NOW = 1795409376.0
HELD = Record(
    holder="web-2",
    session="other-session",
    term=7,
    sequence=3,
    nonce="theirs",
    lease_duration=30.0,
    acquired_at=NOW,
    renewed_at=NOW,
    lease_until=NOW + 32,
    metadata={},
    proof=Proof(ME.store, NOW),
)


def seen(record, age=4.0, etag="e1"):
    return Seen(record, etag, NOW, NOW + age)


FREE = seen(HELD._replace(holder=""))


def acquiring(dry_run=False, **want):
    wanted = Want(**{"lease_duration": 30.0, "patience": 18.0, **want})
    return Dialogue(protocol.acquire(ME, wanted, 0.0, nonces(), dry_run))


# -- One of them


def test_who_finds_a_lease_free_at_once_writes_at_once():
    acquiring().answer(FREE, after=protocol.SLOW).expect(Write)


@pytest.mark.parametrize("found", [FREE, Absent(NOW), seen(HELD, age=32)])
def test_who_finds_a_lease_free_after_a_slow_read_looks_again_up_to_twice_as_long_later(found):
    dialogue = acquiring().answer(found, after=0.5)
    pause = dialogue.expect(Pause)
    assert (pause.at_least, pause.at_most) == (0, 1)
    dialogue.wait(1)
    dialogue.expect(Read, until=18, known=None if found == Absent(NOW) else "e1")


def test_it_is_told_who_was_faster():
    dialogue = acquiring().answer(FREE, after=0.5)
    dialogue.wait()
    verdict = dialogue.answer(seen(HELD, etag="e2")).verdict
    assert (verdict.is_leader, verdict.why, verdict.lease.record) == (False, Why.HELD, HELD)


@pytest.mark.parametrize("again", [0.1, 1.0])
def test_it_looks_again_only_once_however_slow_the_store_is(again):
    dialogue = acquiring().answer(FREE, after=0.5)
    dialogue.wait()
    dialogue.answer(Unchanged(NOW + 5), after=again).expect(Write, replaces="e1")


def test_half_of_the_time_that_is_left_is_for_the_second_look():
    assert acquiring().answer(FREE, after=4).expect(Pause).at_most == 7


def test_who_slept_during_the_look_looks_again_within_ten_seconds():
    pause = acquiring(patience=1000.0).answer(FREE, after=60).expect(Pause)
    assert pause.at_most == protocol.LATEST_SECOND_LOOK == 10


def test_who_has_no_time_left_to_look_again_writes():
    acquiring().answer(FREE, after=18).expect(Write)


def test_who_waits_for_the_lease_looks_again_each_time_that_somebody_was_faster():
    dialogue = acquiring(wait_timeout=600)
    for _time in range(2):
        dialogue.answer(FREE, after=0.5).wait()
        dialogue.answer(seen(HELD, etag="e2"))
        dialogue.wait()
    dialogue.expect(Read)


def test_errors_of_the_second_look_are_retried_for_as_long_as_those_of_the_look_before():
    dialogue = acquiring(wait_timeout=10, patience=15).answer(seen(HELD), after=2)
    dialogue.wait(8)
    dialogue.answer(FREE, after=0.5).wait()
    dialogue.expect(Read, until=17)


def test_the_holder_itself_does_not_look_again():
    mine = HELD._replace(session=ME.session)
    acquiring().answer(seen(mine), after=0.5).expect(Write)


def test_nor_does_who_only_predicts():
    assert acquiring(dry_run=True).answer(FREE, after=0.5).verdict.is_leader


# -- All of them


class Crowd:
    """Contenders that begin at the same instant, and a store that answers one request after the other, none sooner.

    It carries out what its sender has given up, too, as stores do.
    """

    def __init__(self, size, read, write, request_timeout=5.0):
        """``read``, ``write``: seconds that a request keeps the store busy."""
        self.now = 0.0
        self.requests = 0
        self.told = collections.Counter()
        self._costs = {"read": read, "write": write}
        self._timeout = request_timeout
        self._chance = random.Random(size)
        self._free_at = 0.0
        self._found = None
        self._writes = 0
        self._due = []
        self._numbers = 0
        for number in range(size):
            fresh_nonce = functools.partial("{}-{}".format, number)
            numbers = iter(range(1000))
            want = Want(30.0, 3 * (request_timeout + 1))
            me = Claimant("host", "session-%d" % number)
            steps = protocol.acquire(me, want, 0.0, lambda f=fresh_nonce, n=numbers: f(next(n)))
            self._after(0, functools.partial(self._go_on, steps, None))
        while self._due:
            self.now, _number, happen = heapq.heappop(self._due)
            happen()

    def _after(self, seconds, happen):
        self._numbers += 1
        heapq.heappush(self._due, (self.now + seconds, self._numbers, happen))

    def _go_on(self, steps, answer):
        try:
            step = steps.send(answer) if answer else next(steps)
        except StopIteration as end:
            self.told[end.value.why] += 1
            return
        except StoreUnreachable:
            self.told["failed"] += 1
            return
        if isinstance(step, Pause):
            asked, seconds = self.now, self._chance.uniform(step.at_least, step.at_most)
            self._after(seconds, lambda: self._go_on(steps, Answer(Unknown("a pause"), asked, self.now)))
        else:
            self._send(steps, step)

    def _send(self, steps, step):
        asked, waits = self.now, [True]
        outcomes = []

        def answer(outcome):
            if waits.pop() if waits else False:
                self._go_on(steps, Answer(outcome, asked, self.now))

        def write(body):
            outcomes.append(self._put(step, body))
            if not isinstance(step, Race):
                answer(outcomes[0])
            elif len(outcomes) == 2:
                answer(Raced(tuple(outcomes)))

        self._after(min(self._timeout, step.until - asked), lambda: answer(Unknown("no answer")))
        if isinstance(step, Read):
            self._work("read", lambda: answer(self._get(step)))
        else:
            for body in step.bodies if isinstance(step, Race) else [step.body]:
                self._work("write", functools.partial(write, body))

    def _work(self, kind, do):
        self.requests += 1
        self._free_at = max(self._free_at, self.now) + self._costs[kind]
        self._after(self._free_at - self.now, do)

    def _get(self, step):
        if self._found is None:
            return Absent(NOW + int(self.now))
        found = self._found._replace(store_time=NOW + int(self.now))
        return Unchanged(found.store_time) if step.known == found.etag else found

    def _put(self, step, body):
        if isinstance(step, Write) and step.expired:
            return Refused("its use-by date has passed")
        if step.replaces != (self._found.etag if self._found else None):
            return Unknown("412", precondition_failed=True)
        self._writes += 1
        time = NOW + int(self.now)
        self._found = Seen(decode(body), "e%d" % self._writes, time, time)
        return Written(self._found.etag, time)


@pytest.mark.parametrize(("read", "write"), [(0.002, 0.02), (0.01, 0.05)], ids=lambda cost: f"{cost} s")
def test_of_a_crowd_at_once_one_leads_and_all_others_are_told(read, write):
    crowd = Crowd(300, read, write)
    assert crowd.told == {Why.ACQUIRED: 1, Why.HELD: 299}
    assert crowd.requests <= 2.5 * 300
