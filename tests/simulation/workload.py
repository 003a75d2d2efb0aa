# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What processes do with the core: as the modules do, task by task, and as a daemon does."""

from __future__ import annotations

import contextlib
import math
import typing as t

from .bucket import SKEW, Connection
from .checker import GRAIN
from .host import Host, Replaced, Surroundings, act
from .world import Process

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
        self._me: t.Any = None
        self._begin_session()

    def daemon(self) -> None:
        """Run the heartbeat; begin anew when it ended, with a new session."""
        core, rng = self._around.core, self._rng
        core.host.heartbeat.drive = _carry_out_for_daemon
        while True:
            self._begin_session()
            self._me = self._me._replace(sent=[])  # outlives a reload
            self._host = Host(self._around, self._process, self._clock, self._me)
            self._run_heartbeat()
            self._clock.sleep(STAY_AWAY if self._process.stepping_down else rng.uniform(1, 2) * POLL)
            self._process.stepping_down = False

    def _run_heartbeat(self) -> None:
        core, rng, held, duration = self._around.core, self._rng, None, self._duration
        while True:
            timing = core.host.timing.Timing(duration, 0.2 * duration, 0.1 * duration, POLL, REQUEST_TIMEOUT)
            heartbeat = core.host.heartbeat.Heartbeat(self._me, timing, {}, self._store, self._clock, self._host)
            self._host.grace = timing.stop_grace
            try:
                heartbeat.run(held, self._host.until)
                return
            except core.host.heartbeat.Lost:
                self._around.checker.lost_at = self._around.world.now
                return
            except Replaced as replaced:
                held, duration = replaced.held, rng.choice(DURATIONS)

    def carry_out_for_daemon(self, steps: t.Any, clock: t.Any) -> t.Any:
        """Tell the checker all but who leads: that begins when the host is told."""
        host = self._host
        host.verdict = self._drive(steps, clock, host.held, host.held.lapses_at if host.held else math.inf)
        return host.verdict

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
                except (self._around.core.types.StoreError, ResultLost):
                    if rng.random() < 0.5:
                        break
                first = first or verdict
                if rng.random() < 0.1:
                    verdict = first  # a result that was registered before, under another name
                if not (verdict and verdict.is_leader) and rng.random() < 0.7:
                    break
                self._clock.sleep(self._duration * 0.8 * rng.random() ** 2)
                act(self._around, self._me)
            if rng.random() < 0.8:
                with contextlib.suppress(self._around.core.types.StoreError, ResultLost):
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
        """Break the lease, whoever holds it."""
        now, nonce = self._now_and_nonce()
        with contextlib.suppress(self._around.core.types.StoreError):
            steps = self._protocol.release(self._me, None, now, PATIENCE, nonce, True, "it burnt down")
            self._carry_out(self._noting_what_is_seen(steps))

    def _noting_what_is_seen(self, steps: t.Any) -> t.Any:
        types, operators, session = self._around.core.types, self._around.checker.operators, self._me.session

        def note(_step: t.Any, answer: t.Any) -> None:
            if isinstance(answer.outcome, types.Seen):
                operators.setdefault(session, answer.outcome.record)

        return types.overheard(steps, after=note)

    def _begin_session(self) -> None:
        core, process = self._around.core, self._process
        # Those of a kind share a name (rule 17).
        self._me = core.types.Claimant(process.name[:-1], core.driver.fresh_nonce())
        self._store = core.store.Store(
            Connection(process, self._around.network), core.settings.Location("bucket", "lease"), self._clock
        )
        self._store.life = self

    def _acquire(self, wait_timeout: float, takeover: str, lease_duration: float | None = None) -> t.Any:
        duration = lease_duration or self._duration
        want = self._around.core.types.Want(duration, PATIENCE, wait_timeout, POLL, takeover)
        return self._carry_out(self._protocol.acquire(self._me, want, *self._now_and_nonce()))

    def _renew(self, verdict: t.Any, handed_over: bool, lease_duration: float | None = None) -> t.Any:
        held = self._held(verdict, handed_over)
        now, nonce = self._now_and_nonce()
        steps = self._protocol.renew(self._me, held, lease_duration, now, PATIENCE, nonce)
        return self._carry_out(steps, held, verdict.deadline if held else now)

    def _release(self, verdict: t.Any, handed_over: bool) -> None:
        self._around.checker.stops(self._process, self._me)  # work stops before the lease is given back (rule 23)
        held = self._held(verdict, handed_over)
        now, nonce = self._now_and_nonce()
        self._carry_out(self._protocol.release(self._me, held, now, PATIENCE, nonce), held)

    def _held(self, verdict: t.Any, handed_over: bool) -> t.Any:
        if handed_over and verdict and verdict.is_leader:
            return self._around.core.types.Held(verdict.lease, verdict.deadline)
        return None

    def _now_and_nonce(self) -> tuple[float, t.Any]:
        return self._clock.now(), self._around.core.driver.fresh_nonce

    def _carry_out(self, steps: t.Any, held: t.Any = None, deadline: float = math.inf) -> t.Any:
        """Do it, and tell the checker all. Raises StoreError or ResultLost."""
        checker, process = self._around.checker, self._process
        verdict = self._drive(steps, self._clock, held, deadline)
        if verdict.is_leader:
            checker.leads(process, self._clock, self._me, verdict, held)
        else:
            checker.stops(process, self._me)
        return verdict

    def _drive(self, steps: t.Any, clock: t.Any, held: t.Any, deadline: float) -> t.Any:
        """Raises StoreError, after some patience where no deadline comes first."""
        core, checker, process = self._around.core, self._around.checker, self._process
        began, start = self._around.world.now, self._clock.now()
        checker.begins(process)
        try:
            verdict = core.driver.drive(steps, self._store, REQUEST_TIMEOUT, clock)
        except core.types.StoreError as error:
            # It also ends where the lease would be over, by the store's clock maybe, before it could write again.
            patience = min(PATIENCE, deadline - core.protocol.WRITES_APART - GRAIN - SKEW - start)
            checker.gave_up(process, self._clock.now() - start, patience, error)
            raise
        if self._loses_results and self._rng.random() < self._around.network.trouble / 5:
            self._around.world.fault("result lost")
            self._around.world.tell(process.name, "never hears how it ended")
            raise ResultLost
        checker.answered(process, began, verdict, held)
        self._around.world.tell(process.name, f"was told {verdict.why.value}")
        return verdict


def _carry_out_for_daemon(steps: t.Any, store: t.Any, _request_timeout: float, clock: t.Any) -> t.Any:
    return store.life.carry_out_for_daemon(steps, clock)
