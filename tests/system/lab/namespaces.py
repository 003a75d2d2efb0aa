# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces and control groups for labs: what runs in them ends with the process that made them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import secrets
import shutil
import subprocess
import typing as t
from collections.abc import Iterator

from support.child_process import die_with_parent
from support.waiting import wait_for

# The commands that the lab needs, and the Debian packages that have them.
COMMANDS = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "nft": "nftables",
    "ssh": "openssh-client",
    "unshare": "util-linux",
}
GROUP = "s3-leader-lab-"
ENTER = ("sh", "-c", 'echo 0 > "$LAB_GROUP/tests/cgroup.procs" && exec "$@"', "sh")
# For all of a run: whatever kills the first process kills all.
TOGETHER = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
# For each lab. Its own /run: names of network namespaces, nspawn's locks and temporary files are nobody else's.
APART = ("unshare", "--mount", "--net", "--")
PRIVATE_RUN = ("sh", "-c", 'mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/tmp && exec "$@"', "sh")


class CannotRun(Exception):
    """Why there can be no lab here."""


def check() -> None:
    """Raise CannotRun where the lab cannot work."""
    if os.geteuid() != 0:
        raise CannotRun("it needs root, for namespaces, mounts and hosts that boot")
    if missing():
        raise CannotRun(f"these Debian packages are missing: {' '.join(missing())}")
    if not hierarchy().joinpath("cgroup.procs").exists():
        raise CannotRun("there is no version 2 hierarchy of control groups")
    tried = subprocess.run([*TOGETHER, *APART, *PRIVATE_RUN, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise CannotRun(f"no namespaces may be made: {tried.stderr.strip()}")


def missing() -> list[str]:
    """The Debian packages that the lab lacks here."""
    return [package for command, package in COMMANDS.items() if not shutil.which(command)]


def hierarchy() -> pathlib.Path:
    """Where the version 2 hierarchy of control groups is mounted."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        place, kind = line.split()[1:3]
        if kind == "cgroup2":
            return pathlib.Path(place)
    raise CannotRun("no version 2 hierarchy of control groups is mounted")


def run(command: t.Sequence[str]) -> int:
    """Run the command in a process namespace of its own, and return its exit status.

    LAB_GROUP is the control group of the run. When this process is killed, all of the run dies.
    """
    group = hierarchy() / f"{GROUP}{secrets.token_hex(4)}"
    command = [*ENTER, *TOGETHER, *command]
    environment = {**os.environ, "LAB_GROUP": str(group)}
    with one_at_a_time():  # until somebody is in it, the group looks like one that a killed run has left
        remove_stale_groups()
        (group / "tests").mkdir(parents=True)
        process = subprocess.Popen(command, env=environment, preexec_fn=die_with_parent())
        wait_for(lambda: process.poll() is not None or not is_empty(group), "the command is in its control group")
    try:
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is for the command, too: it ends in order
                return process.wait()
    finally:
        wait_for(lambda: is_empty(group), f"no process is left in {group}")
        remove(group)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Others that come here wait."""
    folder = os.open(hierarchy(), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def remove_stale_groups() -> None:
    """Remove the control groups of runs that were killed."""
    for group in hierarchy().glob(f"{GROUP}*"):
        if is_empty(group):
            remove(group)


def is_empty(group: pathlib.Path) -> bool:
    """Whether no process is left in a control group, and those below it."""
    return "populated 0" in (group / "cgroup.events").read_text()


def remove(group: pathlib.Path) -> None:
    """Remove an empty control group, with those below it."""
    for folder, *_rest in os.walk(group, topdown=False):
        os.rmdir(folder)
