# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The state of a lease and the result of an operation, for people: as data, or in one sentence."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence

from .protocol import free_in, record_of, term_of
from .record import BROKEN, EXPIRED, Ended, Record, Unreadable, utc
from .settings import Location
from .types import Absent, Found, Seen, Verdict, Why


def state(found: Found) -> str:
    """Return the lease's state by the store's clock: absent, held, expired, released or unreadable."""
    if isinstance(found, Absent):
        return "absent"
    if isinstance(found.record, Unreadable):
        return "unreadable"
    if found.record.released:
        return "released"
    return "held" if free_in(found) else "expired"


def standing(found: Found) -> str:
    """Describe the state of the lease."""
    if isinstance(found, Absent):
        return "free: no object found"
    record = found.record
    if isinstance(record, Unreadable):
        return (
            "unreadable, so treated as held: %s. Inspect the object, and if nobody needs it, let s3_leader_release "
            "replace it, with force=true and force_foreign=true"
        ) % plain(record.why)
    if record.released:
        left = free_in(found)
        now = "%s for another %s" % (_kept_from_others(record), _seconds(left)) if left else "free"
        return "%s: %s" % (now, _freed(record, found.age))
    who = plain(record.holder)
    who += " (by the .NET library, which has no terms)" if record.foreign else " (term %d)" % record.term
    left = free_in(found)
    if left:
        since = "" if record.acquired_at is None else " since %sZ" % str(utc(record.acquired_at))[:19]
        return "held by %s%s, renewed %s ago, free in at most %s" % (who, since, _seconds(found.age), _seconds(left))
    return "expired: %s has not renewed it for %s" % (who, _seconds(found.age))


def _kept_from_others(record: Record) -> str:
    return "reserved for " + plain(record.successor) if record.successor else "held back"


def _freed(record: Record, age: float) -> str:
    last = record.history[0] if record.history else None
    how = "broken" if last and last.how == BROKEN and last.term == record.term else "released"
    by = " by " + plain(record.metadata["released_by"]) if "released_by" in record.metadata else ""
    term = " (term %d)" % record.term if record.term else ""
    reason = ": " + plain(record.metadata["reason"]) if "reason" in record.metadata else ""
    return "%s%s %s ago%s%s" % (how, by, _seconds(age), term, reason)


def lease(found: Found, location: Location) -> Dict[str, Any]:
    """Return the lease, for people and a later renewal: seconds, and ISO 8601 times by the store's clock."""
    record = record_of(found)
    proof = record.proof if record else None
    proven = proof and dict(store=proof.store, at=utc(proof.at), quoted_etags=proof.quoted, use_by_dates=proof.dated)
    return dict(
        bucket=location.bucket,
        key=location.key,
        slot=slot_of(location, record),
        slots=(record.slots or None) if record else None,
        state=state(found),
        holder=record.holder if record else None,
        session=record.session if record else None,
        term=record.term if record else None,
        sequence=record.sequence if record else None,
        etag=found.etag if isinstance(found, Seen) else None,
        lease_duration=record.lease_duration if record else None,
        hold_at_least=record.hold_at_least if record else None,
        successor=(record.successor or None) if record else None,
        acquired_at=utc(record.acquired_at) if record else None,
        renewed_at=utc(found.modified) if isinstance(found, Seen) else None,
        age=found.age if isinstance(found, Seen) else None,
        expires_in=free_in(found),
        metadata=dict(record.metadata) if record else {},
        conditions_proven=proven,
        history=terms(record.history) if record else [],
    )


def slot_of(location: Location, record: Optional[Record]) -> Optional[int]:
    """Return which slot of a lease with slots a record is, by its key; None if it is none."""
    if record is None or not record.slots:
        return None
    return next((slot for slot in range(1, record.slots + 1) if location.key.endswith("/slot-%d" % slot)), None)


def terms(history: Sequence[Ended]) -> List[Dict[str, Any]]:
    """Return the terms that have ended, with printable texts and ISO 8601 times."""
    return [
        dict(
            term=one.term,
            holder=plain(one.holder),
            session=plain(one.session),
            acquired_at=utc(one.acquired_at),
            ended_at=utc(one.ended_at),
            how=plain(one.how),
            by=plain(one.by),
            reason=plain(one.reason),
        )
        for one in history
    ]


def _ended(ended: Ended, now: float) -> str:
    """Describe how a term ended."""
    by = " by " + plain(ended.by) if ended.by else ""
    reason = ": " + plain(ended.reason) if ended.reason else ""
    return "term %d was %s%s %s ago%s" % (ended.term, ended.how, by, _seconds(max(0.0, now - ended.ended_at)), reason)


def plain(text: str) -> str:
    """Replace unprintable characters: anybody may have written the text, and it goes to terminals and logs."""
    return "".join(character if character.isprintable() else "?" for character in text)


