# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A world of virtual time, and the processes that live in it. Everything that happens follows from the seed."""

from __future__ import annotations

import heapq
import random
import typing as t

import greenlet

from . import machine

DRIFT = 0.0004
"""Each clock's rate is within 1 ± this, so that two differ by less than the thousandth that the protocol allows."""
DAY = 86400.0
EPOCH = 1_700_000_000.0
"""True time 0, in seconds since 1970."""


class World:
    """Virtual time in seconds, and the order in which things happen."""

    def __init__(self, seed: int, trace: bool = False) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.events = 0
        self.faults: dict[str, int] = {}
        self.troubled_until = 0.0
        """When the last fault so far is over, the last late message arrived."""
        self.timeline: list[str] | None = [] if trace else None
        self.remembered: t.Any = None
        """What plays have found out about the store, as long as they remember it."""
        self.hub = greenlet.getcurrent()
        self.processes: list[Process] = []
        self._due: list[tuple[float, int, t.Callable[[], object]]] = []
        self._numbers = 0

    def after(self, seconds: float, do: t.Callable[[], object]) -> None:
        """Let something happen. It answers False where there was nothing left to be done."""
        self._numbers += 1
        heapq.heappush(self._due, (self.now + seconds, self._numbers, do))

    def run(self, until: float) -> None:
        due = self._due
        while due and due[0][0] <= until:
            self.now, _number, do = heapq.heappop(due)
            if do() is not False:
                self.events += 1
        self.now = until

    def end(self) -> None:
        """Kill whoever lives: what waits in a greenlet is never forgotten by itself."""
        for process in self.processes:
            process.kill()

    def fault(self, kind: str, lasts: float = 0.0) -> None:
        self.faults[kind] = self.faults.get(kind, 0) + 1
        self.troubled_until = max(self.troubled_until, self.now + lasts)

    def tell(self, who: str, what: str) -> None:
        """Write a line of the timeline, where somebody wants to read it."""
        if self.timeline is not None:
            self.timeline.append(f"{self.now:9.3f}  {who:<10} {what}")


class _Fiber:
    """A thread of a process."""

    __slots__ = ("greenlet", "turn")

    def __init__(self, target: t.Callable[[], None], hub: greenlet.greenlet) -> None:
        self.greenlet = greenlet.greenlet(target, hub)
        self.turn = 0
        """Counts how often it went on: what was to wake it from an earlier wait wakes it no more."""


