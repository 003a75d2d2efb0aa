# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The lease protocol: every decision, and nothing but decisions.

An operation (acquire, renew, release, inspect) is a generator. It yields its next step (Read, Write, Pause), is
sent an Answer, and returns a Verdict or raises StoreError. It does no I/O, reads no clock and draws no random
number: its driver does.

Guaranteed: at any instant, at most one session has been told that it leads and is before its deadline, as long as the
store serializes conditional writes and clock rates differ by less than 0.1 %. Limit: a leader that is paused, together
with its clocks, beyond its deadline does not notice that the deadline has passed.

The numbered rules:

1.  Every write is conditional; nothing is ever deleted.
2.  A nonce makes every body unique, so that an ETag never recurs.
3.  Every acquisition raises the term by one; if no term is recorded, it starts at the store's time in seconds.
4.  A release writes a tombstone that keeps the term.
5.  A session releases only what is provably its own: same session and term, at the ETag that is replaced.
6.  The holder's time counts from before the confirmed write was first sent.
7.  The clock keeps running during suspend (clock.py).
8.  An answer after the deadline gives no leadership.
9.  A time budget that does not add up is refused (settings.py).
10. An error is not a loss: it is retried until the deadline.
11. One attempt per request (connection.py).
12. Only 200 is clean. After anything else the object is read: its nonce tells whether the write landed.
13. A lease whose object is gone is not re-created within its term.
14. A watcher takes over a lease that, by the watcher's clock, is unchanged for the record's duration plus the margin.
15. A short-lived caller takes over by the store's clock: Date minus Last-Modified.
16. A failed read means unknown, never free; a lease that cannot be read counts as held.
17. A claimant is identified by its session, never by its holder; where one process alone uses it, by its nonces, too.
18. A store that ignores write conditions is refused: nobody leads by a store that the endpoint in use was not tested
    for, within a day before the acquisition.
19. A store that wants unquoted ETags gets them, once it was tested with them.
20. Pauses are jittered, and the same write is sent again after 2 s at the earliest.
22. A lapse ends the term.
23. Leadership is reported after the write is confirmed, never before.
24. No write shortens the time that its session was promised before: if the answer is lost, that promise stands.
25. A write has a use-by date by the store's clock, soon after its caller turns away (store.py), where the store was
    seen to refuse one that came later.
26. A lease that is released is held back until the time after its acquisition that its record names, unless by force.
27. A lease that is released for a successor is reserved for it, by its holder's name, for as long as the lease lasted.
28. A caller may wait longer than others before it takes a lease, unless it is the successor.
29. Whoever finds a lease free, but after a slow read, may be one of a crowd: it looks again, up to twice as long later,
    before it writes.
30. Each slot of a lease is a lease of its own. A claimant leads in one only after slot 1 says that there are as many as
    it was told, and nobody leads in one who was told another number (slots.py).

Rule 21 is for the resource: it refuses a term that is lower than the highest one it has seen.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Callable, NamedTuple, Optional, Tuple, TypeVar, Union, cast

from .record import BROKEN, EXPIRED, MAX_SLOTS, RELEASED, Ended, Proof, Record, Unreadable, encode, with_ended
from .types import (
    Absent,
    Answer,
    Claimant,
    Found,
    Held,
    Outcome,
    Pause,
    Race,
    Raced,
    Read,
    Refused,
    Seen,
    Step,
    Steps,
    StoreError,
    StoreRefused,
    StoreUnreachable,
    Unchanged,
    Unknown,
    Verdict,
    Want,
    Watch,
    Why,
    Write,
    Written,
    overheard,
)

# -- Pure decisions ---------------------------------------------------------------------------------------------------

MARGIN_LEAST = 2.0
"""Seconds; enough for leases of up to 500 s."""
GRAIN = 1.0
"""Resolution of Date and Last-Modified, in seconds."""
SKEW = 0.5
"""Seconds that the clocks of the store's nodes may differ by."""
MARGIN_RATE = 0.001
"""Clock rates differ by less than this."""
PROOF_LASTS = 86400.0
"""Seconds for which an acquisition may rely on an earlier test of the store."""


def margin(duration: float) -> float:
    """Return the seconds that a contender waits beyond the duration in the record."""
    return max(MARGIN_LEAST, GRAIN + SKEW + duration * MARGIN_RATE)


def record_of(found: Found) -> Optional[Record]:
    """Return the record, if there is a readable one."""
    return found.record if isinstance(found, Seen) and isinstance(found.record, Record) else None


