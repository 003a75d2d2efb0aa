# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role on fresh hosts, in check mode and in earnest, and once more."""

from __future__ import annotations

import json

import pytest
from support.playbook import Run

from system.lab.host import Host
from system.lab.watcher import Watcher
from system.role.deployment import Deployment, Look, changes, differences


def test_check_mode_on_fresh_hosts_touches_nothing(before: Look, after_check: Look) -> None:
    assert differences(before, after_check) == []


def test_check_mode_foresees_what_the_run_changes(foreseen: Run, deployed: Run) -> None:
    # systemd cannot be asked about units that are not there yet
    later = {
        "Start the guard",
        "Enable the handover before sleep",
        "Start the daemons of the leases",
        "Start services that are new to a lease on the host that leads",
    }
    assert changes(foreseen) <= changes(deployed)
    assert {task for _host, task in changes(deployed) - changes(foreseen)} <= later


@pytest.mark.usefixtures("deployed")
def test_each_service_runs_on_one_host_with_its_term(watcher: Watcher) -> None:
    for lease in ("db", "files"):
        (one,) = watcher.running(lease=lease)
        assert int(one.term) > 0


@pytest.mark.usefixtures("deployed")
def test_the_more_hosts_share_a_lease_the_less_often_each_polls(hosts: list[Host]) -> None:
    def interval(host: Host, lease: str) -> float:
        interval: float = json.loads((host.root / f"etc/s3-leader/{lease}.json").read_text())["poll_interval"]
        return interval

    assert {(host.name, interval(host, "db")) for host in hosts} == {(host.name, 1.5) for host in hosts}
    assert {interval(host, "sealed") for host in hosts if host.name != "h1"} == {1}


@pytest.mark.usefixtures("deployed")
def test_a_second_run_changes_nothing_and_check_mode_foresees_that(deployment: Deployment, watcher: Watcher) -> None:
    ran = watcher.running()
    assert changes(deployment.run(preflight=True).succeeded()) == set()
    # costs as much, and on one host tells as much
    assert changes(deployment.run("--check", "--diff", "--limit=h2", preflight=True).succeeded()) == set()
    assert watcher.running() == ran


@pytest.mark.usefixtures("deployed")
def test_systemd_calls_the_daemon_well_confined(hosts: list[Host]) -> None:
    exposures = {}
    for host in hosts:
        told = host.run("systemd-analyze", "security", "--no-pager", "s3-leader@db.service").stdout
        exposures[host.name] = float(told.split("s3-leader@db.service:")[1].split()[0])
    print(exposures)
    assert max(exposures.values()) <= 1.2
