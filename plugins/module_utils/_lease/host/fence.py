# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The fence ends all services of a lease on this host, as root, and makes sure that none is left.

systemd orders jobs, not states. A new start request cancels a stop in progress, and a stop that fails or times out
counts as done. So the fence does not rely on jobs. It removes the file ``started``, without which no service starts,
stops what runs, looks at the units, and stops again what still runs, until nothing runs and no job is left. Only then
does the daemon give the lease back.

While the daemon lives, it renews the lease, however long that takes. When the daemon is dead, the lease expires, and
the fence kills what still runs just before ``stop_grace`` ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from dataclasses import replace
from typing import Dict, Iterator, List, Mapping, Optional, Set

from ..bad_option import BadOption
from ..clock import Clock
from ..settings import REACTION
from ..wording import plain
from . import config as configuration, runtime, systemd, units
from .config import Config
from .units import Unit

LOOK_FIRST, LOOK_LAST = 0.03, 0.3
"""Seconds between two looks at stopping units. The pause grows from the first to the last: most units stop at once."""
IDLE = 5
"""The pause after a look is at least this many times as long as the look took: systemd runs no job while it answers
requests, and the fences of many leases could keep it busy."""
PAUSE_MOST = 5.0
"""Longest pause in seconds. It is also at most a quarter of stop_grace, to notice in time that the daemon died."""
DUE = 0.2
"""Seconds to wait for systemctl when it is time to kill what still runs."""
STOP_AGAIN = 2.0
"""Seconds after which what still runs is stopped again."""
SILENCE = 1.0
"""Seconds before the fence reports what it waits for: most units stop within them."""
DAEMON, _PATH = "s3-leader@%s.service", "s3-leader-active@%s.path"
_SERVING = "s3-leader-serving@%s.service"
"""The unit that creates the mark."""
_OWN = (_SERVING, "s3-leader-active@%s.target", "s3-leader-acquired@%s.service", "s3-leader-lost@%s.service")
OVER = "the time to stop is over"


def end(name: str, abandoned: bool = False) -> None:
    """End every unit of the lease, and return once all were seen to have ended, even if that takes forever.

    With ``abandoned``, only if nobody else does so. Raises BadOption if no configuration names the units, OSError if
    the mark cannot be removed.
    """
    config = config_at_start(name)
    with alone(name) as first:
        if first and not (abandoned and not is_unled(name)):
            _Ending(config, Clock()).run()


def config_at_start(name: str) -> Config:
    """Return the configuration merged with the one that the services were started with: the role may have changed it.

    The result has all services of both, and the shortest stop_grace.
    """
    found: List[Config] = []
    with contextlib.suppress(BadOption):
        found.append(configuration.load(name, runtime.serving_path_of(name, "lease.json")))
    try:
        found.append(configuration.load(name))
    except BadOption:
        if not found:
            raise
    services = list(dict.fromkeys(service for config in found for service in config.services))
    graces = [config.stop_grace for config in found] + _grace_of_daemon(name)
    return replace(found[-1], services=services, stop_grace=min(graces))


def _grace_of_daemon(name: str) -> List[float]:
    """Return the stop_grace that the daemon uses, if it has written it down: its configuration may be older."""
    path = runtime.serving_path_of(name, "leader")
    with contextlib.suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
        found = re.search(r'^S3_LEADER_STOP_GRACE="([0-9]{1,4}(?:\.[0-9]{1,9})?)"$', file.read(), re.MULTILINE)
        return [max(1.0, float(found.group(1)))] if found else []
    return []


