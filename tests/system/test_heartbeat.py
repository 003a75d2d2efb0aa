# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role on three hosts: its services run on one of them, and move."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Callable

import pytest
from seaweedfs import SeaweedFS
from support.playbook import Run

from system.lab import faults
from system.lab.host import Host
from system.lab.intervals import Interval, overlaps
from system.lab.watcher import Watcher, unit

Deploy = Callable[..., Run]


@pytest.fixture
def deploy(hosts: list[Host], seaweedfs: SeaweedFS, bucket: str, key: str, run_playbook: Callable[..., Run]) -> Deploy:
    """Runs the role on all hosts, with one lease and one service."""
    for host in hosts:
        (host.root / "etc/systemd/system/app.service").write_text(unit("db", "app"))
    lease = dict(
        name="db",
        bucket=bucket,
        key=key,
        services=["app.service"],
        stop_timeout=2,
        stop_grace=4,
        lease_duration=15,
        renew_interval=2,
        endpoint_url=seaweedfs.endpoint_url,
        access_key=seaweedfs.access_key,
        secret_key=seaweedfs.secret_key,
    )

    def run(*args: str, **more: t.Any) -> Run:
        variables = dict(heartbeat_leases=[lease], heartbeat_preflight=False, **more)
        role = dict(role="leaderelection.s3.heartbeat", vars=variables)
        return run_playbook(f"- hosts: all\n  gather_facts: false\n  roles: [{json.dumps(role)}]\n", args=args)

    return run


def moved(watcher: Watcher, before: Interval) -> Interval:
    """Wait until the service runs on another host."""
    return watcher.wait(lambda seen: next((one for one in seen if one.host != before.host and one.runs), None))


def test_the_service_runs_on_one_host_and_moves_when_that_is_stopped_and_killed(
    deploy: Deploy, hosts: list[Host], watcher: Watcher
) -> None:
    deploy().succeeded()
    by_name = {host.name: host for host in hosts}
    first = watcher.wait_until_running(lease="db")
    by_name[first.host].run("systemctl", "stop", "s3-leader@db.service")
    second = moved(watcher, first)
    faults.killed(by_name[second.host], "s3-leader@db.service")
    third = moved(watcher, second)
    assert int(first.term) < int(second.term) < int(third.term)
    assert not overlaps(watcher.intervals)
