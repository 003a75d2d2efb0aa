# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The fence and the guard: root's answer to the question whether services of a lease still run on this host.

systemd orders jobs, not states. A start that somebody asks for cancels a stop that is under way, and a stop that fails
or times out counts as done. So the fence does not go by jobs. It removes the mark without which no service starts,
stops what runs, looks, and stops it again, until nothing runs and no job is left. Only then does the daemon give the
lease back.

While the daemon lives, it renews the lease, however long that takes. When the daemon is dead, the lease runs out, and
the fence kills what still runs just before ``stop_grace`` is over.

The guard looks for services that run although no mark allows it, at any time, and stops them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from fnmatch import fnmatchcase
from typing import Dict, Iterator, List, Optional, Set

from . import config as configuration, local, systemd, units
from .clock import Clock
from .config import Config
from .settings import REACTION, BadOption
from .units import Unit
from .wording import plain

LOOK_FIRST, LOOK_LAST = 0.03, 0.3
"""Seconds between two looks at units that are stopping: they grow, since most stop at once."""
STOP_AGAIN = 2.0
"""Seconds after which what still runs is stopped once more."""
SILENCE = 1.0
"""Seconds for which nobody is told what is waited for: most units stop within them."""
GUARD_INTERVAL = 2.0
"""Seconds between two rounds of the guard."""
_SERVING = "s3-leader-serving@%s.service"
"""The unit that makes the mark."""


def end(name: str) -> None:
    """End every unit of the lease, and return when they were seen to have ended, if that takes for ever.

    Raises BadOption where the configuration does not tell the units.
    """
    config = configuration.load(name)
    with _alone(name) as first:
        if first:
            _Ending(config, Clock()).run()


class _Ending:
    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._daemon = "s3-leader@%s.service" % config.name
        # Not the path unit, which is to go on with the daemon where that is restarted.
        own = [_SERVING, "s3-leader-active@%s.target", "s3-leader-acquired@%s.service", "s3-leader-lost@%s.service"]
        self._names = [*(unit % config.name for unit in own), *_patterns(config)]
        self._began = clock.now()
        self._over_since: Optional[float] = None
        """Since when nobody renews the lease for these units any more, by the clock."""
        self._killed: Set[int] = set()
        self._told, self._told_at = "", float("-inf")

    def run(self) -> None:
        try:
            local.remove(local.serving_path_of(self._config.name, "started"))
        except OSError as error:
            _say(self._config, "error", "what is started now is only stopped again: %s" % error, systemd.ERROR)
        left: List[Unit] = []
        stopped_at, pause = float("-inf"), LOOK_FIRST
        while True:
            left = self._left(left)
            if not left:
                break
            now = self._clock.now()
            if now >= stopped_at + STOP_AGAIN:
                units.stop([unit.name for unit in left])
                stopped_at = now
            self._kill(left, now)
            if now >= self._told_at + SILENCE:
                self._tell(left, now)
            self._clock.sleep(pause)
            pause = min(pause * 1.3, LOOK_LAST)
        shutil.rmtree(local.serving_path_of(self._config.name), ignore_errors=True)
        if self._told:
            _say(self._config, "ended", "all services have ended", systemd.NOTICE)

    def _left(self, before: List[Unit]) -> List[Unit]:
        """Return the units that are not gone; those of the last look where systemd does not answer."""
        found = units.look([self._daemon, *self._names])
        if found is None:
            unknown = [Unit(name, "unknown", "systemd does not answer", "", "", "", 0, 0) for name in self._names]
            return before or unknown
        if self._over_since is None and not os.path.exists(local.path_of(self._config.name, "leader")):
            self._over_since = self._clock.now() - _dead_for(found, self._daemon)
        return [unit for unit in found if unit.name != self._daemon and not unit.gone]

    def _is_over(self, seconds: float, now: float) -> bool:
        return self._over_since is not None and now >= self._over_since + seconds

    def _kill(self, left: List[Unit], now: float) -> None:
        """Kill what has outlived its unit, and, in time, all there is, if nobody renews the lease any more."""
        in_time = self._is_over(self._config.stop_grace - REACTION, now)
        for unit in left:
            if not in_time and not unit.at_rest:
                continue
            for pid in units.kill(unit):
                if pid not in self._killed:
                    self._killed.add(pid)
                    why = "the time to stop is over" if in_time else "it outlived its unit"
                    told = "killed %s of %s: %s" % (units.describe(pid), unit.name, why)
                    _say(self._config, "killed", told, systemd.WARNING)

    def _tell(self, left: List[Unit], now: float) -> None:
        """Say what is waited for, to people and to the daemon."""
        services = [unit for unit in left if not unit.name.startswith("s3-leader-")] or left
        told, self._told_at = "waits for the end of " + ", ".join(map(_standing, services)), now
        with contextlib.suppress(OSError):  # there is no folder where no service was to start
            local.write(local.serving_path_of(self._config.name, "waiting"), told)
        late = self._is_over(self._config.stop_grace, now)
        if late:
            told += ". Another host may take the lease, and start its services, before they have ended"
        if now >= self._began + SILENCE and told != self._told:
            self._told = told
            _say(self._config, "waiting", told, systemd.CRITICAL if late else systemd.NOTICE)