def age_of(found: Found) -> float:
    """Return the seconds since the last write; 0 if there was none."""
    return found.age if isinstance(found, Seen) else 0.0


def term_of(found: Found) -> int:
    """Return the term of the record, or 0 if it has none."""
    record = record_of(found)
    return record.term if record else 0


def proof_of(found: Found, me: Claimant) -> Optional[Proof]:
    """Return the proof that the record has, if it is of the store that this caller reaches (rule 18)."""
    record = record_of(found)
    proof = record.proof if record else None
    return proof if proof and proof.store == me.store else None


def fresh(proof: Optional[Proof], store_time: float) -> Optional[Proof]:
    """Return the proof if it is not too old for an acquisition (rule 18)."""
    return proof if proof and abs(store_time - proof.at) < PROOF_LASTS else None


def sequence_of(found: Found) -> int:
    """Return the sequence of the record, or 0 if it has none."""
    record = record_of(found)
    return record.sequence if record else 0


def own(found: Found, me: Claimant) -> Optional[Record]:
    """Return the record if this session holds it (rule 17)."""
    record = record_of(found)
    if record is None or record.session != me.session or record.released:
        return None
    return record if me.sent is None or record.nonce in me.sent else None


def is_live(record: Record, age: float) -> bool:
    """Tell whether the record's own session can still be leader. The holder's time includes no margin."""
    return age < record.lease_duration


def free_in(found: Found) -> Optional[float]:
    """Return the seconds until anybody may take the lease, by the store's clock (rule 15). None means never."""
    due = _due_in(found)
    return None if due is None else max(0.0, due)


def takeable_in(found: Found, me: Claimant, want: Want, unchanged_for: float) -> Optional[float]:
    """Return the seconds until this caller may take the lease. None means never.

    ``unchanged_for`` is how long the caller itself has seen this ETag (rule 14). A record by the .NET library states
    when it expires, so the store's clock decides, even if ``takeover`` is "observed".
    """
    record = record_of(found)
    chosen = record is not None and record.released and record.successor == me.holder
    due = _due_in(found, want.takeover, unchanged_for, chosen)
    delay = 0.0 if chosen else want.takeover_delay  # rule 28
    return None if due is None else max(0.0, due + delay)


def _due_in(
    found: Found, takeover: str = "store_clock", unchanged_for: float = 0.0, chosen: bool = False
) -> Optional[float]:
    """Return the seconds until the lease may be taken; below 0, those since then. None means never.

    ``chosen``: by the one for which it is reserved (rule 27).
    """
    if isinstance(found, Absent):
        return -unchanged_for
    record = found.record
    if isinstance(record, Unreadable):
        return None  # rule 16
    if record.released:
        age = max(found.age, unchanged_for)
        reserved = 0.0 if chosen or not record.successor else record.lease_duration + GRAIN
        return max(reserved - age, _held_back_for(record, found.store_time, age))
    if takeover == "never":
        return None
    if record.foreign:
        return record.lease_until + MARGIN_LEAST - found.store_time
    age = unchanged_for if takeover == "observed" else found.age
    return record.lease_duration + margin(record.lease_duration) - age


def _held_back_for(record: Record, store_time: float, age: float) -> float:
    """Return the seconds for which nobody takes a lease that was released this many seconds ago (rule 26)."""
    if not record.hold_at_least or record.acquired_at is None:
        return -age
    # The age counts, too: the store's clock may have stepped back.
    return record.hold_at_least + GRAIN - max(store_time - record.acquired_at, age)


def claim(me: Claimant, found: Found, want: Want, now: float, nonce: str) -> Record:
    """Draft the first record of a new term (rules 2 and 3). ``now`` is the store's time."""
    record = record_of(found)
    term = term_of(found) + 1
    if record is None or record.proof is None:
        # No acquisition has been completed since the object was created, maybe late, after another one was deleted.
        # Every earlier term is lower than the store's time then.
        term = max(term, int(found.store_time))
    proof = fresh(proof_of(found, me), now) or fresh(want.proof, now)
    if isinstance(found, Absent) and proof and not proof.dated:
        proof = None  # without a use-by date, it may land late
    return Record(
        holder=me.holder,
        session=me.session,
        term=term,
        sequence=1,
        nonce=nonce,
        lease_duration=want.lease_duration,
        acquired_at=now,
        renewed_at=now,
        lease_until=_until(now, want.lease_duration),
        metadata=want.metadata,
        proof=proof,
        hold_at_least=want.hold_at_least,
        history=history_of(found, now, EXPIRED),
        slots=want.slots,
        slots_before=_slots_before(record, want.slots),
    )


