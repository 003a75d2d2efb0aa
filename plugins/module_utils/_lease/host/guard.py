# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The guard stops services that run without a mark, starts a fence that is missing, and keeps the deadlines."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from fnmatch import fnmatchcase
from typing import Dict, Iterator, List, Set

from ..bad_option import BadOption
from ..clock import Clock
from . import config as configuration, fence, leases, runtime, systemd, units
from .config import Config
from .deadlines import Deadlines
from .units import Unit

INTERVAL = 2.0
"""Seconds between two rounds."""


def guard() -> None:
    """Guard all leases of this host, until something unforeseen happens: then systemd starts the guard anew."""
    # In a process of its own, since the guard asks systemd, which may take its time to answer.
    deadlines = multiprocessing.get_context("fork").Process(target=_keep_deadlines, daemon=True)
    deadlines.start()
    watching = Guard()
    while deadlines.is_alive():
        watching.look_around()
        time.sleep(INTERVAL)


def _keep_deadlines() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)
    while True:
        clock.sleep(deadlines.look())


class Guard:
    """Stops services that run without a mark, and starts a fence if the daemon is gone and nobody ends them."""

    def __init__(self) -> None:
        self._strays: Dict[str, Set[str]] = {}
        """Units of each lease that were reported."""
        self._usable: Dict[str, Config] = {}
        self._unusable: Set[str] = set()
        """Leases without a usable configuration, which was reported."""
        self._ending: Dict[str, subprocess.Popen[bytes]] = {}

    def look_around(self) -> None:
        configs = list(self._configs())
        marked = [config for config in configs if os.path.exists(runtime.serving_path_of(config.name))]
        unmarked = [config for config in configs if config not in marked]
        alive = units.busy([fence.DAEMON % config.name for config in marked])
        for config in marked:
            # The usual case is decided without asking systemd.
            led = fence.DAEMON % config.name in alive and fence.leads(config.name)
            if not led and not self._is_being_ended(config.name) and _is_abandoned(config.name):
                self._start_fence(config)
        patterns = [pattern for config in unmarked for pattern in fence.patterns(config)]
        running = [unit for unit in (units.look(patterns) if patterns else None) or [] if _runs(unit)]
        for config in unmarked:
            strays = [unit for unit in running if any(fnmatchcase(unit.name, one) for one in fence.patterns(config))]
            self._stop(config, strays if strays and not _may_serve(config.name) else [])

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
