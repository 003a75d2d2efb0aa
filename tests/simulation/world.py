# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A world of virtual time: one store that is linearizable, a network that is not kind, and who lives in it.

All times are seconds of true time, but for what a claimant reads on its own clock. Everything that happens follows
from the seed.
"""

from __future__ import annotations

import functools
import hashlib
import heapq
import math
import random
import typing as t

from ansible_collections.leaderelection.s3.plugins.module_utils._lease import record as records
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.steps import (
    Absent,
    Answer,
    Outcome,
    Pause,
    Read,
    Seen,
    Step,
    Unchanged,
    Unknown,
    Written,
)

DRIFT = 0.0004
"""Each clock's rate is within 1 ± this, so that two differ by less than the thousandth that the protocol allows."""
STORE_SKEW = 0.4
"""Seconds that the store's own nodes may disagree by, on top of the grain of 1 s."""
LATEST = 40.0
"""Seconds after which a request that was delayed arrives at the latest."""
STORE_EPOCH = 1_700_000_000.0

Life = t.Generator[Step, Answer, None]


class Clock:
    """A claimant's clock: runs at its own rate from a point of its own."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self.rate = 1 + rng.uniform(-DRIFT, DRIFT)
        self._base = rng.uniform(0, 10**6)

    def now(self) -> float:
        return self._base + self.rate * self._world.now

    def true_time(self, reading: float) -> float:
        """Return the true time at which the clock shows the reading."""
        return (reading - self._base) / self.rate


class Store:
    """One object, changed by one request after the other. Subclassed by mutants."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self.body: bytes | None = None
        self.etag = ""
        self._modified = 0.0
        self.on_commit: t.Callable[[bytes | None, bytes | None], None] = lambda before, after: None

    def time(self) -> float:
        """Return what one of the store's nodes takes for the time, with its grain of 1 s."""
        return float(math.floor(STORE_EPOCH + self._world.now + self._rng.random() * STORE_SKEW))

    def read(self, known: str | None) -> Outcome:
        date = self.time()
        if self.body is None:
            return Absent(date)
        if known == self.etag:
            return Unchanged(date)
        return Seen(decode(self.body), self.etag, self._modified, date)

    def write(self, body: bytes, replaces: str | None) -> Outcome:
        present = self.etag if self.body is not None else None
        if present != replaces:
            return Unknown("412", precondition_failed=True)
        self.put(body)
        return Written(self.etag, self.time())

    def put(self, body: bytes | None) -> None:
        """Change the object, whoever does it; None removes it."""
        before, self.body = self.body, body
        self.etag = "" if body is None else hashlib.md5(body).hexdigest()
        self._modified = self.time()
        self.on_commit(before, body)


_decoded: dict[bytes, t.Any] = {}


def decode(body: bytes) -> t.Any:
    """Decode, remembering: the same few bodies are read again and again."""
    found = _decoded.get(body)
    if found is None:
        if len(_decoded) > 1000:
            _decoded.clear()
        found = _decoded[body] = records.decode(body)
    return found


class Network:
    """Decides what becomes of a request. ``trouble`` is the share of requests that something happens to."""

    FATES = (
        "request lost",
        "request late",
        "answer lost",
        "answer late",
        "request doubled",
        "error before the commit",
        "error after the commit",
    )
    ERRORS = (
        Unknown("500"),
        Unknown("503", throttled=True),
        Unknown("429", throttled=True),
        Unknown("409"),
        Unknown("404"),
        Unknown("412", precondition_failed=True),
    )

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self.trouble = 0.0

    def send(self, request: t.Callable[[], Outcome], answer: t.Callable[[Outcome], None]) -> None:
        """Carry a request to the store, and its answer back; or do something else with them."""
        rng = self._rng
        there = rng.expovariate(30)
        back = rng.expovariate(30)
        if rng.random() >= self.trouble:
            self._world.after(there, lambda: self._process(request, answer, back))
            return
        fate = rng.choice(self.FATES)
        self._world.count(fate)
        late = rng.uniform(0, LATEST)
        if fate == "request late":
            self._world.after(late, lambda: self._process(request, answer, back))
        elif fate == "answer lost":
            self._world.after(there, request)
        elif fate == "answer late":
            self._world.after(there, lambda: self._process(request, answer, late))
        elif fate == "request doubled":
            self._world.after(there, request)
            self._world.after(there + late * rng.random(), lambda: self._process(request, answer, back))
        elif fate == "error before the commit":
            self._world.after(there + back, lambda: answer(rng.choice(self.ERRORS)))
        elif fate == "error after the commit":
            self._world.after(
                there, lambda: self._process(request, lambda _outcome: answer(rng.choice(self.ERRORS)), back)
            )

    def _process(self, request: t.Callable[[], Outcome], answer: t.Callable[[Outcome], None], back: float) -> None:
        outcome = request()
        self._world.after(back, lambda: answer(outcome))


