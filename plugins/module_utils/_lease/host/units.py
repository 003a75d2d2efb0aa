# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""What root sees of units and does to them: systemctl tells their state, control groups tell their processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from fnmatch import fnmatchcase
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set

from . import mounts

PATIENCE = 2.0
"""Seconds to wait for systemctl: a busy systemd answers later."""
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
    """What systemctl show prints about a unit."""

    name: str
    active: str
    """ActiveState, like "deactivating"."""
    sub: str
    """SubState, like "stop-sigterm"."""
    job: str
    """The number of its job; '' if it has none."""
    group: str
    """Its control group; '' if it has none."""
    place: str
    """Where a mount unit is mounted."""
    source: str
    """What it mounts; while it is not mounted, what its unit file names."""
    left: float
    """When it was last active or its main process ended, in seconds of CLOCK_MONOTONIC; 0 if it never was."""

    @property
    def at_rest(self) -> bool:
        """Whether it does not run, and no job is about to change that. Processes of it may be left."""
        return self.active in ("inactive", "failed") and not self.job

    @property
    def gone(self) -> bool:
        return self.at_rest and not self.processes() and not self.users()

    def processes(self) -> List[int]:
        """Return all processes of the unit, including those that outlived it."""
        return list(_members(self.group))

    def users(self) -> List[int]:
        """Return the processes, of whatever unit, that keep a mount busy. Once it is unmounted, return those that still
        have its file system mounted in their own namespace.
        """
        if not self.place:
            return []
        return list(mounts.keepers(self.source) if self.at_rest else mounts.users(self.place))


def look(names: Sequence[str], patience: float = PATIENCE) -> Optional[List[Unit]]:
    """Return the units of these names and patterns; None if systemd does not answer within these seconds.

    For a pattern, systemctl does not show inactive units. Their control groups show those with processes left.
    """
    groups = _groups([name for name in names if "*" in name])
    # In a pattern, some versions of systemd take a backslash literally, and others as an escape.
    asked = dict.fromkeys([*names, *(name.replace("\\", "\\\\") for name in names if "*" in name)])
    shown = _systemctl(patience, "show", "--property=" + ",".join(_PROPERTIES), "--", *asked)
    if shown is None:
        return None
    found = {unit.name: unit for unit in map(_unit, filter(str.strip, shown.split("\n\n")))}
    return [*found.values(), *(_unknown(name, groups[name]) for name in groups if name not in found)]


def guess(names: Sequence[str]) -> List[Unit]:
    """Return the units by their names and control groups, for when systemd does not answer: none counts as gone."""
    groups = _groups(names)
    return [_unknown(name, groups.get(name, ""), "unknown") for name in dict.fromkeys([*names, *groups])]


def busy(names: Sequence[str]) -> Set[str]:
    """Return those of these names whose units have processes, without asking systemd."""
    return {name for name, group in _groups(names).items() if any(_members(group))}


def sees_groups() -> bool:
    """Tell whether control groups are where this module looks: whether it finds that of this process."""
    return bool(busy([os.path.basename(_group_of("self"))]))


def stop(names: Sequence[str], patience: float = PATIENCE) -> None:
    """Tell systemd to stop these units, and do not wait for it. This cancels any pending start."""
    _systemctl(patience, "stop", "--no-block", "--", *names)


def kill(unit: Unit) -> Dict[int, str]:
    """Kill the unit's processes and those that keep its mount busy. Return them, described as they were.

    This bypasses systemd, which may itself be waiting for one of them.
    """
    found = {pid: describe(pid) for pid in _others([*unit.processes(), *unit.users()])}
    _send(signal.SIGKILL, found)
    return found


def terminate(unit: Unit) -> List[int]:
    """Ask the unit's processes to end. Return them."""
    found = _others(unit.processes())
    _send(signal.SIGTERM, found)
    return found


def describe(pid: int) -> str:
    """Describe a process for people, with its state, which tells whether it can be killed at all."""
    try:
        with open(os.path.join(_PROC, str(pid), "stat"), encoding="utf-8", errors="replace") as file:
            name, _parenthesis, rest = file.read().partition("(")[2].rpartition(")")
    except OSError:
        return "process %d" % pid
    return "process %d (%s, state %s)" % (pid, name, rest.split()[0])


def _others(pids: Iterable[int]) -> List[int]:
    return sorted({*pids} - {0, 1, os.getpid()})  # 0: in another namespace


def _send(number: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # SELinux may refuse it
            os.kill(pid, number)


def _systemctl(patience: float, *arguments: str) -> Optional[str]:
    try:
        done = subprocess.run(
            ["systemctl", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # warnings, such as that a socket can still activate a unit
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
    return Unit(name, active, "not shown by systemd", "", group, mounts.place_of(name), "", 0.0)


def _members(group: str) -> Iterator[int]:
    if not group.strip("/"):
        return  # the root contains all processes
    # systemd 239 may print a backslash as \x5c.
    for path in [_top() + name for name in (group, group.replace("\\x5c", "\\"))]:
        if os.path.isdir(path):
            for folder, _folders, _files in os.walk(path):
                with contextlib.suppress(OSError), open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as file:
                    yield from map(int, file.read().split())
            return


def _groups(names: Sequence[str]) -> Dict[str, str]:
    """Return the control groups whose names match these names and patterns of units.

    Only those below systemd's own slices: a container or another manager may have units with such names, too.
    """
    found: Dict[str, str] = {}
    exact, patterns = {*names}, [name for name in names if "*" in name]
    for folder, folders, _files in os.walk(_top() + _root()) if names else ():
        for name in folders:
            if name in exact or any(fnmatchcase(name, pattern) for pattern in patterns):
                found[name] = os.path.join(folder, name)[len(_top()) :]
        folders[:] = [name for name in folders if name.endswith(".slice")]
    return found


def _top() -> str:
    return next((top for top in _CGROUPS if os.path.isdir(top)), _CGROUPS[-1])


def _root() -> str:
    """Return the control group that contains all others of systemd."""
    group = _group_of("1")
    return group[: -len("/init.scope")] if group.endswith("/init.scope") else group.rstrip("/")


def _group_of(process: str) -> str:
    """Return the control group that systemd uses for a process: with version 1, that of its own hierarchy."""
    group = ""
    path = os.path.join(_PROC, process, "cgroup")
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _number, controllers, found = line.rstrip("\n").split(":", 2)
            if controllers == "name=systemd" or not (controllers or group):
                group = found
    return group
