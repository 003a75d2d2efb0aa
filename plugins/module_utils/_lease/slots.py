# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""A lease with slots, which at most N hold at the same time: each slot is a lease of its own (rule 30).

All who claim a slot have to mean the same N, or some would not look where others hold one. Slot 1 says how many there
are, whether it is held or not. Whoever takes another slot looks at slot 1 afterwards, and leads only if it says so.
Whoever changes the number takes slot 1 for that, notes in it how many there were, looks at all the others afterwards,
and removes the note only if nobody holds one of another number. So of two claimants that mean different numbers, the
one that looks last sees the other.

The operations are generators like the protocol's, but for each request they name the slot.
"""

from __future__ import annotations

import zlib
from typing import Callable, Dict, Iterable, List, Optional, Tuple, TypeVar

from . import protocol
from .protocol import (
    View,
    before_second_look,
    free_in,
    is_live,
    look,
    own,
    poll_pause,
    proof_of,
    record_of,
    takeable_in,
    tells_of_doubt,
    why_not,
)
from .record import Proof, Record
from .types import (
    Answer,
    Claimant,
    Found,
    Held,
    Pause,
    Seen,
    Steps,
    StoreRefused,
    Verdict,
    Want,
    Watch,
    Why,
)
from .wording import plain

T = TypeVar("T")


class Watches(Dict[int, Watch]):
    """What a caller has observed of each slot, or of a lease without slots, as 0 (rule 14). It survives errors."""

    def __missing__(self, slot: int) -> Watch:
        self[slot] = Watch()
        return self[slot]


@tells_of_doubt
def acquire(
    me: Claimant,
    want: Want,
    start: float,
    fresh_nonce: Callable[[], str],
    dry_run: bool = False,
    watches: Optional[Watches] = None,
) -> Steps[Verdict]:
    """Get one of ``want.slots`` slots, or keep the one that the session has; or a lease without slots, as the protocol
    does. Arguments and verdict are the protocol's.

    Raises StoreRefused if somebody holds one of another number of slots.
    """
    watches = Watches() if watches is None else watches
    if not want.slots:
        return (yield from protocol.acquire(me, want, start, fresh_nonce, dry_run, watches[0]))
    return (yield from _Claim(me, want, start, fresh_nonce, dry_run, watches).acquire())


def inspect(me: Claimant, slots: int, start: float, patience: float) -> Steps[Verdict]:
    """Read all slots. The verdict is about the session's own, or else the first to be free."""
    reader = _Reader(me, slots, start)
    yield from reader.read(start + patience)
    slot = reader.own_slot or reader.first_due()
    view = reader.views[slot]

    def leads() -> bool:
        """Tell whether the session still leads: since its slot was read, other slots were, or the process paused."""
        mine = own(view.found, me)
        return mine is not None and mine.proof is not None and is_live(mine, view.age_at(reader.now))

    if leads() and slot != 1:
        yield from reader.look(1, reader.now + patience)
    is_leader = leads() and reader.is_claimed(slot)
    return Verdict(is_leader, Why.FOUND, view.found, view.found, slot=slot, slots=reader.all())


@tells_of_doubt
def renew(
    me: Claimant,
    slots: int,
    lease_duration: Optional[float],
    start: float,
    patience: float,
    fresh_nonce: Callable[[], str],
    dry_run: bool = False,
) -> Steps[Verdict]:
    """Renew the slot that the session has, without an earlier result that names it."""
    reader = _Reader(me, slots, start)
    yield from reader.read(start + patience)
    slot = reader.own_slot
    if not slot:
        return reader.none(Why.NO_SLOT)
    if slot != 1:
        yield from reader.look(1, reader.now + patience)
    if not reader.is_claimed(slot):
        return reader.none(Why.UNFINISHED, slot)
    renewing = protocol.renew(me, None, lease_duration, reader.now, patience, fresh_nonce, dry_run)
    return reader.about(slot, (yield from reader.of(slot, renewing)))


@tells_of_doubt
def release(
    me: Claimant,
    slots: int,
    start: float,
    patience: float,
    fresh_nonce: Callable[[], str],
    reason: str = "",
    dry_run: bool = False,
) -> Steps[Verdict]:
    """Release the slot that the session has, without an earlier result that names it."""
    reader = _Reader(me, slots, start)
    yield from reader.read(start + patience)
    slot = reader.own_among(reader.views)
    if not slot:
        return reader.none(Why.NO_SLOT)
    releasing = protocol.release(me, None, reader.now, patience, fresh_nonce, reason=reason, dry_run=dry_run)
    return reader.about(slot, (yield from reader.of(slot, releasing)))


