# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host leaves one lease, then all; of the role nothing is left. These tests come after the others, in this order."""

from __future__ import annotations

import pytest

from system.lab.host import Host
from system.lab.watcher import Watcher
from system.role.deployment import Deployment, Look, changes, differences, leader, look


@pytest.mark.usefixtures("deployed")
def test_a_host_that_leaves_one_lease_hands_it_over_and_keeps_the_other(
    deployment: Deployment, hosts: list[Host], watcher: Watcher
) -> None:
    host = leader(hosts, "files")
    ran, pid = watcher.running(lease="db"), host.main_pid("s3-leader@db.service")
    left = dict(name="files", state="absent")
    deployment.run(f"--limit={host.name}", leases=[deployment.leases[0], left]).succeeded()
    assert watcher.wait_until_running(lease="files").host != host.name
    assert watcher.running(lease="db") == ran
    assert host.main_pid("s3-leader@db.service") == pid
    (seen,) = look([host]).values()
    names = ("@files", "leader-files", "leader/files")
    assert [line for line in seen if any(name in line for name in names)] == []


@pytest.mark.usefixtures("deployed")
def test_check_mode_of_a_removal_changes_nothing(deployment: Deployment, hosts: list[Host], watcher: Watcher) -> None:
    ran, seen = watcher.running(), look(hosts)
    run = deployment.run("--check", "--diff", "--limit=h1", state="absent").succeeded()
    assert changes(run)
    assert watcher.running() == ran
    assert differences(seen, look(hosts)) == []


@pytest.mark.usefixtures("deployed")
def test_a_removal_leaves_no_trace_and_gives_the_services_back(
    deployment: Deployment, hosts: list[Host], watcher: Watcher, before: Look
) -> None:
    deployment.run(state="absent").succeeded()
    assert differences(before, look(hosts)) == []
    assert watcher.running() == []
    for host in hosts:
        host.run("systemctl", "start", "app.service")
        assert watcher.wait_until_running(service="app", host=host.name).term == ""
    assert changes(deployment.run("--limit=h1", state="absent").succeeded()) == set()
    assert len(watcher.running(service="app")) == 3
