# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One schedule: who lives in the world, what happens to them, and what must hold at every instant."""

from __future__ import annotations

import typing as t

from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Record
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.steps import (
    Claimant,
    Held,
    Pause,
    Seen,
    StoreError,
    Verdict,
    Want,
)

from .world import LATEST, Life, Process, World, decode

REQUEST_TIMEOUT = 1.0
PATIENCE = 3.0
TROUBLE = 120.0
"""Seconds in which faults happen; after them everything that is still on its way arrives, and then all is well."""


class Violation(AssertionError):
    """Something happened that must never happen."""


class Belief(t.NamedTuple):
    """A session was told that it leads, until so much of true time."""

    session: str
    term: int
    until: float


class Checker:
    """Sees all and knows the true time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._beliefs: dict[str, Belief] = {}
        self._written: set[tuple[str, str, int]] = set()
        self._overruled: set[tuple[str, str, int]] = set()
        self._terms: dict[int, str] = {}
        self.highest_term = 0
        self._resource = 0
        self.breaking = False
        self.acquisitions = 0
        world.store.on_commit = self.committed

    def leads(self, process: Process, me: Claimant, verdict: Verdict) -> None:
        """A process was told that it leads."""
        now = self._world.now
        if verdict.deadline is None:
            raise Violation(f"{process.name} was made leader without a deadline")
        if process.now() >= verdict.deadline:
            raise Violation(f"{process.name} was made leader after its deadline (rule 8)")
        found = verdict.lease
        term = protocol.term_of(found)
        write = (found.etag if isinstance(found, Seen) else "", me.session, term)
        if write in self._overruled:
            return
        if write not in self._written:
            raise Violation(f"{process.name} was made leader without a write that landed (rule 23)")
        for other in self._beliefs.values():
            if other.session != me.session and other.until > now:
                raise Violation(f"{process.name} leads with term {term}, and {other} still does")
        self._beliefs[me.session] = Belief(me.session, term, process.clock.true_time(verdict.deadline))
        self._world.tell(process.name, f"leads with term {term}")

    def stops(self, process: Process, me: Claimant) -> None:
        """A process does not act as leader any more."""
        if self._beliefs.pop(me.session, None):
            self._world.tell(process.name, "leads no more")

    def led_by(self, session: str) -> Belief | None:
        belief = self._beliefs.get(session)
        return belief if belief and belief.until > self._world.now else None

    def is_led(self) -> bool:
        return any(belief.until > self._world.now for belief in self._beliefs.values())

    def excuse(self) -> None:
        """An operator interfered: who led by a write of before may not have noticed."""
        self._beliefs.clear()
        self._overruled |= self._written
        self._written.clear()

    def writes(self, term: int) -> None:
        """A leader's write reaches a resource that checks terms."""
        if term < self._resource:
            self._world.count("stale writes refused by the resource")
        self._resource = max(self._resource, term)

    def committed(self, before: bytes | None, after: bytes | None) -> None:
        """The store changed the object."""
        old = decode(before) if before is not None else None
        new = decode(after) if after is not None else None
        if not isinstance(new, Record):
            return
        self._written.add((self._world.store.etag, new.session, new.term))
        if new.released:
            ours = isinstance(old, Record) and (old.session == new.session or old.released)
            if not ours and not self.breaking:
                raise Violation(f"a release by {new.session} freed {old} (rule 5)")
            if isinstance(old, Record) and new.term < old.term:
                raise Violation(f"a release let the term fall from {old.term} to {new.term} (rule 4)")
            return
        if not new.proven:
            return  # nobody leads by it
        if new.term not in self._terms:
            if new.term <= self.highest_term:
                raise Violation(f"the term fell from {self.highest_term} to {new.term} (rule 3)")
            self.highest_term = new.term
            self._terms[new.term] = new.session
            self.acquisitions += 1
        elif self._terms[new.term] != new.session:
            raise Violation(f"term {new.term} was given twice (rule 3)")