class _Reader:
    """Reads slots, and knows what was found in each."""

    def __init__(self, me: Claimant, slots: int, start: float) -> None:
        self._me = me
        self._slots = slots
        self.now = start
        """A reading of the caller's clock, when the last step ended."""
        self.views: Dict[int, View] = {}

    def of(self, slot: int, steps: Steps[T]) -> Steps[T]:
        """Return the operation unchanged, but name the slot for each of its requests."""
        answer: Optional[Answer] = None
        while True:
            try:
                step = steps.send(answer) if answer else next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = yield step if isinstance(step, Pause) else step._replace(slot=slot)
            self.now = answer.at

    def read(self, until: float) -> Steps[None]:
        """Read all slots: also those that there were, where the number is being changed. Errors are retried."""
        yield from self.look(1, until)
        said = record_of(self.views[1].found)
        most = max(self._slots, said.slots, said.slots_before) if said else self._slots
        self.views = {slot: view for slot, view in self.views.items() if slot <= most}
        for slot in range(2, most + 1):
            yield from self.look(slot, until)

    def look(self, slot: int, until: float) -> Steps[None]:
        known = self.views[slot].found if slot in self.views else None
        looking = look(until, known if isinstance(known, Seen) else None)
        self.views[slot] = yield from self.of(slot, looking)

    @property
    def is_settled(self) -> bool:
        """Slot 1 says that there are as many slots as the caller means."""
        said = record_of(self.views[1].found)
        return said is not None and said.slots == self._slots and not said.slots_before

    def is_claimed(self, slot: int) -> bool:
        """Slot 1 and this one say that there are as many slots as the caller means, as after a claim to it."""
        record = record_of(self.views[slot].found)
        return self.is_settled and record is not None and record.slots == self._slots

    @property
    def own_slot(self) -> int:
        """The slot that the session has, or had last; 0 if there is none."""
        return self.own_among(range(1, self._slots + 1))

    def own_among(self, slots: Iterable[int]) -> int:
        return next((slot for slot in slots if own(self.views[slot].found, self._me)), 0)

    def first_due(self) -> int:
        """Return the slot that is the first to be free."""
        return min(range(1, self._slots + 1), key=self._due)

    def _due(self, slot: int) -> float:
        left = self.due_in(slot)
        return float("inf") if left is None else left

    def due_in(self, slot: int) -> Optional[float]:
        """Return the seconds until the caller may take a slot. None means never."""
        return free_in(self.views[slot].found)

    def all(self) -> Tuple[Found, ...]:
        return tuple(self.views[slot].found for slot in range(1, self._slots + 1))

    def about(self, slot: int, verdict: Verdict) -> Verdict:
        """Return the verdict on a slot, with what is known of all."""
        self.views[slot] = View(verdict.lease, self.now, self.now)  # it has not been observed for longer (rule 14)
        return verdict._replace(slot=slot, slots=self.all())

    def none(self, why: Why, slot: int = 0) -> Verdict:
        """Return that no slot is held, for a reason that this slot shows, or the one that is the first to be free."""
        slot = slot or self.first_due()
        found = self.views[slot].found
        return Verdict(False, why, found, found, slot=slot, slots=self.all())


