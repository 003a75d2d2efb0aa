# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said of all slots of a lease; a checker of its own says for each what is said of every lease."""

from __future__ import annotations

import collections
import typing as t

from .checker import Belief, Checker, Violation
from .store import Request
from .times import GRAIN
from .world import Process, World


class Across:
    """What a Checker is for one object, for all slots."""

    def __init__(self, world: World, core: t.Any, checkers: dict[int, Checker]) -> None:
        self._world = world
        self._core = core
        self.of = checkers
        self.answers = collections.ChainMap(*[checker.answers for checker in checkers.values()])
        self.operators: dict[str, t.Any] = {}
        for checker in checkers.values():
            checker.operators = self.operators
        self.heard: dict[str, dict[int, float]] = {}
        """By the process that claims: when it knew last what stands in a slot."""
        self.completed: set[tuple[str, int, int]] = set()
        """The session, the slot and the term of each claim that was."""
        self._means: dict[str, int] = {}
        """Of how many slots a session leads in one."""

    # -- what processes are told

    def leads(self, process: Process, clock: t.Any, me: t.Any, verdict: t.Any, held: t.Any) -> None:
        slot, name, number = verdict.slot, process.name, verdict.lease.record.slots
        # A slot is claimed in time, and slot 1 is looked at later.
        self.of[slot].leads(process, clock, me, verdict, held, self.heard.pop(name, {}).get(slot))
        if not self.of[slot].belief_of(me.session):
            return  # an operator broke it, unseen
        self._means[me.session] = number
        if not 1 <= slot <= number:
            raise Violation(f"{name} leads in slot {slot} of {number} (rule 30)")
        leaders = self.leaders_but("")
        self._all_mean(name, me.session, number)
        if len({leader.session for leader in leaders}) < len(leaders):
            raise Violation(f"{name} leads in slot {slot}, and in another one, too (rule 30)")
        if len(leaders) > number:
            raise Violation(f"{name} leads in slot {slot}, and {number} others do, too (rule 30)")
        self._world.tell(name, f"leads in slot {slot} of {number}")

    def _all_mean(self, name: str, session: str, number: int) -> None:
        """Make sure that nobody who leads was told another number."""
        for other in self.leaders_but(session):
            means = self._means[other.session]
            if means != number:
                raise Violation(
                    f"{name} leads in one of {number}, and {other.process.name} in one of {means} still does (rule 30)"
                )

    def answered(self, process: Process, since: float, verdict: t.Any, held: t.Any) -> None:
        """What an operation says of its slot was so, and what it says of all others."""
        why, types = verdict.why, self._core.types
        if why is types.Why.NO_SLOT:
            verdict = verdict._replace(why=types.Why.FOUND)
        self.of[verdict.slot].answered(process, since, verdict, held)
        for slot, found in enumerate(verdict.slots, 1):
            also = types.Verdict(False, types.Why.FOUND, found, found)
            self.of[slot].answered(process, since, also, None)

    def looked(self, process: Process, began: float, verdict: t.Any, session: str) -> None:
        if verdict.is_leader:
            self._all_mean(process.name, session, verdict.lease.record.slots)
            self.leads_by_right(process, began, verdict, session)
        if verdict.is_leader or self.is_settled(len(verdict.slots), began):
            self.of[verdict.slot].looked(process, began, verdict, session)

    def leads_by_right(self, process: Process, began: float, verdict: t.Any, session: str) -> None:
        """Whoever leads has completed its claim, or finds that slot 1 says how many there are."""
        if self.operators:
            return  # what slot 1 said before is not known any more
        record = verdict.lease.record
        if (session, verdict.slot, record.term) not in self.completed and not self.was_settled(record.slots, began):
            raise Violation(f"{process.name} was told that it leads, by a claim that was not completed (rule 30)")

    def refused(self, process: Process, since: float, number: int, error: t.Any) -> None:
        """A claim was refused: since it began, somebody held one of another number, or slot 1 was being changed."""
        if self.operators:
            return
        margin = self._core.protocol.margin
        for slot, checker in self.of.items():
            for commit in checker.stood(since):
                record = commit.record
                lasts = record.lease_duration + margin(record.lease_duration) + 2 * GRAIN
                held = not record.released and commit.at + lasts > since
                if (held and record.slots != number) or (slot == 1 and (record.slots != number or record.slots_before)):
                    return
        raise Violation(f"{process.name} was refused one of {number}, and nobody means another number: {error}")

    def stops(self, process: Process, session: str) -> None:
        for checker in self.of.values():
            checker.stops(process, session)

    def begins(self, process: Process) -> None:
        for checker in self.of.values():
            checker.begins(process)

    def never_lands(self, process: Process) -> None:
        for checker in self.of.values():
            checker.never_lands(process)

    def may_have_written(self, process: Process) -> bool:
        return any(checker.may_have_written(process) for checker in self.of.values())

    # -- what is so

    @property
    def changes(self) -> int:
        return sum(checker.changes for checker in self.of.values())

    @property
    def store_misleads(self) -> bool:
        return False

    def leaders_but(self, session: str, slot: int = 0) -> list[Belief]:
        """Return who leads now, in this slot or in any, but for this session."""
        checkers = [self.of[slot]] if slot else self.of.values()
        return [belief for checker in checkers for belief in checker.leaders_but(session)]

    def leaders(self) -> list[Process]:
        """Return who leads, and is there."""
        return [belief.process for belief in self.leaders_but("") if belief.life == belief.process.life]

    def others_changed(self, since: float, session: str) -> bool:
        return any(checker.others_changed(since, session) for checker in self.of.values())

    def is_settled(self, number: int, since: float) -> bool:
        """Tell whether slot 1 has always said since then that there are so many."""
        said = self._said(since)
        return bool(said) and set(said) == {(number, 0)}

    def was_settled(self, number: int, since: float) -> bool:
        """Tell whether slot 1 has ever said since then that there are so many."""
        return (number, 0) in self._said(since)

    def _said(self, since: float) -> list[tuple[int, int]]:
        return [(one.record.slots, one.record.slots_before) for one in self.of[1].stood(since)]

    # -- what happens

    def sent(self, request: Request) -> None:
        self.of[slot_of(request)].sent(request)

    def answered_to(self, request: Request, response: t.Any) -> None:
        self.of[slot_of(request)].answered_to(request, response)

    def hangs(self, who: str, method: str) -> None:
        for checker in self.of.values():
            checker.hangs(who, method)


def slot_of(request: Request) -> int:
    return int(request.key.rpartition("-")[2])
