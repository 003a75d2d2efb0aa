# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Holds what sessions were told against the sequential specification of a lease.

A history is linearizable (Herlihy and Wing 1990, https://doi.org/10.1145/78969.78972) if each operation can be given
one moment between its call and its answer, such that carried out in that order, one after the other, all answers
are as the specification below wants them. An operation without an answer may have its moment at any time after its
call, or none. Leases are independent of each other, so each key is checked by itself.

The specification. A lease is held by a session in a term, and has an end; or it is free. The first write of a lease
may be anybody's. After that,

- an acquisition takes what is free, one's own, or over. Its term is by one higher than the one before;
- a renewal is of the session's own lease, keeps its term, and is told as one only before the end. As long as the
  store was not asked for its conditions, nobody was told the term yet, and it may still rise;
- a release is of the session's own lease, and keeps the term; a forced one is of anybody's;
- each write of a term is numbered, so that none is lost;
- an answer that changes nothing tells what stood there at that moment: "held" of another's lease that was not over,
  "taken" of one that is not the session's, "free" of a released one or none, "unfinished" of the session's own whose
  acquisition failed before the store was asked for its conditions.

The end. Nobody else may take a lease before the moment until which its holder was told that it leads, or could have
been told. It is surely over after its duration, counted from when the write was confirmed. In between are the seconds
that a request takes.

The search is the one of Wing and Gong 1993 (https://doi.org/10.1006/jpdc.1993.1015) with the memory of Lowe 2017
(https://doi.org/10.1002/cpe.3928): try every operation that may come next, and go back where none fits; a
configuration that was reached before, no later in time, is not tried again.
"""

from __future__ import annotations

import math
import typing as t

from .history import ABSENT, NEVER, Look, Operation, Version, Write

GRAIN = 1.0
"""Seconds: Date and Last-Modified, by which the store times a lease, have no fractions."""
MARGIN = 2.0
"""Seconds that others wait beyond the end of a lease that lasts no longer than half an hour."""


class NotLinearizable(Exception):
    """The text says where no order was found, why, and what happened around it."""


# -- The specification ------------------------------------------------------------------------------------------------


class Lease(t.NamedTuple):
    """The state."""

    version: Version | None = None
    held_until: float = -math.inf
    """Nobody else may have it before."""
    over_at: float = -math.inf
    """By then it is surely over."""


class Illegal(Exception):
    """The specification does not allow this operation in this state. The text says why."""


def carry_out(lease: Lease, operation: Operation, now: float) -> tuple[Lease, float]:
    """Return the state after the operation, and its moment: the earliest from ``now`` on. Raises Illegal."""
    now = max(now, operation.invoked)
    if isinstance(operation, Look):
        _look(lease, operation, now)
        return lease, now
    _require(operation.session == operation.version.session, "it is in another session's name")
    if operation.version.released:
        return _release(lease, operation), now
    if operation.version.sequence == 1:
        now = _acquire(lease, operation, now)
    else:
        _renew(lease, operation, now)
    if operation.deadline is None:
        # Whoever sent it may still lead by what it was told before.
        held_until = max(lease.held_until, operation.invoked + operation.version.duration)
        return Lease(operation.version, held_until, NEVER), now
    over_at = operation.answered + operation.version.duration + GRAIN
    return Lease(operation.version, operation.deadline, over_at), now


def _acquire(lease: Lease, write: Write, now: float) -> float:
    new, old = write.version, lease.version
    _require(write.told in ("", "acquired"), f"the first write of a term is no {write.told}")
    if old is None:
        return now
    # An acquisition that was not completed may have created the lease late: then a term begins at the store's clock.
    follows = new.term == old.term + 1 or (new.term > old.term and not old.proven)
    _require(follows, f"term {new.term} does not follow term {old.term}")
    if old.released or old.session == new.session:
        return now
    _require(
        max(now, lease.held_until) <= write.answered,
        f"the lease of {old.session} lasted until {lease.held_until:.3f}, {lease.held_until - write.answered:.3f} s "
        "longer than this call",
    )
    return max(now, lease.held_until)


def _renew(lease: Lease, write: Write, now: float) -> None:
    new, old = _held(lease, write)
    _require(old.session == new.session, f"the lease is held by {old.session}")
    told = "renewed" if old.proven else "acquired"
    _require(write.told in ("", "renewed", told), f"a write of the same term is no {write.told}")
    _require(new.term == old.term or (new.term > old.term and not old.proven), f"the term was {old.term}")
    _require(not write.told or now <= lease.over_at, f"the lease was over at {lease.over_at:.3f}")


def _release(lease: Lease, write: Write) -> Lease:
    new, old = _held(lease, write)
    _require(write.forced or old.session == new.session, f"the lease is held by {old.session}")
    _require(write.told in ("", "released", "broken"), f"a release is no {write.told}")
    _require(new.term == old.term, f"the term was {old.term}")
    return Lease(new)


def _held(lease: Lease, write: Write) -> tuple[Version, Version]:
    if lease.version is None or lease.version.released:
        raise Illegal("the lease is free")
    _require(
        write.version.sequence == lease.version.sequence + 1,
        f"write {write.version.sequence} does not follow write {lease.version.sequence}",
    )
    return write.version, lease.version


def _look(lease: Lease, look: Look, now: float) -> None:
    version = lease.version
    _require(look.seen == (version.nonce if version else ABSENT), f"what stood there was not {look.seen or 'nothing'}")
    held = version is not None and not version.released
    mine = version is not None and held and version.session == look.session
    as_believed = mine and version is not None and look.term in (None, version.term)
    allowed = {
        "found": mine or not look.is_leader,
        "held": held and not mine,
        "not watched long enough": held and not mine,
        "free": not held,
        "gone": version is None,
        "taken": held and (look.forced or not as_believed),
        "lapsed": mine,
        "unfinished": mine and version is not None and not version.proven,
    }
    _require(allowed[look.told], f"that is not {look.told}")
    _require(look.told != "held" or now <= lease.over_at + MARGIN, f"the lease was over at {lease.over_at:.3f}")


def _require(true: bool, otherwise: str) -> None:
    if not true:
        raise Illegal(otherwise)


# -- The search -------------------------------------------------------------------------------------------------------


class Order(t.NamedTuple):
    """The operations of an order, the last one first, as the search found them."""

    last: int
    before: Order | None


def check(operations: t.Sequence[Operation]) -> list[Operation]:
    """Return the operations on one lease in an order that the specification allows. Raises NotLinearizable.

    Those without an answer that had no effect are left out.
    """
    _check_leaders(operations)
    return _Search(operations).run()


class _Search:
    def __init__(self, operations: t.Sequence[Operation]) -> None:
        self.operations = sorted(operations, key=lambda operation: operation.invoked)
        self.told = [number for number, operation in enumerate(self.operations) if operation.answered < NEVER]
        self.untold = [number for number, operation in enumerate(self.operations) if operation.answered == NEVER]
        self.terms = [one.version.term if isinstance(one, Write) else 0 for one in self.operations]
        self.looks: dict[str, int] = {}
        """For each version the operations that saw it, as a set of bits, as in ``done``."""
        for number, operation in enumerate(self.operations):
            if isinstance(operation, Look):
                self.looks[operation.seen] = self.looks.get(operation.seen, 0) | 1 << number

    def run(self) -> list[Operation]:
        # Done, how many of the told are done from the first one on, the state, its moment, and the order so far.
        stack: list[tuple[int, int, Lease, float, Order | None]] = [(0, 0, Lease(), -math.inf, None)]
        reached: dict[tuple[int, Lease], float] = {}
        furthest = stack[0]
        while stack:
            here = done, first, lease, now, order = stack.pop()
            while first < len(self.told) and done >> self.told[first] & 1:
                first += 1
            if first == len(self.told):
                return self._in_order(order)
            if reached.get((done, lease), NEVER) <= now:
                continue
            reached[done, lease] = now
            if done.bit_count() > furthest[0].bit_count():
                furthest = here
            for number, after, moment in self._next(done, first, lease, now):
                stack.append((done | 1 << number, first, after, moment, Order(number, order)))
        raise NotLinearizable(self._why(furthest))

    def _next(self, done: int, first: int, lease: Lease, now: float) -> list[tuple[int, Lease, float]]:
        """Return what may come next, the most promising last, with the state and the moment that it leads to."""
        found: list[tuple[int, Lease, float]] = []
        for number in self._candidates(done, first, lease):
            try:
                after, moment = self._carry_out(number, done, lease, now)
            except Illegal:
                continue
            if after is lease:
                # It changes nothing, and all who saw this version have to come before the next one: no need to
                # try it later.
                return [(number, after, moment)]
            found.append((number, after, moment))
        return found

    def _candidates(self, done: int, first: int, lease: Lease) -> list[int]:
        """Return the operations that were called before any other one that is still to be done was answered."""
        term = lease.version.term if lease.version else 0
        horizon = NEVER
        told: list[int] = []
        for number in self.told[first:]:
            operation = self.operations[number]
            if operation.invoked > horizon:
                break
            if not done >> number & 1:
                told.append(number)
                horizon = min(horizon, operation.answered)
        told = [number for number in told if self.operations[number].invoked <= horizon]
        untold = [
            number
            for number in self.untold
            if self.operations[number].invoked <= horizon
            and self.terms[number] >= term  # the term never falls, so what is of an older one had no effect
            and not done >> number & 1
        ]
        return untold + told[::-1]

    def _carry_out(self, number: int, done: int, lease: Lease, now: float) -> tuple[Lease, float]:
        operation = self.operations[number]
        after, moment = carry_out(lease, operation, now)
        _require(moment <= operation.answered, "it was answered before")
        if after is not lease:
            nonce = lease.version.nonce if lease.version else ABSENT
            # No version comes back.
            _require(not self.looks.get(nonce, 0) & ~done, "somebody has yet to see what stands there")
        return after, moment

    def _in_order(self, order: Order | None) -> list[Operation]:
        backwards = []
        while order:
            backwards.append(self.operations[order.last])
            order = order.before
        return backwards[::-1]

    def _why(self, furthest: tuple[int, int, Lease, float, Order | None]) -> str:
        done, first, lease, now, _order = furthest
        lines = [f"No order of these operations is that of a lease. At {now:.3f} at the earliest it stands so:"]
        lines.append(f"  {_version(lease.version)}, held until {lease.held_until:.3f}, over at {lease.over_at:.3f}")
        lines.append("and nothing can come next:")
        for number in self._candidates(done, first, lease):
            try:
                self._carry_out(number, done, lease, now)
            except Illegal as why:
                lines.append(f"  {describe(self.operations[number])}\n    {why}")
        around = now if now > -math.inf else self.operations[0].invoked
        return "\n".join([*lines, "What happened around it:", *timeline(self.operations, around - 8, around + 4)])


# -- Leaders ----------------------------------------------------------------------------------------------------------


def _check_leaders(operations: t.Sequence[Operation]) -> None:
    """Raise NotLinearizable where two sessions were told that they lead at the same time.

    Any order that the specification allows rules that out. This is the same without a search: the promise itself.
    """
    reigns = sorted(
        (write.answered, _end_of_reign(write, operations), write)
        for write in operations
        if isinstance(write, Write) and write.deadline is not None
    )
    last: dict[str, tuple[float, Write]] = {}
    for start, end, write in reigns:
        for session, (until, other) in last.items():
            if session != write.session and start < min(until, end):
                lines = ["Two sessions were told that they lead, and do:", describe(other), describe(write)]
                lines += ["What happened around it:", *timeline(operations, start - 8, start + 4)]
                raise NotLinearizable("\n".join(lines))
        last[write.session] = max(last.get(write.session, (end, write)), (end, write))


def _end_of_reign(write: Write, operations: t.Sequence[Operation]) -> float:
    """Return when the session acts as leader no more: at its deadline, by a newer answer, or before it lets go.

    Whoever breaks a lease answers for it that its holder is gone.
    """
    ends = [write.deadline or 0.0]
    for other in operations:
        if other.session == write.session and write.answered < other.answered < NEVER and other.told != "found":
            ends.append(other.answered)
        frees = isinstance(other, Write) and other.version.released and other.version.term == write.version.term
        if frees and (other.forced or (other.session == write.session and other.invoked > write.answered)):
            ends.append(other.invoked)
    return min(ends)


# -- For people -------------------------------------------------------------------------------------------------------


def timeline(operations: t.Iterable[Operation], start: float, end: float) -> list[str]:
    """Return a line for each operation that was under way between the two, or had begun so and was never answered."""
    ordered = sorted(operations, key=lambda operation: operation.invoked)
    shown = (one for one in ordered if one.invoked <= end and (one.answered if one.told else one.invoked) >= start)
    return [f"  {describe(operation)}" for operation in shown]


def describe(operation: Operation) -> str:
    answered = f"{operation.answered:.3f}" if operation.told else "never"
    what = operation.told or "untold"
    if isinstance(operation, Write):
        what += f": {_version(operation.version)}"
        if operation.deadline is not None:
            what += f", leads until {operation.deadline:.3f}"
    else:
        what += f": {operation.seen[:8] or 'nothing there'}"
    return f"{operation.invoked:.3f} to {answered:>10}  {operation.session:8} {what}"


def _version(version: Version | None) -> str:
    if version is None:
        return "no lease"
    state = "released by" if version.released else "held by"
    asked = "" if version.proven else ", store not asked"
    return f"{version.nonce[:8]} {state} {version.session}, term {version.term}, write {version.sequence}{asked}"
