# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lease costs by the number of hosts that share it, and how soon the next host leads.

Each host is a process. Half of the fleets poll as the role lets them, the others each second.
"""

from __future__ import annotations

import contextlib
import pathlib
import random
import signal
import statistics
import tempfile
import threading
import time
import typing as t
from collections.abc import Callable

from ansible_collections.leaderelection.s3.plugins.filter.heartbeat_plan import heartbeat_plan
from bench_heartbeat import MEMORY, requests_of, start_daemon
from support.daemon import Daemon, eventually
from support.stores.seaweedfs import SeaweedFS

HOSTS = (3, 10, 30)
DOLLARS = {"GET": 0.0004 / 1000, "PUT": 0.005 / 1000}
"""For a request in us-east-1: https://aws.amazon.com/s3/pricing/, November 2026."""
MONTH = 730
"""Hours."""
LOOK = 0.01
"""Seconds between two looks for the next leader."""
Sleep = Callable[[Daemon], None]


class Fleet:
    """Hosts that share a lease."""

    def __init__(self, server: SeaweedFS, bucket: str, folder: pathlib.Path, hosts: int, fixed: bool) -> None:
        self.hosts, self.fixed, self._server, self._bucket = hosts, fixed, server, bucket
        lease = {"name": "db", "key": "lease", **({"poll_interval": 1} if fixed else {})}
        group = [heartbeat_plan([lease])["places"]] * hosts
        self.config: dict[str, t.Any] = heartbeat_plan([lease], group=group)["leases"]["db"]["config"]
        self._folder = folder / bucket
        self._daemons: list[Daemon] = []
        self.requests: dict[str, float] = {}
        """In an hour, by method."""
        self.planned: list[float] = []
        """Seconds until another host led, after its leader was told to stop."""
        self.crashed: list[float] = []
        """The same, after its leader was killed."""

    def start(self, stack: contextlib.ExitStack) -> None:
        """Start all hosts. They end with the stack."""
        self._server.create_bucket(self._bucket)
        times = {name: self.config[name] for name in ("lease_duration", "renew_interval", "poll_interval")}
        for number in range(self.hosts):
            options = dict(times, holder=f"host-{number}", bucket=self._bucket)
            self._daemons.append(start_daemon(self._server, self._folder / str(number), options, stack))
            if number == 0:
                eventually(self._daemons[0].leader)

    def move(self, runs: int) -> None:
        """Take the lease from its leader so many times in either way."""
        for ways, end in ((self.planned, _stop), (self.crashed, Daemon.stop)):
            for _run in range(runs):
                # At any time between two polls and two renewals, once who led before polls again.
                time.sleep(random.uniform(10, 10 + self.config["poll_interval"] + self.config["renew_interval"]))
                ways.append(self._time_to_next(end))

    def _time_to_next(self, end: Sleep) -> float:
        former = next(daemon for daemon in self._daemons if daemon.leader())
        others = [daemon for daemon in self._daemons if daemon is not former]
        began = time.monotonic()
        end(former)
        while not any((daemon.run / "leader").exists() for daemon in others):
            time.sleep(LOOK)
        took = time.monotonic() - began
        (former.run / "leader").unlink(missing_ok=True)  # systemd would have done so
        former.start()
        return took

    def count(self) -> dict[str, float]:
        return {method: requests_of(self._server, self._bucket, method) for method in DOLLARS}


def _stop(daemon: Daemon) -> None:
    daemon.send(signal.SIGTERM)
    daemon.ended()


def bench_fleet(seconds: float, runs: int) -> None:
    """Count the requests of all fleets for so many seconds, then end each leader in turn, and print a table."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=MEMORY)))
        server = stack.enter_context(SeaweedFS(metrics=True))
        fleets = [
            Fleet(server, f"fleet-{hosts}-{'fixed' if fixed else 'planned'}", folder, hosts, fixed)
            for hosts in HOSTS
            for fixed in (False, True)
        ]
        for fleet in fleets:
            fleet.start(stack)
        time.sleep(2 * max(fleet.config["poll_interval"] for fleet in fleets))
        before, began = [fleet.count() for fleet in fleets], time.monotonic()
        time.sleep(seconds)
        hours = (time.monotonic() - began) / 3600
        for fleet, first in zip(fleets, before, strict=True):
            last = fleet.count()
            fleet.requests = {method: (last[method] - first[method]) / hours for method in DOLLARS}
        movers = [threading.Thread(target=fleet.move, args=(runs,)) for fleet in fleets]
        for mover in movers:
            mover.start()
        for mover in movers:
            mover.join()
    print_fleets(fleets)


def print_fleets(fleets: list[Fleet]) -> None:
    runs = len(fleets[0].planned)
    print(f"\n{'':23} requests an hour   $ a month   seconds to failover, median (most) of {runs}")
    print("hosts   poll_interval      GET       PUT      on AWS    planned         after a crash")
    for fleet in fleets:
        month = MONTH * sum(fleet.requests[method] * price for method, price in DOLLARS.items())
        interval = f"{fleet.config['poll_interval']:g} s{', fixed' if fleet.fixed else ''}"
        counts = "  ".join(f"{fleet.requests[method]:8.0f}" for method in DOLLARS)
        moves = "  ".join(
            f"{statistics.median(took):5.1f} ({max(took):4.1f})  " for took in (fleet.planned, fleet.crashed)
        )
        print(f"{fleet.hosts:5}   {interval:13}  {counts}    {month:8.2f}    {moves}")
