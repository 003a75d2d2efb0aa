# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The signals that a process which keeps a lease gets while it waits for something else."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from types import FrameType
from typing import List, Optional, Protocol, Sequence, Union

ENDS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""These end s3-leader while it waits for the lease."""
PASSED_ON = (*ENDS, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)
"""The command gets these, too."""
BY_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
"""A terminal sends these to all processes of the job that it listens to."""
# Python ignores these, and a program that it starts would, too.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class HasFile(Protocol):
    def fileno(self) -> int:
        """Return the number of its open file."""


class Signals:
    """Those that came are noted, and end a wait. Those that were ignored before, as by nohup, stay so; of SIGPIPE,
    Python does not tell.
    """

    def __init__(self, numbers: Sequence[signal.Signals] = (*PASSED_ON, signal.SIGCHLD)) -> None:
        self._came: List[int] = []
        self._awake, self._wake = socket.socketpair()
        for end in (self._awake, self._wake):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._handled = [n for n in numbers if n == signal.SIGCHLD or signal.getsignal(n) != signal.SIG_IGN]
        for number in self._handled:
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: Optional[FrameType]) -> None:
        self._came.append(number)

    def take(self) -> List[int]:
        """Return those that came since the last call."""
        came = list(self._came)
        del self._came[: len(came)]
        return came

    def take_end(self) -> Optional[int]:
        """Take all, and return the exit status of a program that was ended by the first of those which end it."""
        return next((128 + number for number in self.take() if number in ENDS), None)

    def wait(self, seconds: float, other: Sequence[Union[int, HasFile]] = ()) -> None:
        """Wait for a signal, or until something can be read, or this long."""
        if not self._came:
            poll = select.poll()  # select() takes no high numbers
            for one in (self._awake, *other):
                poll.register(one, select.POLLIN)
            poll.poll(max(0.0, seconds) * 1000)
        with contextlib.suppress(BlockingIOError):
            self._awake.recv(4096)

    def reset(self) -> None:
        """Handle all as a program does that has just been started. A forked process calls this."""
        signal.set_wakeup_fd(-1)
        for number in (*self._handled, *_IGNORED_BY_PYTHON):
            signal.signal(number, signal.SIG_DFL)
