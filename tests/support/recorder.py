# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server saw: one record per request, the same for the proxy and the odd stores."""

from __future__ import annotations

import dataclasses
import threading
import time
import typing as t
from collections.abc import Callable

Condition = t.Literal["create", "replace", "none"]


@dataclasses.dataclass
class Request:
    """One request. Times are seconds of time.monotonic()."""

    method: str
    path: str
    key: str
    if_match: str | None
    if_none_match: str | None
    headers: dict[str, str]
    body: bytes
    received_at: float = dataclasses.field(default_factory=time.monotonic)
    fault: str | None = None
    """The name of the fault that it met."""
    forwarded: bool = False
    """It was sent to the server behind a proxy; at a store itself: it was dealt with."""
    store_status: int | None = None
    """What the store behind answered."""
    status: int | None = None
    """What the client got; None while there is nothing, and for ever where the answer was dropped."""

    @property
    def condition(self) -> Condition:
        """Create is If-None-Match: *, replace is If-Match, none is all else (a GET's If-None-Match included)."""
        if self.if_match is not None:
            return "replace"
        return "create" if self.if_none_match == "*" else "none"


class Recorder:
    """A list of requests that a test can count and wait for."""

    def __init__(self) -> None:
        self._requests: list[Request] = []
        self._changed = threading.Condition()

    @property
    def requests(self) -> list[Request]:
        """All requests in the order in which they came, as a copy."""
        with self._changed:
            return list(self._requests)

    def select(self, method: str | None = None, **wanted: object) -> list[Request]:
        """The requests with this method and these attributes: select("PUT", condition="create", forwarded=True)."""
        if method is not None:
            wanted["method"] = method
        return [
            request
            for request in self.requests
            if all(getattr(request, name) == value for name, value in wanted.items())
        ]

    def count(self, method: str | None = None, **wanted: object) -> int:
        """How many requests select() finds."""
        return len(self.select(method, **wanted))

    def forget(self) -> None:
        """Drop the records so far, to count from here."""
        with self._changed:
            self._requests.clear()

    def wait_for(self, met: Callable[[], bool], timeout: float = 10.0) -> None:
        """Wait until met() holds; it is asked whenever a record changes. Raises TimeoutError after timeout seconds."""
        with self._changed:
            if not self._changed.wait_for(met, timeout):
                raise TimeoutError(f"not met within {timeout} s; seen: {self._requests}")

    def wait_for_count(self, count: int, method: str | None = None, timeout: float = 10.0, **wanted: object) -> None:
        """Wait until select() finds at least so many."""
        self.wait_for(lambda: self.count(method, **wanted) >= count, timeout)

    def add(self, request: Request) -> None:
        """Record a request that came in."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def note(self, request: Request, **changes: object) -> None:
        """Change a record."""
        with self._changed:
            for name, value in changes.items():
                setattr(request, name, value)
            self._changed.notify_all()