def _slots_before(record: Optional[Record], slots: int) -> int:
    """Return how many slots there may have been, if slot 1 does not say that there are so many (rule 30)."""
    if not slots or record is None or (record.slots == slots and not record.slots_before):
        return 0
    return max(record.slots, record.slots_before) or MAX_SLOTS  # a lease without slots does not say it


def history_of(found: Found, now: float, how: str, by: str = "", reason: str = "") -> Tuple[Ended, ...]:
    """Return the history once the term of the lease has ended in this way. ``now`` is the store's time."""
    record = record_of(found)
    if record is None or not isinstance(found, Seen):
        return ()
    if record.released or not record.completed:  # nobody has led since its last entry
        return record.history
    lapses_at = record.lease_until if record.foreign else found.modified + record.lease_duration
    ended_at = lapses_at if how == EXPIRED else min(lapses_at, now)
    ended = Ended(record.term, record.holder, record.session, record.acquired_at, ended_at, how, by, reason)
    return with_ended(ended, record.history)


def end_of(found: Found, me: Claimant, term: int) -> Optional[Ended]:
    """Return how the session's term ended, or its last one without a term, as far as the record tells."""
    record = record_of(found)
    return next(
        (one for one in (record.history if record else ()) if one.session == me.session and term in (0, one.term)), None
    )


def renewal(record: Record, now: float, lease_duration: float, nonce: str, promised: float = 0.0) -> Record:
    """Draft the next record of the same term. ``now`` is the store's time.

    ``promised``: the session was promised leadership for at most this many seconds from now (rule 24).
    """
    duration = max(lease_duration, math.ceil(promised * 1000) / 1000)
    return record._replace(
        sequence=record.sequence + 1,
        nonce=nonce,
        lease_duration=duration,
        renewed_at=now,
        lease_until=_until(now, duration),
    )


def tombstone(
    me: Claimant,
    found: Seen,
    now: float,
    reason: str,
    nonce: str,
    by_force: bool,
    successor: str = "",
    undoes: Optional[Found] = None,
) -> Record:
    """Draft the record of a released lease, which keeps the term and names who released it (rule 4). ``now`` is the
    store's time. ``undoes``: what a claim replaced by which nobody has led.
    """
    record = record_of(found)
    own_kind = record if record and not record.foreign else None
    says = own_kind if undoes is None else record_of(undoes) or own_kind
    acquired_at = (own_kind.acquired_at if own_kind else None) or now
    hold_at_least = own_kind.hold_at_least if own_kind and not by_force and undoes is None else 0.0
    history = history_of(found, now, BROKEN if by_force else RELEASED, me.holder, reason)
    if record and undoes is not None:
        history = record.history
    metadata = {"released_by": me.holder}
    if record:
        metadata["held_by"] = record.holder
    if reason:
        metadata["reason"] = reason
    lease_duration = own_kind.lease_duration if own_kind else MARGIN_LEAST
    lease_until = acquired_at + hold_at_least if hold_at_least else now - 1
    if successor:
        lease_until = max(lease_until, now + lease_duration)
    return Record(
        holder="",
        session=me.session,
        term=term_of(found) or int(now),
        sequence=own_kind.sequence + 1 if own_kind else 1,
        nonce=nonce,
        lease_duration=lease_duration,
        acquired_at=acquired_at,
        renewed_at=now,
        lease_until=lease_until,
        metadata=metadata,
        proof=record.proof if record else None,
        hold_at_least=hold_at_least,
        history=history,
        successor=successor,
        slots=says.slots if says else 0,
        slots_before=says.slots_before if says else 0,
    )


def _until(now: float, duration: float) -> float:
    # Only the .NET library uses it. That adds no margin of its own, so this time includes the margin.
    return now + duration + margin(duration)


# -- Steps that the operations share ----------------------------------------------------------------------------------

FIRST_RETRY = 0.25
SLOWEST_RETRY = 4.0
WRITES_APART = 2.0
"""Seconds between two writes to one key: R2 and GCS allow one a second."""
SLOW = 0.15
"""Seconds; an idle store answers a read sooner."""
LATEST_SECOND_LOOK = 10.0
"""Seconds after a slow read; or a machine that slept meanwhile would stay out for as long."""
POLL_JITTER = 0.5
"""A poll comes earlier or later by up to this part of the interval. After one such pause, polls that began at the same
instant are spread over a whole interval: the time of each, modulo the interval, is uniform and independent of the
others'."""
DUE_JITTER = 0.4
"""A lease that is due is looked at up to this part of the interval later, and at most DUE_LATEST."""
DUE_LATEST = 1.0
"""Seconds; or who polls rarely would take over late."""


