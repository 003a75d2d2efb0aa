# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sees all, knows the true time, and says what must never be."""

from __future__ import annotations

import dataclasses
import typing as t

from . import machine
from .bucket import SKEW, Bucket, Request
from .world import DRIFT, Process, World

GRAIN = 1.0
"""Seconds: of Date and Last-Modified."""


class Violation(AssertionError):
    """Something happened that must never happen."""


@dataclasses.dataclass(frozen=True)
class Commit:
    """A record that came to stand in the store."""

    at: float
    record: t.Any
    replaced: Commit | None
    """The record before it, in the same term of the same session."""


class Belief(t.NamedTuple):
    """A session was told that it leads, until its own clock shows the deadline."""

    process: Process
    life: int
    clock: t.Any
    session: str
    term: int
    deadline: float

    @property
    def stands(self) -> bool:
        with machine.run_as(self.process):
            return bool(self.clock.now() < self.deadline)


class Checker:
    """Is told what happens by the world, and what it is told by those who live in it."""

    def __init__(self, world: World, bucket: Bucket, core: t.Any) -> None:
        self._world = world
        self._bucket = bucket
        self._core = core
        self._beliefs: dict[str, Belief] = {}
        self._commits: dict[str, Commit] = {}
        self._versions: list[tuple[float, str]] = [(0.0, "")]
        """Since when which ETag stood in the store, '' where there was nothing."""
        self._overruled: set[str] = set()
        self._sent: dict[bytes, tuple[t.Mapping[str, str], float]] = {}
        self._put_by: dict[str, list[bytes]] = {}
        """The bodies that the present operation of each process has sent."""
        self._never: set[bytes] = set()
        """What was told never to land."""
        self._landed: set[bytes] = set()
        self._given: dict[int, str] = {}
        self._resource = 0
        self.highest_term = 0
        self.operator_at_work = False
        self.operators: dict[str, t.Any] = {}
        """Sessions that break the lease, whoever holds it, and what they saw of it first."""
        self.released_at = -1.0
        """When the lease was given back last."""
        self.lost_at = -1.0
        """When a daemon last saw that its time to lead was over."""
        self.led_at = -1.0
        """When somebody was told last to lead."""
        bucket.on_commit = self.committed

    # -- what processes are told

    def leads(self, process: Process, clock: t.Any, me: t.Any, verdict: t.Any, held: t.Any) -> None:
        """A process was told that it leads; maybe it handed over what it held."""
        now, name = self._world.now, process.name
        if verdict.deadline is None:
            raise Violation(f"{name} was made leader without a deadline (rule 8)")
        if clock.now() >= verdict.deadline:
            raise Violation(f"{name} was made leader after its deadline (rule 8)")
        if self._bucket.ignores:
            raise Violation(f"{name} leads by a store that ignores {self._bucket.ignores} (rule 18)")
        etag = getattr(verdict.lease, "etag", "")
        if etag in self._overruled:
            return
        commit = self._commits.get(etag)
        if commit is None or commit.record.session != me.session or commit.record.released:
            raise Violation(f"{name} was made leader without a write of its own that landed (rule 23)")
        duration, term = commit.record.lease_duration, commit.record.term
        if process.true_time(verdict.deadline) > commit.at + duration * (1 + 2 * DRIFT):
            raise Violation(f"{name}'s time ends later than {duration} s after its write landed (rule 6)")
        if held and commit.record.sequence == held.seen.record.sequence + 1 and clock.now() >= held.lapses_at:
            raise Violation(f"{name} leads on in term {term}, whose time it knew to be over (rule 22)")
        earlier = commit.replaced
        if not commit.record.proof:
            raise Violation(f"{name} leads by a lease whose store was not asked for its conditions (rule 18)")
        if earlier and now > earlier.at + earlier.record.lease_duration * (1 + 2 * DRIFT) + GRAIN + SKEW:
            raise Violation(f"{name} leads on in term {term}, which had lapsed (rule 22)")
        for other in self._beliefs.values():
            if other.session != me.session and other.stands:
                raise Violation(f"{name} leads with term {term}, and {other.process.name} with {other.term} still does")
        self._beliefs[me.session] = Belief(process, process.life, clock, me.session, term, verdict.deadline)
        self.led_at = now
        self._world.tell(name, f"leads with term {term} until {process.true_time(verdict.deadline):.3f}")

    def answered(self, process: Process, since: float, verdict: t.Any, held: t.Any) -> None:
        """An operation ended: what it says of the lease must have been true at some instant since it began."""
        if held and verdict.why.name in ("RENEWED", "RELEASED") and verdict.lease.record.term != held.seen.record.term:
            raise Violation(f"{process.name} was told {verdict.why.value}, of another term than it held (rule 22)")
        etag = getattr(verdict.lease, "etag", "")
        stood = any(version == etag for version in self._stood_since(since))
        if not stood or not self._is_apt(verdict):
            raise Violation(
                f"{process.name} was told {verdict.why.value}, of what was not so since {since:.3f} (rule 16)"
            )

    def _stood_since(self, since: float) -> t.Iterator[str]:
        for begun, version in reversed(self._versions):
            yield version
            if begun <= since:
                return

    def _is_apt(self, verdict: t.Any) -> bool:
        """Tell whether the word goes with the lease that it is said of."""
        record = getattr(verdict.lease, "record", None)
        why: str = verdict.why.name
        if record is None:
            return why in ("GONE", "FREE")
        if not isinstance(record, self._core.record.Record):
            return why == "UNREADABLE"
        if record.released:
            return why in ("FREE", "RELEASED", "BROKEN")
        return why not in ("GONE", "FREE", "RELEASED", "BROKEN", "UNREADABLE")

    def begins(self, process: Process) -> None:
        """An operation begins."""
        self._put_by[process.name] = []

    def gave_up(self, process: Process, took: float, patience: float, error: t.Any) -> None:
        """An operation could not be carried out; where there is no doubt, it never will be."""
        if error.doubtful and not self._put_by[process.name]:
            raise Violation(f"{process.name} was told that something may have been written, and sent nothing (rule 12)")
        if not error.doubtful and not self._bucket.ignores:
            self._never.update(self._put_by[process.name])
            if not self._never.isdisjoint(self._landed):
                raise Violation(f"{process.name} was told that nothing was written, and it was (rule 12)")
        if isinstance(error, self._core.types.StoreUnreachable) and patience > 1 and took < patience / 4:
            raise Violation(f"{process.name} gave up after {took:.2f} of {patience} s for an error (rule 10)")
        self._world.tell(process.name, f"could not: {error}")

    def stops(self, process: Process, me: t.Any) -> None:
        """A process does not act as leader any more."""
        if self._beliefs.pop(me.session, None):
            self._world.tell(process.name, "leads no more")

    # -- what is so

    def leader(self) -> Process | None:
        """Who leads, and is there."""
        beliefs = self._beliefs.values()
        return next((one.process for one in beliefs if one.stands and one.life == one.process.life), None)

    def belief_of(self, session: str) -> Belief | None:
        belief = self._beliefs.get(session)
        return belief if belief and belief.stands else None

    # -- what happens

    def excuse(self) -> None:
        """An operator interfered: who led by a write of before may not have noticed."""
        self._beliefs.clear()
        self._overruled.update(self._commits)
        self._commits.clear()

    def acts(self, belief: Belief) -> None:
        """A leader's write arrives at a resource that refuses a term lower than the highest it has seen (rule 21)."""
        if belief.term >= self._resource:
            self._resource = belief.term
        elif self._beliefs.get(belief.session) == belief and belief.stands:
            raise Violation(f"the resource refused {belief.process.name}, who leads with {belief.term} (rule 3)")
        else:
            self._world.fault("stale write refused by the resource")

    def sent(self, request: Request) -> None:
        """A request leaves its sender."""
        if request.method != "PUT":
            return
        headers, at = self._sent.get(request.body, ({}, 0.0))
        if headers == request.headers and self._world.now < at + 1.99:
            raise Violation(f"{request.who} sent the same write again after {self._world.now - at:.2f} s (rule 20)")
        self._put_by[request.who].append(request.body)
        self._sent[request.body] = request.headers, self._world.now

    def succeeded(self, body: bytes) -> None:
        """A sender knows that its write is in the store: to send it once more asks for the conditions (rule 18)."""
        self._sent.pop(body, None)

    def committed(self, before: bytes | None, after: bytes | None) -> None:
        """The store changed the object."""
        decode, record_type = self._core.store.decode, self._core.record.Record
        old = decode(before) if before is not None else None
        new = decode(after) if after is not None else None
        etag, now = self._bucket.etag, self._world.now
        replaced = self._commits.get(self._versions[-1][1])
        self._versions.append((now, etag))
        if after in self._never:
            raise Violation("a write landed of which its sender was told that it never would (rule 12)")
        if after is not None:
            self._landed.add(after)
        if not isinstance(new, record_type):
            return
        if replaced and (replaced.record.session != new.session or replaced.record.term != new.term):
            replaced = None
        self._commits[etag] = Commit(now, new, replaced)
        self._overruled.discard(etag)
        if self.operator_at_work or self._bucket.ignores:
            return
        if new.released and isinstance(old, record_type) and new.term < old.term:
            raise Violation(f"a release let the term fall from {old.term} to {new.term} (rule 4)")
        if new.session in self.operators:
            aim = self.operators[new.session]
            if _whose(old) != _whose(aim):
                raise Violation(f"the lease of {_whose(aim)} was to be broken, and that of {_whose(old)} was (rule 5)")
            self.excuse()
            return
        if old is not None and not isinstance(old, record_type):
            raise Violation("what cannot be read was overwritten (rule 16)")
        if new.released:
            if old is None or (old.session != new.session and not old.released):
                raise Violation(f"a release by {new.session} freed that of {old and old.session} (rule 5)")
            self.released_at = now
            return
        if not new.proof:
            return  # nobody leads by it
        if old is None:
            raise Violation(f"{new.session} re-created the lease in its term {new.term} (rule 13)")
        if new.term not in self._given:
            if new.term <= self.highest_term:
                raise Violation(f"the term fell from {self.highest_term} to {new.term} (rule 3)")
            self.highest_term = new.term
            self._given[new.term] = new.session
        elif self._given[new.term] != new.session:
            raise Violation(f"term {new.term} was given twice (rule 3)")


def _whose(found: t.Any) -> t.Any:
    """Return what tells one lease from the next: of what has no term, all that is there."""
    return (found.session, found.term) if getattr(found, "term", 0) else found
