# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""What a person sees of s3-leader exec. Where nobody looks, nothing: cron sends a mail about each word."""

from __future__ import annotations

import contextlib
import os
import select

from ...wording import plain

_AGAIN = "\r\033[K"
"""Lets the next line take the place of this one."""
_PATIENCE = 500
"""Milliseconds to wait for a reader, or for a terminal that Ctrl-S has stopped: others wait for this process, too."""


class Screen:
    """Standard error."""

    def __init__(self) -> None:
        self._has_line = False
        """A line was shown that the next one replaces."""

    def show(self, text: str, stays: bool = False) -> None:
        """Show something, if there is a terminal: what is so now, or what stays so."""
        if os.isatty(2) and stays:
            self.say(text)
        elif os.isatty(2):
            _write(_AGAIN + ("s3-leader: %s" % plain(text))[: self._width() - 1])
            self._has_line = True

    def say(self, text: str) -> None:
        """Say something that has to be known."""
        self.clear()
        _write("s3-leader: %s\n" % plain(text))

    def clear(self) -> None:
        """Leave the screen to the command."""
        if self._has_line:
            _write(_AGAIN)
            self._has_line = False

    @staticmethod
    def _width() -> int:
        with contextlib.suppress(OSError):
            return os.get_terminal_size(2).columns or 80
        return 80


def open_missing() -> None:
    """Open what is missing of standard input, output and error: or other files would get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            os.set_inheritable(number, True)


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        poll = select.poll()
        poll.register(2, select.POLLOUT)
        if poll.poll(_PATIENCE):
            os.write(2, text.encode("utf-8", "replace"))