def sentence(verdict: Verdict, dry_run: bool = False) -> str:
    """Describe the result of an operation, or what it would be."""
    write = (dry_run and _PREDICTIONS.get(verdict.why)) or _SENTENCES.get(verdict.why)
    text = write(verdict) if write else standing(verdict.lease)
    return _of_slots(verdict, text) if verdict.slots else text


def _of_slots(verdict: Verdict, text: str) -> str:
    """Add which slot a sentence is about."""
    if verdict.is_leader or verdict.why in (Why.RELEASED, Why.UNFINISHED):
        return "slot %d of %d: %s" % (verdict.slot, len(verdict.slots), text)
    return first_of(verdict.slots, verdict.slot, text)


def first_of(slots: Sequence[Found], slot: int, text: str) -> str:
    """Describe slots by a sentence about the first to be free."""
    held = sum(state(found) in ("held", "unreadable") for found in slots)
    return "%d of %d slots are held. The first to be free is slot %d: %s" % (held, len(slots), slot, text)


def _taken(verdict: Verdict) -> str:
    """Tell the one whose term was ended by somebody else who did so."""
    ended = verdict.ended
    if ended is None or ended.how == EXPIRED:
        return standing(verdict.lease)
    return "%s. Now the lease is %s" % (_ended(ended, verdict.lease.store_time), standing(verdict.lease))


def _acquired(verdict: Verdict) -> str:
    return "leader now, with term %d. Before, the lease was %s" % (term_of(verdict.lease), standing(verdict.before))


def _renewed(verdict: Verdict) -> str:
    record = record_of(verdict.lease)
    duration = record.lease_duration if record else 0
    return "still leader with term %d, renewed for %s" % (term_of(verdict.lease), _seconds(duration))


def _released(verdict: Verdict) -> str:
    left, record = free_in(verdict.lease), record_of(verdict.lease)
    then = "another session can take it at once"
    if left and record:
        then = "%s for another %s" % (_kept_from_others(record), _seconds(left))
    return "released: %s (term %d has ended)" % (then, term_of(verdict.lease))


def _broken(verdict: Verdict) -> str:
    if isinstance(verdict.before, Seen) and isinstance(verdict.before.record, Unreadable):
        return "replaced by force. Before, the object was no lease: %s" % plain(verdict.before.record.why)
    before = record_of(verdict.before)
    if before and before.released:
        return "freed by force. Before, the lease was %s" % standing(verdict.before)
    return (
        "broken by force. Before, the lease was %s. Its holder may act as leader until its next renewal or its deadline"
        % standing(verdict.before)
    )


_SENTENCES: Dict[Why, Callable[[Verdict], str]] = {
    Why.ACQUIRED: _acquired,
    Why.RENEWED: _renewed,
    Why.BROKEN: _broken,
    Why.RELEASED: _released,
    Why.NEVER_TAKEN_OVER: lambda verdict: (
        standing(verdict.lease) + ", and takeover is 'never'. s3_leader_release with force=true frees it"
    ),
    Why.NOT_WATCHED_LONG_ENOUGH: lambda verdict: (
        standing(verdict.lease) + ", but takeover is 'observed', and this task has not watched it for its full "
        "duration. Use a longer wait_timeout"
    ),
    Why.TAKEN: _taken,
    Why.GONE: lambda verdict: (
        "there is no lease: it was never acquired, or its object was removed"
        if isinstance(verdict.before, Absent)
        else "the lease object was removed"
    ),
    Why.UNFINISHED: lambda verdict: (
        "the acquisition failed before it was complete, so the lease has no leader. Acquire it again"
    ),
    Why.NO_SLOT: lambda verdict: "%s. None of them is held by this session" % standing(verdict.lease),
    Why.LAPSED: lambda verdict: "the lease was not renewed in time, so its term has ended. Acquire it again",
}


_PREDICTIONS: Dict[Why, Callable[[Verdict], str]] = {
    Why.ACQUIRED: lambda verdict: (
        "would be leader, with term %d. The lease is %s" % (term_of(verdict.lease), standing(verdict.before))
    ),
    Why.RENEWED: lambda verdict: "would renew it, and stay leader with term %d" % term_of(verdict.lease),
    Why.BROKEN: lambda verdict: "would be broken by force. The lease is %s" % standing(verdict.before),
    Why.NOT_WATCHED_LONG_ENOUGH: lambda verdict: (
        standing(verdict.lease) + ", but takeover is 'observed', so it would be watched for its full duration first"
    ),
    Why.RELEASED: lambda verdict: "would be released. The lease is %s" % standing(verdict.before),
}


def _seconds(seconds: float) -> str:
    return "%.3g s" % seconds if seconds < 100 else "%d s" % seconds