class _Ending:
    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._daemon = DAEMON % config.name
        self._path = _PATH % config.name
        self._names = units_of(config)
        self._began = clock.now()
        self._over_since: Optional[float] = None
        """Since when, by the clock, nobody renews the lease for these units any more."""
        self._left_alone: Dict[int, float] = {}
        """Processes that outlived their units, and when each was first asked to end."""
        self._killed: Set[int] = set()
        self._has_killed = False
        """Whether everything that ran when the time to stop was over has been killed once."""
        self._stopped_at = float("-inf")
        self._said, self._said_at = "", float("-inf")

    def run(self) -> None:
        pause = LOOK_FIRST
        self._write_waiting("begins to stop its services")  # before "started" is removed, or the daemon would not wait
        while True:
            self._close()
            asked_at = self._clock.now()
            left = self._look()
            took = self._clock.now() - asked_at
            if not left and self._is_closed():  # nothing could start during or since the look
                break
            self._kill(left)
            self._stop(left)
            if self._clock.now() >= self._said_at + SILENCE:
                self._tell(left)
            self._wait(left, min(max(pause, IDLE * took), self._most()))
            pause = min(pause * 1.3, LOOK_LAST)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(runtime.serving_path_of(self._config.name))
        if self._said:
            say(self._config, "ended", "all services have ended", systemd.NOTICE)

    def _close(self) -> None:
        """Keep services from starting any more."""
        try:
            close(self._config.name)
        except OSError as error:
            if not self._said:
                self._said = "services can still start, and are then stopped again: %s" % error
                say(self._config, "error", self._said, systemd.ERROR)

    def _is_closed(self) -> bool:
        return not os.path.exists(runtime.serving_path_of(self._config.name, "started"))

    def _look(self) -> List[Unit]:
        """Return the units that are not gone."""
        leads, asked_at = has_leader(self._config.name), self._clock.now()
        found = units.look([self._daemon, self._path, *self._names], self._patience())
        dead_for = None if found is None else _dead_for(found, self._daemon)
        leads = leads and (found is not None or not has_no_process(self._daemon))
        if self._over_since is None and (dead_for is not None or not leads):
            self._over_since = asked_at if dead_for is None else self._clock.now() - dead_for
        if found is None:
            return units.guess(self._names)
        # The path unit stays for a daemon that is restarted, but must not start again what is being ended.
        return [
            unit
            for unit in found
            if unit.name != self._daemon
            and not unit.gone
            and (unit.name != self._path or (unit.active == "active" and leads))
        ]

    def _wait(self, left: List[Unit], seconds: float) -> None:
        """Wait this long, or until the last process of these units has ended, which needs no request to systemd."""
        end = self._clock.now() + seconds
        busy = [unit for unit in left if unit.processes()]
        while self._clock.now() < end:
            self._clock.sleep(min(LOOK_FIRST if busy else seconds, end - self._clock.now()))
            if busy and not any(unit.processes() for unit in busy):
                return

    def _kill_in(self) -> float:
        """Return the seconds until everything that still runs must be killed."""
        if self._over_since is None or self._has_killed:
            return float("inf")
        return max(0.0, self._over_since + self._config.stop_grace - REACTION - self._clock.now())

    def _most(self) -> float:
        """Return the seconds that a pause may last."""
        return min(PAUSE_MOST, self._config.stop_grace / 4, self._kill_in())

    def _patience(self) -> float:
        """Return the seconds to wait for systemctl."""
        return min(units.PATIENCE, max(DUE, self._kill_in()))

    def _is_over(self, seconds: float) -> bool:
        return self._over_since is not None and self._clock.now() >= self._over_since + seconds

    def _stop(self, left: List[Unit]) -> None:
        # Not units that are stopping: if a service is being aborted, systemd would begin its stop anew.
        running = [unit.name for unit in left if unit.active != "deactivating"]
        if running and self._clock.now() >= self._stopped_at + STOP_AGAIN:
            self._stopped_at = self._clock.now()
            units.stop(running, self._patience())

    def _kill(self, left: List[Unit]) -> None:
        """End processes that outlived their unit. If nobody renews the lease any more, kill everything in time."""
        over = self._is_over(self._config.stop_grace - REACTION)
        self._has_killed = self._has_killed or over
        for unit in left:
            if over:
                tell_killed(self._config, unit, units.kill(unit), OVER, self._killed)
            elif unit.at_rest:
                now = self._clock.now()
                asked = [self._left_alone.setdefault(pid, now) for pid in units.terminate(unit)]
                if asked and now >= min(asked) + self._config.stop_grace:
                    tell_killed(self._config, unit, units.kill(unit), "it outlived its unit", self._killed)

    def _tell(self, left: List[Unit]) -> None:
        """Report what the fence waits for, to people and to the daemon."""
        services = [unit for unit in left if not unit.name.startswith("s3-leader-")] or left
        text, self._said_at = "waits for the end of " + ", ".join(map(_standing, services)), self._clock.now()
        self._write_waiting(text)
        late = self._is_over(self._config.stop_grace)
        if late:
            text += ". Another host may take the lease, and start its services, before they have ended"
        if self._said_at >= self._began + SILENCE and text != self._said:
            self._said = text
            say(self._config, "waiting", text, systemd.CRITICAL if late else systemd.NOTICE)

    def _write_waiting(self, text: str) -> None:
        with contextlib.suppress(OSError):  # no service was to start, so there is no folder; or the disk is full
            # Processes choose their names, which end up on root's terminal.
            runtime.write(runtime.serving_path_of(self._config.name, "waiting"), plain(text))


