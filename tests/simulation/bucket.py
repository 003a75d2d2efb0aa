# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store: one object that is changed by one request after the other; and the way there, which is not safe."""

from __future__ import annotations

import email.utils
import functools
import hashlib
import math
import typing as t

from .world import EPOCH, Process, World

SKEW = 0.9
"""Seconds that the clocks of the store's own nodes may differ by, on top of the grain of 1 s."""
LATEST = 12.0
"""Seconds after which a message that is late arrives at the latest."""

Answered = t.Callable[[t.Any], object]


class Bucket:
    """One object. ETags are the MD5 of the body, so the same bytes have the same ETag again."""

    def __init__(self, world: World, core: t.Any) -> None:
        self._world = world
        self._response = core.connection.Response
        self.body: bytes | None = None
        self.etag = ""
        self._modified = ""
        self.wants_bare_etags = False
        self.ignores = ""
        """A condition that this store does not know."""
        self.on_commit: t.Callable[[bytes | None, bytes | None], None] = lambda before, after: None

    def time(self) -> int:
        """Return what one of the store's nodes takes for the time, in whole seconds since 1970."""
        return math.floor(EPOCH + self._world.now + self._world.rng.random() * SKEW)

    def process(self, method: str, headers: t.Mapping[str, str], body: bytes) -> t.Any:
        """Carry out a request at this instant; return the Response."""
        if method == "PUT":
            return self._put(headers, body)
        if self.body is None:
            return self.error(404, "NoSuchKey")
        answer = {"date": _http_date(self.time()), "etag": f'"{self.etag}"'}
        if headers.get("If-None-Match") == answer["etag"]:
            return self._response(304, answer, b"")
        answer["last-modified"] = self._modified
        return self._response(200, answer, self.body)

    def _put(self, headers: t.Mapping[str, str], body: bytes) -> t.Any:
        wanted = headers.get("If-Match")
        if self.ignores in headers:
            pass
        elif wanted is None and "If-None-Match" in headers:
            if self.body is not None:
                return self.error(412, "PreconditionFailed")
        elif wanted is not None:
            if self.body is None:
                return self.error(404, "NoSuchKey")
            if wanted != (self.etag if self.wants_bare_etags else f'"{self.etag}"'):
                return self.error(412, "PreconditionFailed")
        self.put(body)
        return self._response(200, {"date": self._modified, "etag": f'"{self.etag}"'}, b"")

    def put(self, body: bytes | None) -> None:
        """Change the object, whoever does it; None removes it."""
        before, self.body = self.body, body
        self.etag = "" if body is None else hashlib.md5(body).hexdigest()
        self._modified = _http_date(self.time())
        self.on_commit(before, body)

    def error(self, status: int, code: str) -> t.Any:
        body = f"<Error><Code>{code}</Code></Error>".encode()
        return self._response(status, {"date": _http_date(self.time())}, body)


@functools.lru_cache(1000)
def _http_date(seconds: int) -> str:
    return email.utils.formatdate(seconds, usegmt=True)


class Request(t.NamedTuple):
    who: str
    method: str
    headers: t.Mapping[str, str]
    body: bytes
    answered: Answered
    """Takes the Response, or the error that the caller is to meet."""


