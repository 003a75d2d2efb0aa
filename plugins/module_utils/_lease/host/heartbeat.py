# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The daemon's loop: watch until the lease can be acquired, lead as long as it can be renewed in time, and end.

A leader acts through the host's services, which take time to stop. So the time to lead ends ``stop_grace`` before the
lease's deadline: from then on the services are stopped, and by the deadline they are gone.

Losing the lease ends the loop, and with it the process: its supervisor then stops the services, however the process
ended. Competing again takes a new process, with a new session.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Callable, List, Mapping, Optional, Protocol, TypeVar

from .. import protocol, slots as slotted
from ..clock import Clock
from ..driver import drive, fresh_nonce
from ..protocol import own
from ..settings import REACTION
from ..types import (
    Absent,
    Answer,
    Claimant,
    Held,
    Outcome,
    Pause,
    Race,
    Refused,
    Seen,
    Step,
    Steps,
    StoreError,
    Unknown,
    Verdict,
    Want,
    Why,
    Write,
    overheard,
)
from ..wording import sentence
from .timing import Timing

if TYPE_CHECKING:  # it loads botocore, which the fence does not need
    from ..store import Store

T = TypeVar("T")

RETRY = 1.0
"""Seconds until a renewal that failed is tried again."""
NONCES = 100
"""How many of the nonces that were sent last are remembered: one of these writes may still land."""


class Stop(Exception):
    """The process was asked to end."""


class Reload(Exception):
    """The process was asked to continue with new code and a new configuration."""


class Lost(Exception):
    """The time to lead is over. The text says why."""


class Ended(Lost):
    """The services ended while the host led, and cannot start again, so the lease can be given back."""


class Host(Protocol):
    """What the loop acts on and reports to."""

    def wait(self, seconds: float) -> None:
        """Wait this long, or less. With 0 too, raises Stop or Reload if asked for."""

    def listen(self) -> None:
        """Take note that the loop is alive, before each step of an operation and before it begins to lead.

        Raises Stop if asked for. A request to reload stays for wait().
        """

    def requested(self, step: Step, answer: Answer) -> None:
        """Take note of a step that was carried out, whatever it says."""

    def answered(self, outcome: Outcome, slot: int = 0) -> None:
        """Take note of the outcome of a request, and of the slot that it was about; 0 for a lease without slots."""

    def trouble(self, why: str) -> None:
        """Report a failure that will be retried."""

    def promote(self, held: Held, until: float, slot: int = 0) -> None:
        """Lead from now on, until ``until`` by the clock. Raises OSError if that is impossible."""

    def confirmed(self, held: Held, until: float) -> None:
        """Keep leading, until ``until`` by the clock. Raises Lost if that is useless, Ended if no service can run."""

    def demote(self, why: str) -> None:
        """Stop leading."""

    def serving(self) -> bool:
        """Tell whether services may still be running."""

    def successor(self) -> str:
        """Return the holder for which the lease is to be reserved when it is given back on request; '' for none."""

    def released(self, successor: str) -> None:
        """Report that the lease was given back, reserved for a successor or for nobody."""

    def reload(self, held: Optional[Held], slot: int = 0) -> None:
        """Continue in a new program, with the same session. Returns only if that fails."""


