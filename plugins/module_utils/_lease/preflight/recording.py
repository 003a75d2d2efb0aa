# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""A connection that records what it sends and receives: the preflight needs more than outcomes tell."""

from __future__ import annotations

from typing import Callable, List, Mapping, NamedTuple, Optional

from ..clock import Clock, GivenUp
from ..connection import CannotSend, Connection, Response
from ..store_time import Stamp


class Answered(NamedTuple):
    """One answer to a request of this method, and the seconds until it came."""

    method: str
    response: Response
    seconds: float
    alone: bool
    """No other request was in flight."""


class Log:
    """What was sent and answered; several threads write to it."""

    def __init__(self) -> None:
        self.sent: List[str] = []
        self.answered: List[Answered] = []
        self.written: List[str] = []
        """The objects that may have been written, once per write."""
        self.open: List[str] = []
        """The objects that may still be written, once per write without an answer so far."""


class _Request:
    """One request, and its answer as soon as it comes.

    An overdue answer is kept with its own request, which nobody reads any more.
    """

    def __init__(self, asked: float) -> None:
        self.asked = asked
        self.response: Optional[Response] = None

    @property
    def status(self) -> int:
        return self.response.status if self.response else 0


class RecordingConnection:
    """A connection that keeps a log.

    ``name`` is the object's name in the log.
    """

    def __init__(self, connection: Connection, name: str, log: Log, clock: Clock) -> None:
        self._connection = connection
        self._name, self._log, self._clock = name, log, clock
        self.alone = True
        """No other request is in flight at the same time."""
        self._last = self._last_write = _Request(0.0)

    def at(self, key: str) -> RecordingConnection:
        return RecordingConnection(self._connection.at(key), self._name, self._log, self._clock)

    def send(
        self,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        most: int,
        stamp: Stamp,
        before_last_byte: Optional[Callable[[], None]] = None,
    ) -> Response:
        asked = self._clock.now()
        self._last = request = _Request(asked)
        self._log.sent.append(method)
        if method == "PUT":
            self._last_write = request
            self._log.written.append(self._name)
            self._log.open.append(self._name)
        try:
            response = self._connection.send(method, headers, body, most, stamp, before_last_byte)
        except (CannotSend, GivenUp):
            self._log.sent.remove(method)
            if method == "PUT":
                self._log.written.remove(self._name)
                self._log.open.remove(self._name)
            raise
        self._log.answered.append(Answered(method, response, self._clock.now() - asked, self.alone))
        request.response = response
        if method == "PUT":
            self._log.open.remove(self._name)
            if response.status in (401, 403):
                self._log.written.remove(self._name)
        return response

    def forget(self) -> None:
        self._connection.forget()

    @property
    def origin(self) -> str:
        return self._connection.origin

    @property
    def last(self) -> Optional[Response]:
        """The answer to the last request, if any."""
        return self._last.response

    @property
    def status(self) -> int:
        """The status of that answer; 0 if there was none."""
        return self._last.status

    @property
    def last_write(self) -> int:
        """The status of the last write's answer; 0 if there was none."""
        return self._last_write.status

    @property
    def landed(self) -> Optional[float]:
        """When the last write was sent, if its answer says that it was carried out."""
        return self._last_write.asked if self._last_write.status == 200 else None
