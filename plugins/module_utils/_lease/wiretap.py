# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What passes between a lease's store and the wire: the preflight learns from it what outcomes do not tell."""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, NamedTuple, Optional

from .clock import Clock
from .connection import Connection, Response


class Answered(NamedTuple):
    """One answer, and the seconds until it was there."""

    response: Response
    seconds: float
    alone: bool
    """No other request was under way."""


class Log:
    """What was sent and answered; several threads write it."""

    def __init__(self) -> None:
        self.sent: List[str] = []
        self.answered: List[Answered] = []
        self.written: Dict[str, None] = {}
        """The objects that may have been written, in order."""
        self.open: List[str] = []
        """Those that may yet be: once for each write that got no answer so far."""


class Wiretap:
    """A connection that keeps a log, and may hold back the last byte of what it writes.

    ``name`` is what the log calls the object.
    """

    def __init__(self, connection: Connection, name: str, log: Log, clock: Clock) -> None:
        self._connection = connection
        self._name, self._log, self._clock = name, log, clock
        self.hold: Optional[Callable[[], None]] = None
        self.last: Optional[Response] = None
        """The answer to the last request, if there was one."""
        self.last_write = 0
        """The status of the last write's answer; 0 where there was none."""
        self.landed: Optional[float] = None
        """When the write was sent whose answer says that it was carried out; None where none says so."""

    def send(self, method: str, headers: Mapping[str, str], body: bytes, most: int) -> Response:
        self.last = None
        self._log.sent.append(method)
        if method == "PUT":
            self._log.written[self._name] = None
            self._log.open.append(self._name)
            self.last_write = 0
            self.landed = None
        asked = self._clock.now()
        response = self._connection.send(method, headers, body, most, self.hold)
        self._log.answered.append(Answered(response, self._clock.now() - asked, self.hold is None))
        self.last = response
        if method == "PUT":
            self._log.open.remove(self._name)
            self.last_write = response.status
            self.landed = asked if response.status == 200 else None
        return response

    def forget(self) -> None:
        self._connection.forget()

    @property
    def origin(self) -> str:
        return self._connection.origin

    @property
    def status(self) -> int:
        """The status of the last answer; 0 where there was none."""
        return self.last.status if self.last else 0