class View(NamedTuple):
    """What was found, with the caller's clock before and after the request."""

    found: Found
    asked: float
    at: float

    @property
    def store_time(self) -> float:
        """The latest that the store's clock can have shown at ``at``, apart from its resolution."""
        return self.found.store_time + self.at - self.asked

    def age_at(self, now: float) -> float:
        """Return for how many seconds at most the lease has not been written, at this reading of the caller's clock."""
        return age_of(self.found) + now - self.asked


class Form(NamedTuple):
    """How writes are sent; Write has the meaning."""

    quoted: bool = True
    dated: bool = True


def form_of(proof: Optional[Proof]) -> Form:
    """Return how the store takes writes, or the usual form if that is not known."""
    return Form(proof.quoted, proof.dated) if proof else Form()


class Landed(NamedTuple):
    """A write that is in the store: when it was first sent, and when that was known, on the caller's clock."""

    seen: Seen
    anchor: float
    at: float
    form: Form


def look(until: float, known: Optional[Seen] = None) -> Steps[View]:
    """Read the object, and retry errors until no time is left (rules 10, 16 and 20)."""
    delay = FIRST_RETRY
    while True:
        answer = yield Read(until, known.etag if known else None)
        outcome = answer.outcome
        if isinstance(outcome, (Absent, Seen)):
            return View(outcome, answer.asked, answer.at)
        if isinstance(outcome, Unchanged) and known is not None:
            return View(known._replace(store_time=outcome.store_time), answer.asked, answer.at)
        if isinstance(outcome, Refused):
            raise StoreRefused(*outcome)
        if not isinstance(outcome, Unknown):
            raise TypeError("%r is not an answer to a read" % (outcome,))
        if outcome.throttled:
            delay = max(delay, WRITES_APART)
        if answer.at + delay >= until:
            raise StoreUnreachable(outcome.why)
        yield Pause(delay / 2, delay)
        delay = min(delay * 2, SLOWEST_RETRY)


def before_second_look(view: View, until: float) -> Optional[Pause]:
    """Return the pause before the lease is read once more, if reading it took long (rule 29)."""
    took, time_left = view.at - view.asked, until - view.at
    return Pause(0.0, min(2 * took, LATEST_SECOND_LOOK, time_left / 2)) if took > SLOW and time_left > 0 else None


def put(draft: Record, replaces: Optional[str], until: float, form: Form) -> Steps[Union[Landed, View]]:
    """Write the record, and find out whether it landed (rule 12). A View holds what is in the store instead.

    If the store does not take writes in this form, the others are tried.
    """
    body = encode(draft)
    anchor: Optional[float] = None
    doubtful = requoted = False
    while True:
        answer = yield Write(body, replaces, until, *form)
        anchor = answer.asked if anchor is None else anchor  # rule 6
        outcome = answer.outcome
        if isinstance(outcome, Written):
            seen = Seen(draft, outcome.etag, outcome.store_time, outcome.store_time)
            return Landed(seen, anchor, answer.at, form)
        if isinstance(outcome, Refused):
            if form.dated:
                form = form._replace(dated=False)  # maybe it takes no signatures in the query. Nothing was written
                continue
            if not doubtful:
                raise StoreRefused(*outcome)
        doubtful = True
        view = yield from look(until)
        found = view.found
        record = record_of(found)
        if isinstance(found, Seen) and record and record.nonce == draft.nonce:
            return Landed(found, anchor, view.at, form)
        if _version(found) != replaces:
            return view
        # The version to be replaced is still there: the write has not landed yet. Send the same bytes again.
        at = view.at
        if replaces is not None and isinstance(outcome, Unknown) and outcome.precondition_failed:
            other, at = yield from _requoted(form, body, until)
            if other != form and not requoted:
                form, requoted = other, True  # nothing was written, so it can be sent at once
                continue
            form = other
        yield _apart(at, until, outcome)