class Process:
    """A process on a machine of its own, with the clocks of that machine. What it does in its life is a function."""

    def __init__(self, world: World, name: str, live: t.Callable[[Process], None]) -> None:
        rng = world.rng
        self.world = world
        world.processes.append(self)
        self.name = name
        self.host: t.Any = None
        """Of a daemon."""
        self.does: t.Any = None
        """What it does in its present life."""
        self.connect: t.Callable[[], t.Any]
        """Returns a connection to the store."""
        self.signals: list[int] = []
        """Those that are pending."""
        self._waits_for_signal: t.Callable[[], object] | None = None
        self._live = live
        self._rate = 1 + rng.choice((-DRIFT, DRIFT, rng.uniform(-DRIFT, DRIFT)))
        self._booted = rng.uniform(0, 10**6)
        self._wall_offset = rng.choice((0.0, rng.uniform(-5, 5), rng.uniform(-(10**6), 10**6), rng.choice((-DAY, DAY))))
        self._wall_is_right = False
        self.life = 0
        """Counts its lives."""
        self._still_until = 0.0
        self._threadless_until = 0.0
        self._suspended = 0.0
        """Seconds so far, the last suspend left out."""
        self._suspend: tuple[float, float] = (0.0, 0.0)
        """The last one, from when to when."""
        self._running: _Fiber | None = None
        self._fibers: set[_Fiber] = set()

    # -- its clocks, in seconds

    def boottime(self) -> float:
        """Runs through suspend, at a rate of its own."""
        return self._booted + self._rate * self.world.now

    def monotonic(self) -> float:
        """Stands still in suspend."""
        began, ends = self._suspend
        slept = self._suspended + min(self.world.now, ends) - began
        return self._booted + self._rate * (self.world.now - slept)

    def wall_clock(self) -> float:
        """Wrong by any amount."""
        return EPOCH + self.world.now + self._wall_offset

    def true_time(self, boottime: float) -> float:
        return (boottime - self._booted) / self._rate

    # -- what happens to it

    def begin(self) -> None:
        """Be born, with no memory of an earlier life."""
        self.life += 1
        self.start(lambda: self._live(self))

    def set_clock(self, error: float) -> None:
        """Have a wall clock that is right, but for so many seconds; nobody sets it."""
        self._wall_offset, self._wall_is_right = error, True

    def crash(self, restart_after: float) -> None:
        """Lose everything but what is on its way already."""
        self.world.tell(self.name, "crashes")
        self.world.fault("crash", restart_after)
        self.kill()
        self.world.after(restart_after, self.begin)

    def kill(self) -> None:
        """End its life, with all its threads."""
        self.life += 1
        self.signals.clear()
        machine.Now.process = self
        while self._fibers:
            self._fibers.pop().greenlet.throw()

    @property
    def asleep_until(self) -> float:
        """When the machine's last suspend is over."""
        return self._suspend[1]

    def signal(self, number: int) -> None:
        """Be sent a signal."""
        self.signals.append(number)
        if self._waits_for_signal:
            self.world.after(0, self._waits_for_signal)

    def stop(self, seconds: float) -> None:
        """Stand still, as by SIGSTOP; all clocks run on."""
        self.world.tell(self.name, f"is stopped for {seconds:.1f} s")
        self.world.fault("stop", seconds)
        self._still_until = max(self._still_until, self.world.now + seconds)

    def suspend(self, seconds: float) -> None:
        """Stand still with the whole machine; CLOCK_BOOTTIME alone runs on."""
        began, ends = self._suspend
        if ends > self.world.now:
            return
        self.world.tell(self.name, f"is suspended for {seconds:.1f} s")
        self.world.fault("suspend", seconds)
        self._suspended += ends - began
        self._suspend = self.world.now, self.world.now + seconds
        self._still_until = max(self._still_until, self.world.now + seconds)

    def jump(self, _seconds: float) -> None:
        """Have the wall clock set, to anything."""
        if self._wall_is_right:
            return
        self.world.fault("wall clock jumps")
        self._wall_offset = self.world.rng.choice((self.world.rng.uniform(-(10**6), 10**6), -DAY, DAY))

    def lack_threads(self, seconds: float) -> None:
        """Be unable to start a thread, as where too many hang."""
        self.world.tell(self.name, f"can start no thread for {seconds:.1f} s")
        self.world.fault("no thread can be started for a while", seconds)
        self._threadless_until = self.world.now + seconds

    def stood_still(self, since: float) -> bool:
        """Tell whether it did for a moment, so that nothing that it does has to be in time."""
        return self._still_until > since

    # -- what it may ask of its machine

    def start_thread(self, target: t.Callable[[], None]) -> None:
        """Raises RuntimeError where that is impossible."""
        if self.world.now < self._threadless_until:
            raise RuntimeError("can't start new thread")
        self.start(target)

    def start(self, target: t.Callable[[], None]) -> None:
        fiber = _Fiber(target, self.world.hub)
        self._fibers.add(fiber)
        life, turn = self.life, fiber.turn
        self.world.after(0, lambda: self._go_on(fiber, turn, life))

    def block(self, seconds: float | None = None) -> None:
        """Let the running thread wait until it is woken, or so many seconds of CLOCK_MONOTONIC."""
        if seconds is not None:
            fiber, life, end = self._this_fiber(), self.life, self.monotonic() + seconds
            turn = fiber.turn
            self.world.after(seconds / self._rate, lambda: self._time_out(fiber, turn, life, end))
        self.world.hub.switch()

    def wait_for_signal(self, seconds: float) -> None:
        """Let the running thread wait for one, at most so many seconds."""
        self._waits_for_signal = self.waker()
        self.block(seconds)
        self._waits_for_signal = None

    def end_other_threads(self) -> None:
        """End all but the running thread, as a new program does."""
        running, wake = self._this_fiber(), self.waker()

        def end() -> None:
            machine.Now.process = self
            for fiber in self._fibers - {running}:
                fiber.greenlet.throw()
            self._fibers.intersection_update({running})
            wake()

        self.world.after(0, end)
        self.world.hub.switch()

    def waker(self) -> t.Callable[[], object]:
        """Return what wakes the running thread from the wait that it is about to begin. To be called by the world."""
        fiber, life = self._this_fiber(), self.life
        turn = fiber.turn
        return lambda: self._go_on(fiber, turn, life)

    def _this_fiber(self) -> _Fiber:
        if self._running is None:
            raise RuntimeError("no thread of this process is running")
        return self._running

    def _time_out(self, fiber: _Fiber, turn: int, life: int, end: float) -> bool:
        if turn != fiber.turn or life != self.life:
            return False
        left = end - self.monotonic()
        if left > 1e-6:  # it was suspended meanwhile, or is
            asleep = max(0.0, self._suspend[1] - self.world.now)
            self.world.after(asleep + left / self._rate, lambda: self._time_out(fiber, turn, life, end))
            return False
        return self._go_on(fiber, turn, life)

    def _go_on(self, fiber: _Fiber, turn: int, life: int) -> bool:
        if turn != fiber.turn or life != self.life:
            return False
        if self._still_until > self.world.now:
            self.world.after(self._still_until - self.world.now, lambda: self._go_on(fiber, turn, life))
            return False
        fiber.turn += 1
        self._running = fiber
        machine.Now.process = self
        fiber.greenlet.switch()
        if fiber.greenlet.dead:
            self._fibers.discard(fiber)
        return True
