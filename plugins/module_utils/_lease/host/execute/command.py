# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The command of s3-leader exec: how it starts, what belongs to it, how it ends.

On a terminal, the command belongs to the same job as s3-leader, so Ctrl-C, Ctrl-Z, fg and pipelines do what they do for
any command. Elsewhere it has a process group of its own.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import signal
from typing import Callable, Iterable, Mapping, NamedTuple, NoReturn, Optional, Sequence, Set, Union

from ... import processes
from ...processes import Group, Process
from .screen import Screen
from .signals import BY_TERMINAL, PASSED_ON, Signals

NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""Exit statuses of a command that cannot be started, as of env(1)."""
MARK = "S3_LEADER_EXEC"
"""The environment variable of the command by which its processes are known: a word for each s3-leader exec around it.
"""


class Around(NamedTuple):
    """Who starts the command, and what else is there."""

    starters: Sequence[Process]
    """Who has what the command starts, or, if the first of them is dead, adopts it."""
    strangers: Sequence[Process]
    """What the program that became s3-leader had started before."""

    @classmethod
    def here(cls) -> Around:
        """Return what is around a command that this process starts. From now on it adopts orphans."""
        processes.adopt_orphans()
        here = processes.this()
        return cls((here,), [*processes.family((here,), lambda pid: False, ())])


class Command:
    """A command, and all that it starts, as far as that can be told from other processes."""

    def __init__(self, pid: int, mark: str, group: Optional[Group], around: Around, go: int = -1) -> None:
        self.pid = pid
        """Of its first process."""
        self.mark = mark
        self.group = group
        """Its process group; None on a terminal."""
        self.status: Optional[int] = None
        """Its exit status, when it has ended; 128 and the number of the signal that ended it."""
        self._around = around
        self._go = go
        self._session = os.getsid(0)

    @classmethod
    def forked(
        cls, arguments: Sequence[str], signals: Signals, around: Around, in_child: Callable[[], object] = lambda: None
    ) -> Command:
        """Make the process, which waits to be let go. If its parent ends, so does it; its command is asked to.

        ``in_child`` lets go of what is not for the new process. Raises OSError.
        """
        waits, go = os.pipe()
        parent, alone = os.getpid(), not has_terminal()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(go)
                if alone:
                    os.setpgid(0, 0)
                in_child()
                _become(arguments, signals, waits, parent)
            finally:
                os._exit(NOT_EXECUTABLE)
        os.close(waits)
        with contextlib.suppress(OSError):  # it has done so itself
            os.setpgid(pid, pid if alone else os.getpgrp())
        return cls(pid, secrets.token_hex(8), Group(pid) if alone else None, around, go)

    def fileno(self) -> int:
        """Return the number of the open file that lets it go."""
        return self._go

    def let_go(self, values: Mapping[str, str]) -> None:
        """Start the command, with these variables. Only the process that has forked it can do so."""
        around = os.environ.get(MARK, "").split()
        given = json.dumps({**values, MARK: " ".join([*around, self.mark])})
        with contextlib.suppress(OSError):
            os.write(self._go, given.encode("ascii"))
        os.close(self._go)

    def reap(self) -> None:
        """Take note of what has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self.pid:
                self.status = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def left(self) -> Set[Union[Process, Group]]:
        """Return all that is left of it: its process group, what has its mark, and what descends from who starts it."""
        if not os.path.isdir("/proc/self"):
            return {self.group or Process(self.pid, "")}

        def is_member(pid: int) -> bool:
            with contextlib.suppress(OSError):
                if self.group and os.getpgid(pid) == self.group.number:
                    return True
            return processes.has_word(pid, MARK, self.mark)

        starters = self._around.starters
        heads = starters[:1] if starters and starters[0].is_alive() else starters
        return {*processes.family(heads, is_member, self._around.strangers)}

    @property
    def is_at_work(self) -> bool:
        """Whether it runs, or what it has left in the background: what has not become a daemon, with a session of its
        own.
        """
        return self.status is None or any(_is_of(self._session, one) for one in self.left())

    def pass_on(self, numbers: Iterable[int]) -> None:
        """Send it those of the signals that s3-leader got which are for it.

        On a terminal, it has got what comes from there itself. When it has ended, the signal is for what it has left in
        the background, where a shell lets Ctrl-C be ignored.
        """
        for number in numbers:
            if number in PASSED_ON:
                self._send(number)
            if number in (signal.SIGTERM, signal.SIGHUP):
                self._send(signal.SIGCONT)  # a stopped process hears nothing else

    def _send(self, number: int) -> None:
        if self.status is not None:
            for one in self.left():
                one.send(signal.SIGTERM if number in BY_TERMINAL else number)
        elif self.group:
            self.group.send(number)
        elif number not in BY_TERMINAL:
            for one in self.left():
                if isinstance(one, Process) and _group_of(one) == os.getpgrp():
                    one.send(number)


def has_terminal() -> bool:
    """Tell whether this process belongs to a terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _become(arguments: Sequence[str], signals: Signals, waits: int, parent: int) -> NoReturn:
    signals.reset()
    processes.end_with(parent)
    values = os.read(waits, 65536)
    if not values:
        os._exit(0)
    environment = {**os.environ, **json.loads(values)}
    try:
        os.execvpe(arguments[0], list(arguments), environment)
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # a script without a first line that names its shell, as for execvp(3)
            os.execve("/bin/sh", ["sh", shutil.which(arguments[0]) or arguments[0], *arguments[1:]], environment)
        Screen().say("%s: %s" % (arguments[0], error.strerror))
        os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE)


def _is_of(session: int, one: Union[Process, Group]) -> bool:
    if isinstance(one, Group):
        return one.is_alive()
    with contextlib.suppress(OSError):
        return os.getsid(one.pid) == session
    return False


def _group_of(one: Process) -> int:
    with contextlib.suppress(OSError):
        return os.getpgid(one.pid)
    return -1
