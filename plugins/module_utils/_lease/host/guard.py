# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The guard: it stops services that run without a mark, starts a fence that is missing, and kills what still runs when
the time of a lease is over.

The fence kills it, too, but counts from when systemd saw the daemon end. On a host that was paused, or is short of
processor time, that is later than when the daemon could lead no more. The guard goes by the time that the daemon has
published, and need not be started first.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from fnmatch import fnmatchcase
from typing import Dict, Iterator, List, Sequence, Set

from ..bad_option import BadOption
from ..clock import Clock
from ..settings import REACTION
from . import config as configuration, fence, leases, runtime, systemd, units
from .config import Config
from .units import Unit

INTERVAL = 2.0
"""Longest time between two rounds, in seconds."""
SOON = 0.05
"""Shortest time between two rounds, in seconds."""


def guard() -> None:
    """Guard all leases of this host, forever."""
    clock = Clock()
    watching = Guard(clock)
    while True:
        clock.sleep(watching.look_around())


class Guard:
    """Stops services that run without a mark, starts a fence if the daemon is gone and nobody ends them, and kills what
    runs when their time is over.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: Dict[str, float] = {}
        """When the services of each marked lease have to begin to stop, as published last."""
        self._killed: Dict[str, Set[int]] = {}
        """Processes of each marked lease that were killed and reported."""
        self._strays: Dict[str, Set[str]] = {}
        """Units of each lease that were reported."""
        self._usable: Dict[str, Config] = {}
        self._unusable: Set[str] = set()
        """Leases without a usable configuration, which was reported."""
        self._ending: Dict[str, subprocess.Popen[bytes]] = {}

    def look_around(self) -> float:
        """Return the seconds until the next round."""
        configs = list(self._configs())
        marked = [config for config in configs if os.path.exists(runtime.serving_path_of(config.name))]
        unmarked = [config for config in configs if config not in marked]
        alive = units.busy([fence.DAEMON % config.name for config in marked])
        self._end_in_time(marked, alive)
        for config in marked:
            # The usual case is decided without asking systemd.
            led = fence.DAEMON % config.name in alive and fence.leads(config.name)
            if not led and not self._is_being_ended(config.name):
                if _is_abandoned(config.name):
                    self._start_fence(config)
                self._end_in_time(marked, alive)  # systemd may have taken its time to answer
        patterns = [pattern for config in unmarked for pattern in fence.patterns(config)]
        running = [unit for unit in (units.look(patterns) if patterns else None) or [] if _runs(unit)]
        for config in unmarked:
            strays = [unit for unit in running if any(fnmatchcase(unit.name, one) for one in fence.patterns(config))]
            self._stop(config, strays if strays and not _may_serve(config.name) else [])
        return max(SOON, min(INTERVAL, self._end_in_time(marked, alive)))

    def _configs(self) -> Iterator[Config]:
        for name in leases.names():
            try:
                self._usable[name] = configuration.load(name)
            except BadOption as error:  # the last usable one still applies: the daemon uses it, too
                if name not in self._usable and name not in self._unusable:
                    systemd.journal(systemd.ERROR, "%s: its services are not guarded: %s" % (name, error))
                    self._unusable.add(name)
            if name in self._usable:
                yield self._usable[name]

    def _end_in_time(self, marked: Sequence[Config], alive: Set[str]) -> float:
        """Kill what runs of the leases whose time to stop is over. Return the seconds until this may be due again."""
        names = {config.name for config in marked}
        for known in (self._until, self._killed):
            for name in known.keys() - names:
                del known[name]
        wait = INTERVAL
        for config in marked:
            left = self._due(config) - self._clock.now()
            if left > 0:
                wait = min(wait, left)
            elif not (fence.DAEMON % config.name in alive and fence.has_leader(config.name)):
                self._kill(config)  # not while a leader lives: it may renew, and be unable to write that down
        return wait

    def _due(self, config: Config) -> float:
        """Return when to kill what still runs, or a time before which that need not be known."""
        published = runtime.leads_until(config.name)
        if published is not None:
            self._until[config.name] = published
        until = self._until.get(config.name, float("inf"))
        if self._clock.now() < until:
            return until
        with contextlib.suppress(BadOption):
            config = fence.config_at_start(config.name)
        return until + config.stop_grace - REACTION

    def _kill(self, config: Config) -> None:
        with contextlib.suppress(OSError):  # then the fence says so
            fence.close(config.name)
        names = fence.units_of(config)
        self._kill_processes(config, units.guess(names))  # by control groups first: systemd may be busy
        mounts = [name for name in names if name.endswith(".mount")]
        self._kill_processes(config, (units.look(mounts) if mounts else None) or [])

    def _kill_processes(self, config: Config, found: Sequence[Unit]) -> None:
        told = self._killed.setdefault(config.name, set())
        for unit in found:
            for pid, described in units.kill(unit).items():
                if pid not in told:
                    told.add(pid)
                    fence.tell_killed(config, unit.name, described, fence.OVER)

    def _start_fence(self, config: Config) -> None:
        command = [sys.argv[0], "fence", "--abandoned", config.name]
        try:
            self._ending[config.name] = subprocess.Popen(command)
        except OSError as error:
            text = "its services may still run, and nothing ends them: %s" % error
            fence.say(config, "error", text, systemd.CRITICAL)

    def _is_being_ended(self, name: str) -> bool:
        child = self._ending.get(name)
        return child is not None and child.poll() is None

    def _stop(self, config: Config, strays: List[Unit]) -> None:
        if strays:
            units.stop([unit.name for unit in strays])
        for unit in strays:
            if unit.at_rest:  # only processes are left
                units.kill(unit)
            if unit.name not in self._strays.get(config.name, set()):
                text = "%s ran here without the lease, and is stopped: see systemctl status %s" % (unit.name, unit.name)
                fence.say(config, "stray", text, systemd.CRITICAL)
        self._strays[config.name] = {unit.name for unit in strays}


def _runs(unit: Unit) -> bool:
    """Tell whether it runs, starts, or left processes behind.

    A unit that only waits to start cannot start without a mark.
    """
    return unit.active not in ("inactive", "failed") or bool(unit.processes())


def _is_abandoned(name: str) -> bool:
    """Tell whether services may run, the daemon does not lead, and nobody ends them: the fence was killed."""
    if not fence.is_unled(name):
        return False
    try:
        with fence.alone(name, wait=False) as first:
            return first
    except BlockingIOError:
        return False


def _may_serve(name: str) -> bool:
    """Tell whether there is a mark, or will be: the services' jobs exist before the mark does."""
    return fence.begins(name) or os.path.exists(runtime.serving_path_of(name))