def _requoted(form: Form, body: bytes, until: float) -> Steps[Tuple[Form, float]]:
    """Return the other form of ETags if the store enforces conditions in it, too (rules 18 and 19); and when."""
    other = form._replace(quoted=not form.quoted)
    answer = yield Write(body, _NO_ETAG, until, *other)
    outcome = answer.outcome
    if isinstance(outcome, Written):
        raise _ignores("If-Match")
    return (other if isinstance(outcome, Unknown) and outcome.refuted else form), answer.at


def prove(
    me: Claimant,
    view: View,
    renewed: Callable[[Record, float], Record],
    until: float,
    term: Optional[int] = None,
) -> Steps[Union[Landed, View]]:
    """Refuse a store that ignores write conditions (rule 18): it would let everybody lead. Then say so in the record.

    The record is put again under two conditions that do not hold: only a clear refusal passes, and a store that accepts
    them has at least stored nothing new. One more such write has expired (rule 25). Then two renewals race: one has to
    win, and the other to be clearly refused. Only the write after that has the proof. ``renewed`` drafts a renewal for
    the store's time. Returns as put() does.
    """
    record = record_of(view.found)
    if record is None:
        raise TypeError("%r is no lease" % (view.found,))
    yield from _ask(encode(record), None, "If-None-Match", until)
    form, at = yield from _ask(encode(record), _NO_ETAG, "If-Match", until)
    if form.dated:
        form, at = yield from _expire(encode(record), form, until)
    result = yield from _race(view._replace(at=at), renewed, form, until)
    if isinstance(result, View):
        return result
    now = View(result.seen, result.anchor, result.at).store_time
    winner = record_of(result.seen) or record
    draft = renewed(winner, now)._replace(term=term or winner.term)
    proof = Proof(me.store, now, result.form.quoted, result.form.dated)
    return (yield from put(draft._replace(proof=proof), result.seen.etag, until, result.form))


def _ask(body: bytes, replaces: Optional[str], name: str, until: float) -> Steps[Tuple[Form, float]]:
    """Write under a condition that does not hold, until the store clearly refuses it. Return the form, and when."""
    form = Form()
    undated: Optional[Form] = None
    while True:
        answer = yield Write(body, replaces, until, *form)
        outcome = answer.outcome
        if isinstance(outcome, Unknown) and outcome.refuted:
            if form.dated:
                return form, answer.at
            undated, form = form, Form()  # the signature in the query may have been refused for another reason
        elif isinstance(outcome, Written):
            raise _ignores(name)
        elif isinstance(outcome, Refused):
            if undated:
                return undated, answer.at
            if not form.dated:
                raise StoreRefused(*outcome)
            form = form._replace(dated=False)
        else:
            yield _apart(answer.at, until, outcome)


def _expire(body: bytes, form: Form, until: float) -> Steps[Tuple[Form, float]]:
    """Write with a use-by date that has passed. A store that decides by the condition alone gets none; return the form,
    and when.
    """
    while True:
        answer = yield Write(body, _NO_ETAG, until, *form, expired=True)
        outcome = answer.outcome
        if isinstance(outcome, Refused):
            return form, answer.at
        if isinstance(outcome, Unknown) and outcome.refuted:
            return form._replace(dated=False), answer.at
        if isinstance(outcome, Written):
            raise _ignores("If-Match")
        yield _apart(answer.at, until, outcome)


def _race(
    view: View, renewed: Callable[[Record, float], Record], form: Form, until: float
) -> Steps[Union[Landed, View]]:
    """Let two renewals race until one wins and the other is clearly refused. A View holds another's record instead."""
    requoted = False
    while True:
        record, etag = record_of(view.found), _version(view.found)
        if record is None:
            return view
        drafts = renewed(record, view.store_time), renewed(record, view.store_time)
        bodies = encode(drafts[0]), encode(drafts[1])
        answer = yield Race(bodies, etag, until, *form)
        outcome = answer.outcome
        outcomes = outcome.outcomes if isinstance(outcome, Raced) else (outcome,)
        won = [(one, of) for one, of in zip(drafts, outcomes) if isinstance(of, Written)]
        refuted = [of for of in outcomes if isinstance(of, Unknown) and of.refuted]
        if len(won) > 1:
            raise StoreRefused("the store carried out two writes that replace one version", _ENFORCE)
        if won and refuted:
            one, written = won[0]
            seen = Seen(one, written.etag, written.store_time, written.store_time)
            return Landed(seen, answer.asked, answer.at, form)
        view = yield from look(until)
        unchanged = _version(view.found) == etag
        if not unchanged and _nonce(view.found) not in (drafts[0].nonce, drafts[1].nonce):
            return view
        at = view.at
        if unchanged and len(refuted) == len(outcomes):
            other, at = yield from _requoted(form, bodies[0], until)
            if other != form and not requoted:
                form, requoted = other, True
                continue
            form = other
        yield _apart(at, until, outcomes[0])


