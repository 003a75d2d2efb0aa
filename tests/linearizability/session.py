# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One process, one session: it asks this and that of a lease, with the core that ships, until it is done or killed.

It kills or stops itself at a random moment now and then; who started it lets it go on. The store is told by
AWS_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
"""

from __future__ import annotations

import argparse
import math
import os
import pathlib
import random
import signal
import threading
import typing as t

from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import Connection
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.driver import drive, fresh_nonce
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Endpoint, Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.store import Store
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Claimant,
    Held,
    Seen,
    StoreError,
    Verdict,
    Want,
)

from .history import Recorder

HOLDER = "the one machine"
"""The same for all: who is who goes by session."""
DURATIONS = (3.0, 4.0)  # seconds
WAITS = (0.0, 0.0, 0.0, 3.0, 8.0)  # seconds
REQUEST_TIMEOUT = 2.0  # seconds
LEADING = {"renew": 10, "acquire": 2, "release": 2, "inspect": 2}
FOLLOWING = {"acquire": 10, "inspect": 3, "renew": 1, "release": 1, "break": 1}
"""How often each is asked, once there was a lease to hold on to, and before."""
NAPS = ((0.0, 0.3, 20), (1.0, 2.0, 3), (4.0, 7.0, 1))
"""Between two calls: seconds from and to, and how often. After a long one a lease is over."""
MISHAPS = {signal.SIGKILL: 0.02, signal.SIGSTOP: 0.02}
"""The share of calls after whose beginning the process is killed or stopped, within so many seconds:"""
MISHAP_WITHIN = 1.5
NEXT_LEASE = 30.0
"""Seconds after which all go on to another lease, so that there are many first ones."""


class Session:
    """What one process knows."""

    def __init__(self, name: str, leases: str, path: pathlib.Path, seed: str) -> None:
        self.clock = Clock()
        self._me = Claimant(HOLDER, name)
        self._leases = leases
        self._history = Recorder(path, name, self.clock)
        self._rng = random.Random(seed)
        self._endpoint = Endpoint(
            endpoint_url=os.environ["AWS_URL"],
            access_key=os.environ["AWS_ACCESS_KEY_ID"],
            secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
            region="us-east-1",
            request_timeout=REQUEST_TIMEOUT,
        )
        self._key = ""
        self._store: Store | None = None
        self._held: Held | None = None

    def call(self) -> None:
        """Make a random call, and take a nap after it."""
        bucket, _slash, prefix = self._leases.partition("/")
        key = f"{prefix}-{self.clock.now() // NEXT_LEASE:.0f}"
        if key != self._key:
            self._key, self._held = key, None
            location = Location(bucket, key)
            connection = Connection(self._endpoint, location)
            self._store = Store(connection, location, self.clock)
            self._me = self._me._replace(store=connection.bucket_url)
        odds = LEADING if self._held else FOLLOWING
        operation = self._rng.choices(list(odds), list(odds.values()))[0]
        held = self._held if self._rng.random() < 0.8 and operation in ("renew", "release") else None
        self._history.invoked(key, operation, held, forced=operation == "break")
        self._tempt_fate()
        steps = self._history.watched(self._steps(operation, held))
        assert self._store
        try:
            verdict = drive(steps, self._store, REQUEST_TIMEOUT, self.clock)
        except StoreError as error:
            self._history.failed(error)
        else:
            self._history.answered(verdict)
            if operation != "inspect":
                self._remember(verdict)
        least, most, _often = self._rng.choices(NAPS, [often for _least, _most, often in NAPS])[0]
        self.clock.sleep(self._rng.uniform(least, most))

    def _steps(self, operation: str, held: Held | None) -> t.Any:
        start, patience = self.clock.now(), self._endpoint.patience
        if operation == "acquire":
            wait = self._rng.choice(WAITS)
            want = Want(
                lease_duration=self._rng.choice(DURATIONS),
                patience=patience,
                wait_timeout=wait,
                poll_interval=0.5,
                takeover=self._rng.choice(("store_clock", "observed")) if wait else "store_clock",
            )
            return protocol.acquire(self._me, want, start, fresh_nonce)
        if operation == "renew":
            duration = self._rng.choice((None, *DURATIONS))
            return protocol.renew(self._me, held, duration, start, patience, fresh_nonce)
        if operation == "inspect":
            return protocol.inspect(self._me, start, patience)
        return protocol.release(self._me, held, start, patience, fresh_nonce, force=operation == "break")

    def _remember(self, verdict: Verdict) -> None:
        if verdict.deadline is None or not isinstance(verdict.lease, Seen):
            self._held = None
        else:
            self._held = Held(verdict.lease, verdict.deadline, self.clock.now())

    def _tempt_fate(self) -> None:
        for number, share in MISHAPS.items():
            if self._rng.random() < share:
                mishap = threading.Timer(self._rng.uniform(0, MISHAP_WITHIN), os.kill, (os.getpid(), number))
                mishap.daemon = True
                mishap.start()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--leases", required=True, help="bucket/prefix")
    parser.add_argument("--history", type=pathlib.Path, required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--calls", type=float, default=math.inf, help="how many at most")
    parser.add_argument("--until", type=float, default=math.inf, help="on the clock of the core")
    arguments = parser.parse_args()
    session = Session(arguments.name, arguments.leases, arguments.history, arguments.seed)
    made = 0
    while made < arguments.calls and session.clock.now() < arguments.until:
        session.call()
        made += 1


if __name__ == "__main__":
    main()
