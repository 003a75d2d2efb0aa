# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control group (version 2) of a host: freezes and kills every process of it at once."""

from __future__ import annotations

import os
import pathlib

from support.waiting import wait_for


class Group:
    """A context manager; what is started in the group stays in it, and is killed at the end."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def __enter__(self) -> Group:
        self.folder.mkdir()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.thaw()
        self.kill()
        self._remove()

    def freeze(self) -> None:
        """Freeze all processes, and wait until the kernel says that none of them runs."""
        self._write("freeze", "1")
        wait_for(lambda: self._events()["frozen"] == "1", "the group is frozen")

    def thaw(self) -> None:
        """Let them go on."""
        self._write("freeze", "0")
        wait_for(lambda: self._events()["frozen"] == "0", "the group is thawed")

    def kill(self) -> None:
        """Kill all processes by SIGKILL, and wait until there are none."""
        self._write("kill", "1")
        wait_for(lambda: self._events()["populated"] == "0", "no process is left in the group")

    def renew(self) -> None:
        """Make the group anew after a kill.

        A group remembers that it was killed. Linux 6.18 kills what a process in such a group starts in one that was
        not (CLONE_INTO_CGROUP), as systemd 257 starts all services.
        """
        self._remove()
        self.folder.mkdir()

    def _remove(self) -> None:
        for folder, *_rest in os.walk(self.folder, topdown=False):
            os.rmdir(folder)

    def _write(self, name: str, value: str) -> None:
        (self.folder / f"cgroup.{name}").write_text(value)

    def _events(self) -> dict[str, str]:
        lines = (self.folder / "cgroup.events").read_text().splitlines()
        return dict(line.split() for line in lines)
