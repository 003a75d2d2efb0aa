# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A schedule of a lease with slots: some claim one of N, and some of them mean another N (rule 30)."""

from __future__ import annotations

import random
import typing as t

from .checker import Checker, Violation
from .core import MOST_SLOTS
from .host import Surroundings
from .network import Network
from .peace import OPERATION, ROUND_TRIPS
from .schedule import LEAST_EVENTS, Schedule, real_core
from .slots_checker import Across, slot_of
from .slots_workload import PAUSE, RETIRES, Numbers, SlotLife
from .store import Bucket, Request
from .times import GRAIN, Times
from .world import Process, World


class Ways(Network):
    """The way to all slots."""

    def __init__(self, world: World, buckets: dict[int, Bucket], core: t.Any, latest: float) -> None:
        super().__init__(world, buckets[1], core, latest)
        self._buckets = buckets

    def bucket_of(self, request: Request) -> Bucket:
        return self._buckets[slot_of(request)]


class SlotSchedule(Schedule):
    """What follows from a seed."""

    def __init__(self, seed: int, trace: bool = False, core: t.Any = None) -> None:
        self._core = core or real_core()
        self.world = world = World(seed, trace)
        rng = world.rng
        self._times = times = Times(rng, self._core, seed)
        self._numbers = Numbers(rng)
        self._buckets = {slot: Bucket(world, self._core, times.skew) for slot in range(1, MOST_SLOTS + 1)}
        self._bucket = self._buckets[1]
        checkers = {slot: Checker(world, bucket, self._core, times.skew) for slot, bucket in self._buckets.items()}
        self._across = across = Across(world, self._core, checkers)
        network = Ways(world, self._buckets, self._core, times.latest)
        network.on_send, network.on_answer, network.on_hang = across.sent, across.answered_to, across.hangs
        self._around = Surroundings(world, self._core, times, self._bucket, network, t.cast(t.Any, across))
        self._operators = 0
        self._begin_store()
        self._processes: list[Process] = []
        network.trouble = rng.choice((0.0, 0.1, 0.3, 0.5))
        for _turn in range(rng.randint(2, 5)):
            self._begin("play")
        for _fault in range(rng.randint(0, 4)):
            world.after(rng.uniform(0, times.trouble), self._disturb)
        if rng.random() < 0.1:
            world.after(rng.uniform(0, times.trouble), self._interfere)
        self._changes = changes = random.Random(f"{seed} changes")
        for _change in range(4 if changes.random() < 0.2 else 0):
            world.after(changes.uniform(0, times.trouble), self._begin_a_change)

    def _run(self) -> None:
        world, across = self.world, self._across
        world.run(self._times.trouble)
        self._around.network.trouble = 0.0
        while world.troubled_until > world.now:
            world.run(world.troubled_until)
        self._numbers.at_peace = True
        if not self._bucket.is_unsafe:
            self._check_peace()
        while world.events < LEAST_EVENTS:
            world.run(world.now + 1)
        for checker in across.of.values():
            if checker.forgotten:
                raise Violation(checker.forgotten)

    def _check_peace(self) -> None:
        """As many lead as there are slots or contenders; and when one of them goes, another one does instead."""
        world, rng, times, across = self.world, self.world.rng, self._times, self._across
        protocol, longest, number = self._core.protocol, times.longest, self._numbers.peaceful
        waits = 8.0 if times.kind == "brisk" else longest
        # Until then, who was in the middle of a play goes on with it, and may lead in one of another number.
        plays = waits + times.slowest_timeout + protocol.SLOWEST_RETRY + 0.8 * longest + PAUSE
        # Then the last lease of before ends, in each of the slots.
        held_back = times.hold_at_least and times.hold_at_least + 2 * GRAIN
        takeover = max(longest + protocol.margin(longest), held_back)
        # Somebody finds slot 1 free and says how many there are; then the others find theirs.
        poll = times.two_polls + ROUND_TRIPS + MOST_SLOTS * 0.5
        if rng.random() < 0.2:
            self._leave_alone(rng.choice(self._processes))
        several, began = min(number, len(self._processes)), world.now
        self._expect(several, plays + takeover + 3 * poll)
        if len(self._processes) == 1:
            self._begin_a_change()
            world.run(world.now + 2 * takeover + poll)  # that of the change, and the one that is not renewed
            self._expect(several, takeover + poll)
            return
        if number >= len(self._processes) or rng.random() < 0.5:
            return
        world.run(began + plays)
        self._expect(several, takeover + 2 * poll)
        gone = rng.choice(across.leaders())
        self._processes.remove(gone)
        if rng.random() < 0.5:
            gone.kill()
            self._expect(several, takeover + 2 * poll)
        else:
            gone.does = RETIRES
            self._expect(several, longest / 3 + held_back + 2 * poll)

    def _begin_a_change(self) -> None:
        """Take slot 1, as somebody who means another number did that is no more, and has not seen yet who leads."""
        record, bucket, checker = self._core.record, self._bucket, self._across.of[1]
        stood = bucket.body and self._core.store.decode(bucket.body)
        if not stood or not stood.released or not self._across.leaders():
            return
        gone = self.world.rng.random() < 0.5
        others = [number for number in range(1, MOST_SLOTS + 1) if number != stood.slots]
        ghost = stood._replace(
            holder="" if gone else "somebody",
            session="somebody",
            term=stood.term + 1,
            sequence=1 + gone,
            nonce=f"somebody's in {stood.term + 1}",
            proof=None,
            slots=self._changes.choice(others),
            slots_before=stood.slots,
        )
        self.world.tell("somebody", "begins to change the number")
        checker.operator_at_work = True
        bucket.put(record.encode(ghost))
        checker.operator_at_work = False

    def _leave_alone(self, process: Process) -> None:
        """Let all others be no more, whatever they were about to do."""
        for other in self._processes:
            if other is not process:
                other.kill()
        self._processes = [process]

    def _expect(self, several: int, seconds: float) -> None:
        """So many lead soon, of those that are there."""
        world, end = self.world, self.world.now + seconds
        while (
            sum(process in self._processes and process.does != RETIRES for process in self._across.leaders()) < several
        ):
            if world.now >= end:
                raise Violation(f"it was not so within {seconds:.1f} s of peace that {several} lead")
            world.run(world.now + 0.25)

    def _process(self, kind: str, turn: int) -> Process:
        pace = self._times.play()

        def live(process: Process) -> None:
            getattr(SlotLife(self._around, process, pace, self._numbers), kind)()

        return Process(self.world, f"{kind}-{turn}", live)

    def _begin_store(self) -> None:
        rng = self.world.rng
        wants_bare_etags = rng.random() < 0.05
        refuses_bare_etags = not wants_bare_etags and rng.random() < 0.1
        ignores = rng.choice(("If-Match", "If-None-Match")) if rng.random() < 0.02 else ""
        signatures = rng.random()
        for bucket in self._buckets.values():
            bucket.wants_bare_etags, bucket.refuses_bare_etags = wants_bare_etags, refuses_bare_etags
            bucket.ignores = ignores
            bucket.takes_query_signatures, bucket.checks_use_by_dates = signatures < 0.9, signatures > 0.05
        for slot, bucket in self._buckets.items():
            if rng.random() < 0.3:
                self._across.of[slot].operator_at_work = True
                bucket.put(self._old_slot(slot))
                self._across.of[slot].operator_at_work = False

    def _old_slot(self, slot: int) -> bytes:
        """Somebody's who is not there any more, and did not finish to change the number maybe."""
        rng, record = self.world.rng, self._core.record
        old = record.decode(self._old_lease(released=rng.random() < 0.5))
        slots = rng.choice((0, *self._numbers.all, *self._numbers.all))
        changed = slot == 1 and slots and rng.random() < 0.3
        body: bytes = record.encode(
            old._replace(slots=slots, slots_before=rng.randint(1, MOST_SLOTS) if changed else 0)
        )
        return body

    def _interfere(self) -> None:
        self.world.fault("operator: break", OPERATION)
        self.world.tell("operator", "break")
        self._operators += 1
        self._process("operator", self._operators).begin()
