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
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

PATIENCE = 2.0
"""Seconds to wait for systemctl: a systemd that is busy answers later."""
_CGROUPS = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup")
"""Where systemd's control groups are mounted: version 1, version 2."""
_PROPERTIES = (
    "Id",
    "ActiveState",
    "SubState",
    "Job",
    "ControlGroup",
    "Where",
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
    left: float
    """When it was active last, or its main process ended, in seconds of CLOCK_MONOTONIC; 0 where it never was."""

    @property
    def at_rest(self) -> bool:
        """It does not run, and nothing is about to change that. Processes of it may be left."""
        return self.active in ("inactive", "failed") and not self.job

    @property
    def gone(self) -> bool:
        return self.at_rest and not self.processes()

    def processes(self) -> List[int]:
        """Return all processes of the unit, those that outlived it included."""
        return list(_members(self.group))

    def users(self) -> List[int]:
        """Return the processes, of whatever unit, that keep a mount busy."""
        return list(_users(self.place)) if self.place and not self.at_rest else []


def look(names: Sequence[str]) -> Optional[List[Unit]]:
    """Return the units of these names and patterns; None where systemd does not answer.

    Of a pattern, systemctl shows no unit that is inactive, though processes of it may be left: their groups tell.
    """
    groups = _groups([name for name in names if "*" in name])
    # In a pattern, a backslash would quote what follows.
    asked = [name.replace("\\", "\\\\") if "*" in name else name for name in names]
    shown = _systemctl("show", "--property=" + ",".join(_PROPERTIES), "--", *asked)
    if shown is None:
        return None
    found = [_unit(block) for block in shown.split("\n\n") if block.strip()]
    known = {unit.name for unit in found}
    return found + [_unknown(name, groups[name]) for name in groups if name not in known]


def guess(names: Sequence[str]) -> List[Unit]:
    """Return what the control groups tell of units while systemd does not answer: none of them counts as gone."""
    groups = _groups(names)
    return [_unknown(name, groups.get(name, ""), "unknown") for name in dict.fromkeys([*names, *groups])]


def stop(names: Sequence[str]) -> None:
    """Have systemd stop them, and do not wait for it. A start that somebody asked for is called off."""
    _systemctl("stop", "--no-block", "--", *names)


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
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
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


def _systemctl(*arguments: str) -> Optional[str]:
    try:
        done = subprocess.run(
            ["systemctl", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # that a unit can still be activated by a socket, for example
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE,
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
        left=max(int(shown.get(name) or 0) for name in _PROPERTIES[-2:]) / 1e6,
    )


def _unknown(name: str, group: str, active: str = "inactive") -> Unit:
    return Unit(name, active, "systemd does not tell", "", group, "", 0.0)


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
    """Return the control groups that are named like units of these names and patterns."""
    found: Dict[str, str] = {}
    for folder, folders, _files in os.walk(_top()) if names else ():
        for name in folders:
            if any(fnmatchcase(name, pattern) for pattern in names):
                found[name] = os.path.join(folder, name)[len(_top()) :]
    return found


def _top() -> str:
    return next((top for top in _CGROUPS if os.path.isdir(top)), _CGROUPS[-1])


def _users(place: str) -> Iterator[int]:
    """Return who uses what is mounted there: the same path may be another file system to a process in a container."""
    device = _device("self", place)
    for entry in os.listdir("/proc"):
        if (
            entry.isdigit()
            and any(_is_below(path, place) for path in _in_use(os.path.join("/proc", entry)))
            and _device(entry, place) == device
        ):
            yield int(entry)


def _device(process: str, place: str) -> str:
    """Return the device that is mounted at that place for a process, '' where none is."""
    device = ""
    with contextlib.suppress(OSError), open("/proc/%s/mountinfo" % process, encoding="utf-8", errors="replace") as file:
        for line in file:
            _number, _parent, found, _root, where = line.split()[:5]
            if where == place:
                device = found  # the last one is on top
    return device


def _in_use(process: str) -> Iterator[str]:
    with contextlib.suppress(OSError):
        files = [os.path.join(process, "fd", name) for name in os.listdir(os.path.join(process, "fd"))]
        for link in [os.path.join(process, name) for name in ("cwd", "root", "exe")] + files:
            with contextlib.suppress(OSError):
                yield os.readlink(link)
        with open(os.path.join(process, "maps"), encoding="utf-8", errors="replace") as file:
            yield from (line.split(None, 5)[-1].strip() for line in file if "/" in line)


def _is_below(path: str, place: str) -> bool:
    return path == place or path.startswith(place.rstrip("/") + "/")
