# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store: one object that is changed by one request after the other, and the ways in which stores differ or fail."""

from __future__ import annotations

import email.utils
import functools
import hashlib
import math
import typing as t

from .world import EPOCH, World

Responds = t.Callable[[t.Any], object]
STALE = 2.5
"""Seconds for which the reads of a store that is not consistent may lag behind."""


class Bucket:
    """One object. ETags are the MD5 of the body, so the same bytes have the same ETag again."""

    def __init__(self, world: World, core: t.Any, skew: float) -> None:
        self._world = world
        self._response = core.connection.Response
        self._skew = skew
        """Seconds that the clocks of the store's own nodes may differ by, on top of the grain of 1 s."""
        self.body: bytes | None = None
        self.etag = ""
        self._modified = ""
        self._before: tuple[float, bytes | None, str, str] = (-STALE, None, "", "")
        """Until when what stood before, for stale reads."""
        self.wants_bare_etags = False
        self.refuses_bare_etags = False
        self.ignores = ""
        """A condition that this store does not know."""
        self.reads_stale = False
        self.clock_lies = False
        """Its clocks are set wrong now and then."""
        self.clock_off = 0.0
        """Seconds by which all of them are."""
        self.on_commit: t.Callable[[bytes | None, bytes | None], None] = lambda before, after: None

    def time(self) -> int:
        """Return what one of the store's nodes takes for the time, in whole seconds since 1970."""
        return math.floor(EPOCH + self._world.now + self.clock_off + self._world.rng.random() * self._skew)

    def process(self, method: str, headers: t.Mapping[str, str], body: bytes) -> t.Any:
        """Carry out a request at this instant; return the Response."""
        return self._put(headers, body) if method == "PUT" else self._get(headers)

    def _get(self, headers: t.Mapping[str, str]) -> t.Any:
        body, etag, modified = self.body, self.etag, self._modified
        if self.reads_stale and self._world.now < self._before[0] and self._world.rng.random() < 0.5:
            self._world.fault("stale read")
            _until, body, etag, modified = self._before
        if body is None:
            return self.error(404, "NoSuchKey")
        answer = {"date": _http_date(self.time()), "etag": f'"{etag}"'}
        if headers.get("If-None-Match") == answer["etag"]:
            return self._response(304, answer, b"")
        answer["last-modified"] = modified
        return self._response(200, answer, body)

    def _put(self, headers: t.Mapping[str, str], body: bytes) -> t.Any:
        refusal = self._refusal(headers)
        if refusal is not None:
            return refusal
        self.put(body)
        return self._response(200, {"date": self._modified, "etag": f'"{self.etag}"'}, b"")

    def _refusal(self, headers: t.Mapping[str, str]) -> t.Any:
        wanted = headers.get("If-Match")
        if self.ignores in headers:
            return None
        if wanted is None:
            if "If-None-Match" in headers and self.body is not None:
                return self.error(412, "PreconditionFailed")
            return None
        if self.refuses_bare_etags and not wanted.startswith('"'):
            return self.error(400, "InvalidArgument")
        if self.body is None:
            return self.error(404, "NoSuchKey")
        if wanted != (self.etag if self.wants_bare_etags else f'"{self.etag}"'):
            return self.error(412, "PreconditionFailed")
        return None

    def put(self, body: bytes | None) -> None:
        """Change the object, whoever does it; None removes it."""
        before, self.body = self.body, body
        if self.reads_stale:
            self._before = self._world.now + STALE, before, self.etag, self._modified
        self.etag = "" if body is None else hashlib.md5(body).hexdigest()
        self._modified = _http_date(self.time())
        self.on_commit(before, body)

    def error(self, status: int, code: str) -> t.Any:
        body = f"<Error><Code>{code}</Code></Error>".encode()
        return self._response(status, {"date": _http_date(self.time())}, body)


@functools.lru_cache(1000)
def _http_date(seconds: int) -> str:
    return email.utils.formatdate(seconds, usegmt=True)
