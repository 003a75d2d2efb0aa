# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that take part in leases by the role, each with services of one kind."""

from __future__ import annotations

import functools
import json
import pathlib
import time
import typing as t
import uuid
from collections.abc import Callable, Mapping, Sequence

from support.playbook import Run
from support.stores.seaweedfs import SeaweedFS
from support.waiting import wait_for

from system import plays
from system.lab.host import Host
from system.lab.intervals import Interval
from system.lab.watcher import Watcher
from system.workloads import Workload

BUCKET = "leader-election"
# Seconds. As short as the role lets them be, so that much can happen in a test.
LEASE_DURATION, RENEW_INTERVAL, STOP_GRACE = 10, 2, 3
TIMES = dict(
    lease_duration=LEASE_DURATION,
    renew_interval=RENEW_INTERVAL,
    stop_grace=STOP_GRACE,
    poll_interval=1,
    request_timeout=1.5,
    stop_timeout=2,
)


class Service(t.NamedTuple):
    """Both services of a lease that has a pair of them, while one host runs them in one term."""

    host: Host
    term: int
    app: Interval
    slow: Interval

    def pids(self) -> tuple[int, int]:
        """Its processes."""
        return self.app.pid, self.slow.pid


class Cluster:
    """The hosts take part once the role was deployed."""

    def __init__(
        self,
        hosts: Sequence[Host],
        watcher: Watcher,
        server: SeaweedFS,
        workloads: Mapping[str, Workload],
        play: Callable[..., Run],
        times: Mapping[str, float] | None = None,
    ) -> None:
        self.hosts = hosts
        self.watcher = watcher
        self.leases = list(workloads)
        self.workloads = workloads
        self.times = times or TIMES
        self.server = server
        self.client = server.client()
        self._play = play
        self._id = uuid.uuid4().hex
        server.create_bucket(BUCKET)
        for host in hosts:
            for workload in workloads.values():
                host.write_units(workload.units, "usr/lib/systemd/system")

    def deploy(self, collections_path: str | None = None, **changes: t.Any) -> None:
        """Run the role on all hosts at once; options of the leases may be changed. Raises AssertionError."""
        leases = [{**self._options(lease), **changes} for lease in self.leases]
        play = plays.heartbeat(heartbeat_leases=leases, heartbeat_preflight=False)
        self._play(play, collections_path=collections_path).succeeded()
        for host in self.hosts:
            self.add_later(host)

    def add_later(self, host: Host) -> None:
        """Add what an administrator adds when the role is through, and start what belongs to no lease."""
        for workload in self.workloads.values():
            host.write_units(workload.later)
        host.run("systemctl", "daemon-reload")
        units = {name: text for workload in self.workloads.values() for name, text in workload.units.items()}
        wanted = [name for name, text in units.items() if "[Install]" in text]
        if wanted:
            host.run("systemctl", "enable", "--now", *wanted)

    def wait_until_served(self, lease: str, after: int = 0) -> Service:
        """Wait until a host runs both services, in a term after the given one. Raises TimeoutError."""
        by_name = {host.name: host for host in self.hosts}

        def both(seen: list[Interval]) -> Service | None:
            running = [one for one in seen if one.runs and one.lease == lease and int(one.term or 0) > after]
            for app in running:
                for slow in running:
                    if (app.service, slow.service) == ("app", "slow") and app.host == slow.host:
                        return Service(by_name[app.host], int(app.term), app, slow)
            return None

        return self.watcher.wait(both)

    def wait_for_leader(self, lease: str) -> Host:
        """Wait until a host leads, and its services were started; some may have done their job since."""
        return wait_for(lambda: self.leader(lease), f"a host leads by {lease}")

    def leader(self, lease: str) -> Host | None:
        """The host that leads, once its services were started."""
        started = f"run/s3-leader-serving/{lease}/started"
        return next((host for host in self.hosts if (host.inside / started).exists()), None)

    def wait_until_all_take_part(self) -> None:
        """Wait until each daemon hears from the store and each lease is served. Raises TimeoutError."""
        since = time.time()
        for host in self.hosts:
            wait_for(functools.partial(self.takes_part, host, since), f"{host.name} takes part")
        for lease in self.leases:
            self.wait_for_leader(lease)

    def takes_part(self, host: Host, since: float) -> bool:
        """Whether each daemon of the host has heard from the store since that time, and all was well."""
        return all(self._heard(host, lease, since) for lease in self.leases)

    def leads_until(self, host: Host, lease: str) -> float | None:
        """When the services have to begin to stop, by the watcher's clock; None where the host does not lead."""
        try:
            status = json.loads(_status(host, lease).read_text())
        except OSError:
            return None
        until: float | None = status["until"]
        return until

    def is_stopping(self, host: Host) -> bool:
        """Whether services of a lease may run on the host, which leads by it no more."""
        return any(
            (host.inside / f"run/s3-leader-serving/{lease}").exists() and self.leads_until(host, lease) is None
            for lease in self.leases
        )

    def services(self, lease: str) -> list[str]:
        """The services of a lease that have names of their own; instances of a template have not."""
        return [service for service in self.workloads[lease].services if "@." not in service]

    def record(self, lease: str) -> dict[str, t.Any]:
        """What the store has."""
        body = self.client.get_object(Bucket=BUCKET, Key=self.key(lease))["Body"].read()
        record: dict[str, t.Any] = json.loads(body)
        return record

    def key(self, lease: str) -> str:
        """The lease's object; no other cluster has it."""
        return f"{self._id}/{lease}"

    def _heard(self, host: Host, lease: str, since: float) -> bool:
        try:
            path = _status(host, lease)
            status, written = json.loads(path.read_text()), path.stat().st_mtime
        except OSError:
            return False  # no daemon
        return written > since and status["reason"].startswith(("held by ", "leads with "))

    def _options(self, lease: str) -> dict[str, t.Any]:
        return dict(
            {**self.times, **self.workloads[lease].options},
            name=lease,
            bucket=BUCKET,
            key=self.key(lease),
            services=self.workloads[lease].services,
            endpoint_url=self.server.endpoint_url,
            access_key=self.server.access_key,
            secret_key=self.server.secret_key,
        )


def daemon(lease: str) -> str:
    """The daemon's unit."""
    return f"s3-leader@{lease}.service"


def _status(host: Host, lease: str) -> pathlib.Path:
    return host.inside / f"run/s3-leader/{lease}/status.json"
