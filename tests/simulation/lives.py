# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What processes do with the core: as the modules do, task by task, and as a daemon does."""

from __future__ import annotations

import contextlib
import math
import typing as t

from .bucket import SKEW, Bucket, Connection, Network
from .checker import GRAIN, Checker
from .world import Process, World

REQUEST_TIMEOUT = 1.0
PATIENCE = 4.0
POLL = 1.0
STAY_AWAY = 5.0
"""Seconds after a release that was asked for: another one leads by then."""
LONGEST = 8.4
DURATIONS = (3.1, 4.3, 6.2)
"""Seconds for which processes take the lease. Ages are whole seconds: with these, every margin counts."""
OTHERS = (None, DURATIONS[0], LONGEST)
"""For a task, other than what its play began with."""


class Surroundings(t.NamedTuple):
    """What all processes of a schedule share."""

    world: World
    core: t.Any
    bucket: Bucket
    network: Network
    checker: Checker


class ResultLost(Exception):
    """A task did its work, and its run never heard of it: the host became unreachable, or the task was killed."""


class Life:
    """One life of a process, from its start to its crash: one session, unless it says otherwise."""

    def __init__(self, around: Surroundings, process: Process, lease_duration: float) -> None:
        self._around = around
        self._process = process
        self._duration = lease_duration
        self._rng = around.world.rng
        self._protocol = around.core.protocol
        self._clock = around.core.clock.Clock()
        self._loses_results = False
        self._begin_session()

    def daemon(self) -> None:
        """Stay up, watch, lead as long as possible, and watch again."""
        rng = self._rng
        takeover = rng.choice(("store_clock", "observed"))
        while True:
            try:
                verdict = self._acquire(10**6, takeover)
                while verdict.is_leader:
                    self._clock.sleep(self._duration * rng.uniform(0.25, 0.35))
                    self._act()
                    if self._process.stepping_down or rng.random() < 0.03:
                        self._release(verdict, handed_over=True)
                        self._clock.sleep(STAY_AWAY if self._process.stepping_down else 2 * POLL)
                        self._process.stepping_down = False
                        break
                    verdict = self._renew_in_time(verdict)
            except self._around.core.steps.StoreError:
                self._clock.sleep(rng.uniform(0.2, POLL))

    def play(self) -> None:
        """Run one playbook after the other: acquire, work, maybe renew, maybe release. An error may be rescued."""
        rng = self._rng
        self._loses_results = True
        while True:
            self._begin_session()
            verdict = first = None
            for turn in range(rng.randint(1, 6)):
                try:
                    verdict = self._acquire_once() if turn == 0 or rng.random() < 0.2 else self._renew_somehow(verdict)
                except (self._around.core.steps.StoreError, ResultLost):
                    if rng.random() < 0.5:
                        break
                first = first or verdict
                if rng.random() < 0.1:
                    verdict = first  # a result that was registered before, under another name
                if not (verdict and verdict.is_leader) and rng.random() < 0.7:
                    break
                self._clock.sleep(self._duration * 0.8 * rng.random() ** 2)
                self._act()
            if rng.random() < 0.8:
                with contextlib.suppress(self._around.core.steps.StoreError, ResultLost):
                    self._release(verdict, handed_over=rng.random() < 0.5)
            self._clock.sleep(rng.uniform(1, 4))

    def _acquire_once(self) -> t.Any:
        rng = self._rng
        wait, takeover = rng.choice((0.0, 0.0, 8.0)), rng.choice(("store_clock", "store_clock", "never"))
        return self._acquire(wait, takeover, rng.choice(OTHERS))

    def _renew_somehow(self, verdict: t.Any) -> t.Any:
        rng = self._rng
        return self._renew(verdict, handed_over=rng.random() < 0.5, lease_duration=rng.choice(OTHERS))

    def operator(self) -> None:
        """Break the lease, whosever it is."""
        now, nonce = self._now_and_nonce()
        with contextlib.suppress(self._around.core.steps.StoreError):
            steps = self._protocol.release(self._me, None, now, PATIENCE, nonce, True, "it burnt down")
            self._carry_out(self._noting_what_is_seen(steps))

    def _noting_what_is_seen(self, steps: t.Any) -> t.Generator[t.Any, t.Any, t.Any]:
        operators, session = self._around.checker.operators, self._me.session
        answer: t.Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                return end.value
            answer = yield step
            if isinstance(answer.outcome, self._around.core.steps.Seen):
                operators.setdefault(session, answer.outcome.record)

    def _begin_session(self) -> None:
        core, process = self._around.core, self._process
        # Those of a kind share a name (rule 17).
        self._me = core.steps.Claimant(process.name[:-1], core.claimant.fresh_nonce())
        self._store = core.store.Store(Connection(process, self._around.network), "s3://bucket/lease")

    def _acquire(self, wait_timeout: float, takeover: str, lease_duration: float | None = None) -> t.Any:
        duration = lease_duration or self._duration
        want = self._around.core.steps.Want(duration, PATIENCE, wait_timeout, POLL, takeover)
        return self._carry_out(self._protocol.acquire(self._me, want, *self._now_and_nonce()))

    def _renew(self, verdict: t.Any, handed_over: bool, lease_duration: float | None = None) -> t.Any:
        held = self._held(verdict, handed_over)
        now, nonce = self._now_and_nonce()
        steps = self._protocol.renew(self._me, held, lease_duration, now, PATIENCE, nonce)
        return self._carry_out(steps, held, verdict.deadline if held else now)

    def _renew_in_time(self, verdict: t.Any) -> t.Any:
        """Renew, and go on after an error as long as there is time. Raises StoreError."""
        while True:
            try:
                return self._renew(verdict, handed_over=True)
            except self._around.core.steps.StoreError:
                if self._clock.now() >= verdict.deadline:
                    raise
                self._clock.sleep(0.2)

    def _release(self, verdict: t.Any, handed_over: bool) -> None:
        self._around.checker.stops(self._process, self._me)  # work stops before the lease is given back (rule 23)
        held = self._held(verdict, handed_over)
        now, nonce = self._now_and_nonce()
        self._carry_out(self._protocol.release(self._me, held, now, PATIENCE, nonce), held)

    def _held(self, verdict: t.Any, handed_over: bool) -> t.Any:
        if handed_over and verdict and verdict.is_leader:
            return self._around.core.steps.Held(verdict.lease, verdict.deadline)
        return None

    def _now_and_nonce(self) -> tuple[float, t.Any]:
        return self._clock.now(), self._around.core.claimant.fresh_nonce

    def _carry_out(self, steps: t.Any, held: t.Any = None, deadline: float = math.inf) -> t.Any:
        """Do it, and tell the checker all. Raises StoreError, after some patience where no deadline comes first."""
        core, checker, process = self._around.core, self._around.checker, self._process
        began, start = self._around.world.now, self._clock.now()
        checker.begins(process)
        try:
            verdict = core.claimant.drive(steps, self._store, REQUEST_TIMEOUT, self._clock)
        except core.steps.StoreError as error:
            # It also ends where the lease would be over, by the store's clock maybe, before it could write again.
            patience = min(PATIENCE, deadline - core.protocol.WRITES_APART - GRAIN - SKEW - start)
            checker.gave_up(process, self._clock.now() - start, patience, error)
            raise
        if self._loses_results and self._rng.random() < self._around.network.trouble / 5:
            self._around.world.fault("result lost")
            self._around.world.tell(process.name, "never hears how it ended")
            raise ResultLost
        checker.told(process, began, verdict, held)
        if verdict.is_leader:
            checker.leads(process, self._clock, self._me, verdict, held)
        else:
            self._around.world.tell(process.name, f"was told {verdict.why.value}")
            checker.stops(process, self._me)
        return verdict

    def _act(self) -> None:
        """Write to the fenced resource, if the deadline has not passed."""
        checker, world = self._around.checker, self._around.world
        belief = checker.belief_of(self._me.session)
        if belief:
            world.after(self._rng.expovariate(2), lambda: checker.acts(belief))
