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
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

PATIENCE = 5.0
"""Seconds to wait for systemctl: a systemd that is busy answers later, and the processes have to be killed anyway."""
_CGROUPS = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup")
"""Where systemd's control groups are mounted: version 1, version 2."""
_PROPERTIES = (
    "Id",
    "ActiveState",
    "SubState",
    "Job",
    "ControlGroup",
    "Where",
    "MainPID",
    "ExecMainExitTimestampMonotonic",
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
    main_pid: int
    """Its main process, 0 without one."""
    exited: float
    """When its main process ended last, in seconds of CLOCK_MONOTONIC; 0 where none has."""

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
    """Return the units of these names and patterns that systemd knows; None where it does not answer."""
    shown = _systemctl("show", "--property=" + ",".join(_PROPERTIES), "--", *names)
    return None if shown is None else [_unit(block) for block in shown.split("\n\n") if block.strip()]


def stop(names: Sequence[str]) -> None:
    """Have systemd stop them, and do not wait for it. A start that somebody asked for is called off."""
    _systemctl("stop", "--no-block", "--", *names)


def kill(unit: Unit) -> List[int]:
    """Kill the unit's processes, and who keeps its mount busy. Return them.

    Not through systemd, which may wait for one of them itself.
    """
    found = sorted({*unit.processes(), *unit.users()} - {1, os.getpid()})
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def describe(pid: int) -> str:
    """Return a process for people, with the state that tells whether it can be killed at all."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
            name, _parenthesis, rest = file.read().partition("(")[2].rpartition(")")
    except OSError:
        return "process %d" % pid
    return "process %d (%s, state %s)" % (pid, name, rest.split()[0])


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
        main_pid=int(shown.get("MainPID") or 0),
        exited=int(shown.get("ExecMainExitTimestampMonotonic") or 0) / 1e6,
    )


def _members(group: str) -> Iterator[int]:
    if not group.strip("/"):
        return  # the root has everybody in it
    for top in _CGROUPS:
        if os.path.isdir(top + group):
            for folder, _folders, _files in os.walk(top + group):
                with contextlib.suppress(OSError), open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as file:
                    yield from map(int, file.read().split())
            return


def _users(place: str) -> Iterator[int]:
    for entry in os.listdir("/proc"):
        if entry.isdigit() and any(_is_below(path, place) for path in _in_use(os.path.join("/proc", entry))):
            yield int(entry)


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
