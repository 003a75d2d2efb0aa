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
from collections.abc import Iterator, Mapping

import botocore.exceptions
from ansible_collections.leaderelection.s3.plugins.module_utils import _options
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
REQUEST_TIMEOUT = 1.0  # seconds; the least that modules take
USE_BY = REQUEST_TIMEOUT + 3  # seconds after which the store must have refused a write, whatever else happened to it
BEFORE, AFTER = b'{"the object": "before"}', b'{"the object": "after the late write"}'


def once(step: Step) -> Steps[Outcome]:
    """An operation of one step."""
    answer: Answer = yield step
    return answer.outcome


class Writer:
    """A writer for each key. Half of the objects are there, and are to be replaced; the others are to be created."""

    def __init__(self, options: Mapping[str, str], keys: t.Sequence[str]) -> None:
        common = dict(bucket=BUCKET, holder="writer", session="", request_timeout=REQUEST_TIMEOUT, **options)
        self._handles = {key: _options.Handle({**common, "key": key}) for key in keys}
        self._etags: dict[str, str | None] = {}

    def prepare(self) -> None:
        """Write and read in time, so that each writer knows the store's clock, its ETag's form and the object."""
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            etags = pool.map(self._prepare, self._handles, range(len(self._handles)))
            self._etags = dict(zip(self._handles, etags, strict=True))

    def _prepare(self, key: str, number: int) -> str | None:
        if number % 2:
            outcome = self._do(key, Read(self._until(key, patience=10)))
            assert isinstance(outcome, Absent), outcome
            return None
        etag: str | None = None
        for body in (b"first", BEFORE):
            outcome = self._do(key, Write(body, etag, self._until(key, patience=10)))
            if isinstance(outcome, Unknown) and outcome.precondition_failed:  # rule 19
                outcome = self._do(key, Write(body, etag, self._until(key, patience=10), requote=True))
            assert isinstance(outcome, Written), outcome
            etag = outcome.etag
        return etag

    def write(self) -> list[Outcome]:
        """Send all writes at the same time, and return what their callers are told, in the order of the keys."""
        with concurrent.futures.ThreadPoolExecutor(len(self._handles)) as pool:
            return list(
                pool.map(lambda key: self._do(key, Write(AFTER, self._etags[key], self._until(key))), self._etags)
            )

    def disconnect(self) -> None:
        """Let the next request of each writer open a connection."""
        for handle in self._handles.values():
            handle.store.forget_connection()

    def _do(self, key: str, step: Step) -> Outcome:
        return self._handles[key].drive(once(step))

    def _until(self, key: str, patience: float = REQUEST_TIMEOUT) -> float:
        return self._handles[key].clock.now() + patience

    def serve(self, ask: t.TextIO, tell: t.TextIO) -> None:
        """Prepare, say so, wait for a line, write, tell what the callers were told, and end with the input."""
        self.prepare()
        print("prepared", file=tell, flush=True)
        ask.readline()
        print(json.dumps([kind(outcome) for outcome in self.write()]), file=tell, flush=True)
        ask.read()


def kind(outcome: Outcome) -> str:
    """What a caller was told, in a word."""
    return type(outcome).__name__.lower()


def new_keys(count: int) -> list[str]:
    """Keys that nobody else uses."""
    return [f"late-{uuid.uuid4().hex}" for _number in range(count)]


def carried_out(store: Served, keys: t.Sequence[str]) -> int:
    """How many of the writes the store has carried out."""
    s3 = store.client()

    def has_changed(number: int) -> bool:
        try:
            body = s3.get_object(Bucket=BUCKET, Key=keys[number])["Body"].read()
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchKey"
            body = None
        assert body in (None if number % 2 else BEFORE, AFTER)
        return body == AFTER

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        return sum(pool.map(has_changed, range(len(keys))))


@contextlib.contextmanager
def hung(function: t.Literal["getaddrinfo", "connect"], released: threading.Event) -> Iterator[None]:
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
    Writer(given["options"], given["keys"]).serve(sys.stdin, sys.stdout)
