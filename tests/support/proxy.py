# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy between a client and a real S3 server that breaks chosen requests in chosen ways.

Example: ``proxy.on("PUT", drop_answer(), nth=2, condition="replace")``
"""

from __future__ import annotations

import dataclasses
import gzip
import http.client
import pathlib
import threading
import time
import typing as t
import urllib.parse
from collections.abc import Callable, Container
from email.utils import formatdate

from .recorder import Condition, Request
from .server import Answer, Exchange, LoopbackServer, When, error

UPSTREAM_TIMEOUT = 60.0  # seconds

# Of this connection, not of the request. None of them is signed.
HOP_BY_HOP = {"connection", "keep-alive", "expect", "transfer-encoding", "content-length", "proxy-connection"}

CODES = {
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    429: "TooManyRequests",
    500: "InternalError",
    501: "NotImplemented",
    503: "SlowDown",
}


@dataclasses.dataclass(frozen=True)
class Fault:
    """What happens to a request instead of being answered."""

    name: str
    act: Callable[[FaultProxy, Exchange], None]


def drop_answer() -> Fault:
    """The store does it, the client's connection is closed without an answer."""

    def act(proxy: FaultProxy, exchange: Exchange) -> None:
        proxy.forward(exchange.request)
        exchange.close()

    return Fault("drop_answer", act)


def drop_request() -> Fault:
    """The connection is closed, the store never hears of it."""
    return Fault("drop_request", lambda _proxy, exchange: exchange.close())


def late_request(when: When, hang: bool = False) -> Fault:
    """The connection is closed at once (or hangs for ever); the request reaches the store later."""

    def act(proxy: FaultProxy, exchange: Exchange) -> None:
        if not hang:
            exchange.close()
        if exchange.wait(when):
            proxy.forward(exchange.request)
        if hang:
            exchange.hold()

    return Fault("late_request", act)


def late_answer(when: When) -> Fault:
    """The store does it at once, the client hears of it later."""

    def act(proxy: FaultProxy, exchange: Exchange) -> None:
        committed = proxy.forward(exchange.request)
        if exchange.wait(when):
            exchange.reply(committed)

    return Fault("late_answer", act)


def answer(status: int, after_commit: bool = False, code: str | None = None, retry_after: int | None = None) -> Fault:
    """An S3 error, before or after the store did it. code is S3's word for it, retry_after is in seconds."""

    def act(proxy: FaultProxy, exchange: Exchange) -> None:
        if after_commit:
            proxy.forward(exchange.request)
        headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
        exchange.reply(error(status, code or CODES.get(status, "InternalError"), "by the fault proxy", headers))

    return Fault(f"answer {status}", act)


def hang() -> Fault:
    """The connection is held without a word until the proxy stops; the store never hears of it."""
    return Fault("hang", lambda _proxy, exchange: exchange.hold())


def hang_after_commit() -> Fault:
    """The store does it, the connection is held without a word until the proxy stops."""

    def act(proxy: FaultProxy, exchange: Exchange) -> None:
        proxy.forward(exchange.request)
        exchange.hold()

    return Fault("hang_after_commit", act)


def own_date(ahead: float) -> Fault:
    """The answer's Date is the proxy's, whose clock is so many seconds ahead of this machine's."""

    def act(proxy: FaultProxy, exchange: Exchange) -> None:
        whole = proxy.forward(exchange.request)
        headers = tuple((name, value) for name, value in whole.headers if name.lower() != "date")
        date = ("Date", formatdate(time.time() + ahead, usegmt=True))
        exchange.reply(whole._replace(headers=(*headers, date)))

    return Fault("own_date", act)


def compresses() -> Fault:
    """The body of the answer is compressed, whatever the client asked for."""

    def act(proxy: FaultProxy, exchange: Exchange) -> None:
        whole = proxy.forward(exchange.request)
        packed = gzip.compress(whole.body)
        headers = (*whole.headers, ("Content-Encoding", "gzip"))
        exchange.reply(whole._replace(headers=headers, body=packed, content_length=str(len(packed))))

    return Fault("compresses", act)


