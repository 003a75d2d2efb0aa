# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""s3-leader exec as its users have it: one file that a process runs."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import typing as t
from collections.abc import Iterator, Mapping, Sequence

from . import guarded_work

OPTIONS = dict(lease_duration=6, request_timeout=1, stop_grace=2)
"""Of a lease that is short enough for a test."""


def install(folder: pathlib.Path, python: str = sys.executable) -> pathlib.Path:
    """Write the command into the folder, for this Python."""
    from ansible_collections.leaderelection.s3.plugins.modules import command_file

    path = folder / "s3-leader"
    path.write_bytes(command_file.command(python))
    path.chmod(0o755)
    return path


def words(program: pathlib.Path, key: str, command: Sequence[str], **options: t.Any) -> list[str]:
    """The command line that runs the command under a lease."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in {**OPTIONS, **options}.items()]
    return [str(program), "exec", "--key", key, *flags, "--", *command]


class Ended(t.NamedTuple):
    status: int
    out: str
    err: str


class Execution:
    """A process of s3-leader exec, whose output goes to files: what it leaves behind may keep a pipe open."""

    def __init__(
        self,
        program: pathlib.Path,
        folder: pathlib.Path,
        environment: Mapping[str, str],
        key: str,
        command: Sequence[str],
        before: Sequence[str] = (),
        stderr: int | None = None,
        pass_fds: Sequence[int] = (),
        **options: t.Any,
    ) -> None:
        """``before`` is what starts the program instead of this process."""
        number = len(list(folder.glob("*.err")))
        self._out, self._err = folder / f"{number}.out", folder / f"{number}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*before, *words(program, key, command, **options)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err if stderr is None else stderr,
                pass_fds=pass_fds,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    def wait(self, timeout: float = 120.0) -> Ended:
        return Ended(self.process.wait(timeout), self._out.read_text(), self._err.read_text())

    def said(self) -> str:
        """What it has written to standard output so far."""
        return self._out.read_text()

    @property
    def keeper(self) -> int:
        """The number of the process that keeps the lease."""
        (found,) = children(self.process.pid)
        return found

    def close(self) -> None:
        """End it, and its keeper."""
        with contextlib.suppress(ValueError, ProcessLookupError):
            os.kill(self.keeper, signal.SIGKILL)
        self.process.kill()
        self.process.wait()


def children(pid: int) -> Iterator[int]:
    """The processes that a process has started."""
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, task.read_text().split())


def work(file: pathlib.Path, who: str, seconds: float, how: str = "") -> list[str]:
    """The command of somebody who works so many seconds, and notes that in the file."""
    return [sys.executable, guarded_work.__file__, str(file), who, str(seconds), *how.split()]