class _Claim(_Reader):
    """Claims one of the slots."""

    def __init__(
        self,
        me: Claimant,
        want: Want,
        start: float,
        fresh_nonce: Callable[[], str],
        dry_run: bool,
        watches: Watches,
    ) -> None:
        super().__init__(me, want.slots, start)
        self._want = want._replace(wait_timeout=0.0)
        self._give_up = start + (0.0 if dry_run else want.wait_timeout)
        self._fresh_nonce = fresh_nonce
        self._dry_run = dry_run
        self._watches = watches

    def acquire(self) -> Steps[Verdict]:
        looked_twice = False
        while True:
            yield from self.read(self._until)
            self._refuse_others()
            self._refuse_to_renew()
            pause = before_second_look(max(self.views.values(), key=lambda view: view.at - view.asked), self._until)
            if pause and self._chances() and not (self.own_slot or self._dry_run or looked_twice):
                looked_twice = True
                yield pause
                continue
            looked_twice = False
            found = yield from self._take_one()
            if found is None:
                continue
            if found.is_leader or self.now >= self._give_up:
                return found
            due = min(map(self._due, self._order()))
            yield poll_pause(self._want, due, self._give_up - self.now)

    def _take_one(self) -> Steps[Optional[Verdict]]:
        """Try to take one of the slots that were just read. None means that all have to be read again."""
        while True:
            chances = self._chances()
            if not chances:
                slot = self.first_due() if self.is_settled else 1
                return self.none(why_not(self.views[slot].found, self._want.takeover), slot)
            verdict = yield from self._take(chances[0])
            if verdict is None:
                return None
            verdict = self.about(chances[0], verdict)  # if another one was faster, it is no chance any more
            if verdict.is_leader:
                return verdict

    @property
    def _proof(self) -> Optional[Proof]:
        """What is known of the store: one slot tells for all (rule 18)."""
        proofs = [proof_of(view.found, self._me) for view in self.views.values()]
        return max(filter(None, [*proofs, self._want.proof]), key=lambda proof: proof.at, default=None)

    @property
    def _until(self) -> float:
        """Until when errors are retried."""
        return max(self._give_up, self.now + self._want.patience)

    def due_in(self, slot: int) -> Optional[float]:
        view = self.views[slot]
        version = view.found.etag if isinstance(view.found, Seen) else None
        unchanged_for = self._watches[slot].unchanged_for(version, view.at)
        return takeable_in(view.found, self._me, self._want, unchanged_for)

    def _refuse_others(self) -> None:
        """Raise StoreRefused if somebody holds one of another number of slots."""
        due = {slot: self.due_in(slot) for slot in self.views}  # of all, so that all are watched from now on (rule 14)
        for slot, view in self.views.items():
            record = record_of(view.found)
            if record and not record.released and record.slots != self._slots and due[slot] != 0:
                raise _differs(record, slot, self._slots)
            if slot > self._slots and isinstance(view.found, Seen) and record is None:
                raise StoreRefused("slot %d is unreadable, and would not count any more (rule 16)" % slot, _SAME)

    def _refuse_to_renew(self) -> None:
        """Raise StoreRefused if another slot is the own one, and slot 1 does not say how many there are. Once the
        session cannot lead in it any more, it may take slot 1, and say so.
        """
        if self.own_slot > 1 and not self.is_settled and free_in(self.views[self.own_slot].found) != 0:
            raise self._unsettled()

    def _unsettled(self) -> StoreRefused:
        return StoreRefused("slot 1 does not say any more that there are %d slots" % self._slots, _SAME)

    def _chances(self) -> List[int]:
        """Return the slots to try: the own one, or else all that are free."""
        if self.own_slot == 1 or (self.own_slot and self.is_settled):
            return [self.own_slot]
        return [slot for slot in self._order() if self.due_in(slot) == 0]

    def _order(self) -> List[int]:
        """Return the slots that may be taken, in an order of the session's own. It is only slot 1 as long as that does
        not say how many there are.
        """
        begin = zlib.crc32(self._me.session.encode("utf-8"))
        return [(begin + turn) % self._slots + 1 for turn in range(self._slots)] if self.is_settled else [1]

    def _take(self, slot: int) -> Steps[Optional[Verdict]]:
        """Try to take a slot. None means that all have to be read again."""
        want = self._want._replace(proof=self._proof)
        view, watch = self.views[slot]._replace(at=self.now), self._watches[slot]
        claiming = protocol.acquire(self._me, want, self.now, self._fresh_nonce, self._dry_run, watch, view)
        verdict = yield from self.of(slot, claiming)
        if not isinstance(verdict.lease, Seen) or verdict.deadline is None:
            return verdict
        held = Held(verdict.lease, verdict.deadline, self.now)
        record = record_of(verdict.lease)
        if slot == 1 and record and record.slots_before:
            return (yield from self._settle(verdict, held, record.slots_before))
        if slot != 1:
            yield from self.look(1, self._until)
            if not self.is_settled:
                if own(verdict.before, self._me):
                    raise self._unsettled()  # it may have been promised for longer (rule 24)
                yield from self._give_back(slot, held, verdict.before)
                return None
        return verdict if self.now < held.lapses_at else None

    def _settle(self, verdict: Verdict, held: Held, slots_before: int) -> Steps[Optional[Verdict]]:
        """Look at all other slots, and only then let slot 1, which is held now, say how many there are."""
        self.about(1, verdict)
        for slot in range(2, max(self._slots, slots_before) + 1):
            yield from self.look(slot, self._until)
        try:
            self._refuse_others()
        except StoreRefused:
            yield from self._give_back(1, held, verdict.before)
            raise
        want = self._want
        renewing = protocol.renew(
            self._me, held, want.lease_duration, self.now, want.patience, self._fresh_nonce, settles=True
        )
        renewed = yield from self.of(1, renewing)
        return renewed._replace(why=verdict.why, before=verdict.before) if renewed.is_leader else None

    def _give_back(self, slot: int, held: Held, before: Found) -> Steps[None]:
        """Take a claim back: slot 1 says again what it said before, and nobody's lead is made out of it."""
        patience = self._want.patience
        releasing = protocol.release(self._me, held, self.now, patience, self._fresh_nonce, undoes=before)
        self.about(slot, (yield from self.of(slot, releasing)))


_SAME = "All who claim a slot have to name the same number"


def _differs(record: Record, slot: int, slots: int) -> StoreRefused:
    claimed = "one of %d" % record.slots if record.slots else "a lease without slots"
    return StoreRefused(
        "%s holds slot %d as %s, and this is a claim to one of %d" % (plain(record.holder), slot, claimed, slots),
        "%s. It can be changed when nobody holds one" % _SAME,
    )
