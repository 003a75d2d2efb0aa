# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host of a daemon: what its heartbeat acts on, instead of daemon.py and systemd."""

from __future__ import annotations

import typing as t

from .bucket import Bucket, Network
from .checker import Checker, Violation
from .world import Process, World


class Surroundings(t.NamedTuple):
    """What all processes of a schedule share."""

    world: World
    core: t.Any
    bucket: Bucket
    network: Network
    checker: Checker


def act(around: Surroundings, me: t.Any) -> None:
    """Write to the fenced resource, if the deadline has not passed."""
    belief = around.checker.belief_of(me.session)
    if belief:
        around.world.after(around.world.rng.expovariate(2), lambda: around.checker.acts(belief))


NO_SPACE = "no space left for the leader's file"


class Replaced(Exception):
    """The program goes on as another one."""

    def __init__(self, held: t.Any) -> None:
        super().__init__()
        self.held = held


class Host:
    """One life of a daemon on its host."""

    def __init__(self, around: Surroundings, process: Process, clock: t.Any, me: t.Any) -> None:
        self._around = around
        self._process = process
        self._clock = clock
        self._me = me
        self.held: t.Any = None
        self.until = 0.0
        """When the services have to begin to stop."""
        self.grace = 0.0
        """Seconds that they take for it."""
        self.verdict: t.Any = None
        """Of the last operation."""

    def _happens(self, chance: float) -> bool:
        """In trouble only."""
        return self._around.world.rng.random() < chance * self._around.network.trouble

    def wait(self, seconds: float) -> None:
        heartbeat = self._around.core.host.heartbeat
        if self.held and self._clock.now() >= self.until:
            raise Violation(f"{self._process.name} goes on, and its services can't stop in time (heartbeat)")
        if (self._process.stepping_down and self.held) or self._happens(0.05):
            raise heartbeat.Stop
        if self._happens(0.05):
            raise heartbeat.Reload
        act(self._around, self._me)
        self._clock.sleep(min(seconds, 1.0))

    def listen(self) -> None:
        if self._process.stepping_down and self.held:
            raise self._around.core.host.heartbeat.Stop

    def answered(self, outcome: t.Any) -> None:
        pass

    def trouble(self, why: str) -> None:
        self._around.world.tell(self._process.name, why)

    def promote(self, held: t.Any, until: float) -> None:
        if self._happens(0.05):
            self._around.world.fault(NO_SPACE)
            raise OSError("no space left")
        self.confirmed(held, until)

    def confirmed(self, held: t.Any, until: float) -> None:
        if until > held.lapses_at - self.grace:
            raise Violation(f"{self._process.name} leaves its services no time to stop (heartbeat)")
        self._around.checker.leads(self._process, self._clock, self._me, self.verdict, self.held)
        self.held, self.until = held, until

    def demote(self, why: str) -> None:
        """The services have until the deadline to stop, so until then this host counts as leader."""
        self._around.world.tell(self._process.name, f"leads no more: {why}")

    def serving(self) -> bool:
        if self._happens(0.3):
            return True
        self._around.checker.stops(self._process, self._me)
        return False

    def released(self) -> None:
        self.held = None

    def reload(self, held: t.Any) -> None:
        if not self._happens(0.5):
            raise Replaced(held)
