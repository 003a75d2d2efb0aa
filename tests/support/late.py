# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many writes at the same time, each by the core as the modules use it, and what has become of them in the store.

`python -m support.late` does this as a process of its own, for a host whose network a test cuts (see Writer.serve).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import socket
import sys
import threading
import typing as t
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from unittest import mock

from ansible_collections.leaderelection.s3.plugins.module_utils import _options
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import connection
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Answer,
    Outcome,
    Read,
    Step,
    Steps,
    Unknown,
    Write,
    Written,
)

from .stores.served import Served
from .waiting import wait_for

BUCKET = "leader-election"
REQUEST_TIMEOUT = 2.0  # seconds
USE_BY = REQUEST_TIMEOUT + 3  # seconds after which the store must have refused a write, whatever else happened to it
Layer = t.Literal["store", "caller", "linger", "user timeout"]
"""What keeps a late write from landing: its use-by date, its caller's last look, and two options of its socket."""
LAYERS: Sequence[Layer] = t.get_args(Layer)
KERNEL: Sequence[Layer] = ("linger", "user timeout")
OPTIONS = {"linger": socket.SO_LINGER, "user timeout": socket.TCP_USER_TIMEOUT}
Hanging = t.Literal["getaddrinfo", "connect"]
BEFORE, AFTER = b'{"the object": "before"}', b'{"the object": "after the late write"}'


def once(step: Step) -> Steps[Outcome]:
    """An operation of one step."""
    answer: Answer = yield step
    return answer.outcome


class Writer:
    """A writer for each key. Half of the objects are there, and are to be replaced; the others are to be created.

    ``without`` are the layers that it does without.
    """

    def __init__(self, options: Mapping[str, str], keys: Sequence[str], without: Collection[Layer] = ()) -> None:
        common = dict(bucket=BUCKET, holder="writer", session="", request_timeout=REQUEST_TIMEOUT, **options)
        self._handles = {key: _options.Handle({**common, "key": key}) for key in keys}
        self._without = without
        self._etags: dict[str, str | None] = {}
        self._quoted = True

    def prepare(self) -> None:
        """Write and read in time, so that each writer knows the store's clock and the object."""
        with self._layers(), concurrent.futures.ThreadPoolExecutor(4) as pool:
            etags = pool.map(self._prepare, self._handles, range(len(self._handles)))
            self._etags = dict(zip(self._handles, etags, strict=True))

    def _prepare(self, key: str, number: int) -> str | None:
        if number % 2:
            outcome = self._do(key, Read(self._until(key)))
            assert isinstance(outcome, Absent), outcome
            return None
        etag: str | None = None
        for body in (b"first", BEFORE):
            outcome = self._write(key, body, etag)
            if isinstance(outcome, Unknown) and outcome.precondition_failed:  # rule 19
                self._quoted = False
                outcome = self._write(key, body, etag)
            assert isinstance(outcome, Written), outcome
            etag = outcome.etag
        return etag

    def write(self) -> list[str]:
        """Send all writes at the same time. What their callers are told in a word, in the order of the keys."""
        with self._layers(), concurrent.futures.ThreadPoolExecutor(len(self._handles)) as pool:
            outcomes = pool.map(lambda key: self._write(key, AFTER, self._etags[key]), self._etags)
            return [type(outcome).__name__.lower() for outcome in outcomes]

    def disconnect(self) -> None:
        """Let the next request of each writer open a connection."""
        for handle in self._handles.values():
            handle.store.forget_connection()

    def _write(self, key: str, body: bytes, etag: str | None) -> Outcome:
        return self._do(key, Write(body, etag, self._until(key), self._quoted, dated="store" not in self._without))

    def _do(self, key: str, step: Step) -> Outcome:
        return self._handles[key].drive(once(step))

    def _until(self, key: str) -> float:
        return self._handles[key].clock.now() + REQUEST_TIMEOUT

    @contextlib.contextmanager
    def _layers(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            options = connection._socket_options(REQUEST_TIMEOUT)
            left_out = [OPTIONS[layer] for layer in KERNEL if layer in self._without]
            kept = [option for option in options if option[1] not in left_out]
            assert len(kept) == len(options) - len(left_out)
            stack.enter_context(mock.patch.object(connection, "_socket_options", return_value=kept))
            if "caller" in self._without:
                send = connection.Connection.send

                def late(wire: t.Any, *request: t.Any) -> connection.Response:
                    return send(wire, *request[:5])  # without before_last_byte

                stack.enter_context(mock.patch.object(connection.Connection, "send", late))
            yield

    def serve(self, ask: t.TextIO, tell: t.TextIO) -> None:
        """Prepare, say so, wait for a line, write, tell what the callers were told, and end with the input."""
        self.prepare()
        print("prepared", file=tell, flush=True)
        ask.readline()
        print(json.dumps(self.write()), file=tell, flush=True)
        ask.read()


def make_bucket(store: Served) -> None:
    """Make the bucket, and write a first object: SeaweedFS takes seconds to make room for it."""
    store.create_bucket(BUCKET)
    store.client().put_object(Bucket=BUCKET, Key="first", Body=BEFORE)


def new_keys(count: int) -> list[str]:
    """Keys that nobody else uses."""
    return [f"late-{uuid.uuid4().hex}" for _number in range(count)]


def carried_out(store: Served, keys: Sequence[str]) -> int:
    """How many of the writes the store has carried out."""
    s3 = store.client()

    def has_changed(number: int) -> bool:
        try:
            body = s3.get_object(Bucket=BUCKET, Key=keys[number])["Body"].read()
        except s3.exceptions.NoSuchKey:
            body = None
        assert body in (None if number % 2 else BEFORE, AFTER)
        return bool(body == AFTER)

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        return sum(pool.map(has_changed, range(len(keys))))


@contextlib.contextmanager
def hung(function: Hanging, released: threading.Event) -> Iterator[None]:
    """In this process nothing gets past looking a name up, or connecting, until the event is set.

    Ends when every thread that was started meanwhile has ended.
    """
    owner: t.Any = socket if function == "getaddrinfo" else socket.socket
    real = getattr(owner, function)

    def late(*args: t.Any, **options: t.Any) -> t.Any:
        released.wait()
        return real(*args, **options)

    others = set(threading.enumerate())
    setattr(owner, function, late)
    try:
        yield
        wait_for(lambda: set(threading.enumerate()) <= others, "no write is under way any more")
    finally:
        released.set()
        setattr(owner, function, real)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    Writer(given["options"], given["keys"], given["without"]).serve(sys.stdin, sys.stdout)
