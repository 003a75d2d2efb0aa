# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""What became of leases from one look to the next, as events: every decision, and nothing but decisions.

It imports only by relative names, like all that the event source needs: ansible-rulebook knows no packages of
collections.
"""

from __future__ import annotations

import typing as t

from ..module_utils._lease.protocol import free_in, record_of
from ..module_utils._lease.record import BROKEN, EXPIRED, RELEASED, Ended, Unreadable, utc
from ..module_utils._lease.settings import Location
from ..module_utils._lease.types import Absent, Found, Seen
from ..module_utils._lease.wording import plain, slot_of

Event = t.Dict[str, t.Any]

REMOVED, OVERWRITTEN, UNKNOWN = "removed", "overwritten", "unknown"
"""How a term ended, beside what a lease tells itself: its object is gone, is no lease any more, or does not tell. Then
nobody knows when it ended, either."""
FIELDS = (
    *("type", "at", "location", "bucket", "key", "slot", "holder", "session", "term", "acquired_at", "expires_at"),
    *("how", "by", "reason", "previous_holder", "previous_term", "error", "since"),
)
"""What every event has; what it does not know is None."""


class Told(t.NamedTuple):
    """The last term of a lease that was told of."""

    holder: str
    session: str
    term: int
    how: str
    """How its end was told; '' if it lasts."""
    version: str
    """The write of the object that was seen then."""


class Failure(t.NamedTuple):
    """Since when the store fails, by this machine's clock, and with what it began."""

    since: str
    error: str


class State(t.NamedTuple):
    """All that was told."""

    told: t.Mapping[str, Told | None] | None = None
    """By key; None for a lease that nobody has had. None instead of all before the first look: that tells nothing."""
    failure: Failure | None = None


class Change(t.NamedTuple):
    """Events that belong together, in their order, and all that was told once they are told."""

    events: t.Sequence[Event]
    after: State


def failed(state: State, below: Location, key: str | None, error: str, now: float) -> list[Change]:
    """Return what to tell when the store has failed: nothing if it was failing already."""
    if state.failure:
        return []
    failure = Failure(str(utc(now)), error)
    return [Change([_of_store("store_error", below, key, failure, failure.since)], state._replace(failure=failure))]


def looked(
    state: State, below: Location, key: str | None, found: t.Mapping[Location, Found], now: float
) -> t.Iterator[Change]:
    """Yield what to tell after a look at the leases: everything that has happened since the last one."""
    if state.failure:
        event = _of_store("store_recovered", below, key, state.failure, utc(now))
        state = state._replace(failure=None)
        yield Change([event], state)
    if state.told is None:
        yield Change([], State({location.key: _last(location, one) for location, one in found.items()}))
        return
    told = dict(state.told)
    for location, one in found.items():
        for events, last in _changes(told.get(location.key), location, one):
            told = {**told, location.key: last}
            yield Change(events, State(told))
        if key is None and isinstance(one, Absent) and location.key in told:  # or all that ever was would be kept
            told = {name: last for name, last in told.items() if name != location.key}
            yield Change([], State(told))


def expires(told: Told | None, found: Seen) -> bool:
    """Tell whether a term that was told to last has expired, by this look."""
    return told is not None and not told.how and any(term.how == EXPIRED for term in _terms(found)[-1:])


def too_new(found: Found) -> str | None:
    """Return why the lease is one that only a newer version of the collection can read; None if it is not."""
    record = found.record if isinstance(found, Seen) else None
    return record.why if isinstance(record, Unreadable) and record.is_newer else None


def _last(location: Location, found: Found) -> Told | None:
    """Return the last term that the lease tells of."""
    return next((told for _events, told in reversed([*_changes(None, location, found)])), None)


