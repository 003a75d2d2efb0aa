# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One schedule: a world by its seed. Some claimants, some faults, and then peace."""

from __future__ import annotations

import functools
import json
import typing as t

from . import core as cores
from .checker import Checker, Violation
from .connection import ELSEWHERE, HERE
from .host import Host, Surroundings
from .network import Network
from .peace import OPERATION, Peace
from .peer import CLOCK_ERROR, Peer
from .store import Bucket
from .times import Times
from .workload import Life
from .world import DAY, EPOCH, Process, World

LEAST_EVENTS = 200
SETTLED = 5.0
"""Seconds after which a creation is not carried out any more, beyond those that its sender waited for an answer."""


@functools.cache
def real_core() -> t.Any:
    return cores.load("as it ships")


class Schedule:
    """What follows from a seed."""

    def __init__(self, seed: int, trace: bool = False, core: t.Any = None) -> None:
        """``core`` is what is put to the test: the core that ships, or a mutant of it."""
        self._core = core or real_core()
        self.world = world = World(seed, trace)
        rng = world.rng
        self._times = times = Times(rng, self._core, seed)
        self._bucket = Bucket(world, self._core, times.skew)
        network = Network(world, self._bucket, self._core, times.latest)
        self._checker = Checker(world, self._bucket, self._core, times.skew)
        network.on_send, network.on_answer = self._checker.sent, self._checker.answered_to
        network.on_hang = self._checker.hangs
        self._around = Surroundings(world, self._core, times, self._bucket, network, self._checker)
        self._operators = 0
        self._rhythm = 0.0
        """Seconds between two refused reads that go on in peace; 0 without them."""
        self._begin_store()
        self._processes: list[Process] = []
        if self._bucket.checks_first:
            # A race finds it out, but for what others do in between, or for one of the two that comes late.
            self._begin("daemon" if rng.random() < 0.5 else "play")
            network.only_loses()
            network.trouble = rng.choice((0.0, 0.3))
            return
        network.trouble = rng.choice((0.0, 0.1, 0.3, 0.5))
        for turn in range(rng.randint(2, 3)):
            self._begin("daemon" if turn == 0 or rng.random() < 0.5 else "play")
        if rng.random() < 0.1 and times.kind != "long" and not self._bucket.clock_lies:
            self._begin_peer()
        for _fault in range(rng.randint(0, 4)):
            world.after(rng.uniform(0, times.trouble), self._disturb)
        for _fault in range(rng.choice((0, 0, 0, 1, 2))):
            world.after(rng.uniform(0, times.trouble), self._interfere)

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
        world.run(self._times.trouble)
        self._around.network.trouble = 0.0
        self._clean_up()
        if world.rng.random() < 0.15:
            self._go_on_refusing()
        while world.troubled_until > world.now:
            world.run(world.troubled_until)
        if not self._bucket.is_unsafe:
            Peace(self._around, self._processes, self._rhythm).check()
        while world.events < LEAST_EVENTS:
            world.run(world.now + 1)
        if self._checker.forgotten:  # told last: whoever overwrites a lease forgets its terms, and does worse
            raise Violation(self._checker.forgotten)

    def _process(self, kind: str, turn: int) -> Process:
        pace = self._times.play()

        def live(process: Process) -> None:
            getattr(Life(self._around, process, pace), kind)()

        process = Process(self.world, f"{kind}-{turn}", live)
        if kind == "daemon":
            process.host = Host(self._around, process)
        return process

    def _begin(self, kind: str) -> None:
        process = self._process(kind, len(self._processes))
        self._processes.append(process)
        self.world.after(self.world.rng.uniform(0, 2), process.host.boot if process.host else process.begin)

    def _begin_peer(self) -> None:
        peer = Process(self.world, "dotnet-0", lambda process: Peer(self._around, process).live())
        peer.set_clock(self.world.rng.uniform(-CLOCK_ERROR, CLOCK_ERROR))
        self._processes.append(peer)
        self.world.after(self.world.rng.uniform(0, 2), peer.begin)

    def _begin_store(self) -> None:
        rng, bucket = self.world.rng, self._bucket
        bucket.wants_bare_etags = rng.random() < 0.05
        bucket.refuses_bare_etags = not bucket.wants_bare_etags and rng.random() < 0.1
        bucket.ignores = rng.choice(("If-Match", "If-None-Match")) if rng.random() < 0.03 else ""
        bucket.checks_first = not bucket.ignores and rng.random() < 0.02
        signatures = rng.random()
        bucket.takes_query_signatures = signatures < 0.9
        bucket.checks_use_by_dates = signatures > 0.05
        bucket.reads_stale = rng.random() < 0.03
        bucket.clock_lies = rng.random() < 0.03
        if bucket.clock_lies:
            for _step in range(rng.randint(1, 4)):
                self.world.after(rng.uniform(0, self._times.trouble), self._step_clock)
        self._checker.operator_at_work = True
        beginning = rng.random()
        if beginning < 0.5:
            bucket.put(self._old_lease(released=beginning < 0.3))
        elif beginning < 0.6 and not bucket.clock_lies:
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
            lease_duration=self._times.longest,
            acquired_at=EPOCH,
            renewed_at=EPOCH,
            lease_until=EPOCH + self._times.longest,
            metadata={},
            proof=self._old_proof(),
        )
        body: bytes = self._core.record.encode(record)
        return body

    def _old_proof(self) -> t.Any:
        """Of this store, of another one from which the lease was copied, or too old."""
        rng, bucket, proof = self.world.rng, self._bucket, self._core.record.Proof
        drawn = rng.random()
        form = not bucket.wants_bare_etags, bucket.takes_query_signatures and bucket.checks_use_by_dates
        if drawn < 0.6 and not bucket.is_unsafe:
            return proof(HERE, EPOCH, *form)
        if drawn < 0.8:
            return proof(ELSEWHERE, EPOCH, *form)
        return proof(HERE, EPOCH - 1.01 * DAY, *form) if drawn < 0.9 else None

    # -- what goes wrong

    def _disturb(self) -> None:
        rng = self.world.rng
        process = rng.choice(self._processes)
        longest, name, network = self._times.longest, process.name, self._around.network
        seconds = rng.choice((1.0, longest, 2 * longest)) * rng.uniform(0.5, 1.5)
        left = min(seconds, self._times.trouble - self.world.now)  # nobody is asked for anything once all is well
        host = process.host
        rng.choice(
            (
                host.crash if host else process.crash,
                process.stop,
                process.suspend,
                process.jump,
                process.lack_threads,
                functools.partial(network.cut_off, name),
                functools.partial(network.slow_down, name),
                functools.partial(network.refuse_reads, name, every=rng.uniform(0.5, longest)),
            )
        )(seconds)
        if host and self._times.named:
            names = self._times.names
            successor = names.choice([f"daemon-{turn}" for turn in range(3)])
            self.world.after(left * names.random(), functools.partial(host.step_down, successor))
        if host:
            # Where requests are slow, a leader may not look for signals.
            chance = 0.4 if self._times.kind == "slow" else 0.2
            for asked in (host.reload, host.terminate, host.stop_services):
                if rng.random() < chance:
                    self.world.after(left * rng.random(), asked)

    def _go_on_refusing(self) -> None:
        """Refuse a read now and then, for as long as the schedule goes on: whoever watches has to cope."""
        self._rhythm = self.world.rng.uniform(3 * self._times.two_polls, self._times.longest)
        for process in self._processes:
            self._around.network.refuse_reads(process.name, 0.0, self._rhythm)

    def _step_clock(self) -> None:
        """Set the store's clocks, by more than they may be: nobody who observes is harmed (rule 14)."""
        self._bucket.clock_off = self.world.rng.uniform(-1, 1) * self._times.longest
        self.world.fault("the store's clock steps")
        self.world.tell("store", f"its clock is {self._bucket.clock_off:+.1f} s off")

    def _interfere(self) -> None:
        world, bucket, checker = self.world, self._bucket, self._checker
        young = world.now < bucket.created_at + self._times.slowest_timeout + SETTLED
        if bucket.time() <= checker.highest_term + 1 or young:
            # Terms outlive a deletion where the lease changed hands less than once a second, and existed for longer
            # than a creation may be on its way: no more is promised.
            if world.now + 2 < self._times.trouble:
                world.after(2, self._interfere)
            return
        # Where the store's clock lies, the term of a new object may be lower than that of the deleted one.
        what = "break" if bucket.clock_lies else world.rng.choice(("delete", "corrupt", "break"))
        world.fault(f"operator: {what}", OPERATION)
        world.tell("operator", what)
        if what == "break":
            self._operators += 1
            self._process("operator", self._operators).begin()
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
