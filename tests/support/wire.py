# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to a store in this process, on a clock that only moves when somebody waits or asks."""

from __future__ import annotations

import copy
import time
import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import Response
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.store_time import Stamp

from .recorder import Request
from .server import Answer
from .stores.odd import Store

T = t.TypeVar("T")


def stamp(lasts: int | None = None) -> Stamp:
    """The stamp of a request that is sent now, by this machine's clock."""
    return Stamp(time.time(), lasts)


class VirtualClock(Clock):
    """Notes its pauses, which take no time."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.pauses: list[float] = []

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.at += max(0.0, seconds)

    def bounded(self, call: Callable[[float], T], seconds: float) -> T:
        return call(self.at + seconds)


class Wire:
    """In the place of a Connection. Each request takes ``takes`` seconds of the clock, which the store goes by, too."""

    origin = "http://127.0.0.1:9000"

    def __init__(self, store: Store, clock: VirtualClock, takes: float = 0.01) -> None:
        self.store, self.clock, self.takes = store, clock, takes
        self.key = self.query = ""
        self.faults: list[Callable[[Request], Answer | None]] = []
        """What answers in the store's place, or raises what send() does; None leaves it to the next, or the store."""
        began = time.time() - clock.now()
        store.now = lambda: began + store.clock_offset + clock.now()  # type: ignore[method-assign]

    def at(self, key: str, query: str = "") -> Wire:
        other = copy.copy(self)
        other.key, other.query = key, query
        return other

    def forget(self) -> None:
        """Every request has a connection of its own."""

    def send(
        self,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        most: int,
        stamp: Stamp,
        before_last_byte: Callable[[], None] | None = None,
    ) -> Response:
        if before_last_byte:
            before_last_byte()
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(stamp.at))
        query = [self.query] if self.query else []
        if stamp.lasts is not None:
            query.append(f"X-Amz-Date={date}&X-Amz-Expires={stamp.lasts}")
        else:
            headers = {**headers, "X-Amz-Date": date}
        path = f"/bucket/{self.key}" + ("?" + "&".join(query) if query else "")
        conditions = headers.get("If-Match"), headers.get("If-None-Match")
        request = Request(method, path, self.key, *conditions, dict(headers), body)
        self.store.add(request)
        answers = (fault(request) for fault in self.faults)
        answer = next((one for one in answers if one), None) or self.store.take(request)
        self.clock.at += self.takes
        return Response(answer.status, {name.lower(): value for name, value in answer.headers}, answer.body[: most + 1])
