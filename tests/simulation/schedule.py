# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One schedule: a world by its seed. Some claimants, some faults, and then peace."""

from __future__ import annotations

import functools
import json
import typing as t

from . import core as cores
from .bucket import Bucket, Network
from .checker import Checker, Violation
from .host import NO_SPACE, Surroundings
from .workload import DURATIONS, LONGEST, PATIENCE, POLL, Life
from .world import EPOCH, Process, World

TROUBLE = 15.0
"""Seconds in which faults happen; after them everything that is still on its way arrives, and then all is well."""
TWO_POLLS = 2 * POLL * 1.2
"""Seconds, with the jitter of rule 20."""
LEAST_EVENTS = 200
ROUND_TRIPS = 2.0
"""Seconds that the requests of an acquisition take at most in peace, the retry for a bare ETag among them."""


@functools.cache
def real_core() -> t.Any:
    return cores.load("as it ships")


class Schedule:
    """What follows from a seed."""

    def __init__(self, seed: int, trace: bool = False, core: t.Any = None) -> None:
        """``core`` is what is put to the test: the core that ships, or a mutant of it."""
        self._core = core or real_core()
        self.world = world = World(seed, trace)
        self._bucket = Bucket(world, self._core)
        network = Network(world, self._bucket, self._core)
        self._checker = Checker(world, self._bucket, self._core)
        network.on_send, network.on_success = self._checker.sent, self._checker.succeeded
        self._around = Surroundings(world, self._core, self._bucket, network, self._checker)
        rng = world.rng
        # Seconds for which each process takes the lease. The others find them in its record.
        durations = rng.choices(DURATIONS, k=rng.randint(2, 3))
        self._operators = 0
        self._begin_store()
        network.trouble = rng.choice((0.0, 0.1, 0.3, 0.5))
        self._processes = [
            self._process("daemon" if turn == 0 or rng.random() < 0.5 else "play", turn, duration)
            for turn, duration in enumerate(durations)
        ]
        for process in self._processes:
            world.after(rng.uniform(0, 2), process.begin)
        for _fault in range(rng.randint(0, 4)):
            world.after(rng.uniform(0, TROUBLE), self._disturb)
        for _fault in range(rng.choice((0, 0, 0, 1, 2))):
            world.after(rng.uniform(0, TROUBLE), self._interfere)

    def verdict(self) -> str:
        """Run, and return what was found wrong, or ''."""
        try:
            self._run()
            return ""
        except Violation as violation:
            return str(violation)
        except Exception as error:  # the core must not raise anything
            return f"{type(error).__name__}: {error}"
        finally:
            self.world.end()

    def _run(self) -> None:
        world = self.world
        world.run(TROUBLE)
        self._around.network.trouble = 0.0
        self._clean_up()
        while world.troubled_until > world.now:
            world.run(world.troubled_until)
        if not self._bucket.ignores:
            self._expect_a_leader()
        while world.events < LEAST_EVENTS:
            world.run(world.now + 1)

    def _process(self, kind: str, turn: int, lease_duration: float) -> Process:
        def live(process: Process) -> None:
            getattr(Life(self._around, process, lease_duration), kind)()

        return Process(self.world, f"{kind}-{turn}", live)

    def _begin_store(self) -> None:
        rng, bucket = self.world.rng, self._bucket
        bucket.wants_bare_etags = rng.random() < 0.05
        bucket.ignores = rng.choice(("If-Match", "If-None-Match")) if rng.random() < 0.03 else ""
        self._checker.operator_at_work = True
        beginning = rng.random()
        if beginning < 0.5 and not bucket.ignores:
            bucket.put(self._old_lease(released=beginning < 0.3))
        elif beginning < 0.6:
            until = self._core.record.utc(EPOCH + rng.uniform(-10, 10))
            bucket.put(json.dumps({"holderId": "dotnet", "leaseUntilUtc": until}).encode())
        self._checker.operator_at_work = False

    def _old_lease(self, released: bool) -> bytes:
        """Somebody's who is not there any more."""
        record = self._core.record.Record(
            holder="" if released else "somebody",
            session="somebody",
            term=self.world.rng.choice((1, 41)),
            sequence=7,
            nonce="somebody's",
            lease_duration=LONGEST,
            acquired_at=EPOCH,
            renewed_at=EPOCH,
            lease_until=EPOCH + LONGEST,
            metadata={},
            proof=self._core.record.Proof("", EPOCH) if self.world.rng.random() < 0.8 else None,
        )
        body: bytes = self._core.record.encode(record)
        return body

    # -- what goes wrong

    def _disturb(self) -> None:
        rng = self.world.rng
        process = rng.choice(self._processes)
        seconds = rng.choice((1.0, LONGEST, 2 * LONGEST)) * rng.uniform(0.5, 1.5)
        cut_off = functools.partial(self._around.network.cut_off, process.name)
        rng.choice((process.crash, process.stop, process.suspend, process.jump, cut_off))(seconds)

    def _interfere(self) -> None:
        world, bucket, checker = self.world, self._bucket, self._checker
        if bucket.time() <= checker.highest_term + 1:
            # Terms outlive a deletion where the lease changed hands less than once a second: no more is promised.
            if world.now + 2 < TROUBLE:
                world.after(2, self._interfere)
            return
        what = world.rng.choice(("delete", "corrupt", "break"))
        world.fault(f"operator: {what}", PATIENCE)
        world.tell("operator", what)
        if what == "break":
            self._operators += 1
            self._process("operator", self._operators, LONGEST).begin()
            return
        checker.operator_at_work = True
        if what == "delete":
            self._delete()
        else:
            bucket.put(b"not a lease")
            checker.excuse()
        checker.operator_at_work = False

    def _clean_up(self) -> None:
        """Somebody removes what cannot be read."""
        body = self._bucket.body
        if body is not None and not isinstance(self._core.store.decode(body), self._core.record.Record):
            self._delete()

    def _delete(self) -> None:
        self._bucket.put(None)
        self._around.network.deleted()
        self._checker.excuse()

    # -- peace

    def _expect_a_leader(self) -> None:
        """Somebody leads soon, and when it hands over, somebody does again, sooner."""
        checker, began = self._checker, self.world.now
        protocol = self._core.protocol
        takeover = LONGEST + protocol.margin(LONGEST) + TWO_POLLS + ROUND_TRIPS
        # A watcher may have begun to pause just before, for as long as it ever does between two tries.
        self._expect("somebody leads", protocol.SLOWEST_RETRY + takeover, lambda: checker.led_at > began)
        if NO_SPACE in self.world.faults:  # such a host stays out for a lease duration after it gave the lease back
            self.world.run(self.world.now + PATIENCE + LONGEST)
        daemons = [process for process in self._processes if process.name.startswith("daemon")]
        leader = checker.leader()
        if leader in daemons and len(daemons) > 1 and checker.led_at > checker.lost_at:
            self._expect_a_handover(leader, 2 * takeover)

    def _expect_a_handover(self, leader: Process, seconds: float) -> None:
        checker, asked = self._checker, self.world.now
        leader.stepping_down = True
        # Who was confirmed late may lose the lease before it hears that it is to give it back.
        self._expect("the lease is released", seconds, lambda: max(checker.released_at, checker.lost_at) > asked)
        given_back = checker.released_at
        if given_back > asked:
            self._expect("somebody leads again", TWO_POLLS + ROUND_TRIPS, lambda: checker.led_at > given_back)

    def _expect(self, what: str, seconds: float, is_so: t.Callable[[], bool]) -> None:
        world = self.world
        end = world.now + seconds
        while not is_so():
            if world.now >= end:
                raise Violation(f"it was not so within {seconds:.1f} s of peace that {what}")
            world.run(world.now + 0.25)


def caught(seed: int, core: t.Any = None) -> str:
    """Return what the schedule finds wrong with the core, or ''."""
    return Schedule(seed, core=core).verdict()