_ENFORCE = "Use a store that enforces conditional writes"


def _ignores(condition: str) -> StoreRefused:
    why = "the store accepted a write whose %s condition does not hold, so several could lead at once" % condition
    return StoreRefused(why, _ENFORCE)


def _apart(at: float, until: float, outcome: Outcome) -> Pause:
    """Return the pause before the next write (rule 20). Raises StoreUnreachable if no time is left for it."""
    if at + WRITES_APART >= until:
        raise _unreachable(outcome)
    return Pause(WRITES_APART, min(WRITES_APART * 1.5, until - at))


def _unreachable(outcome: Outcome) -> StoreUnreachable:
    if isinstance(outcome, Refused):
        return StoreUnreachable(*outcome)
    return StoreUnreachable(outcome.why if isinstance(outcome, Unknown) else "no clean answer")


_NO_ETAG = "00000000000000000000000000000000"


def _version(found: Found) -> Optional[str]:
    return found.etag if isinstance(found, Seen) else None


def _nonce(found: Found) -> Optional[str]:
    record = record_of(found)
    return record.nonce if record else None


def _may_land(outcome: Outcome) -> bool:
    return not (isinstance(outcome, Refused) or (isinstance(outcome, Unknown) and not outcome.sent))


Operation = TypeVar("Operation", bound=Callable[..., Steps[Verdict]])


def tells_of_doubt(operation: Operation) -> Operation:
    """Make the errors of an operation tell whether one of its writes may have landed, or may still land."""

    @functools.wraps(operation)
    def doubting(*args: Any, **kwargs: Any) -> Steps[Verdict]:
        doubtful = False

        def hear(step: Step, answer: Answer) -> None:
            nonlocal doubtful
            if isinstance(step, (Write, Race)):
                outcome = answer.outcome
                outcomes = outcome.outcomes if isinstance(outcome, Raced) else (outcome,)
                doubtful = doubtful or any(_may_land(one) for one in outcomes)

        try:
            return (yield from overheard(operation(*args, **kwargs), after=hear))
        except StoreError as error:
            error.doubtful = doubtful
            raise

    return cast(Operation, doubting)


# -- The operations ---------------------------------------------------------------------------------------------------


def inspect(me: Claimant, start: float, patience: float) -> Steps[Verdict]:
    """Read the lease. Whether the caller leads is decided by the store's clock."""
    view = yield from look(start + patience)
    mine = own(view.found, me)
    proven = proof_of(view.found, me) is not None
    leads = mine is not None and proven and is_live(mine, view.age_at(view.at))
    return Verdict(leads, Why.FOUND, view.found, view.found)