def _patterns(config: Config) -> List[str]:
    """Return the services of a lease, as systemctl takes them: a template stands for all its instances."""
    return [service.replace("@.", "@*.") for service in config.services]


def _dead_for(found: List[Unit], name: str) -> float:
    """Return for how many seconds a service has had no main process; 0 where it has one."""
    exits = [unit.exited for unit in found if unit.name == name and not unit.main_pid]
    return max(0.0, time.monotonic() - exits[0]) if exits else 0.0


def _standing(unit: Unit) -> str:
    busy = unit.processes() if unit.at_rest else unit.users()
    kept = ", kept by " + ", ".join(map(units.describe, busy[:3])) if busy else ""
    job = ", with a job" if unit.job and unit.active in ("inactive", "failed") else ""
    return "%s (%s: %s%s%s)" % (unit.name, unit.active, unit.sub, job, kept)


@contextlib.contextmanager
def _alone(name: str, wait: bool = True) -> Iterator[bool]:
    """Let one process at a time end the units of a lease. False where another one has just done so.

    Raises BlockingIOError where another one does so, and wait is false. Only root can open the lock, and nothing is
    written for it: /run may be full.
    """
    path = local.serving_path_of(name, "lock")
    try:
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield True  # no service was to start
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield _is_at(lock, path)
    finally:
        os.close(lock)


def _is_at(file: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


def _say(config: Config, event: str, message: str, priority: int) -> None:
    told = "%s: %s" % (config.name, plain(message))
    fields = dict(S3_LEADER_EVENT=event, S3_LEADER_NAME=config.name, S3_LEADER_LOCATION=config.location)
    systemd.journal(priority, told, **fields)


# -- the guard


def guard() -> None:
    """Look after all leases of this host, for ever."""
    watching = Guard()
    while True:
        watching.look_around()
        time.sleep(GUARD_INTERVAL)


class Guard:
    """Stops what runs without a mark, and has ended what nobody ends although its daemon is gone."""

    def __init__(self) -> None:
        self._strays: Dict[str, Set[str]] = {}
        """Units of each lease that were told of."""
        self._unusable: Set[str] = set()
        self._ending: Dict[str, subprocess.Popen[bytes]] = {}

    def look_around(self) -> None:
        unmarked = []
        for config in self._configs():
            if not os.path.exists(local.serving_path_of(config.name)):
                unmarked.append(config)
            elif not self._is_being_ended(config.name) and _is_abandoned(config.name):
                self._ending[config.name] = subprocess.Popen([sys.argv[0], "fence", config.name])
        patterns = [pattern for config in unmarked for pattern in _patterns(config)]
        running = [unit.name for unit in (units.look(patterns) if patterns else None) or [] if not unit.gone]
        for config in unmarked:
            strays = {unit for unit in running if any(fnmatchcase(unit, pattern) for pattern in _patterns(config))}
            self._stop(config, strays if strays and not _may_serve(config.name) else set())

    def _configs(self) -> Iterator[Config]:
        for name in configuration.names():
            try:
                yield configuration.load(name)
                self._unusable.discard(name)
            except BadOption as error:
                if name not in self._unusable:
                    systemd.journal(systemd.ERROR, "%s: its services are not looked after: %s" % (name, error))
                self._unusable.add(name)

    def _is_being_ended(self, name: str) -> bool:
        child = self._ending.get(name)
        return child is not None and child.poll() is None

    def _stop(self, config: Config, strays: Set[str]) -> None:
        if strays:
            units.stop(sorted(strays))
        for unit in sorted(strays - self._strays.get(config.name, set())):
            told = "%s ran here without the lease, and is stopped: see systemctl status %s" % (unit, unit)
            _say(config, "stray", told, systemd.CRITICAL)
        self._strays[config.name] = strays


def _leads(name: str) -> bool:
    """The daemon leads, and services may start."""
    return os.path.exists(local.path_of(name, "leader")) and os.path.exists(local.serving_path_of(name, "started"))


def _begins(name: str) -> bool:
    """The mark is being made. Where systemd does not tell, it may be."""
    found = units.look([_SERVING % name])
    return found is None or any(unit.job or unit.active == "activating" for unit in found)


def _is_abandoned(name: str) -> bool:
    """Services may run, the daemon does not lead, and nobody ends them: somebody has killed the fence."""
    if _leads(name) or _begins(name) or _leads(name):
        return False
    try:
        with _alone(name, wait=False) as first:
            return first
    except BlockingIOError:
        return False


def _may_serve(name: str) -> bool:
    """There is a mark now, or will be: the jobs of services are there before it is."""
    return _begins(name) or os.path.exists(local.serving_path_of(name))