class Process:
    """Lives a life: carries out the steps that it yields. The very protocol that ships is what yields most of them."""

    def __init__(self, world: World, name: str, live: t.Callable[[Process], Life], request_timeout: float) -> None:
        self.world = world
        self.name = name
        self.clock = Clock(world, world.rng)
        self.request_timeout = request_timeout
        self._live = live
        self._life: Life | None = None
        self._turn = 0
        self._paused_until = 0.0

    def now(self) -> float:
        return self.clock.now()

    def start(self) -> None:
        """Be born, with no memory of an earlier life."""
        self._life = self._live(self)
        self._turn += 1
        self._go_on(self._turn, None)

    def crash(self, restart_after: float) -> None:
        """Lose everything but what is on its way already."""
        self.world.tell(self.name, "crashes")
        self._turn += 1
        self._life = None
        self.world.after(restart_after, self.start)

    def pause(self, seconds: float) -> None:
        """Stand still, as by SIGSTOP or a suspend; the clock runs on."""
        self.world.tell(self.name, "stands still for %.1f s" % seconds)
        self._paused_until = max(self._paused_until, self.world.now + seconds)

    def _go_on(self, turn: int, answer: Answer | None) -> None:
        life = self._life
        if turn != self._turn or life is None:
            return
        try:
            step = life.send(answer) if answer else next(life)
        except StopIteration:
            self._life = None
            return
        self._carry_out(step)

    def _carry_out(self, step: Step) -> None:
        # As claimant.drive does, but for the waiting.
        asked = self.now()
        self._turn += 1
        turn = self._turn
        if isinstance(step, Pause):
            seconds = self.world.rng.uniform(step.at_least, step.at_most)
            self._later(seconds / self.clock.rate, turn, Unknown("a pause"), asked)
            return
        seconds = min(self.request_timeout, step.until - asked)
        if seconds <= 0:
            self._later(0, turn, Unknown("there was no time left for a request"), asked)
            return
        store, network = self.world.store, self.world.network
        if isinstance(step, Read):
            send: t.Callable[[], Outcome] = functools.partial(store.read, step.known)
        else:
            send = functools.partial(store.write, step.body, step.replaces)

        def answer(outcome: Outcome) -> None:
            self._resume(turn, outcome, asked)

        self._later(seconds / self.clock.rate, turn, Unknown("no answer"), asked)
        delay = max(0.0, self._paused_until - self.world.now)
        if delay:
            self.world.after(delay, lambda: network.send(send, answer))
        else:
            network.send(send, answer)

    def _later(self, seconds: float, turn: int, outcome: Outcome, asked: float) -> None:
        self.world.after(seconds, lambda: self._resume(turn, outcome, asked))

    def _resume(self, turn: int, outcome: Outcome, asked: float) -> None:
        if turn != self._turn:
            return
        left = self._paused_until - self.world.now
        if left > 0:
            self._later(left, turn, outcome, asked)
            return
        self._go_on(turn, Answer(outcome, asked, self.now()))


class World:
    """Virtual time, and the order in which things happen."""

    def __init__(self, seed: int, trace: bool = False) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.events = 0
        self.counts: dict[str, int] = {}
        self.timeline: list[str] | None = [] if trace else None
        self._heap: list[tuple[float, int, t.Callable[[], t.Any]]] = []
        self._scheduled = 0
        self.store = Store(self, self.rng)
        self.network = Network(self, self.rng)

    def after(self, seconds: float, do: t.Callable[[], t.Any]) -> None:
        self._scheduled += 1
        heapq.heappush(self._heap, (self.now + seconds, self._scheduled, do))

    def run(self, until: float) -> None:
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _number, do = heapq.heappop(heap)
            self.events += 1
            do()
        self.now = until

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def tell(self, who: str, what: str) -> None:
        if self.timeline is not None:
            self.timeline.append("%9.3f  %-8s %s" % (self.now, who, what))
