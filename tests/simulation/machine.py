# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the core takes for its operating system: each call is made in the name of the process that runs just now.

A process of the world is a set of greenlets: what would block switches back to the world, which goes on with
whatever is due next.
"""

from __future__ import annotations

import contextlib
import typing as t

if t.TYPE_CHECKING:
    from .world import Process


class Now:
    """Who runs just now. There is one world at a time."""

    process: Process


class Time:
    """The module time."""

    CLOCK_MONOTONIC = 1
    CLOCK_BOOTTIME = 7

    @staticmethod
    def clock_gettime(clock: int) -> float:
        process = Now.process
        return process.boottime() if clock == Time.CLOCK_BOOTTIME else process.monotonic()

    @staticmethod
    def time() -> float:
        return Now.process.wall_clock()

    @staticmethod
    def sleep(seconds: float) -> None:
        Now.process.block(seconds)


class Random:
    """The module random."""

    @staticmethod
    def uniform(low: float, high: float) -> float:
        return Now.process.world.rng.uniform(low, high)


class Secrets:
    """The module secrets."""

    @staticmethod
    def token_hex(count: int) -> str:
        return "%0*x" % (2 * count, Now.process.world.rng.getrandbits(8 * count))


class _Thread:
    def __init__(self, target: t.Callable[..., None], daemon: bool, args: t.Sequence[t.Any] = ()) -> None:
        self._target = target
        self._args = args
        self._ended = _Event()

    def start(self) -> None:
        Now.process.start(self._run)

    def join(self, timeout: float) -> None:
        self._ended.wait(timeout)

    def _run(self) -> None:
        self._target(*self._args)
        self._ended.set()


class _Event:
    def __init__(self) -> None:
        self._is_set = False
        self._wake: t.Callable[[], object] | None = None

    def set(self) -> None:
        self._is_set = True
        if self._wake:
            Now.process.world.after(0, self._wake)

    def wait(self, timeout: float) -> bool:
        if not self._is_set:
            process = Now.process
            self._wake = process.waker()
            process.block(timeout)
            self._wake = None
        return self._is_set


class _BrokenBarrier(Exception):
    """The barrier was aborted, or somebody waited for too long."""


class _Barrier:
    def __init__(self, parties: int) -> None:
        self._parties = parties
        self._waiting: list[_Event] = []
        self._broken = False

    def wait(self, timeout: float) -> None:
        own = _Event()
        self._waiting.append(own)
        if len(self._waiting) == self._parties:
            self._release()
        elif self._broken or not own.wait(timeout):
            self.abort()
        if self._broken:
            raise _BrokenBarrier

    def abort(self) -> None:
        if len(self._waiting) < self._parties:
            self._broken = True
            self._release()

    def _release(self) -> None:
        for one in self._waiting:
            one.set()


class Threading:
    """The module threading, as far as the core uses it."""

    Thread = _Thread
    Event = _Event
    Barrier = _Barrier
    BrokenBarrierError = _BrokenBarrier


@contextlib.contextmanager
def run_as(process: Process) -> t.Iterator[None]:
    """Let this process be the one that runs, for a moment."""
    before, Now.process = Now.process, process
    try:
        yield
    finally:
        Now.process = before
