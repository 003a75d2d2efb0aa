# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to the store and back, which is not safe: what becomes of a request, and of its answer."""

from __future__ import annotations

import dataclasses
import typing as t

from .store import Answered, Bucket, Request
from .times import GRAIN
from .world import World

SLOW = (1.0, 8.0)
"""Seconds that a request and its answer take where the way is slow."""
REDELIVERED = 1.5
"""Seconds within which the kernels deliver what was held up, once the link is back."""


@dataclasses.dataclass
class Refusals:
    """The reads of a process that are refused: one every so many seconds."""

    until: float
    every: float
    _next: float = 0.0

    def falls_due(self, now: float) -> bool:
        if not self._next <= now < self.until:
            return False
        self._next = now + self.every
        return True


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

    def __init__(self, world: World, bucket: Bucket, core: t.Any, latest: float) -> None:
        """``latest``: seconds after which a message that is late arrives at the latest."""
        self._world = world
        self._latest = latest
        self._bucket = bucket
        self._broken = core.connection.NoAnswer("the connection broke")
        self._fates: tuple[t.Callable[[Request, float, float], None], ...] = (
            self._request_lost,
            self._request_late,
            self._request_doubled,
            self._reset_before,
            self._reset_after,
            self._error_before,
            self._error_after,
            self._answer_lost,
            self._answer_late,
            self._answer_stripped,
        )
        self.trouble = 0.0
        self._cut_off: dict[str, tuple[float, str]] = {}
        """Until when a process is, and in which way."""
        self._slow: dict[str, tuple[float, float]] = {}
        """Until when a process has a slow way, and about how long its requests take."""
        self._refusals: dict[str, Refusals] = {}
        """Of reads, by process."""
        self._deleted_at = -1.0
        self.on_send: t.Callable[[Request], None] = lambda request: None
        self.on_hang: t.Callable[[str, str], None] = lambda who, method: None
        self.on_answer: t.Callable[[Request, t.Any], None] = lambda request, response: None
        """The sender has the answer."""

    def only_loses(self) -> None:
        """From now on, lose requests and answers, and do nothing else with them."""
        self._fates = (self._request_lost, self._answer_lost, self._reset_before, self._reset_after)

    def deleted(self) -> None:
        """The object was deleted: no more is promised where what made it is carried out a second time afterwards."""
        self._deleted_at = self._world.now

    def cut_off(self, name: str, seconds: float, how: str = "") -> None:
        """Let nothing of a process through for a while, or nothing back to it; or hold it up until then."""
        how = how or self._world.rng.choice(("requests lost", "answers lost", "delivered late"))
        self._world.tell(name, f"is cut off for {seconds:.1f} s: {how}")
        self._world.fault(f"cut off: {how}", seconds + REDELIVERED)
        self._cut_off[name] = self._world.now + seconds, how

    def slow_down(self, name: str, seconds: float) -> None:
        """Let all requests of a process take long."""
        self._world.tell(name, f"has a slow way for {seconds:.1f} s")
        self._world.fault("slow for a while", seconds + SLOW[1])
        self._slow[name] = self._world.now + seconds, self._world.rng.uniform(*SLOW)

    def refuse_reads(self, name: str, seconds: float, every: float) -> None:
        """Refuse one read of a process every so many seconds; with 0 seconds, for good."""
        self._world.tell(name, f"has a read refused every {every:.1f} s for {seconds:.1f} s")
        self._world.fault("reads refused again and again", seconds)
        self._refusals[name] = Refusals(self._world.now + seconds if seconds else float("inf"), every)

    def send(self, request: Request) -> None:
        """Carry a request to the store, and its answer back; or do something else with them."""
        self.on_send(request)
        rng, now = self._world.rng, self._world.now
        there, back = rng.expovariate(30), rng.expovariate(30)
        cut_until, how = self._cut_off.get(request.who, (0.0, ""))
        slow_until, about = self._slow.get(request.who, (0.0, 0.0))
        if now < slow_until:
            took = about * rng.uniform(0.8, 1.2)
            there = took * rng.random()
            back = took - there
        if now < cut_until:
            self._at_a_cut(request, how, cut_until - now, there, back)
        elif request.method == "GET" and request.who in self._refusals and self._refusals[request.who].falls_due(now):
            error = self._error(self.REFUSALS)
            self._world.after(there + back, lambda: request.answered(error))
        elif rng.random() >= self.trouble:
            self._carry(request, there, back, request.answered)
        else:
            rng.choice(self._fates)(request, there, back)

    def _at_a_cut(self, request: Request, how: str, left: float, there: float, back: float) -> None:
        if how == "requests lost":
            self._request_lost(request, there, back)
        elif how == "answers lost":
            self._answer_lost(request, there, back)
        else:  # the sender's kernel sends it again until it comes through, though the sender may have given up
            self._world.fault("request delivered after a cut")
            self._carry(request, left + self._world.rng.uniform(0, REDELIVERED), back, request.answered)

    def hangs(self, who: str, method: str) -> float:
        """Return the seconds for which a request hangs before it is sent, in a look-up of the store's name maybe."""
        if self._world.rng.random() >= 0.05 * self.trouble:
            return 0.0
        self._world.fault("request hangs before it is sent")
        self.on_hang(who, method)
        return self._late()

    def _carry(self, request: Request, there: float, back: float, answered: Answered | None) -> None:
        self._world.after(there, lambda: self._arrive(request, back, answered))

    def _arrive(self, request: Request, back: float, answered: Answered | None) -> None:
        bucket = self.bucket_of(request)

        def respond(response: t.Any) -> None:
            if self._world.timeline is not None:
                asked = " ".join(filter(None, (request.method, request.key, _condition(request.headers))))
                told = f"{request.who}'s {asked}: {response.status}"
                self._world.tell("store", f"{told}, now {bucket.etag[:6] or 'nothing'}")
            if answered is not None:
                self._world.after(back, lambda: answered(response))

        bucket.process(request, respond)

    def bucket_of(self, _request: Request) -> Bucket:
        """Return the object that a request is about."""
        return self._bucket

    def _lasts(self, request: Request, late: float) -> float:
        """Return the seconds for which a late request can still do something."""
        if request.method != "PUT":
            return 0.0
        if request.lasts is None or not self._bucket.checks_use_by_dates:
            return late
        return min(late, request.lasts + GRAIN)

    def _request_lost(self, _request: Request, _there: float, _back: float) -> None:
        self._world.fault("request lost")

    def _request_late(self, request: Request, _there: float, back: float) -> None:
        late = self._late()
        self._world.fault("request late", self._lasts(request, late))
        self._carry(request, late, back, request.answered)

    def _request_doubled(self, request: Request, there: float, back: float) -> None:
        late = self._late()
        self._world.fault("request doubled", self._lasts(request, late))
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
        self._world.fault("answer late")
        self._carry(request, there, late, request.answered)

    def _answer_stripped(self, request: Request, there: float, back: float) -> None:
        """Lose a header that the protocol needs, as a proxy might."""
        name = self._world.rng.choice(("date", "etag", "last-modified"))
        self._world.fault(f"answer without {name}")

        def answered(response: t.Any) -> None:
            headers = {header: value for header, value in response.headers.items() if header != name}
            request.answered(response._replace(headers=headers))

        self._carry(request, there, back, answered)

    def _late(self) -> float:
        return self._world.rng.uniform(0, self._latest)

    def _error(self, errors: t.Sequence[tuple[int, str]]) -> t.Any:
        status, code = self._world.rng.choice(errors)
        if self._bucket.ignores and status in (409, 412):
            status, code = errors[0]  # a store that knows no conditions does not say that they do not hold
        return self._bucket.error(status, code)


def _condition(headers: t.Mapping[str, str]) -> str:
    return " ".join(f"{name}: {headers[name][:7]}" for name in ("If-Match", "If-None-Match") if name in headers)
