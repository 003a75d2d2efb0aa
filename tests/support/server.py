# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proxy and the odd stores share: a threaded HTTP/1.1 server on a free loopback port."""

from __future__ import annotations

import contextlib
import http.server
import pathlib
import socket
import ssl
import sys
import threading
import typing as t
import urllib.parse
from xml.sax.saxutils import escape

from .recorder import Recorder, Request

When = threading.Event | float
"""Some time later: after so many seconds, or when the test sets the event."""


class Answer(t.NamedTuple):
    """An HTTP answer. The headers hold neither Content-Length nor Connection: those are added on sending."""

    status: int
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_length: str | None = None
    """What to claim for an answer without a body, as HEAD's."""

    def encode(self) -> bytes:
        """The bytes on the wire."""
        lines = [f"HTTP/1.1 {self.status} {self.reason}", *(f"{name}: {value}" for name, value in self.headers)]
        if self.status != 304:
            lines.append(f"Content-Length: {self.content_length or len(self.body)}")
        # One request per connection: a test then knows which connection a fault hits.
        lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


def error(status: int, code: str, message: str = "", headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """An S3 error in XML."""
    text = f"<Code>{escape(code)}</Code><Message>{escape(message or code)}</Message><RequestId>0</RequestId>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{text}</Error>'.encode()
    return Answer(status, code, (("Content-Type", "application/xml"), *headers), body)


class Exchange:
    """One request and the connection that waits for its answer."""

    def __init__(self, server: LoopbackServer, request: Request, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.server = server
        self.request = request
        self._handler = handler

    def reply(self, answer: Answer, byte_interval: float | None = None) -> None:
        """Send the answer, whole or a byte every byte_interval seconds. That the client has gone is fine."""
        data = answer.encode()
        with contextlib.suppress(OSError):
            if byte_interval is None:
                self.server.note(self.request, status=answer.status)  # before the client can know
                self._handler.wfile.write(data)
                return
            for position in range(len(data)):
                self._handler.wfile.write(data[position : position + 1])
                if self.server.stopped.wait(byte_interval):
                    return
            self.server.note(self.request, status=answer.status)

    def close(self) -> None:
        """Close the connection now, whatever the thread does afterwards."""
        with contextlib.suppress(OSError):
            self._handler.connection.shutdown(socket.SHUT_RDWR)

    def hold(self) -> None:
        """Keep the connection without a word until the server stops."""
        self.server.stopped.wait()

    def wait(self, when: When) -> bool:
        """Wait until then; False when the server is stopped before."""
        if not isinstance(when, threading.Event):
            return not self.server.stopped.wait(when)
        while not when.wait(0.02):
            if self.server.stopped.is_set():
                return False
        return True


class LoopbackServer(Recorder):
    """A context manager; subclasses say in handle() what to do with a request.

    certificate is a PEM file with key and certificate: then it speaks https.
    With answers_continue=False it never answers "Expect: 100-continue", as some stores do.
    """

    address = "127.0.0.1"

    def __init__(self, certificate: pathlib.Path | None = None, answers_continue: bool = True) -> None:
        super().__init__()
        self.stopped = threading.Event()
        self.answers_continue = answers_continue
        self.url = ""
        self._certificate = certificate
        self._http: http.server.ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> t.Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def handle(self, exchange: Exchange) -> None:
        """Deal with one request, in a thread of its own."""
        raise NotImplementedError

    def start(self) -> None:
        """Listen; url is set then."""
        tls: ssl.SSLContext | None = None
        if self._certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(self._certificate)
        self._http = _HTTPServer((self.address, 0), _handler_for(self, tls))
        self.url = f"{'https' if tls else 'http'}://{self.address}:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let go of every connection and close the port. Requests that were to be forwarded later never are."""
        self.stopped.set()
        if self._http and self._thread:
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()


class _HTTPServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # races open many connections at once

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        # Clients hang up by design here, TLS clients refuse our certificate.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _handler_for(server: LoopbackServer, tls: ssl.SSLContext | None) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            if tls:  # here, in the connection's own thread: a slow handshake must not block others
                self.request = tls.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()  # with TLS it is not the socket that the server knows and closes

        def handle_expect_100(self) -> bool:
            return super().handle_expect_100() if server.answers_continue else True

        def handle_any(self) -> None:
            self.close_connection = True
            request = Request(
                method=self.command,
                path=self.path,
                key=key_of(self.path),
                if_match=self.headers["If-Match"],
                if_none_match=self.headers["If-None-Match"],
                headers=dict(self.headers.items()),
                body=self._read_body(),
            )
            server.add(request)
            server.handle(Exchange(server, request, self))

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_any

        def _read_body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                length = int(self.headers.get("Content-Length") or 0)
                if len(body := self.rfile.read(length)) < length:
                    raise ConnectionResetError("the request was given up before its last byte")
                return body
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return body

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def key_of(path: str) -> str:
    """The object key in a path-style request path; empty for a bucket."""
    return urllib.parse.unquote(path.partition("?")[0].lstrip("/").partition("/")[2])