def units_of(config: Config) -> List[str]:
    """Return the units that have to be gone before the lease is given back, as patterns for systemctl."""
    return [*(unit % config.name for unit in _OWN), *patterns(config)]


def patterns(config: Config) -> List[str]:
    """Return the services of a lease as patterns for systemctl: a template stands for all its instances. The commands
    that run under it count as a service, too.
    """
    return [*(service.replace("@.", "@*.") for service in config.services), slice_of(config.name)]


def slice_of(name: str) -> str:
    """Return the slice in which s3-leader exec runs the commands of a lease. In its name, a dash would mean a slice
    above it. No lease has a dot in its name.
    """
    return "s3leader-%s.slice" % name.replace("-", ".")


def _dead_for(found: List[Unit], name: str) -> Optional[float]:
    """Return how long a service has not been running, in seconds; None while it runs."""
    for unit in found:
        if unit.name == name and unit.active not in ("active", "reloading") and unit.sub != "start":
            return max(0.0, time.monotonic() - unit.left) if unit.left else 0.0
    return None


def _standing(unit: Unit) -> str:
    busy = (unit.processes() if unit.at_rest else []) or unit.users()
    kept = ", kept by " + ", ".join(map(units.describe, busy[:3])) if busy else ""
    job = ", with a job pending" if unit.job and unit.active in ("inactive", "failed") else ""
    return "%s (%s: %s%s%s)" % (unit.name, unit.active, unit.sub, job, kept)


def close(name: str) -> None:
    """Keep services of the lease from starting any more. Raises OSError."""
    runtime.remove(runtime.serving_path_of(name, "started"))


@contextlib.contextmanager
def alone(name: str, wait: bool = True) -> Iterator[bool]:
    """Let only one process at a time end the units of a lease. Yield False if another one has just done so.

    Raises BlockingIOError if another one is doing so and ``wait`` is false. Only root can open the lock. Locking writes
    nothing, so that it works when /run is full. Without a lock file, no service was to start.
    """
    path = runtime.serving_path_of(name, "lock")
    try:
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield True
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


def tell_killed(config: Config, unit: Unit, killed: Mapping[int, str], why: str, told: Set[int]) -> None:
    """Report the processes that were killed, each once: what cannot be killed yet is killed again and again."""
    for pid, described in killed.items():
        if pid not in told:
            told.add(pid)
            say(config, "killed", "killed %s of %s: %s" % (described, unit.name, why), systemd.WARNING)


def say(config: Config, event: str, message: str, priority: int) -> None:
    text = "%s: %s" % (config.name, plain(message))
    fields = dict(S3_LEADER_EVENT=event, S3_LEADER_NAME=config.name, S3_LEADER_LOCATION=config.location)
    systemd.journal(priority, text, **fields)


def has_no_process(unit: str) -> bool:
    """Tell whether the unit has no process, by control groups if they are visible: systemd may not answer."""
    return units.sees_groups() and not units.busy([unit])


def _is_dead(name: str) -> bool:
    """Tell whether the daemon has ended. Its files in /run do not tell: a hanging systemd does not remove them."""
    found = units.look([DAEMON % name])
    return has_no_process(DAEMON % name) if found is None else _dead_for(found, DAEMON % name) is not None


def has_leader(name: str) -> bool:
    """Tell whether the daemon says that it leads."""
    return os.path.lexists(runtime.path_of(name, "leader"))


def leads(name: str) -> bool:
    """Tell whether the daemon leads and services may start."""
    return has_leader(name) and os.path.exists(runtime.serving_path_of(name, "started"))


def begins(name: str) -> bool:
    """Tell whether the mark is being created. True if systemd does not answer."""
    found = units.look([_SERVING % name])
    return found is None or any(unit.job or unit.active == "activating" for unit in found)


def is_unled(name: str) -> bool:
    """Tell whether services may run while the daemon neither leads nor is about to."""
    return not (leads(name) or begins(name) or leads(name)) or _is_dead(name)
