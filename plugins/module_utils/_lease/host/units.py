# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What root sees of units, and does to them: their state by systemctl, their processes by their control groups."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from fnmatch import fnmatchcase
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set

from . import mounts

PATIENCE = 2.0
"""Seconds to wait for systemctl: a systemd that is busy answers later."""
_CGROUPS = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup")
"""Where systemd's control groups are mounted: version 1, version 2."""
_PROC = "/proc"
_PROPERTIES = (
    "Id",
    "ActiveState",
    "SubState",
    "Job",
    "ControlGroup",
    "Where",
    "What",
    "ExecMainExitTimestampMonotonic",
    "ActiveExitTimestampMonotonic",
)


class Unit(NamedTuple):
    """What systemctl show says of a unit."""

    name: str
    active: str
    """ActiveState, like "deactivating"."""
    sub: str
    """SubState, like "stop-sigterm"."""
    job: str
    """The number of its job, '' without one."""
    group: str
    """Its control group, '' without one."""
    place: str
    """Where a mount unit is mounted."""
    source: str
    """What it mounts; while it does not, as its file says."""
    left: float
    """When it was active last, or its main process ended, in seconds of CLOCK_MONOTONIC; 0 where it never was."""

    @property
    def at_rest(self) -> bool:
        """It does not run, and nothing is about to change that. Processes of it may be left."""
        return self.active in ("inactive", "failed") and not self.job

    @property
    def gone(self) -> bool:
        return self.at_rest and not self.processes() and not self.users()

    def processes(self) -> List[int]:
        """Return all processes of the unit, those that outlived it included."""
        return list(_members(self.group))

    def users(self) -> List[int]:
        """Return the processes, of whatever unit, that keep a mount busy; once it is unmounted, those that still have
        its file system, in a namespace of their own.
        """
        if not self.place:
            return []
        return list(mounts.keepers(self.source) if self.at_rest else mounts.users(self.place))


def look(names: Sequence[str], patience: float = PATIENCE) -> Optional[List[Unit]]:
    """Return the units of these names and patterns; None where systemd does not answer within these seconds.

    Of a pattern, systemctl shows no unit that is inactive, though processes of it may be left: their groups tell.
    """
    groups = _groups([name for name in names if "*" in name])
    # In a pattern, some versions of systemd take a backslash as it is, and others let it quote what follows.
    asked = dict.fromkeys([*names, *(name.replace("\\", "\\\\") for name in names if "*" in name)])
    shown = _systemctl(patience, "show", "--property=" + ",".join(_PROPERTIES), "--", *asked)
    if shown is None:
        return None
    found = {unit.name: unit for unit in map(_unit, filter(str.strip, shown.split("\n\n")))}
    return [*found.values(), *(_unknown(name, groups[name]) for name in groups if name not in found)]


def guess(names: Sequence[str]) -> List[Unit]:
    """Return what the control groups tell of units while systemd does not answer: none of them counts as gone."""
    groups = _groups(names)
    return [_unknown(name, groups.get(name, ""), "unknown") for name in dict.fromkeys([*names, *groups])]


def busy(names: Sequence[str]) -> Set[str]:
    """Return those of these names whose units have processes. systemd is not asked."""
    return {name for name, group in _groups(names).items() if any(_members(group))}


def sees_groups() -> bool:
    """Tell whether control groups are where this module looks for them: it finds the one of this process."""
    return bool(busy([os.path.basename(_group_of("self"))]))


def stop(names: Sequence[str], patience: float = PATIENCE) -> None:
    """Have systemd stop them, and do not wait for it. A start that somebody asked for is called off."""
    _systemctl(patience, "stop", "--no-block", "--", *names)


def kill(unit: Unit) -> List[int]:
    """Kill the unit's processes, and who keeps its mount busy. Return them.

    Not through systemd, which may wait for one of them itself.
    """
    return _send(signal.SIGKILL, [*unit.processes(), *unit.users()])


def terminate(unit: Unit) -> List[int]:
    """Ask the unit's processes to end. Return them."""
    return _send(signal.SIGTERM, unit.processes())


def describe(pid: int) -> str:
    """Return a process for people, with the state that tells whether it can be killed at all."""
    try:
        with open(os.path.join(_PROC, str(pid), "stat"), encoding="utf-8", errors="replace") as file:
            name, _parenthesis, rest = file.read().partition("(")[2].rpartition(")")
    except OSError:
        return "process %d" % pid
    return "process %d (%s, state %s)" % (pid, name, rest.split()[0])


def _send(number: signal.Signals, pids: Sequence[int]) -> List[int]:
    found = sorted({*pids} - {0, 1, os.getpid()})  # 0: of another namespace
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return found


def _systemctl(patience: float, *arguments: str) -> Optional[str]:
    try:
        done = subprocess.run(
            ["systemctl", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # that a unit can still be activated by a socket, for example
            encoding="utf-8",
            errors="replace",
            timeout=patience,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _unit(block: str) -> Unit:
    shown: Dict[str, str] = dict(line.partition("=")[::2] for line in block.splitlines())
    return Unit(
        name=shown.get("Id", ""),
        active=shown.get("ActiveState", ""),
        sub=shown.get("SubState", ""),
        job="" if shown.get("Job") == "0" else shown.get("Job", ""),
        group=shown.get("ControlGroup", ""),
        place=shown.get("Where", ""),
        source=shown.get("What", ""),
        left=max(int(shown.get(name) or 0) for name in _PROPERTIES[-2:]) / 1e6,
    )


def _unknown(name: str, group: str, active: str = "inactive") -> Unit:
    return Unit(name, active, "systemd does not tell", "", group, "", "", 0.0)


def _members(group: str) -> Iterator[int]:
    if not group.strip("/"):
        return  # the root has everybody in it
    # systemd 239 may print a backslash as \x5c.
    for path in [_top() + name for name in (group, group.replace("\\x5c", "\\"))]:
        if os.path.isdir(path):
            for folder, _folders, _files in os.walk(path):
                with contextlib.suppress(OSError), open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as file:
                    yield from map(int, file.read().split())
            return


def _groups(names: Sequence[str]) -> Dict[str, str]:
    """Return the control groups that are named like units of these names and patterns.

    Those of systemd itself, below its slices: a container or another manager may have units of such names, too.
    """
    found: Dict[str, str] = {}
    for folder, folders, _files in os.walk(_top() + _root()) if names else ():
        for name in folders:
            if any(fnmatchcase(name, pattern) for pattern in names):
                found[name] = os.path.join(folder, name)[len(_top()) :]
        folders[:] = [name for name in folders if name.endswith(".slice")]
    return found


def _top() -> str:
    return next((top for top in _CGROUPS if os.path.isdir(top)), _CGROUPS[-1])


def _root() -> str:
    """Return the control group below which systemd has all others."""
    group = _group_of("1")
    return group[: -len("/init.scope")] if group.endswith("/init.scope") else group.rstrip("/")


def _group_of(process: str) -> str:
    """Return the control group of a process, as systemd counts: of version 1 the one that it has made for itself."""
    group = ""
    path = os.path.join(_PROC, process, "cgroup")
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _number, controllers, found = line.rstrip("\n").split(":", 2)
            if controllers == "name=systemd" or not (controllers or group):
                group = found
    return group
