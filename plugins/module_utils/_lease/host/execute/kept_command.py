# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The heartbeat's host for s3-leader exec: the keeper's side of a command that runs under the lease."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Optional

from ... import processes, protocol, slots
from ...clock import Clock
from ...driver import drive, fresh_nonce
from ...protocol import free_in, term_of
from ...settings import REACTION
from ...types import (
    Absent,
    Answer,
    Claimant,
    Held,
    Outcome,
    Pause,
    Race,
    Seen,
    Step,
    StoreError,
    Want,
    Write,
    overheard,
)
from ...wording import plain, sentence, standing
from ..heartbeat import Ended, Interruptible, Stop, tells, trouble_of
from ..metrics import APART, Metrics
from ..timing import Timing
from .command import Command
from .line import Line, SharedTime
from .options import UNAVAILABLE, Order
from .signals import Signals
from .textfile import Textfile, name_of, renewed_before

if TYPE_CHECKING:  # it loads botocore
    from ...store import Store

POLL = 1.0
"""Seconds between two looks at a lease that somebody else has."""
LOOK = 1.0
"""Longest wait in seconds: waits pause during suspend, so the clock is read in between."""


def timing(order: Order) -> Timing:
    return Timing(order.lease_duration, order.renew_interval, order.stop_grace, POLL, order.endpoint.request_timeout)