class Network:
    """Decides what becomes of a request. ``trouble`` is the share of requests that something happens to."""

    DOUBTFUL = (
        (500, "InternalError"),
        (503, "SlowDown"),
        (429, "TooManyRequests"),
        (409, "ConditionalRequestConflict"),
        (412, "PreconditionFailed"),
        (404, "NoSuchUpload"),
    )
    """Errors that say nothing of what became of the request."""
    REFUSALS = ((403, "ExpiredToken"), (400, "InvalidArgument"))
    """Errors that a store gives instead of carrying the request out."""

    def __init__(self, world: World, bucket: Bucket, core: t.Any) -> None:
        self._world = world
        self._bucket = bucket
        self._broken = core.connection.NoAnswer("the connection broke")
        self._fates = (
            self._request_lost,
            self._request_late,
            self._request_doubled,
            self._reset_before,
            self._reset_after,
            self._error_before,
            self._error_after,
            self._answer_lost,
            self._answer_late,
        )
        self.trouble = 0.0
        self._cut_off: dict[str, tuple[float, t.Callable[[Request, float, float], None]]] = {}
        """Until when a process is, and what becomes of its requests."""
        self._deleted_at = -1.0
        self.on_send: t.Callable[[Request], None] = lambda request: None
        self.on_success: t.Callable[[bytes], None] = lambda body: None
        """A sender was told that this body is in the store."""

    def deleted(self) -> None:
        """The object was deleted: no more is promised where what made it is carried out a second time afterwards."""
        self._deleted_at = self._world.now

    def cut_off(self, name: str, seconds: float) -> None:
        """Let nothing of a process through for a while, or nothing back to it."""
        fate, direction = self._world.rng.choice(((self._request_lost, "to"), (self._answer_lost, "from")))
        self._world.tell(name, f"is cut off in the direction {direction} the store for {seconds:.1f} s")
        self._world.fault(f"cut off in the direction {direction} the store", seconds)
        self._cut_off[name] = self._world.now + seconds, fate

    def send(self, request: Request) -> None:
        """Carry a request to the store, and its answer back; or do something else with them."""
        self.on_send(request)
        rng = self._world.rng
        there, back = rng.expovariate(30), rng.expovariate(30)
        until, fate = self._cut_off.get(request.who, (0.0, self._request_lost))
        if self._world.now < until:
            fate(request, there, back)
        elif rng.random() >= self.trouble:
            self._carry(request, there, back, request.answered)
        else:
            rng.choice(self._fates)(request, there, back)

    def _carry(self, request: Request, there: float, back: float, answered: Answered | None) -> None:
        self._world.after(there, lambda: self._arrive(request, back, answered))

    def _arrive(self, request: Request, back: float, answered: Answered | None) -> None:
        response = self._bucket.process(request.method, request.headers, request.body)
        if self._world.timeline is not None:
            told = f"{request.who}'s {request.method} {_condition(request.headers)}: {response.status}"
            self._world.tell("store", f"{told}, now {self._bucket.etag[:6] or 'nothing'}")
        if answered is not None:
            self._world.after(back, lambda: answered(response))

    def _request_lost(self, _request: Request, _there: float, _back: float) -> None:
        self._world.fault("request lost")

    def _request_late(self, request: Request, _there: float, back: float) -> None:
        late = self._late()
        self._world.fault("request late", late)
        self._carry(request, late, back, request.answered)

    def _request_doubled(self, request: Request, there: float, back: float) -> None:
        late = self._late()
        self._world.fault("request doubled", late)
        self._carry(request, there, 0, None)
        arrived = self._world.now + there

        def arrive_again() -> None:
            if arrived > self._deleted_at:
                self._arrive(request, back, request.answered)

        self._world.after(late, arrive_again)

    def _reset_before(self, request: Request, there: float, _back: float) -> None:
        self._world.fault("connection reset before the store")
        self._world.after(there, lambda: request.answered(self._broken))

    def _reset_after(self, request: Request, there: float, back: float) -> None:
        self._world.fault("connection reset behind the store")
        self._carry(request, there, back, lambda _response: request.answered(self._broken))

    def _error_before(self, request: Request, there: float, _back: float) -> None:
        error = self._error(self.DOUBTFUL + self.REFUSALS)
        self._world.fault(f"{error.status} before the store")
        self._world.after(there, lambda: request.answered(error))

    def _error_after(self, request: Request, there: float, back: float) -> None:
        error = self._error(self.DOUBTFUL)
        self._world.fault(f"{error.status} behind the store")
        self._carry(request, there, back, lambda _response: request.answered(error))

    def _answer_lost(self, request: Request, there: float, _back: float) -> None:
        self._world.fault("answer lost")
        self._carry(request, there, 0, None)

    def _answer_late(self, request: Request, there: float, _back: float) -> None:
        late = self._late()
        self._world.fault("answer late", late)
        self._carry(request, there, late, request.answered)

    def _late(self) -> float:
        return self._world.rng.uniform(0, LATEST)

    def _error(self, errors: t.Sequence[tuple[int, str]]) -> t.Any:
        status, code = self._world.rng.choice(errors)
        if self._bucket.ignores and status in (409, 412):
            status, code = errors[0]  # a store that knows no conditions does not say that they do not hold
        return self._bucket.error(status, code)


def _condition(headers: t.Mapping[str, str]) -> str:
    return " ".join(f"{name}: {headers[name][:7]}" for name in ("If-Match", "If-None-Match") if name in headers)


class Connection:
    """Stands for connection.py: sends over the network, one attempt a call."""

    origin = "the store"

    def __init__(self, process: Process, network: Network) -> None:
        self._process = process
        self._network = network

    def send(
        self,
        method: str,
        headers: t.Mapping[str, str],
        body: bytes,
        most: int,
        stamp: t.Any,
        before_last_byte: t.Callable[[], None],
    ) -> t.Any:
        before_last_byte()
        answers: list[t.Any] = []
        wake = self._process.waker()

        def answered(response: t.Any) -> None:
            answers.append(response)
            wake()

        if stamp.lasts is not None:
            headers = {**headers, "X-Amz-Date": f"{stamp.at}, for {stamp.lasts} s"}
        request = Request(self._process.name, method, headers, body, answered)
        self._network.send(request)
        self._process.block()
        response = answers[0]
        if isinstance(response, Exception):
            raise response
        if response.status == 200:
            self._network.on_success(body or response.body)
        return response

    def forget(self) -> None:
        pass