class Schedule:
    """A world by its seed: some claimants, some faults, and then peace."""

    def __init__(self, seed: int, trace: bool = False, core: t.Any = protocol) -> None:
        """``core`` is the protocol module to be put to the test: the one that ships, or a mutant of it."""
        self.world = world = World(seed, trace)
        self.core = core
        rng = world.rng
        self.checker = Checker(world)
        self.duration = rng.choice((6.0, 10.0, 20.0))
        self.poll = rng.choice((1.0, 2.0))
        self._born = 0
        world.network.trouble = rng.choice((0.0, 0.05, 0.2, 0.5))
        world.store.put(None)
        claimants = rng.randint(2, 4)
        self.processes = [
            Process(world, f"{kind.__name__}-{number}", kind, REQUEST_TIMEOUT)
            for number, kind in enumerate(rng.choice((self.daemon, self.play)) for _each in range(claimants))
        ]
        self.processes.append(Process(world, "daemon-x", self.daemon, REQUEST_TIMEOUT))
        for process in self.processes:
            world.after(rng.uniform(0, 5), process.start)
        for _fault in range(rng.randint(0, 6)):
            world.after(rng.uniform(0, TROUBLE), self._disturb)
        if rng.random() < 0.3:
            world.after(rng.uniform(0, TROUBLE), self._interfere)

    def run(self) -> None:
        """Raises Violation."""
        world = self.world
        world.run(TROUBLE)
        world.network.trouble = 0.0
        if not isinstance(decode(world.store.body or b""), Record) and world.store.body is not None:
            world.store.put(None)  # somebody cleans up what cannot be read
            self.checker.excuse()
        quiet = TROUBLE + LATEST + self.duration
        world.run(quiet)
        limit = self.duration + protocol.margin(self.duration) + 2 * self.poll * 1.2 + 2
        end = quiet
        while not self.checker.is_led():
            end += 0.5
            if end > quiet + limit:
                raise Violation(f"nobody led for {limit:.1f} s of peace")
            world.run(end)

    # -- lives

    def identity(self, process: Process) -> Claimant:
        self._born += 1
        return Claimant(process.name, f"{process.name}/{self._born}")

    def nonce(self) -> str:
        return "%032x" % self.world.rng.getrandbits(128)

    def want(self, wait_timeout: float, takeover: str) -> Want:
        return Want(self.duration, PATIENCE, wait_timeout, self.poll, takeover)

    def daemon(self, process: Process) -> Life:
        """Stays up, watches, leads as long as it can, and watches again. One session for its life."""
        rng = self.world.rng
        me = self.identity(process)
        takeover = rng.choice(("store_clock", "observed"))
        interval = self.duration / 4
        while True:
            try:
                verdict = yield from self.core.acquire(me, self.want(10**6, takeover), process.now(), self.nonce)
            except StoreError:
                continue
            while verdict.is_leader:
                self.checker.leads(process, me, verdict)
                yield Pause(interval * 0.8, interval)
                self.act(process, me)
                held = self.held(verdict)
                if rng.random() < 0.03:
                    yield from self.give_back(process, me, held)
                    yield Pause(self.poll, 2 * self.poll)
                    break
                try:
                    verdict = yield from self.core.renew(me, held, None, process.now(), PATIENCE, self.nonce)
                except StoreError:
                    break
            self.checker.stops(process, me)

    def play(self, process: Process) -> Life:
        """A playbook run: acquires, works, maybe renews, maybe releases. Then comes the next one."""
        rng = self.world.rng
        while True:
            me = self.identity(process)
            try:
                want = self.want(rng.choice((0.0, 0.0, 15.0)), rng.choice(("store_clock", "store_clock", "never")))
                verdict = yield from self.core.acquire(me, want, process.now(), self.nonce)
                for _step in range(rng.randint(1, 4)):
                    if not verdict.is_leader:
                        break
                    self.checker.leads(process, me, verdict)
                    yield Pause(1, self.duration * 0.7)
                    self.act(process, me)
                    choice = rng.random()
                    if choice < 0.1:
                        break
                    if choice < 0.3:
                        verdict = yield from self.core.acquire(me, want, process.now(), self.nonce)
                    else:
                        held = self.held(verdict) if rng.random() < 0.5 else None
                        verdict = yield from self.core.renew(me, held, None, process.now(), PATIENCE, self.nonce)
                if rng.random() < 0.8:
                    yield from self.give_back(process, me, self.held(verdict) if rng.random() < 0.5 else None)
            except StoreError:
                pass
            self.checker.stops(process, me)
            yield Pause(1, 10)

    def give_back(self, process: Process, me: Claimant, held: Held | None) -> Life:
        self.checker.stops(process, me)  # work stops before the lease is given back
        try:
            yield from self.core.release(me, held, process.now(), PATIENCE, self.nonce)
        except StoreError:
            return

    def act(self, process: Process, me: Claimant) -> None:
        """Write to the fenced resource, if the deadline has not passed."""
        belief = self.checker.led_by(me.session)
        if belief:
            term = belief.term
            self.world.after(self.world.rng.expovariate(5), lambda: self.checker.writes(term))

    @staticmethod
    def held(verdict: Verdict) -> Held | None:
        if not verdict.is_leader or verdict.deadline is None or not isinstance(verdict.lease, Seen):
            return None
        return Held(verdict.lease, verdict.deadline)

    # -- disturbances

    def _disturb(self) -> None:
        rng = self.world.rng
        process = rng.choice(self.processes)
        if rng.random() < 0.5:
            self.world.count("crash")
            process.crash(rng.uniform(0.1, 20))
        else:
            self.world.count("pause")
            process.pause(rng.choice((1.0, self.duration, 2 * self.duration)) * rng.uniform(0.5, 1.5))

    def _interfere(self) -> None:
        rng, store = self.world.rng, self.world.store
        if store.time() <= self.checker.highest_term + 1:
            # Terms outlive a deletion where the lease changed hands less than once a second: no more is promised.
            self.world.after(2, self._interfere)
            return
        what = rng.choice(("delete", "corrupt", "break"))
        self.world.count(f"operator: {what}")
        self.world.tell("operator", what)
        if what == "delete":
            store.put(None)
        elif what == "corrupt":
            store.put(b"not a lease")
        else:
            self._break()
        self.checker.excuse()

    def _break(self) -> None:
        found = self.world.store.read(None)
        if isinstance(found, Seen):
            tombstone = protocol.tombstone(Claimant("operator", "operator"), found, "because", self.nonce())
            self.checker.breaking = True
            self.world.store.put(protocol.encode(tombstone))
            self.checker.breaking = False