@tells_of_doubt
def acquire(
    me: Claimant,
    want: Want,
    start: float,
    fresh_nonce: Callable[[], str],
    dry_run: bool = False,
    watch: Optional[Watch] = None,
    view: Optional[View] = None,
) -> Steps[Verdict]:
    """Become or stay leader: try once, or as often as the wait allows. Not getting the lease is a Verdict, too.

    ``start`` is a reading of the caller's clock. A dry run only reads and predicts. ``watch`` has what this caller has
    observed before, and ``view`` what it has just read, and need not look at twice.
    """
    watch = watch or Watch()
    give_up = start + (0.0 if dry_run else want.wait_timeout)
    errors_until = start + want.patience
    looked_twice = view is not None
    view = view or (yield from look(errors_until))
    before = view.found
    lapsed_term = 0  # a term of ours that was confirmed too late to lead
    while True:
        found, at = view.found, view.at
        _refuse_a_slot(found, want)
        unchanged_for = watch.unchanged_for(_version(found), at)
        mine = own(found, me)
        left = 0.0 if mine else takeable_in(found, me, want, unchanged_for)  # rule 22: take our own at once
        if left is None or left > 0:
            if at >= give_up:
                return Verdict(False, why_not(found, want.takeover), found, before)
            yield poll_pause(want, left, give_up - at)
            errors_until = max(give_up, at + want.patience)
            view = yield from look(errors_until, found if isinstance(found, Seen) else None)
            looked_twice = False
            continue
        pause = before_second_look(view, errors_until)
        if pause and not (mine or dry_run or looked_twice):
            looked_twice = True
            yield pause
            view = yield from look(errors_until, found if isinstance(found, Seen) else None)
            continue
        # Retry the write until its lease would expire; for a long lease, give up earlier.
        until = at + min(want.lease_duration, max(want.patience, give_up - at))
        if mine and mine.proof and mine.term != lapsed_term and is_live(mine, age_of(found)):
            why = Why.RENEWED
            # The store's clock would tell only roughly how much time is left.
            promised = mine.lease_duration
            draft = renewal(mine, view.store_time, want.lease_duration, fresh_nonce(), promised)
            draft = draft._replace(holder=me.holder, metadata=want.metadata, hold_at_least=want.hold_at_least)
            lapses_at = view.asked + mine.lease_duration - age_of(found)
        else:
            why = Why.ACQUIRED
            promised = 0.0
            draft = claim(me, found, want, view.store_time, fresh_nonce())
            lapses_at = at + want.lease_duration
        if dry_run:
            expected = Seen(draft, _version(found) or "", found.store_time, found.store_time)
            return Verdict(True, why, expected, found)
        known = proof_of(found, me) or fresh(want.proof, view.store_time)
        result = yield from put(draft, _version(found), until, form_of(known))
        if isinstance(result, Landed) and (_came_late(found, result) or proof_of(result.seen, me) is None):
            view = View(result.seen, result.anchor, result.at)
            # Every earlier term is lower than the store's time now. Nobody has led by the term of the draft.
            term = max(draft.term, int(view.found.store_time)) if _came_late(found, result) else draft.term
            known = fresh(want.proof, view.store_time)

            def renewed(record: Record, now: float, promised: float = promised) -> Record:
                return renewal(record, now, want.lease_duration, fresh_nonce(), promised)

            if known:
                again = renewed(draft, view.store_time)._replace(term=term, proof=known)
                result = yield from put(again, _version(view.found), until, result.form)
            else:
                result = yield from prove(me, view, renewed, until, term)
        if isinstance(result, View):
            view = result
            continue
        deadline = result.anchor + _duration_of(result)
        if result.at < min(lapses_at, deadline):
            return Verdict(True, why, result.seen, found, deadline)
        # Rule 8: confirmed too late. We can still replace it, in a new term.
        lapsed_term = term_of(result.seen)
        view = View(result.seen, result.anchor, result.at)


@tells_of_doubt
def renew(
    me: Claimant,
    held: Optional[Held],
    lease_duration: Optional[float],
    start: float,
    patience: float,
    fresh_nonce: Callable[[], str],
    dry_run: bool = False,
    settles: bool = False,
) -> Steps[Verdict]:
    """Prove and extend the lease. Without ``held`` it is read first; without a duration it keeps its own.

    ``settles``: from now on, slot 1 says how many slots there are (rule 30).
    """
    if held is None or dry_run or start >= held.lapses_at or proof_of(held.seen, me) is None:
        view = yield from look(start + patience)
    else:
        view = _known(held, start)
    before = view.found
    while True:
        found = view.found
        mine = own(found, me)
        if not isinstance(found, Seen) or mine is None or (held and mine.term != term_of(held.seen)):
            return _lost(found, before, me, held)
        if held and mine.sequence <= sequence_of(held.seen):  # less: the store still answers with what was there before
            lapses_at = held.lapses_at
            promised = lapses_at - view.at
        else:  # another task of this run has written it since; only the store knows how long ago, and only roughly
            lapses_at = view.asked + mine.lease_duration - found.age
            promised = mine.lease_duration
        if view.at >= lapses_at:
            return Verdict(False, Why.LAPSED, found, before)  # rule 22
        if mine.proof is None:
            return Verdict(False, Why.UNFINISHED, found, before)  # rule 18: its acquisition failed midway

        def renewed(record: Record, now: float, promised: float = promised) -> Record:
            draft = renewal(record, now, lease_duration or record.lease_duration, fresh_nonce(), promised)
            return draft._replace(slots_before=0) if settles else draft

        if dry_run:
            return Verdict(True, Why.RENEWED, found._replace(record=renewed(mine, view.store_time)), before)
        if proof_of(found, me):
            result = yield from put(renewed(mine, view.store_time), found.etag, lapses_at, form_of(mine.proof))
        else:  # rule 18: this is another store, or it is reached in another way
            result = yield from prove(me, view, renewed, lapses_at)
        if isinstance(result, Landed):
            deadline = result.anchor + _duration_of(result)
            if result.at >= min(lapses_at, deadline):
                return Verdict(False, Why.LAPSED, result.seen, before)  # rule 8
            return Verdict(True, Why.RENEWED, result.seen, before, deadline)
        view = result


