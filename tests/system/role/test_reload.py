# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""New code and a new configuration are taken over by daemons that go on; what is wrong is not taken over."""

from __future__ import annotations

import json
import pathlib

import pytest
from support.stores.seaweedfs import SeaweedFS
from support.waiting import wait_for

from system import plays
from system.lab.host import Host
from system.lab.watcher import Watcher
from system.role.deployment import Deployment, changes, leader, lease_in

ROLE = "leaderelection.s3.heartbeat"
OLD, NEW = '"leads with %sterm %s"', '"leads with the new code and %sterm %s"'


@pytest.fixture
def other_code(tmp_path: pathlib.Path) -> str:
    """Where a copy of the collection is found whose daemon calls leading something else."""
    return plays.changed_collection(tmp_path, OLD, NEW)


@pytest.mark.usefixtures("deployed")
def test_new_code_and_a_new_configuration_are_taken_over_without_a_restart(
    deployment: Deployment, hosts: list[Host], watcher: Watcher, seaweedfs: SeaweedFS, bucket: str, other_code: str
) -> None:
    def daemons() -> list[str]:
        return [host.main_pid(f"s3-leader@{name}.service") for name in ("db", "files")]

    host = leader(hosts, "db")
    ran, pids = watcher.running(), daemons()
    first = lease_in(seaweedfs, bucket, "hosts/db")
    deployment.leases[0] |= dict(lease_duration=80, renew_interval=3)
    deployment.run(f"--limit={host.name}", collections_path=other_code).succeeded()
    status = ("systemctl", "show", "--property=StatusText", "s3-leader@db.service")
    wait_for(lambda: "the new code" in host.run(*status).stdout, "the new code leads")
    renewed = wait_for(
        lambda: (lease := lease_in(seaweedfs, bucket, "hosts/db"))["leaseDurationSeconds"] == 80 and lease,
        "a renewal by the new configuration",
    )
    assert (renewed["term"], renewed["session"]) == (first["term"], first["session"])
    assert daemons() == pids
    assert watcher.running() == ran


@pytest.mark.usefixtures("deployed")
def test_a_configuration_that_is_wrong_is_refused_and_the_daemon_goes_on(
    hosts: list[Host], watcher: Watcher, seaweedfs: SeaweedFS, bucket: str
) -> None:
    host = leader(hosts, "db")
    ran, pid = watcher.running(), host.main_pid("s3-leader@db.service")
    file = host.root / "etc/s3-leader/db.json"
    good = file.read_text()
    file.write_text(json.dumps(dict(json.loads(good), lease_duration=1)))
    try:
        assert host.run("systemctl", "reload", "s3-leader@db.service", check=False).returncode
        first = lease_in(seaweedfs, bucket, "hosts/db")
        renewed = wait_for(
            lambda: (lease := lease_in(seaweedfs, bucket, "hosts/db"))["sequence"] > first["sequence"] and lease,
            "the next renewal",
        )
    finally:
        file.write_text(good)
    assert renewed["term"] == first["term"]
    assert host.main_pid("s3-leader@db.service") == pid
    assert watcher.running() == ran
    assert "lease_duration is 1" in host.journal("--unit=s3-leader@db.service")


@pytest.mark.usefixtures("deployed")
def test_what_an_interrupted_run_has_written_is_taken_over_by_the_next_one(
    deployment: Deployment, hosts: list[Host], watcher: Watcher, seaweedfs: SeaweedFS, bucket: str
) -> None:
    host = leader(hosts, "db")
    ran, before = watcher.running(), lease_in(seaweedfs, bucket, "hosts/db")
    deployment.leases[0] |= dict(lease_duration=85, services=["app.service", "late.service"])
    interrupted = deployment.start(f"--limit={host.name}")
    interrupted.wait_for(f"{ROLE} : Write the configurations, the units and the drop-ins of the services")
    interrupted.kill()
    run = deployment.run(f"--limit={host.name}").succeeded()
    assert {task for _host, task in changes(run)} == {
        "Reload the daemons",
        "Start services that are new to a lease on the host that leads",
    }
    late = watcher.wait_until_running(service="late")
    assert (late.host, late.term) == (host.name, str(before["term"]))
    assert host.run("systemctl", "show", "--property=NeedDaemonReload", "--value", "late.service").stdout == "no\n"
    wait_for(lambda: lease_in(seaweedfs, bucket, "hosts/db")["leaseDurationSeconds"] == 85, "a renewal that knows")
    assert watcher.running() == [*ran, late]


@pytest.mark.usefixtures("deployed")
def test_what_somebody_has_stopped_is_left_alone(deployment: Deployment, hosts: list[Host], watcher: Watcher) -> None:
    host = leader(hosts, "db")
    app = watcher.wait_until_running(service="app")
    host.run("systemctl", "stop", "app.service")
    watcher.wait_until_ended(app)
    assert changes(deployment.run(f"--limit={host.name}").succeeded()) == set()
    assert watcher.running(service="app") == []
    host.run("systemctl", "start", "app.service")
    assert watcher.wait_until_running(service="app").term == app.term