class KeptCommand:
    """A command, whose lease is acquired, kept and given back, and what the runner is told of it."""

    def __init__(self, order: Order, command: Command, line: Line, deadline: SharedTime, signals: Signals) -> None:
        self._order = order
        self._command = command
        self._line = line
        self._signals = signals
        self._clock = Clock()
        self._timing = timing(order)
        self._deadline = deadline
        """When the lease ends, for the runner, too: it may have no time to listen, and must know the latest."""
        self._is_held = False
        self._term = 0
        self.slot = 0
        """The one that is held; 0 for a lease without slots."""
        self._trouble = ""
        self._runs = False
        """The command was let go."""
        self._cancelled = False
        """The runner wants no command any more."""
        self._is_over = False
        """The command has ended, and so has what it had left in the background."""
        self._in_background_since: Optional[float] = None
        """When the command had ended, and something of it had not."""
        self._told_of_background = False
        self._textfile = Textfile(order.textfile) if order.textfile else None
        self._metrics = Metrics(name_of(order.textfile), order.location, order.holder, order.slots)
        self._metrics.renewed_before = renewed_before(order.textfile)
        self._measured_at = -APART

    # -- before the command runs

    def acquired(self, me: Claimant, store: Store) -> Optional[Held]:
        """Return the lease, or None if there is nothing to keep; then the runner knows why. Raises StoreError."""
        order, wrote = self._order, False

        def before(step: Step) -> None:
            nonlocal wrote
            wrote = wrote or isinstance(step, (Write, Race))

        def after(step: Step, answer: Answer) -> None:
            self.requested(step, answer)
            if isinstance(answer.outcome, (Absent, Seen)) and not isinstance(step, Pause):
                self._metrics.found(answer.outcome, step.slot, answer.at)
            if tells(step, answer):
                self._report(answer.outcome)
            if self._clock.now() >= self._measured_at + APART:
                self.measure()

        clock = Interruptible(self._clock, self.wait)
        patience = max(order.endpoint.patience, order.wait)
        want = Want(
            order.lease_duration,
            patience,
            order.wait,
            POLL,
            order.takeover,
            order.metadata,
            order.hold_at_least,
            slots=order.slots,
        )
        steps = slots.acquire(me, want, clock.now(), fresh_nonce)
        try:
            self.listen()
            verdict = drive(overheard(steps, before, after), store, self._timing.request_timeout, clock)
        except Stop:
            if wrote:
                self._take_back(me, store)
            else:
                self._line.tell(left="")
            return None
        if verdict.is_leader and verdict.deadline is not None and isinstance(verdict.lease, Seen):
            self.slot = verdict.slot
            return Held(verdict.lease, verdict.deadline, self._clock.now())
        self._line.tell(conflict=sentence(verdict))
        return None

    def _take_back(self, me: Claimant, store: Store) -> None:
        """Release a lease that may have been acquired."""
        now, patience = self._clock.now(), self._timing.patience_to_release
        if self._order.slots:
            steps = slots.release(me, self._order.slots, now, patience, fresh_nonce)
        else:
            steps = protocol.release(me, None, now, patience, fresh_nonce)
        try:
            drive(steps, store, self._timing.request_timeout, self._clock)
            self._line.tell(left="")
        except StoreError as error:
            self._line.tell(left=str(error))

    def _report(self, outcome: Outcome) -> None:
        """Tell what the runner waits for."""
        if isinstance(outcome, (Absent, Seen)):
            left = free_in(outcome)
            until = " (free in %.0f s unless it is renewed)" % left if left else ""
            if left != 0 and self._order.wait:
                self._line.tell(waits="waits%s: %s" % (until, standing(outcome)))
        elif trouble_of(outcome):
            self._line.tell(waits="waits, and asks again and again: %s" % trouble_of(outcome), trouble=True)

    def _hear(self) -> None:
        """Take note of what the runner says, and of what has become of the command."""
        for message in self._line.read():
            self._cancelled = self._cancelled or "cancel" in message
            if "run" in message and self._is_held and self._clock.now() < self._until and not self._runs:
                self._runs = True
                told = dict(
                    S3_LEADER_TERM=str(self._term),
                    S3_LEADER_HOLDER=self._order.holder,
                    S3_LEADER_DEADLINE="%.3f" % self._deadline.value,
                )
                self._command.let_go(dict(told, S3_LEADER_SLOT=str(self.slot)) if self.slot else told)
        command = self._command
        ended_before = command.status is not None
        command.reap()
        if command.status is None or self._is_over:
            return
        if not ended_before:
            self._line.tell(status=command.status)
        if not command.is_at_work:
            self._is_over = True
            self._line.tell(over=True)
        elif self._in_background_since is None:
            self._in_background_since = self._clock.now()
        elif self._clock.now() >= self._in_background_since + REACTION and not self._told_of_background:
            self._told_of_background = True
            self._line.tell(background=True)

    def measure(self) -> None:
        """Tell Prometheus how things are, where that is wanted."""
        if self._textfile is None:
            return
        self._measured_at = self._clock.now()
        trouble = self._textfile.write_and_tell(self._metrics.text(self._measured_at, time.time()))
        if trouble:
            self._line.tell(remark=trouble)

    # -- when no one renews the lease any more

    def await_end(self) -> None:
        """See to it that the command is over before its lease is, whatever becomes of the runner."""
        last = self._deadline.value - REACTION / 2
        while not (self._is_over or self._line.closed) and self._clock.now() < last:
            self._pause(last - self._clock.now())
            self._hear()
        if self._line.closed:
            self.bury()
        elif not self._is_over:
            self._end(self._clock.now())

    def bury(self) -> None:
        """End the command of a runner that has died."""
        if self._line.closed and self._runs and not self._is_over:
            self._end(min(self._clock.now() + self._timing.stop_grace, self._deadline.value - REACTION))

    def _end(self, killed_at: float) -> None:
        deadline = max(self._deadline.value, self._clock.now() + REACTION)
        processes.end(self._command.left, killed_at, deadline, self._clock)

    @property
    def _until(self) -> float:
        """When the command has to be asked to end."""
        return self._deadline.value - self._timing.stop_grace

    # -- what the heartbeat asks of it

    def wait(self, seconds: float) -> None:
        end = self._clock.now() + seconds
        while True:
            self.listen()
            left = end - self._clock.now()
            if left <= 0:
                return
            self._pause(left)

    def _pause(self, seconds: float) -> None:
        self._signals.wait(min(LOOK, seconds), [] if self._line.closed else [self._line])
        self._signals.take()

    def listen(self) -> None:
        self._hear()
        if self._cancelled or self._is_over or self._line.closed:
            raise Stop()

    def requested(self, step: Step, answer: Answer) -> None:
        self._metrics.requested(step, answer)

    def answered(self, outcome: Outcome, slot: int = 0) -> None:
        pass

    def trouble(self, why: str) -> None:
        self._trouble = why
        if self._is_over or self._cancelled:  # it could not be given back
            self._line.tell(left=why)

    def promote(self, held: Held, until: float, slot: int = 0) -> None:
        raise TypeError("the lease has been acquired before")

    def confirmed(self, held: Held, until: float) -> None:
        if self._is_held and not self._runs:
            raise Ended("the command was not started")  # the runner is stopped, and the others wait for nothing
        self._trouble = ""
        self._deadline.value, self._term = held.lapses_at, term_of(held.seen)
        self._metrics.leads(held.seen, self.slot, held.heard_at, until)
        self.measure()
        if not self._is_held:
            self._is_held = True
            self._line.tell(held=True)

    def demote(self, why: str) -> None:
        self._is_held = False
        self._metrics.ended()
        if not self._runs and not self._cancelled:
            self._line.tell(failed=why, code=UNAVAILABLE)
        elif not (self._is_over or self._cancelled):
            self._line.tell(lost=plain("%s (%s)" % (why, self._trouble) if self._trouble else why))
        self.measure()

    def serving(self) -> bool:
        return self._runs and not self._is_over

    def successor(self) -> str:
        return ""

    def released(self, successor: str) -> None:
        self._line.tell(left="")

    def reload(self, held: Optional[Held], slot: int = 0) -> None:
        raise TypeError("a keeper is not reloaded")
