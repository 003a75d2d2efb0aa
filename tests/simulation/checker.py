# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sees all, knows the true time, and says what must never be."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import typing as t

from . import machine
from .connection import HERE
from .store import Bucket, Request
from .times import GRAIN
from .world import DRIFT, EPOCH, Process, World

if t.TYPE_CHECKING:
    from .host import Host


SLACK, ROUNDED_UP = 2.0, 2.0
"""Seconds: of a use-by date, and of its whole seconds."""


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

    def __init__(self, world: World, bucket: Bucket, core: t.Any, skew: float) -> None:
        self._world = world
        self._skew = skew
        self._bucket = bucket
        self._core = core
        self._beliefs: dict[str, Belief] = {}
        self._commits: dict[str, Commit] = {}
        self._versions: list[tuple[float, str]] = [(0.0, "")]
        """Since when which ETag stood in the store, '' where there was nothing."""
        self._overruled: set[str] = set()
        self._unaware: set[str] = set()
        """Sessions that lost the lease to an operator or a lying clock, and may not have noticed."""
        self._serving: dict[Host, tuple[float, str]] = {}
        """Hosts on which services run, since when, and in which session."""
        self._sent: dict[bytes, tuple[t.Mapping[str, str], float]] = {}
        self._last_sent: dict[str, float] = {}
        self._put_by: dict[str, list[bytes]] = collections.defaultdict(list)
        """The bodies that the present operation of each process has sent."""
        self.answers: dict[bytes, tuple[float, int]] = {}
        """When the answer to a write reached its sender, and its status; without those that were sent once more."""
        self._hung: set[str] = set()
        """Who has a write that hangs."""
        self._never: set[bytes] = set()
        """What was told never to land."""
        self._landed: set[bytes] = set()
        self._given: dict[int, str] = {}
        self._resource = 0
        self.highest_term = 0
        self.operator_at_work = False
        self.operators: dict[str, t.Any] = {}
        """Sessions that break the lease, whoever holds it, and what they saw of it first."""
        self.released_at, self.released_by = -1.0, ""
        """When the lease was given back last, and by which session."""
        self._taken: dict[tuple[str, int], float] = {}
        """By the session and the term that it began: for how many seconds the lease had been anybody's to take."""
        self.lost_at = -1.0
        """When a daemon last saw that its time to lead was over."""
        self.led_at = -1.0
        """When somebody was told last to lead."""
        self._led: set[tuple[str, int]] = set()
        """The session and the term of each who was told to lead."""
        self.forgotten = ""
        """What a lease does not name of the last terms, in words."""
        bucket.on_commit = self.committed

    # -- what processes are told

    def leads(
        self, process: Process, clock: t.Any, me: t.Any, verdict: t.Any, held: t.Any, heard_at: float | None = None
    ) -> None:
        """A process was told that it leads; maybe it handed over what it held. It knew so before, maybe."""
        now, name = self._world.now, process.name
        if verdict.deadline is None:
            raise Violation(f"{name} was made leader without a deadline (rule 8)")
        if clock.now() >= verdict.deadline:
            raise Violation(f"{name} was made leader after its deadline (rule 8)")
        if self._bucket.ignores:
            raise Violation(f"{name} leads by a store that ignores {self._bucket.ignores} (rule 18)")
        if self._bucket.checks_first:
            raise Violation(f"{name} leads by a store that checks first and writes later (rule 18)")
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
        if not commit.record.proof or commit.record.proof.store != HERE:
            raise Violation(f"{name} leads by a lease whose store was not asked for its conditions (rule 18)")
        if (
            earlier
            and not self._bucket.clock_lies
            and (heard_at or now) > earlier.at + earlier.record.lease_duration * (1 + 2 * DRIFT) + GRAIN + self._skew
        ):
            raise Violation(f"{name} leads on in term {term}, which had lapsed (rule 22)")
        delay = process.host.loaded.takeover_delay if process.host else 0.0
        waited = self._taken.pop((me.session, term), delay)
        if delay > max(0.0, waited + GRAIN + self._skew) and not self._bucket.clock_lies:
            raise Violation(f"{name} took the lease {waited:.2f} s after others might have, not {delay:.2f} (rule 28)")
        self._alone(process, me.session, term)
        late = EPOCH + process.true_time(verdict.deadline) - commit.record.lease_until
        if late > 0 and not self._bucket.clock_lies:
            raise Violation(f"{name} leads for {late:.2f} s after its leaseUntilUtc (.NET library)")
        self._unaware.discard(me.session)
        self._beliefs[me.session] = Belief(process, process.life, clock, me.session, term, verdict.deadline)
        self.led_at = now
        self._led.add((me.session, term))
        self._world.tell(name, f"leads with term {term} until {process.true_time(verdict.deadline):.3f}")

    def peer_leads(self, process: Process, clock: t.Any, name: str, until: float, etag: str) -> None:
        """An application with the .NET library leads, until its own clock shows this time."""
        if clock.now() >= until or etag in self._overruled:
            return
        self._alone(process, name, 0)
        self._beliefs[name] = Belief(process, process.life, clock, name, 0, until)
        self.led_at = self._world.now
        self._world.tell(process.name, f"leads for {until - clock.now():.3f} s")

    def _alone(self, process: Process, session: str, term: int) -> None:
        """Make sure that nobody else leads."""
        for other in self._beliefs.values():
            if other.session != session and other.stands:
                raise Violation(
                    f"{process.name} leads with term {term}, and {other.process.name} with {other.term} still does"
                )

    def answered(self, process: Process, since: float, verdict: t.Any, held: t.Any) -> None:
        """An operation ended: what it says of the lease must have been true at some instant since it began."""
        if held and verdict.why.name in ("RENEWED", "RELEASED") and verdict.lease.record.term != held.seen.record.term:
            raise Violation(f"{process.name} was told {verdict.why.value}, of another term than it held (rule 22)")
        etag = getattr(verdict.lease, "etag", "")
        stood = any(version == etag for version in self._stood_since(since))
        if not self._is_apt(verdict) or not (stood or self._bucket.reads_stale):
            raise Violation(
                f"{process.name} was told {verdict.why.value}, of what was not so since {since:.3f} (rule 16)"
            )

    def _stood_since(self, since: float) -> t.Iterator[str]:
        for begun, version in reversed(self._versions):
            yield version
            if begun <= since:
                return

    def _first_stood(self, etag: str) -> float:
        """Return since when a version has been known: what was deleted may land once more."""
        return next(begun for begun, version in self._versions if version == etag)

    def _is_apt(self, verdict: t.Any) -> bool:
        """Tell whether the word goes with the lease that it is said of."""
        record = getattr(verdict.lease, "record", None)
        why: str = verdict.why.name
        if why == "FOUND":
            return True
        if record is None:
            return why in ("GONE", "FREE")
        if not isinstance(record, self._core.record.Record):
            return why == "UNREADABLE"
        if record.released and why == "HELD":
            return bool(record.hold_at_least or record.successor)
        if record.released:
            return why in ("FREE", "RELEASED", "BROKEN")
        return why not in ("GONE", "FREE", "RELEASED", "BROKEN", "UNREADABLE")

    def begins(self, process: Process) -> None:
        """An operation begins."""
        self._put_by[process.name] = []
        self._hung.discard(process.name)

    def may_have_written(self, process: Process) -> bool:
        """Tell whether its present operation has sent a write, or has one that hangs before it is sent."""
        return bool(self._put_by[process.name]) or process.name in self._hung

    def hangs(self, who: str, method: str) -> None:
        """A request hangs before it is sent. Its sender does not know how far it came."""
        if method == "PUT":
            self._hung.add(who)

    def never_lands(self, process: Process) -> None:
        """A process was told that nothing was written, nor will be."""
        if self._bucket.is_unsafe:
            return
        self._never.update(self._put_by[process.name])
        if not self._never.isdisjoint(self._landed):
            raise Violation(f"{process.name} was told that nothing was written, and it was (rule 12)")

    def looked(self, process: Process, began: float, verdict: t.Any, session: str) -> None:
        """A session looked whether it leads: by the store's clock, which may be late by the grain and the skew.

        It cannot know when its request was answered, so how long it looked counts, too.
        """
        commit = self._commits.get(getattr(verdict.lease, "etag", ""))
        if commit is None or self.store_misleads:
            return
        slack = GRAIN + self._skew + commit.record.lease_duration * 2 * DRIFT
        end = commit.at + commit.record.lease_duration
        mine = commit.record.session == session and bool(commit.record.proof) and not commit.record.released
        if verdict.is_leader and not (mine and began < end + slack):
            raise Violation(f"{process.name} was told that it leads, and its time was over (rule 15)")
        took = self._world.now - began
        if not verdict.is_leader and mine and self._world.now + took < end - slack:
            raise Violation(f"{process.name} was told that it does not lead, and it did (rule 15)")

    def stops(self, process: Process, session: str) -> None:
        """A process does not act as leader any more."""
        if self._beliefs.pop(session, None):
            self._world.tell(process.name, "leads no more")

    def serves(self, host: Host, run: bool) -> None:
        """The services of the lease start or have stopped on a host."""
        if not run:
            since, session = self._serving.pop(host)
            belief = self._beliefs.get(session)
            if belief and not belief.stands and not host.slept(since):
                raise Violation(f"services ran on {host.name} when its lease had expired (heartbeat)")
            return
        if host.me.session not in self._unaware and not host.slept(host.led_at):
            if self.belief_of(host.me.session) is None:
                raise Violation(f"services of the lease start on {host.name}, which does not lead (heartbeat)")
            for other, (since, _session) in self._serving.items():
                if other.me.session not in self._unaware and not other.slept(since):
                    raise Violation(f"services of the lease run on {host.name}, and on {other.name} they still do")
        self._serving[host] = host.led_at, host.me.session

    def says_that_it_leads(self, host: Host) -> None:
        """A host says so to whoever asks it, without a request."""
        if host.me.session not in self._unaware and self.belief_of(host.me.session) is None:
            raise Violation(f"{host.name} says that it leads, and does not (heartbeat)")

    # -- what is so

    def sent_at(self, process: Process) -> float:
        """Return when a process sent its last write."""
        return self._last_sent.get(process.name, 0.0)

    @property
    def store_misleads(self) -> bool:
        """Whoever only reads may be told what is not so."""
        return self._bucket.clock_lies or self._bucket.reads_stale

    @property
    def changes(self) -> int:
        """How often the object has changed."""
        return len(self._versions)

    def others_changed(self, since: float, session: str) -> bool:
        """Tell whether anybody but this session has changed the object since then."""
        return any(record is None or record.session != session for record in self.changed_to(since))

    def changed_to(self, since: float) -> list[t.Any]:
        """Return the records that came to stand in the store since then; None for what is none."""
        etags = itertools.takewhile(lambda version: version[0] > since, reversed(self._versions))
        return [self._commits[etag].record if etag in self._commits else None for _begun, etag in etags]

    def stood(self, since: float) -> list[t.Any]:
        """Return the records that stood in the store at some instant since then, with when they came there."""
        return [self._commits[etag] for etag in self._stood_since(since) if etag in self._commits]

    def leaders_but(self, session: str, _slot: int = 0) -> list[Belief]:
        """Return who leads now, but for this session."""
        return [belief for belief in self._beliefs.values() if belief.session != session and belief.stands]

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
        self._unaware.update(self._beliefs, (commit.record.session for commit in self._commits.values()))
        self._beliefs.clear()
        self._overruled.update(self._commits)
        self._commits.clear()

    def _excuse_a_clock(self, record: t.Any) -> None:
        """Somebody took over by a store's clock that lies. Whoever observes takes over by its own (rule 14). Others may
        still hear of what they have written before.
        """
        self._overruled.update(
            etag for etag, commit in self._commits.items() if commit.record.session != record.session
        )
        self._unaware.update(commit.record.session for commit in self._commits.values())
        self._unaware.discard(record.session)
        for session in [session for session, belief in self._beliefs.items() if belief.stands]:
            if session != record.session:
                self._world.fault("taken from its leader by a store's clock that lies")
                self._unaware.add(session)
                self.stops(self._beliefs[session].process, session)

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
        self._check_use_by_date(request)
        headers, at = self._sent.get(request.body, ({}, 0.0))
        if headers == _form(request) and self._world.now < at + 1.99:
            raise Violation(f"{request.who} sent the same write again after {self._world.now - at:.2f} s (rule 20)")
        self._put_by[request.who].append(request.body)
        self.answers.pop(request.body, None)
        self._last_sent[request.who] = self._world.now
        self._sent[request.body] = _form(request), self._world.now

    def _check_use_by_date(self, request: Request) -> None:
        """The store refuses a write soon after its sender has turned away."""
        if request.lasts is None or self._bucket.clock_lies:
            return
        good_for = request.signed_at + request.lasts - EPOCH - self._world.now
        if good_for > request.waits + SLACK + ROUNDED_UP + self._skew:
            raise Violation(f"{request.who} sent a write that is good for {good_for:.1f} s (rule 25)")

    def answered_to(self, request: Request, response: t.Any) -> None:
        """A sender has an answer. Once it knows that its write is in the store, sending it once more asks for the
        conditions (rule 18); and what was refused may be sent in another form at once.
        """
        if request.method == "PUT":
            # What is refused for its date may be the second copy of what was carried out before.
            latest = EPOCH + self._world.now + self._bucket.clock_off + self._skew
            too_late = request.lasts is not None and latest > request.signed_at + request.lasts
            self.answers[request.body] = self._world.now, 0 if too_late else response.status
        if response.status in (200, 400, 401, 403):
            self._sent.pop(request.body or response.body, None)

    def committed(self, before: bytes | None, after: bytes | None) -> None:
        """The store changed the object."""
        decode, record_type = self._core.store.decode, self._core.record.Record
        old = decode(before) if before is not None else None
        new = decode(after) if after is not None else None
        etag, now = self._bucket.etag, self._world.now
        last = replaced = self._commits.get(self._versions[-1][1])
        self._versions.append((now, etag))
        if after in self._never:
            raise Violation("a write landed of which its sender was told that it never would (rule 12)")
        if after is not None:
            self._landed.add(after)
        if not isinstance(new, record_type):
            return
        if isinstance(old, record_type) and not new.foreign and not self._bucket.is_unsafe:
            self._remembers(old, new)
        if replaced and (replaced.record.session != new.session or replaced.record.term != new.term):
            replaced = None
        self._commits[etag] = Commit(now, new, replaced)
        self._overruled.discard(etag)
        if self._bucket.is_unsafe:
            self._beliefs.clear()  # the .NET library leads by it, until somebody writes all the same
            return
        if self.operator_at_work:
            return
        if replaced is None and self._bucket.clock_lies and not new.holder.startswith("daemon"):
            self._excuse_a_clock(new)
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
            self.released_at, self.released_by = now, new.session
            return
        if last:
            self._not_early(last, new)
        if last and last.record.session not in ("", new.session) and last.record.successor != new.holder:
            lasted = 0.0 if last.record.released else last.record.lease_duration
            self._taken[new.session, new.term] = now - self._first_stood(self._versions[-2][1]) - lasted
        if not new.proof:
            return  # nobody leads by it
        if old is None and new.sequence > 1:
            raise Violation(f"{new.session} re-created the lease in its term {new.term} (rule 13)")
        if new.term not in self._given:
            if new.term <= self.highest_term:
                raise Violation(f"the term fell from {self.highest_term} to {new.term} (rule 3)")
            self.highest_term = new.term
            self._given[new.term] = new.session
        elif self._given[new.term] != new.session:
            raise Violation(f"term {new.term} was given twice (rule 3)")

    def _remembers(self, old: t.Any, new: t.Any) -> None:
        """A lease names the last terms in which somebody led."""
        # A creation that came late is written once more, with a higher term, before anybody leads (rule 3).
        goes_on = (new.session, new.released) == (old.session, old.released) and new.sequence > old.sequence
        led = not old.released and (old.foreign or (old.proof and not old.slots_before))
        terms = [one.term for one in old.history]
        named = [one.term for one in new.history]
        if new.released and new.session == old.session and (old.session, old.term) not in self._led and named == terms:
            return  # a claim was taken back
        if led and not goes_on:
            terms = [old.term, *terms][: self._core.record.MAX_HISTORY]
        if named != terms and not self.forgotten:
            self.forgotten = f"the lease names {named} as its last terms instead of {terms}"

    def _not_early(self, last: Commit, new: t.Any) -> None:
        """A lease that is held back is not taken (rule 26), nor one that is reserved for somebody else (rule 27)."""
        if not last.record.released or new.foreign or self._bucket.clock_lies:
            return
        early = last.at + last.record.lease_duration - (self._world.now + self._skew)
        if last.record.successor not in ("", new.holder) and early > 0:
            raise Violation(f"{new.holder} took the lease of {last.record.successor} {early:.2f} s early (rule 27)")
        if not last.record.hold_at_least:
            return
        first = last
        while first.replaced:
            first = first.replaced
        since = min(first.at, first.record.acquired_at - EPOCH)  # as its acquirer knew it, or as it was
        early = since + last.record.hold_at_least - (self._world.now + self._skew)
        if early > 0:
            raise Violation(f"{new.session} took the lease {early:.2f} s before it was to be taken again (rule 26)")


EXPIRED = 1
"""Seconds that a write lasts that is to be refused for its use-by date: others last longer."""


def _form(request: Request) -> t.Any:
    """Return how a write is sent: in another form, it may be sent again at once."""
    return request.headers, request.lasts is None, request.lasts == EXPIRED


def _whose(found: t.Any) -> t.Any:
    """Return what tells one lease from the next: of what has no term, all that is there."""
    return (found.session, found.term) if getattr(found, "term", 0) else found
