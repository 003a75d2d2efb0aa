# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What processes do with the core: as the modules do, task by task, and as a daemon does."""

from __future__ import annotations

import contextlib
import math
import typing as t

from . import machine
from .connection import HERE, Connection
from .host import LEASE, Surroundings, act
from .machine import Executed
from .operation import Operation
from .times import GRAIN, Pace
from .world import Process


class ResultLost(Exception):
    """A task did its work, and its run never heard of it: the host became unreachable, or the task was killed."""


class Task(t.NamedTuple):
    """An operation that is about to be carried out."""

    steps: t.Any
    held: t.Any
    """What was handed over."""
    deadline: float
    """When errors are not retried any more, by the clock, if patience does not end before."""
    most: float
    """Seconds that it may take."""


class Life:
    """One life of a process, from its start to its crash: one session, unless it says otherwise."""

    def __init__(self, around: Surroundings, process: Process, pace: Pace) -> None:
        self._around = around
        self.core = around.core
        self._process = process
        self._pace = pace
        self._rng = around.world.rng
        self._protocol = around.core.protocol
        self._clock = around.core.clock.Clock()
        self._loses_results = False
        self._heard_at: dict[str, float] = {}
        """When a lease was known to be held, by its ETag."""
        self._me: t.Any = None
        self._begin_session()

    def daemon(self) -> None:
        """Run the daemon that ships, as systemd does. What it is told goes to the checker, too."""
        core, process, host = self._around.core, self._process, self._process.host
        core.host.heartbeat.drive = _carry_out_for_daemon
        core.host.daemon.Heartbeat = _heartbeat
        process.connect = lambda: Connection(process, self._around.network, host.loaded.request_timeout)
        process.does = self
        host.starts()
        while True:
            try:
                host.ended(core.host.daemon.run(LEASE))
                return
            except Executed as program:
                process.end_other_threads()
                host.runs_another_program(program.environ)

    def carry_out_for_daemon(self, steps: t.Any, store: t.Any, request_timeout: float, clock: t.Any) -> t.Any:
        """Tell the checker all but who leads: that begins when the host is told."""
        host = self._process.host
        self._pace = host.loaded
        deadline = host.held.lapses_at if host.held else clock.now() + self._pace.lease_duration
        _operation, verdict = self._drive(Task(steps, host.held, deadline, math.inf), clock, store)
        host.verdict = verdict if verdict.is_leader else None
        return verdict

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
                self._clock.sleep(self._pace.lease_duration * 0.8 * rng.random() ** 2)
                act(self._around, self._me.session)
            if rng.random() < 0.8:
                with contextlib.suppress(self._around.core.types.StoreError, ResultLost):
                    self._around.checker.stops(self._process, self._me.session)  # work ends first (rule 23)
                    self._carry_out(self._release(verdict, handed_over=rng.random() < 0.5))
            self._clock.sleep(rng.uniform(1, 4))

    def _acquire_once(self) -> t.Any:
        rng = self._rng
        wait, takeover = rng.choice((0.0, self._pace.wait_timeout)), rng.choice(("store_clock", "store_clock", "never"))
        if rng.random() < 0.1:
            self._predict(self._acquire(wait, takeover, None, dry_run=True))
        return self._carry_out(self._acquire(wait, takeover, rng.choice(self._pace.others)))

    def _renew_somehow(self, verdict: t.Any) -> t.Any:
        rng = self._rng
        handed_over, duration = rng.random() < 0.5, rng.choice(self._pace.others)
        drawn = rng.random()
        if drawn < 0.1:
            self._look()
        elif drawn < 0.2:
            self._predict(self._renew(verdict, handed_over, duration, dry_run=True))
        elif drawn < 0.25:
            self._predict(self._release(verdict, handed_over, dry_run=True))
        return self._carry_out(self._renew(verdict, handed_over, duration))

    def operator(self) -> None:
        """Break the lease, whoever holds it."""
        now, nonce = self._now_and_nonce()
        with contextlib.suppress(self._around.core.types.StoreError):
            foreign = self._rng.random() < 0.5
            steps = self._protocol.release(
                self._me, None, now, self._pace.patience, nonce, True, "it burnt down", force_foreign=foreign
            )
            self._carry_out(Task(self._noting_what_is_seen(steps), None, math.inf, self._pace.patience))

    def _noting_what_is_seen(self, steps: t.Any) -> t.Any:
        types, operators, session = self._around.core.types, self._around.checker.operators, self._me.session

        def note(_step: t.Any, answer: t.Any) -> None:
            if isinstance(answer.outcome, types.Seen):
                operators.setdefault(session, answer.outcome.record)

        return types.overheard(steps, after=note)

    def _begin_session(self) -> None:
        core, process = self._around.core, self._process
        # Those of a kind share a name (rule 17).
        self._me = core.types.Claimant(process.name[:-1], core.driver.fresh_nonce(), HERE)

    def _acquire(self, wait_timeout: float, takeover: str, lease_duration: float | None, dry_run: bool = False) -> Task:
        pace, (now, nonce) = self._pace, self._now_and_nonce()
        duration = lease_duration or pace.lease_duration
        proof = self._around.world.remembered if self._rng.random() < 0.7 else None
        want = self._around.core.types.Want(
            duration,
            pace.patience,
            wait_timeout,
            pace.poll_interval,
            takeover,
            hold_at_least=self._around.times.hold_at_least,
            proof=proof,
        )
        steps = self._protocol.acquire(self._me, want, now, nonce, dry_run)
        most = wait_timeout + pace.patience + min(duration, max(pace.patience, wait_timeout))
        return Task(steps, None, now + duration, most)

    def _renew(self, verdict: t.Any, handed_over: bool, lease_duration: float | None, dry_run: bool = False) -> Task:
        held = self._held(verdict, handed_over)
        now, nonce = self._now_and_nonce()
        steps = self._protocol.renew(self._me, held, lease_duration, now, self._pace.patience, nonce, dry_run)
        # What is handed over may be old: the session has renewed the lease since, and tries for as long as that lasts.
        most = self._pace.patience + self._around.times.longest
        return Task(steps, held, verdict.deadline if held else now, most)

    def _release(self, verdict: t.Any, handed_over: bool, dry_run: bool = False) -> Task:
        held = self._held(verdict, handed_over)
        now, nonce = self._now_and_nonce()
        patience = self._pace.patience
        steps = self._protocol.release(self._me, held, now, patience, nonce, dry_run=dry_run)
        return Task(steps, held, math.inf, patience)

    def _held(self, verdict: t.Any, handed_over: bool) -> t.Any:
        if handed_over and verdict and verdict.is_leader:
            lease = verdict.lease._replace(store_time=verdict.lease.modified)  # a result tells no more
            return self._around.core.types.Held(lease, verdict.deadline, self._heard_at[lease.etag])
        return None

    def _open(self, held: t.Any) -> t.Any:
        """Return the store as a task finds it, with what it is told of the store's time."""
        core, process = self._around.core, self._process
        location = core.settings.Location("bucket", "lease")
        connection = Connection(process, self._around.network, self._pace.request_timeout)
        store = core.store.Store(connection, location, self._clock)
        if held:
            store.learn_time(held)
        return store

    def _now_and_nonce(self) -> tuple[float, t.Any]:
        return self._clock.now(), self._around.core.driver.fresh_nonce

    def _carry_out(self, task: Task) -> t.Any:
        """Do it, and tell the checker who leads. Raises StoreError or ResultLost."""
        checker, process = self._around.checker, self._process
        _operation, verdict = self._drive(task, self._clock, self._open(task.held))
        if verdict.is_leader:
            self._heard_at[verdict.lease.etag] = self._clock.now()
            checker.leads(process, self._clock, self._me, verdict, task.held)
            self._around.world.remembered = self._protocol.proof_of(verdict.lease, self._me)
        else:
            checker.stops(process, self._me.session)
        return verdict

    def _predict(self, task: Task) -> None:
        """Do it in check mode."""
        operation, verdict = self._drive(task, self._clock, self._open(task.held))
        operation.predicted(verdict, self._me.session)

    def _look(self) -> None:
        patience = self._pace.patience
        steps = self._protocol.inspect(self._me, self._clock.now(), patience)
        operation, verdict = self._drive(Task(steps, None, math.inf, patience), self._clock, self._open(None))
        operation.looked(verdict, self._me.session)

    def _drive(self, task: Task, clock: t.Any, store: t.Any) -> tuple[Operation, t.Any]:
        """Raises StoreError, after some patience where no deadline comes first."""
        core, process, timeout = self._around.core, self._process, self._pace.request_timeout
        operation = Operation(self._around.checker, core, process, clock, timeout)
        start = clock.now()
        try:
            verdict = core.driver.drive(operation.overheard(task.steps), store, timeout, clock)
        except core.types.StoreError as error:
            # It also ends where the lease would be over, by the store's clock maybe, before it could write again.
            slack = core.protocol.WRITES_APART + GRAIN + self._around.times.skew
            operation.ended(task.most)
            operation.failed(error, min(self._pace.patience, task.deadline - slack - start))
            raise
        operation.ended(task.most)
        if self._loses_results and self._rng.random() < self._around.network.trouble / 5:
            self._around.world.fault("result lost")
            self._around.world.tell(process.name, "never hears how it ended")
            raise ResultLost
        operation.told(verdict, task.held)
        return operation, verdict


def _heartbeat(
    me: t.Any, timing: t.Any, metadata: t.Any, store: t.Any, clock: t.Any, systemd_host: t.Any, *slots: int
) -> t.Any:
    """Tell the host in which session the daemon is about to run its loop, and later whenever it leads."""
    process, resume = machine.Now.process, systemd_host.resume
    process.host.me = me

    def told(held: t.Any, until: float, slot: int) -> None:
        process.host.leads()
        resume(held, until, slot)

    systemd_host.resume = told
    return process.does.core.host.heartbeat.Heartbeat(me, timing, metadata, store, clock, systemd_host, *slots)


def _carry_out_for_daemon(steps: t.Any, store: t.Any, request_timeout: float, clock: t.Any) -> t.Any:
    return machine.Now.process.does.carry_out_for_daemon(steps, store, request_timeout, clock)