class Heartbeat:
    """One lease, one session."""

    def __init__(
        self,
        me: Claimant,
        timing: Timing,
        metadata: Mapping[str, str],
        store: Store,
        clock: Clock,
        host: Host,
        slots: int = 0,
        slot: int = 0,
    ) -> None:
        """``slots``: how many the lease has; ``slot``: the one that is held already. 0 for none."""
        self._sent: List[str] = [] if me.sent is None else me.sent
        self._me = me
        self._watches = slotted.Watches()
        self._slots = slots
        self._slot = slot
        self._timing = timing
        self._metadata = metadata
        self._store = store
        self._clock = clock
        self._host = host
        self._may_hold = False
        """A write was sent that may have acquired the lease."""

    def run(
        self, held: Optional[Held] = None, until: float = 0.0, may_hold: bool = False, at_once: bool = True
    ) -> None:
        """Watch, then lead. Returns when asked to stop; raises Lost when the lease is lost or given up.

        ``held`` is the lease that the earlier program of this process held; that program could lead until ``until``.
        The lease is renewed ``at_once`` where the earlier program's times may differ from this program's. ``may_hold``:
        that program may have acquired the lease without knowing it.
        """
        self._may_hold = may_hold
        record = protocol.record_of(held.seen) if held else None
        self._sent += [record.nonce] if record else []
        while True:
            try:
                if held is None:
                    held = self._promoted(self._acquire())
                else:
                    held = self._renewed(held, until, at_once)
                    self._host.confirmed(held, self.until(held))
                if held is not None:
                    until, at_once = self.until(held), False
            except Reload:
                self._host.reload(held, self._slot)
            except Stop:
                self._step_down(held, "asked to stop")
                return
            except Ended as ended:
                self._step_down(held, str(ended))
                raise
            except Lost as lost:
                self._host.demote(str(lost))
                raise

    def until(self, held: Held) -> float:
        """Return when the services have to begin to stop."""
        return held.lapses_at - self._timing.stop_grace

    def _give_back(self, held: Optional[Held], successor: str = "") -> None:
        """Release the lease, so that others, or the successor, can take it at once. This takes two tries at most."""
        now, patience = self._clock.now(), self._timing.patience_to_release
        if self._slots and held is None:
            steps = slotted.release(self._me, self._slots, now, patience, self._fresh_nonce)
        else:
            steps = protocol.release(self._me, held, now, patience, self._fresh_nonce, successor=successor)
        try:
            counted = overheard(steps, after=self._host.requested)
            verdict = drive(counted, self._its_store(held), self._timing.request_timeout, self._clock)
            if verdict.why is Why.RELEASED:
                self._host.released(successor)
        except StoreError as error:
            self._host.trouble("the lease was not given back, and expires by itself: %s" % error)
        self._may_hold = False

    def _its_store(self, held: Optional[Held]) -> Store:
        """Return the store of what is held; of the lease if nothing is."""
        return self._store.of(self._slot if held else 0)

    def _fresh_nonce(self) -> str:
        nonce = fresh_nonce()
        self._sent.append(nonce)
        del self._sent[:-NONCES]
        return nonce

    def _confirmed(self, verdict: Verdict) -> Held:
        """Return what is held. No write that was sent before can land any more."""
        if not isinstance(verdict.lease, Seen) or verdict.deadline is None:
            raise TypeError("%r is not a leader's verdict" % (verdict,))
        record = protocol.record_of(verdict.lease)
        self._sent[:] = [record.nonce] if record else []
        return Held(verdict.lease, verdict.deadline, self._clock.now())

    # -- standby

    def _acquire(self) -> Held:
        """Return the lease as soon as it can be acquired (rule 14)."""
        timing, clock = self._timing, Interruptible(self._clock, self._host.wait)
        forever = float("inf")
        want = Want(
            timing.lease_duration,
            forever,
            forever,
            timing.poll_interval,
            "observed",
            self._metadata,
            takeover_delay=timing.takeover_delay,
            slots=self._slots,
        )
        while True:
            steps = slotted.acquire(self._me, want, clock.now(), self._fresh_nonce, watches=self._watches)
            try:
                verdict = drive(self._overheard(steps), self._store, timing.request_timeout, clock)
                self._slot = verdict.slot
                return self._confirmed(verdict)
            except StoreError as error:
                self._host.trouble(str(error))
                clock.sleep(random.uniform(timing.poll_interval, 2 * timing.poll_interval))

    def _overheard(self, steps: Steps[T]) -> Steps[T]:
        """Return the operation unchanged, but listen before each step, and report the outcome of each request."""

        wrote = False

        def before(step: Step) -> None:
            nonlocal wrote
            self._host.listen()  # slow requests may follow each other without a pause
            wrote = wrote or isinstance(step, (Write, Race))
            self._may_hold = self._may_hold or wrote

        def after(step: Step, answer: Answer) -> None:
            self._host.requested(step, answer)
            if isinstance(answer.outcome, (Absent, Seen)) and not wrote:
                mine = own(answer.outcome, self._me) is not None
                self._may_hold = mine or (self._may_hold and self._slots > 0)  # it may be another slot
            if tells(step, answer):
                slot = 0 if isinstance(step, Pause) else step.slot
                self._host.answered(answer.outcome, slot or self._slot)

        return overheard(steps, before, after)

    def _promoted(self, held: Held) -> Optional[Held]:
        """Begin to lead, or give the lease back for a host that can."""
        self._host.listen()
        until = self.until(held)
        if self._clock.now() >= until - REACTION:
            self._give_back(held)  # it took so long that the services would be stopped at once
            return None
        try:
            self._host.promote(held, until, self._slot)
            return held
        except OSError as error:
            self._host.demote("the services of this host cannot be told to start: %s" % error)
            self._give_back(held)
            Interruptible(self._clock, self._host.wait).sleep(self._timing.lease_duration)
            return None

    # -- leader

    def _renewed(self, held: Held, until: float, at_once: bool) -> Held:
        """Wait until it is time, and renew. Raises Lost, also if the time to lead ends first."""
        timing = self._timing
        clock = Interruptible(self._clock, self._host.wait, until - REACTION)
        try:
            if not at_once:  # or a program that is reloaded again and again would never renew
                clock.sleep(held.written_at + timing.renew_interval - clock.now())
            while True:
                steps = protocol.renew(self._me, held, timing.lease_duration, clock.now(), 0, self._fresh_nonce)
                try:
                    verdict = drive(self._overheard(steps), self._its_store(held), timing.request_timeout, clock)
                    break
                except StoreError as error:
                    self._host.trouble(str(error))
                    clock.sleep(RETRY)
        except TimeIsUp:
            raise Lost("the lease could not be renewed in time") from None
        if not verdict.is_leader:
            raise Lost(sentence(verdict))
        return self._confirmed(verdict)

    def _step_down(self, held: Optional[Held], why: str) -> None:
        """Stop leading on request. The lease is given back only if the services are gone."""
        if held is not None:
            self._host.demote(why)
        if self._host.serving():
            self._host.trouble("services may still be running, so the lease is not given back; it expires by itself")
        elif held is not None or self._may_hold:
            self._give_back(held, self._host.successor())


