# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands for connection.py of the core, which signs and sends: one attempt a call, over the world's network."""

from __future__ import annotations

import typing as t

from .network import Network
from .store import Request
from .world import Process

HERE, ELSEWHERE = "https://here/bucket", "https://elsewhere/bucket"
"""The buckets that a proof may be of."""


class Connection:
    origin = "the store"
    bucket_url = place = HERE

    def __init__(self, process: Process, network: Network, request_timeout: float, key: str = "") -> None:
        self._process = process
        self._request_timeout = request_timeout
        self._network = network
        self._key = key

    def at(self, key: str) -> Connection:
        """Return what sends for the object of a slot."""
        return Connection(self._process, self._network, self._request_timeout, key)

    def send(
        self,
        method: str,
        headers: t.Mapping[str, str],
        body: bytes,
        most: int,
        stamp: t.Any,
        before_last_byte: t.Callable[[], None] | None = None,
    ) -> t.Any:
        hangs = self._network.hangs(self._process.name, method)
        if hangs:
            self._process.block(hangs)
        if before_last_byte is not None:
            before_last_byte()
        answers: list[t.Any] = []
        wake = self._process.waker()

        def answered(response: t.Any) -> None:
            answers.append(response)
            wake()

        waits = self._request_timeout
        name = self._process.name
        request = Request(name, method, headers, body, answered, stamp.at, waits, stamp.lasts, self._key)
        self._network.send(request)
        self._process.block()
        response = answers[0]
        if isinstance(response, Exception):
            raise response
        self._network.on_answer(request, response)
        return response

    def forget(self) -> None:
        pass
