# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application with the .NET library LeaderElection.S3: it knows two fields, and decides by its own clock."""

from __future__ import annotations

import json
import typing as t

from .connection import Connection
from .host import Surroundings
from .world import Process

CLOCK_ERROR = 0.4
"""Seconds that its clock, by which it compares ``leaseUntilUtc``, may be wrong: it adds no margin of its own."""
POLL = 1.0
TIMEOUT = 2.0


class WallClock:
    """Its clock, in seconds since 1970."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def now(self) -> float:
        return self._process.wall_clock()


class Peer:
    """One life of it."""

    def __init__(self, around: Surroundings, process: Process) -> None:
        rng = around.world.rng
        self._around = around
        self._process = process
        self._rng = rng
        self._clock = WallClock(process)
        self._timer = around.core.clock.Clock()
        self._connection = Connection(process, around.network, TIMEOUT)
        self._me = f"{process.name}.{process.life}"
        self._lasts = rng.uniform(0.5, 1) * around.times.longest
        """Seconds for which it takes the lease."""

    def live(self) -> None:
        while True:
            with_etag = self._read()
            if with_etag is not None:
                self._claim(*with_etag)
            leads = self._around.checker.belief_of(self._me) is not None
            self._timer.sleep(self._lasts / 3 if leads else POLL * self._rng.uniform(0.8, 1.2))

    def _read(self) -> tuple[dict[str, t.Any], str] | None:
        """Return the fields and the ETag, empty where there is no object; None where nobody knows."""
        response = self._send("GET", {}, b"")
        if response is not None and response.status == 404 and b"NoSuchKey" in response.body:
            return {}, ""
        if response is None or response.status != 200 or "etag" not in response.headers:
            return None
        try:
            return json.loads(response.body), response.headers["etag"]
        except ValueError:
            return None

    def _claim(self, found: dict[str, t.Any], etag: str) -> None:
        """Take the lease if nobody has it, renew it if it is its own."""
        now, until = self._clock.now(), self._until(found)
        mine = found.get("holderId") == self._me
        if not mine and now < until:
            return
        if mine and now < until:  # so it hears of a write whose answer was lost
            self._leads(until, etag)
        until = now + self._lasts
        body = json.dumps({"holderId": self._me, "leaseUntilUtc": self._around.core.record.utc(until)}).encode()
        response = self._send("PUT", self._condition(etag), body)
        if response is not None and response.status == 200:
            self._leads(until, response.headers.get("etag", ""))

    def _leads(self, until: float, etag: str) -> None:
        self._around.checker.peer_leads(self._process, self._clock, self._me, until, etag.strip('"'))

    def _condition(self, etag: str) -> dict[str, str]:
        if not etag:
            return {"If-None-Match": "*"}
        return {"If-Match": etag.strip('"') if self._around.bucket.wants_bare_etags else etag}

    def _until(self, found: dict[str, t.Any]) -> float:
        until: float = self._around.core.record.from_utc(found["leaseUntilUtc"]) if found else 0.0
        return until

    def _send(self, method: str, headers: dict[str, str], body: bytes) -> t.Any:
        core = self._around.core
        try:
            return self._timer.bounded(lambda until: self._send_once(method, headers, body, until), TIMEOUT)
        except (core.clock.Overdue, core.clock.NotStarted, core.connection.NoAnswer):
            return None

    def _send_once(self, method: str, headers: dict[str, str], body: bytes, _until: float) -> t.Any:
        stamp = self._around.core.store_time.Stamp(self._clock.now())
        return self._connection.send(method, headers, body, 65536, stamp)
