# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""What the two processes of s3-leader exec tell each other."""

from __future__ import annotations

import json
import mmap
import socket
import struct
from typing import Any, Dict, List

MOST = 65536
"""Bytes that may wait to be sent."""
_TIME = "=d"


class Line:
    """One end of a line, with a JSON object in each message. Nothing that is said makes anybody wait."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._unsent = self._unread = b""
        self.closed = False
        """The other process has ended."""

    def fileno(self) -> int:
        return self._end.fileno()

    def close(self) -> None:
        self._end.close()

    def tell(self, **message: Any) -> None:
        """Say something."""
        if len(self._unsent) < MOST:
            self._unsent += json.dumps(message).encode("ascii") + b"\n"
        try:
            while self._unsent:
                self._unsent = self._unsent[self._end.send(self._unsent) :]
        except BlockingIOError:
            pass  # the rest is sent with the next message
        except OSError:
            self._unsent = b""

    def read(self) -> List[Dict[str, Any]]:
        """Return what was said since the last call."""
        while not self.closed:
            try:
                found = self._end.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                found = b""
            self.closed = not found
            self._unread += found
        *lines, self._unread = self._unread.split(b"\n")
        return [json.loads(line) for line in lines]


class SharedTime:
    """A reading of the clock that a process shares with those that it forks later. A new one replaces the old one."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, struct.calcsize(_TIME))

    @property
    def value(self) -> float:
        """0 until it is set."""
        return float(struct.unpack(_TIME, self._memory[:])[0])

    @value.setter
    def value(self, value: float) -> None:
        self._memory[:] = struct.pack(_TIME, value)