class TimeIsUp(Exception):
    """No time is left for the operation."""


class Interruptible(Clock):
    """The clock of an operation that is abandoned when its time is up, or on a signal."""

    def __init__(self, clock: Clock, wait: Callable[[float], None], until: float = float("inf")) -> None:
        self._clock = clock
        self._wait = wait
        self._until = until

    def now(self) -> float:
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """Look for a signal even if there is no time to wait. Raises TimeIsUp, or what ``wait`` raises."""
        end = self.now() + seconds
        while True:
            self._wait(max(0.0, min(end - self.now(), self._left())))
            if self.now() >= end:
                break
        self._left()

    def bounded(self, call: Callable[[float], T], seconds: float) -> T:
        """Raises TimeIsUp, or Overdue or NotStarted, or what the call raises."""
        return self._clock.bounded(call, min(seconds, self._left()))

    def _left(self) -> float:
        left = self._until - self.now()
        if left <= 0:
            raise TimeIsUp()
        return left


def tells(step: Step, answer: Answer) -> bool:
    """Tell whether an answer says something new: not after a pause, and not if a write was refused that had to be."""
    expected = isinstance(step, Write) and step.expired and isinstance(answer.outcome, Refused)
    return not (isinstance(step, Pause) or expected)


def trouble_of(outcome: Outcome) -> str:
    """Return why the store cannot be asked; '' if it can."""
    if isinstance(outcome, Refused):
        return outcome.text
    return outcome.why if isinstance(outcome, Unknown) and not outcome.refuted else ""
