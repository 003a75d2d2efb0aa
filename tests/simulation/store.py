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

Answered = t.Callable[[t.Any], object]
MOST_SKEW = 900.0
"""Seconds that the time of a signature may be off."""
WRITES_LATER = (0.5, 0.6)
"""Seconds between the check of a condition and the write, where a store checks first."""
STALE = 2.5
"""Seconds for which the reads of a store that is not consistent may lag behind."""


class Request(t.NamedTuple):
    who: str
    method: str
    headers: t.Mapping[str, str]
    body: bytes
    answered: Answered
    """Takes the Response, or the error that the caller is to meet."""
    signed_at: float
    """In seconds since 1970."""
    waits: float
    """Seconds after which its sender turns away at the latest."""
    lasts: int | None
    """Seconds after which the store has to refuse it; None where it is signed in headers."""
    key: str = ""
    """Of a slot's object; '' where there is only one object."""


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
        self.created_at = 0.0
        """True time at which the present object was created."""
        self._before: tuple[float, bytes | None, str, str] = (-STALE, None, "", "")
        """Until when what stood before, for stale reads."""
        self.wants_bare_etags = False
        self.refuses_bare_etags = False
        self.ignores = ""
        """A condition that this store does not know."""
        self.checks_first = False
        """It checks a condition, and writes a moment later."""
        self.takes_query_signatures = True
        self.checks_use_by_dates = True
        self.reads_stale = False
        self.clock_lies = False
        """Its clocks are set wrong now and then."""
        self.clock_off = 0.0
        """Seconds by which all of them are."""
        self.on_commit: t.Callable[[bytes | None, bytes | None], None] = lambda before, after: None

    @property
    def is_unsafe(self) -> bool:
        """Nobody may lead by it (rule 18)."""
        return bool(self.ignores) or self.checks_first

    def time(self) -> int:
        """Return what one of the store's nodes takes for the time, in whole seconds since 1970."""
        return math.floor(EPOCH + self._world.now + self.clock_off + self._world.rng.random() * self._skew)

    def process(self, request: Request, respond: Answered) -> None:
        """Carry out a request, at this instant but for a store that checks first and writes later."""
        refusal = self._forbids(request)
        if refusal is not None:
            respond(refusal)
        elif request.method == "GET":
            respond(self._get(request.headers))
        else:
            refusal = self._refusal(request.headers)
            if refusal is not None:
                respond(refusal)
            elif self.checks_first:
                self._world.after(self._world.rng.uniform(*WRITES_LATER), lambda: respond(self._put(request.body)))
            else:
                respond(self._put(request.body))

    def _forbids(self, request: Request) -> t.Any:
        """Return the answer to a signature that does not count, or None."""
        now = self.time()
        if request.lasts is not None:
            if not self.takes_query_signatures:
                self._world.fault("403 to a signature in the query")
                return self.error(403, "AccessDenied")
            if self.checks_use_by_dates and now > request.signed_at + request.lasts:
                self._world.fault("403 to a request after its use-by date")
                return self.error(403, "AccessDenied")
        if abs(now - request.signed_at) > MOST_SKEW:
            self._world.fault("403 for skew")
            return self.error(403, "RequestTimeTooSkewed")
        return None

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

    def _put(self, body: bytes) -> t.Any:
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
        if before is None:
            self.created_at = self._world.now
        self.on_commit(before, body)

    def error(self, status: int, code: str) -> t.Any:
        body = f"<Error><Code>{code}</Code></Error>".encode()
        return self._response(status, {"date": _http_date(self.time())}, body)


@functools.lru_cache(1000)
def _http_date(seconds: int) -> str:
    return email.utils.formatdate(seconds, usegmt=True)
