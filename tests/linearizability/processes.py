# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many processes that want the same leases, by way of a proxy that breaks requests at random."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import math
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import typing as t
from collections.abc import Mapping

from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Record, decode
from support.child_process import die_with_parent
from support.proxy import (
    Fault,
    FaultProxy,
    answer,
    drip,
    drop_answer,
    drop_request,
    hang,
    hang_after_commit,
    late_answer,
    late_request,
)
from support.recorder import Request
from support.server import Exchange

from . import history, session

LONGEST_STOP = 6.0  # seconds: longer than a lease and its margin
STATUSES = (409, 412, 500, 503)


class Event(t.NamedTuple):
    """Something that happened to a request, by the clock of the sessions."""

    at: float
    number: int
    """The request's, from 1."""
    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.at:.3f}  request {self.number} for {self.key}: {self.what}"


class RandomFaults(FaultProxy):
    """Breaks the given share of all requests, each in a way that the seed's chance chooses."""

    def __init__(self, upstream_url: str, seed: int, share: float) -> None:
        super().__init__(upstream_url)
        self.journal: list[Event] = []
        self._numbers: dict[int, int] = {}
        self._rng = random.Random(seed)
        self._share = share
        self._turn = threading.Lock()

    def add(self, request: Request) -> None:
        """Record a request that came in."""
        super().add(request)
        record = decode(request.body)
        who = f" {record.nonce[:8]} of {record.session}" if isinstance(record, Record) else ""
        with self._turn:
            self._numbers[id(request)] = len(self._numbers) + 1  # the recorder keeps the request, and so its id
        self._enter(request, f"{request.method} {request.condition}{who}")

    def note(self, request: Request, **changes: object) -> None:
        """Change a record."""
        super().note(request, **changes)
        self._enter(request, ", ".join(f"{name} {value}" for name, value in changes.items()))

    def _enter(self, request: Request, what: str) -> None:
        self.journal.append(Event(Clock().now(), self._numbers[id(request)], request.key, what))

    def handle(self, exchange: Exchange) -> None:
        with self._turn:
            fault = self._draw() if self._rng.random() < self._share else None
        if fault is None:
            exchange.reply(self.forward(exchange.request))
        else:
            self.note(exchange.request, fault=fault.name)
            fault.act(self, exchange)

    def faults(self) -> collections.Counter[str]:
        """How many requests met each fault."""
        return collections.Counter(request.fault for request in self.requests if request.fault)

    def _draw(self) -> Fault:
        rng = self._rng
        status = rng.choice(STATUSES)
        faults = (
            drop_request(),
            drop_answer(),
            late_request(rng.uniform(0.1, 6)),
            dataclasses.replace(late_request(rng.uniform(0.1, 6), hang=True), name="late_request, hang"),
            late_answer(rng.uniform(0.1, 3)),
            answer(status),
            dataclasses.replace(answer(status, after_commit=True), name=f"answer {status} after commit"),
            hang(),
            hang_after_commit(),
            drip(rng.uniform(0.0005, 0.01)),
        )
        return rng.choice(faults)


class Mishaps(t.NamedTuple):
    """What befell the processes."""

    kills: int
    stops: int


class Processes:
    """Processes that make their calls whatever befalls them."""

    def __init__(self, environment: Mapping[str, str], leases: str, folder: pathlib.Path, seed: int) -> None:
        """``environment`` tells of the store, ``leases`` is bucket/prefix; the folder takes the history."""
        self._environment = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._leases = leases
        self._folder = folder
        self._seed = seed

    def run(self, processes: int, per_lease: int, calls: float = math.inf, seconds: float = math.inf) -> Mishaps:
        """Return when each process has made so many calls, or as many as fit into the seconds.

        ``per_lease`` of them compete for each lease. Raises RuntimeError where one ended by itself with an error.
        """
        until = Clock().now() + seconds
        with concurrent.futures.ThreadPoolExecutor(processes) as threads:
            lives = [
                threads.submit(self._live, number, f"{self._leases}-{number // per_lease}", calls, until)
                for number in range(processes)
            ]
        befell = [life.result() for life in lives]
        return Mishaps(sum(one.kills for one in befell), sum(one.stops for one in befell))

    def _live(self, number: int, leases: str, calls: float, until: float) -> Mishaps:
        """Start a process, and another one whenever it was killed; a new process is a new session."""
        rng = random.Random(f"{self._seed}/{number}")
        kills = stops = 0
        while True:
            name = f"{number}.{kills}"
            path = self._folder / f"{name}.jsonl"
            command = [sys.executable, "-m", session.__name__, f"--name={name}", f"--leases={leases}"]
            command += [f"--history={path}", f"--seed={self._seed}/{name}", f"--calls={calls}", f"--until={until}"]
            with path.with_suffix(".log").open("wb") as log:
                # It dies with this thread, and so with the test.
                process = subprocess.Popen(
                    command, env=self._environment, stdout=log, stderr=log, preexec_fn=die_with_parent()
                )
            status = os.waitpid(process.pid, os.WUNTRACED)[1]
            while os.WIFSTOPPED(status):
                stops += 1
                time.sleep(rng.uniform(0.1, LONGEST_STOP))
                os.kill(process.pid, signal.SIGCONT)
                status = os.waitpid(process.pid, os.WUNTRACED)[1]
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode == 0:
                return Mishaps(kills, stops)
            if process.returncode != -signal.SIGKILL:
                said = path.with_suffix(".log").read_text(errors="replace")
                raise RuntimeError(f"session {name} ended with {process.returncode}:\n{said}")
            kills += 1
            calls -= sum("invoked" in line for line in history.lines(path))