def renames_etag(rename: Callable[[str], str]) -> Fault:
    """The answer has another ETag than the store's."""

    def act(proxy: FaultProxy, exchange: Exchange) -> None:
        whole = proxy.forward(exchange.request)
        headers = ((name, rename(value) if name.lower() == "etag" else value) for name, value in whole.headers)
        exchange.reply(whole._replace(headers=tuple(headers)))

    return Fault("renames_etag", act)


def caches() -> Fault:
    """A GET is answered as the one before, unless another request to its URL came meanwhile (RFC 9111, section 4.4)."""
    kept: dict[tuple[str, str | None], Answer] = {}

    def act(proxy: FaultProxy, exchange: Exchange) -> None:
        request = exchange.request
        place = (request.path, request.if_none_match)
        if request.method != "GET":
            for known in [known for known in kept if known[0] == request.path.partition("?")[0]]:
                del kept[known]
            exchange.reply(proxy.forward(request))
        elif place in kept:
            exchange.reply(kept[place])
        else:
            kept[place] = whole = proxy.forward(request)
            exchange.reply(whole)

    return Fault("caches", act)


def drip(interval: float = 0.1) -> Fault:
    """The store does it, the answer comes a byte every interval seconds: no read timeout ever strikes."""

    def act(proxy: FaultProxy, exchange: Exchange) -> None:
        exchange.reply(proxy.forward(exchange.request), byte_interval=interval)

    return Fault("drip", act)


@dataclasses.dataclass
class Rule:
    """Which requests meet a fault."""

    method: str | None
    fault: Fault
    nth: int | Container[int] | None
    key: str | None
    condition: Condition | None
    seen: int = 0

    def hits(self, request: Request) -> bool:
        """Count the request if it matches, and say whether it is its turn."""
        wanted = ((self.method, request.method), (self.key, request.key), (self.condition, request.condition))
        if any(want is not None and want != have for want, have in wanted):
            return False
        self.seen += 1
        if self.nth is None:
            return True
        return self.seen == self.nth if isinstance(self.nth, int) else self.seen in self.nth


class FaultProxy(LoopbackServer):
    """Hands requests on to upstream_url as they are, the Host header included, since that is signed.

    Every request gets a connection of its own on both sides. url is where clients go.
    """

    def __init__(
        self, upstream_url: str, certificate: pathlib.Path | None = None, answers_continue: bool = True
    ) -> None:
        super().__init__(certificate, answers_continue)
        upstream = urllib.parse.urlsplit(upstream_url)
        self._upstream = (t.cast("str", upstream.hostname), upstream.port or 80)
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def on(
        self,
        method: str | None,
        fault: Fault,
        nth: int | Container[int] | None = 1,
        key: str | None = None,
        condition: Condition | None = None,
    ) -> None:
        """From now on the nth matching request (from 1; a range or set for several, None for all) meets the fault.

        method and key None mean any; condition is "create", "replace" or "none". The first rule that hits acts,
        every rule counts.
        """
        with self._lock:
            self._rules.append(Rule(method, fault, nth, key, condition))

    def heal(self) -> None:
        """Forget all rules. Connections that hang go on hanging."""
        with self._lock:
            self._rules.clear()

    def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        with self._lock:
            hits = [rule for rule in self._rules if rule.hits(request)]
        if hits:
            self.note(request, fault=hits[0].fault.name)
            hits[0].fault.act(self, exchange)
        else:
            exchange.reply(self.forward(request))

    def forward(self, request: Request) -> Answer:
        """Send a recorded request to the server behind; where that does not answer: 502."""
        connection = http.client.HTTPConnection(*self._upstream, timeout=UPSTREAM_TIMEOUT)
        self.note(request, forwarded=True)
        try:
            connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as failure:
            return error(502, "BadGateway", f"the server behind the proxy: {failure!r}")
        finally:
            connection.close()
        headers = tuple((name, value) for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP)
        self.note(request, store_status=response.status)
        return Answer(response.status, response.reason, headers, body, response.getheader("Content-Length"))
