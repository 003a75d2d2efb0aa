# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One operation of a process: what it is told must be so, in the time that it has."""

from __future__ import annotations

import typing as t

from .checker import Checker, Violation
from .world import Process

ROUNDING = 0.001
REFUSED = (400, 403)
"""Answers by which a sender knows that its write was not carried out."""


class Operation:
    def __init__(self, checker: Checker, core: t.Any, process: Process, clock: t.Any, request_timeout: float) -> None:
        self._checker = checker
        self._types = core.types
        self._process = process
        self._clock = clock
        self._request_timeout = request_timeout
        self._began = process.world.now
        self._start = clock.now()
        self._changes = checker.changes
        self._leaders = checker.leaders_but("")
        self._step_began = self._began
        self._decode = core.record.decode
        self._slow = core.protocol.SLOW
        self._looks = 0
        """Reads that showed what there is; all that matters is whether there was one before the first write."""
        self._look_was_slow = False
        """It was, and left time for another one."""
        self._session_found = ""
        self._open_writes = 0
        """Those that may have landed, for all that the process knows."""
        checker.begins(process)

    def overheard(self, steps: t.Any) -> t.Any:
        """Return the steps unchanged, and check each of them."""
        return self._types.overheard(steps, self._before, self._after)

    def _before(self, step: t.Any) -> None:
        self._step_began = self._process.world.now
        if isinstance(step, self._types.Write):
            self._hurries(step)

    def _after(self, step: t.Any, answer: t.Any) -> None:
        name, types = self._process.name, self._types
        if isinstance(step, types.Read) and isinstance(answer.outcome, (types.Absent, types.Seen, types.Unchanged)):
            self._looks += 1
            self._look_was_slow = answer.at - answer.asked > self._slow and answer.at < step.until
            self._session_found = getattr(getattr(answer.outcome, "record", None), "session", "")
        stood_still = self._process.stood_still(self._step_began)  # and may not have heard the answer
        if isinstance(step, (types.Write, types.Race)) and (stood_still or not self._knows_that_it_was_refused(step)):
            # Who stood still may not know that it had not begun to send.
            self._open_writes += stood_still or self._checker.may_have_written(self._process)
        if stood_still:
            return
        took = answer.at - answer.asked
        if isinstance(step, types.Pause):
            if not step.at_least - ROUNDING <= took <= max(step.at_most, 0.0) + ROUNDING:
                raise Violation(
                    f"{name} paused for {took:.3f} s instead of {step.at_least} to {step.at_most} (rule 20)"
                )
        elif took > max(0.0, min(self._request_timeout, step.until - answer.asked)) + ROUNDING:
            raise Violation(f"{name} waited {took:.3f} s for an answer, longer than it may (rule 8)")

    def _hurries(self, write: t.Any) -> None:
        """Whoever takes a lease after a single look, and a slow one, may be one of a crowd."""
        record = self._decode(write.body)
        takes = record.sequence == 1 and not record.released and record.session != self._session_found
        if takes and self._looks == 1 and self._look_was_slow:
            raise Violation(f"{self._process.name} took the lease after a single look, and a slow one (rule 29)")
        self._looks = 2

    def _knows_that_it_was_refused(self, step: t.Any) -> bool:
        bodies = [step.body] if isinstance(step, self._types.Write) else step.bodies
        answers = [self._checker.answers.get(body, (-1.0, 0)) for body in bodies]
        return all(at > self._step_began and status in REFUSED for at, status in answers)

    def ended(self, most: float) -> None:
        """It has to be over within this many seconds; each time that others change the lease, it may begin anew."""
        took = self._clock.now() - self._start
        if not self._process.stood_still(self._began) and took > ROUNDING + most * (
            1 + self._checker.changes - self._changes
        ):
            raise Violation(
                f"{self._process.name} took {took:.2f} s for an operation, and may take {most:.2f} (rule 10)"
            )

    def failed(self, error: t.Any, patience: float) -> None:
        """It could not be carried out: it tried for as long as it has patience, and tells whether there is doubt."""
        took, name = self._clock.now() - self._start, self._process.name
        if error.doubtful and not self._open_writes:
            raise Violation(f"{name} was told that something may have been written, and nothing was sent (rule 12)")
        if not error.doubtful:
            self._checker.never_lands(self._process)
        if isinstance(error, self._types.StoreUnreachable) and patience > 1 and took < patience / 4:
            raise Violation(f"{name} gave up after {took:.2f} of {patience} s for an error (rule 10)")
        self._process.world.tell(name, f"could not: {error}")

    def told(self, verdict: t.Any, held: t.Any) -> None:
        """What it says of the lease was true at some instant since it began."""
        self._checker.answered(self._process, self._began, verdict, held)
        self._process.world.tell(self._process.name, f"was told {verdict.why.value}")

    def predicted(self, verdict: t.Any, session: str) -> None:
        """It was a dry run: nothing was sent, and nobody who leads was to lose the lease."""
        name = self._process.name
        if self._checker.may_have_written(self._process):
            raise Violation(f"{name} wrote in a dry run")
        still = [belief for belief in self._leaders if belief in self._checker.leaders_but(session, verdict.slot)]
        if verdict.is_leader and still and not self._checker.store_misleads:
            raise Violation(
                f"{name} was told that it would lead, and {still[0].process.name} led all the time (rule 15)"
            )

    def looked(self, verdict: t.Any, session: str) -> None:
        """It only looked: the store's clock decides whether its session leads."""
        self._checker.looked(self._process, self._began, verdict, session)
