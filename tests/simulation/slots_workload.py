# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What processes do with a lease that has slots: as the modules do, task by task; and then as one that keeps a slot."""

from __future__ import annotations

import contextlib
import math
import random
import typing as t

from .checker import Violation
from .host import Surroundings, act
from .peace import GONE
from .slots_checker import Across
from .workload import Life, ResultLost, Task
from .world import Process

NUMBERS = ((1,), (2,), (3,), (2, 3), (2, 3), (1, 3), (1, 3), (3, 5))
"""What those of a schedule may mean."""
PAUSE = 4.0
"""Seconds between two plays at most."""
RETIRES = "retires"
"""What a process does that gives its slot back for good."""


class Numbers:
    """How many slots the lease has, as each contender was told."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.all = rng.choice(NUMBERS)
        self.peaceful = rng.choice(self.all)
        """What all are told in the end."""
        self.hesitate = len(self.all) > 1 and rng.random() < 0.6
        """Between the looks of one there is room for all that another one does."""
        self.at_peace = False

    def told(self) -> int:
        return self.peaceful if self.at_peace else self._rng.choice(self.all)

    def is_told_again(self) -> bool:
        """Tell whether somebody is told a number in the middle of what it does."""
        return self._rng.random() < 0.1


class SlotLife(Life):
    """One life of a process that claims slots. Other lives of its name have other sessions."""

    def __init__(self, around: Surroundings, process: Process, pace: t.Any, numbers: Numbers) -> None:
        super().__init__(around, process, pace)
        self._across: Across = t.cast(t.Any, around.checker)
        self._numbers = numbers
        self._number = numbers.told()
        self._slots = around.core.slots
        self._errors = around.core.types.StoreError
        self._watches = self._slots.Watches()
        self._observes = self._rng.random() < 0.4

    def play(self) -> None:
        """Run one playbook after the other, and, once all is well, keep a slot for good."""
        self._loses_results = True
        while not self._numbers.at_peace:
            self._begin_session()
            self._number = self._numbers.told()
            self._run_playbook()
        if self._rng.random() < 0.5:
            self._begin_session()
        self._number = self._numbers.told()
        while True:
            self._keep()
            self._clock.sleep(self._rng.uniform(1, 2) * self._pace.poll_interval)

    def _run_playbook(self) -> None:
        """Acquire, work, maybe renew, maybe release. An error may be rescued."""
        rng = self._rng
        verdict = first = None
        for turn in range(rng.randint(1, 6)):
            if self._numbers.is_told_again():
                self._number = self._numbers.told()
            try:
                verdict = self._acquire_once() if turn == 0 or rng.random() < 0.3 else self._renew_somehow(verdict)
            except (self._errors, ResultLost):
                if rng.random() < 0.3:
                    break
                self._clock.sleep(rng.random())
                continue
            first = first or verdict
            if rng.random() < 0.1:
                verdict = first  # a result that was registered before, under another name
            if not (verdict and verdict.is_leader) and rng.random() < 0.7:
                break
            self._clock.sleep(self._pace.lease_duration * 0.8 * rng.random() ** 2)
            self._act()
            if self._numbers.at_peace:
                return
        if rng.random() < 0.8:
            self._give_back(verdict)
        self._clock.sleep(rng.uniform(1, PAUSE))

    def _keep(self) -> None:
        """Acquire a slot, and renew it until it is lost."""
        rng, verdict = self._rng, None
        with contextlib.suppress(self._errors):
            verdict = self._carry_out(self._acquire(self._pace.wait_timeout, "store_clock", None))
            while verdict.is_leader:
                self._clock.sleep(self._pace.lease_duration / 3)
                self._act()
                if self._process.does == RETIRES:
                    self._give_back(verdict)
                    self._clock.sleep(GONE)
                if rng.random() < 0.2:
                    verdict = self._carry_out(self._acquire(0.0, "store_clock", None))
                else:
                    verdict = self._carry_out(self._renew(verdict, rng.random() < 0.8, None))

    def _hesitate(self) -> None:
        """Stand still before the next step, now and then."""
        if self._numbers.hesitate and not self._numbers.at_peace and self._rng.random() < 0.2:
            self._process.stop(self._rng.uniform(0, self._pace.lease_duration / 2))

    def _give_back(self, verdict: t.Any) -> None:
        with contextlib.suppress(self._errors, ResultLost):
            self._across.stops(self._process, self._me.session)  # work ends first (rule 23)
            self._carry_out(self._release(verdict, handed_over=self._rng.random() < 0.5))

    def _act(self) -> None:
        for checker in self._across.of.values():
            act(self._around._replace(checker=checker), self._me.session)

    def operator(self) -> None:
        """Break a slot, whoever holds it."""
        self._slot_to_break = self._rng.randint(1, self._number)
        super().operator()

    def _noting_what_is_seen(self, steps: t.Any) -> t.Any:
        return self._of(self._slot_to_break, super()._noting_what_is_seen(steps))

    def _acquire(self, wait_timeout: float, takeover: str, lease_duration: float | None, dry_run: bool = False) -> Task:
        pace, (now, nonce) = self._pace, self._now_and_nonce()
        duration = lease_duration or pace.lease_duration
        if takeover == "store_clock" and self._observes:
            takeover = "observed"
        want = self._around.core.types.Want(
            duration,
            pace.patience,
            wait_timeout,
            pace.poll_interval,
            takeover,
            hold_at_least=self._around.times.hold_at_least,
            proof=self._around.world.remembered if self._rng.random() < 0.7 else None,
            slots=self._number,
        )
        steps = self._slots.acquire(self._me, want, now, nonce, dry_run, self._watches)
        # Each look tries for as long as it has patience, and each write for as long as it may.
        most = wait_timeout + 4 * pace.patience + 2 * max(duration, pace.patience, wait_timeout)
        if not dry_run:
            steps = self._claims(steps, takeover == "store_clock")
        return Task(steps, None, now + duration, most)

    def _claims(self, steps: t.Any, by_the_store: bool) -> t.Any:
        """Return the steps of a claim unchanged. It leads in one of the number that it was told, takes no more reads
        than slots where nobody disturbs it, and is refused for a reason.
        """
        types, began, number = self._around.core.types, self._around.world.now, self._number
        reads = pauses = unclear = 0
        heard = self._across.heard[self._process.name] = {}

        def count(step: t.Any, answer: t.Any) -> None:
            nonlocal reads, pauses, unclear
            clean = isinstance(answer.outcome, (types.Absent, types.Seen, types.Unchanged, types.Written))
            heard[getattr(step, "slot", 0)] = self._around.world.now
            self._hesitate()
            if self._rng.random() < self._around.network.trouble / 10:
                self._around.world.fault("task killed in the middle of a claim")
                raise ResultLost
            reads += isinstance(step, types.Read)
            pauses += isinstance(step, types.Pause)
            unclear += not clean  # a write that is not clean is followed by a read, and a read by another one

        try:
            verdict = yield from types.overheard(steps, after=count)
        except ResultLost:
            self._around.world.tell(self._process.name, "is killed in the middle of a claim")
            raise
        except types.StoreRefused as error:
            if by_the_store and "number" in error.why + error.advice:
                self._across.refused(self._process, began, number, error)
            raise
        name = self._process.name
        if verdict.is_leader:
            self._across.completed.add((self._me.session, verdict.slot, verdict.lease.record.term))
        if verdict.is_leader and verdict.lease.record.slots != number:
            raise Violation(f"{name} leads in one of {verdict.lease.record.slots}, and was told {number} (rule 30)")
        disturbed = self._across.others_changed(began, self._me.session) or self._process.stood_still(began)
        if disturbed or pauses or not self._across.is_settled(number, began):
            return verdict
        if reads > number + 1 + unclear:
            raise Violation(f"{name} took {reads} reads to claim one of {number} (rule 30)")
        return verdict

    def _renew(self, verdict: t.Any, handed_over: bool, lease_duration: float | None, dry_run: bool = False) -> Task:
        held = self._held(verdict, handed_over)
        if held:
            task = super()._renew(verdict, handed_over, lease_duration, dry_run)
            return task._replace(steps=self._of(verdict.slot, task.steps))
        now, nonce = self._now_and_nonce()
        patience = self._pace.patience
        steps = self._slots.renew(self._me, self._number, lease_duration, now, patience, nonce, dry_run)
        return Task(self._renews(steps), None, now, 2 * patience + self._around.times.longest)

    def _renews(self, steps: t.Any) -> t.Any:
        began = self._around.world.now
        verdict = yield from steps
        if verdict.is_leader:
            self._across.leads_by_right(self._process, began, verdict, self._me.session)
            self._across.completed.add((self._me.session, verdict.slot, verdict.lease.record.term))
        return verdict

    def _release(self, verdict: t.Any, handed_over: bool, dry_run: bool = False) -> Task:
        if handed_over and verdict and verdict.is_leader:
            task = super()._release(verdict, handed_over, dry_run)
            return task._replace(steps=self._of(verdict.slot, task.steps))
        now, nonce = self._now_and_nonce()
        patience = self._pace.patience
        steps = self._slots.release(self._me, self._number, now, patience, nonce, dry_run=dry_run)
        return Task(steps, None, math.inf, 2 * patience)

    @staticmethod
    def _of(slot: int, steps: t.Any) -> t.Any:
        """Return an operation on one lease as one on a slot, which is known."""
        answer = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                return end.value._replace(slot=slot)
            answer = yield step._replace(slot=slot) if hasattr(step, "slot") else step

    def _look(self) -> None:
        patience = self._pace.patience
        steps = self._slots.inspect(self._me, self._number, self._clock.now(), patience)
        operation, verdict = self._drive(Task(steps, None, math.inf, 2 * patience), self._clock, self._open(None))
        operation.looked(verdict, self._me.session)