def _changes(told: Told | None, location: Location, found: Found) -> t.Iterator[tuple[list[Event], Told]]:
    """Yield what to tell of a lease, the oldest first, each with the last term that was told of then."""
    if too_new(found):
        return
    terms, at = _terms(found), None
    if told is not None:
        at = next((index for index, term in enumerate(terms) if _is(term, told)), None)
    before = None  # others may have led, unless the lease still names the last term that was told of
    if told is not None and at is not None:
        same, before = terms[at], told
        if not same.how and told.how:  # it is back: a renewal came late, or somebody restored the object
            if told.version == _version(found):
                return  # it had expired by the clock of another node of the store
            before = _told(same, found)
            yield [_event("leader_acquired", location, found, same, None)], before
        elif same.how and not told.how:
            before = _told(same, found)
            yield _end(location, found, same), before
        elif same.how == BROKEN != told.how:
            before = _told(same, found)
            yield [_event("lease_broken", location, found, same, None)], before
    elif told is not None and not told.how:
        latest = found.modified if isinstance(found, Seen) else found.store_time
        lost = Ended(told.term, told.holder, told.session, None, latest, _how(found))
        yield _end(location, found, lost), _told(lost, found)
    for term in terms[at + 1 :] if at is not None else [one for one in terms if not _is_older(one, told)]:
        events = [_event("leader_acquired", location, found, term, before)]
        if before is None or before.holder != term.holder:
            events.append(_event("leader_changed", location, found, term, before))
        before = _told(term._replace(how=""), found)
        yield events, before
        if term.how:
            yield _end(location, found, term), _told(term, found)


def _terms(found: Found) -> list[Ended]:
    """Return the terms that the lease tells of, the oldest first. The last one may last: then ``how`` is '', and
    ``ended_at`` is when it expires.
    """
    record = record_of(found)
    if record is None or not isinstance(found, Seen):
        return []
    terms = [*reversed(record.history)]
    if not record.released and record.completed:
        expires_at = record.lease_until if record.foreign else found.modified + record.lease_duration
        how = EXPIRED if free_in(found) == 0 else ""
        terms.append(Ended(record.term, record.holder, record.session, record.acquired_at, expires_at, how))
    return terms


def _how(found: Found) -> str:
    """Return how the last term ended, where the lease does not name it any more."""
    record = record_of(found)
    if record is None:
        return REMOVED if isinstance(found, Absent) else OVERWRITTEN
    return RELEASED if record.foreign and record.released else UNKNOWN  # the .NET library keeps no history


def _is(term: Ended, told: Told) -> bool:
    return (term.holder, term.session, term.term) == (told.holder, told.session, told.term)


def _is_older(term: Ended, told: Told | None) -> bool:
    """Tell whether a term ended before the last one that was told of, which the lease does not name any more."""
    return told is not None and bool(term.how) and 0 < term.term < told.term


def _told(term: Ended, found: Found) -> Told:
    return Told(term.holder, term.session, term.term, term.how, _version(found))


def _version(found: Found) -> str:
    return f"{found.etag} {utc(found.modified)}" if isinstance(found, Seen) else ""


def _end(location: Location, found: Found, term: Ended) -> list[Event]:
    """Return that the term has ended; first why, if nobody has released it in order."""
    why = {EXPIRED: ["lease_expired"], BROKEN: ["lease_broken"]}.get(term.how, [])
    return [_event(name, location, found, term, None) for name in (*why, "leader_lost")]


def _event(name: str, location: Location, found: Found, term: Ended, before: Told | None) -> Event:
    begins = name in ("leader_acquired", "leader_changed")
    ended_at = None if term.how in (REMOVED, OVERWRITTEN, UNKNOWN) else term.ended_at
    about = dict(
        type=name,
        at=utc(term.acquired_at if begins else ended_at),
        location=str(location),
        bucket=location.bucket,
        key=location.key,
        slot=slot_of(location, record_of(found)),
        holder=plain(term.holder),
        session=plain(term.session),
        term=term.term,
        acquired_at=utc(term.acquired_at),
        expires_at=utc(term.ended_at) if begins and term.how in ("", EXPIRED) else None,
        how=None if begins else plain(term.how),
        by=None if begins else plain(term.by) or None,
        reason=None if begins else plain(term.reason) or None,
        previous_holder=plain(before.holder) if before else None,
        previous_term=before.term if before else None,
    )
    return {field: about.get(field) for field in FIELDS}


def _of_store(name: str, below: Location, key: str | None, failure: Failure, at: str | None) -> Event:
    about = dict(type=name, at=at, location=str(below), bucket=below.bucket, key=key)
    about.update(error=plain(failure.error), since=failure.since)
    return {field: about.get(field) for field in FIELDS}
