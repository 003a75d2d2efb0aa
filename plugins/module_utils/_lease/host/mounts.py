# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Which processes use a mounted file system, as root sees it in /proc."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from typing import Dict, Iterator, NamedTuple

_PROC = "/proc"


class Mount(NamedTuple):
    """A line of mountinfo: proc_pid_mountinfo(5)."""

    device: str
    """The device number, as major:minor."""
    place: str
    source: str


def place_of(unit: str) -> str:
    """Return where a mount unit mounts, which its name tells: systemd.unit(5). '' for any other unit."""
    name, dot, kind = unit.rpartition(".")
    if not dot or kind != "mount":
        return ""
    escaped = os.fsencode(name.replace("-", "/"))
    path = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match.group(1).decode()), escaped)
    return "/" + os.fsdecode(path).strip("/")


def users(place: str) -> Iterator[int]:
    """Return the processes that have something open below a mount point.

    For a process in a container, the same path may be another file system.
    """
    device = _device("1", place)
    for process in _processes() if device else ():
        if any(_is_below(path, place) for path in _in_use(process)) and _device(process, place) == device:
            yield int(process)


def keepers(source: str) -> Iterator[int]:
    """Return the processes that still have a file system mounted, if process 1 does not: the kernel still writes to it.

    They have their own mount namespace, to which an unmount does not propagate, most often that of a container. Only
    devices and remote file systems can be recognized by their source.
    """
    if "/" not in source:
        return
    names = {source, os.path.realpath(source)}
    number = _number(source)

    def has_it(process: str) -> bool:
        return any(mount.source in names or mount.device == number for mount in _mounts(process))

    if has_it("1"):
        return
    keeping: Dict[str, bool] = {}
    for process in _processes():
        with contextlib.suppress(OSError):
            namespace = os.readlink(os.path.join(_PROC, process, "ns", "mnt"))
            if namespace not in keeping:
                keeping[namespace] = has_it(process)
            if keeping[namespace]:
                yield int(process)


def _number(device: str) -> str:
    """Return the number of a block device; '' for anything else."""
    with contextlib.suppress(OSError):
        status = os.stat(device)
        if stat.S_ISBLK(status.st_mode):
            return "%d:%d" % (os.major(status.st_rdev), os.minor(status.st_rdev))
    return ""


def _device(process: str, place: str) -> str:
    """Return the device that a process has mounted at this path; '' if none."""
    found = [mount.device for mount in _mounts(process) if mount.place == place]
    return found[-1] if found else ""  # the last one is on top


def _mounts(process: str) -> Iterator[Mount]:
    path = os.path.join(_PROC, process, "mountinfo")
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for line in file:  # only blanks, tabs, line ends and backslashes are escaped
            before, _dash, after = line.partition(" - ")
            yield Mount(before.split(" ")[2], _plain(before.split(" ")[4]), _plain(after.split(" ")[1]))


def _plain(text: str) -> str:
    """Undo the escapes of mountinfo: \\040 is a space."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def _processes() -> Iterator[str]:
    return filter(str.isdigit, os.listdir(_PROC))


def _in_use(process: str) -> Iterator[str]:
    """Return the paths that a process has open."""
    folder = os.path.join(_PROC, process)
    with contextlib.suppress(OSError):
        files = [os.path.join(folder, "fd", name) for name in os.listdir(os.path.join(folder, "fd"))]
        for link in [os.path.join(folder, name) for name in ("cwd", "root", "exe")] + files:
            with contextlib.suppress(OSError):
                yield os.readlink(link)
        with open(os.path.join(folder, "maps"), encoding="utf-8", errors="surrogateescape") as file:
            yield from (line.split(None, 5)[-1].strip() for line in file if "/" in line)


def _is_below(path: str, place: str) -> bool:
    return path == place or path.startswith(place.rstrip("/") + "/")