@tells_of_doubt
def release(
    me: Claimant,
    held: Optional[Held],
    start: float,
    patience: float,
    fresh_nonce: Callable[[], str],
    force: bool = False,
    reason: str = "",
    dry_run: bool = False,
    force_foreign: bool = False,
    successor: str = "",
    undoes: Optional[Found] = None,
) -> Steps[Verdict]:
    """Release the lease, for anybody or for a successor. Another session's lease is left alone (rule 5).

    ``undoes``: the release takes back a claim by which nobody has led, and which replaced this.
    With ``force``, the lease that was read first is broken, whoever holds it; one that is taken over meanwhile is not.
    An object that cannot be read as a lease is replaced only with ``force_foreign``, too: it may be somebody's data.
    """
    until = start + patience
    if held is None or dry_run:
        view = yield from look(until)
    else:
        view = _known(held, start)
    before = view.found
    aim = _identity(before)
    while True:
        found = view.found
        record = record_of(found)
        if isinstance(found, Absent) or (record and record.released and not free_in(found)):
            return Verdict(False, Why.FREE, found, before)
        ours = own(found, me) is not None and (held is None or term_of(found) == term_of(held.seen))
        breakable = force and (record is not None or force_foreign) and _identity(found) == aim
        if not ours and not breakable:
            return _lost(found, before, me, held)
        why = Why.RELEASED if ours else Why.BROKEN
        for_whom = successor if ours else ""
        draft = tombstone(me, found, view.store_time, reason, fresh_nonce(), not ours, for_whom, undoes)
        if dry_run:
            return Verdict(False, why, found._replace(record=draft), before)
        result = yield from put(draft, found.etag, until, form_of(proof_of(found, me)))
        if isinstance(result, Landed):
            return Verdict(False, why, result.seen, before)
        view = result


def _known(held: Held, start: float) -> View:
    """Return what is held as if it had been read just now."""
    store_time = held.seen.store_time + start - held.written_at
    return View(held.seen._replace(store_time=store_time), start, start)


def _came_late(found: Found, landed: Landed) -> bool:
    """Tell whether another lease may have been created and deleted before this one was created (rule 3)."""
    return isinstance(found, Absent) and int(landed.seen.store_time) > int(found.store_time) + 1


def _duration_of(landed: Landed) -> float:
    record = record_of(landed.seen)
    return record.lease_duration if record else 0.0


def poll_pause(want: Want, left: Optional[float], time_left: float) -> Pause:
    """Return the pause before the next read. It ends early if the lease becomes free, or the wait ends (rule 20)."""
    earliest, latest = want.poll_interval * (1 - POLL_JITTER), want.poll_interval * (1 + POLL_JITTER)
    if left is not None and left <= latest:
        earliest, latest = left, left + min(want.poll_interval * DUE_JITTER, DUE_LATEST)
    return Pause(min(earliest, time_left), min(latest, time_left))


def _refuse_a_slot(found: Found, want: Want) -> None:
    """Raise StoreRefused for a claim without slots to an object that says how many slots there are (rule 30)."""
    record = record_of(found)
    if record and record.slots and not want.slots:
        raise StoreRefused(
            "this object is one of the %d slots of another lease, and would not say so any more" % record.slots,
            "Claim one of the slots, or take another key",
        )


def _identity(found: Found) -> Tuple[str, object]:
    record = record_of(found)
    if record and not record.foreign:
        return record.session, record.term
    return "", _version(found)


def why_not(found: Found, takeover: str) -> Why:
    if isinstance(found, Seen) and isinstance(found.record, Unreadable):
        return Why.UNREADABLE
    if free_in(found) != 0:
        return Why.HELD
    return Why.NEVER_TAKEN_OVER if takeover == "never" else Why.NOT_WATCHED_LONG_ENOUGH


def _lost(found: Found, before: Found, me: Claimant, held: Optional[Held]) -> Verdict:
    ended = end_of(found, me, term_of(held.seen) if held else 0)
    return Verdict(False, _why_lost(found), found, before, ended=ended)


def _why_lost(found: Found) -> Why:
    if isinstance(found, Absent):
        return Why.GONE  # rule 13
    if isinstance(found.record, Unreadable):
        return Why.UNREADABLE
    return Why.FREE if found.record.released else Why.TAKEN
