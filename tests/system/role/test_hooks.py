# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that are run when leadership comes, when it goes, and when the store fails."""

from __future__ import annotations

import pytest
from support.stores.seaweedfs import SeaweedFS
from support.waiting import wait_for

from system.lab import faults
from system.lab.host import Host
from system.lab.watcher import Watcher
from system.role.deployment import leader, lease_in, logged

pytestmark = pytest.mark.usefixtures("deployed")


def test_hooks_are_told_the_term_that_comes_and_the_one_that_goes(hosts: list[Host], watcher: Watcher) -> None:
    host = leader(hosts, "db")
    (old,) = watcher.running(lease="db")
    wait_for(lambda: ["on_acquired", old.term] in logged(host), "on_acquired is run with the term")
    host.run("s3-leader", "step-down", "db")
    new = watcher.wait(lambda seen: next((one for one in seen if one.lease == "db" and one.runs), None))
    assert new.host != host.name
    assert ["on_lost", old.term] in logged(host)
    other = leader(hosts, "db")
    wait_for(lambda: ["on_acquired", new.term] in logged(other), "on_acquired is run with the new term")


def test_on_error_is_told_what_failed_and_is_killed_when_it_takes_too_long(hosts: list[Host]) -> None:
    host = leader(hosts, "db")
    (host.root / "root/hang").touch()
    try:
        with faults.store_refusing(host):
            told = wait_for(
                lambda: next((line for line in logged(host) if line[0] == "on_error"), None), "on_error is run"
            )
        result = ("systemctl", "show", "--property=Result", "--value", "s3-leader-error@db.service")
        wait_for(lambda: host.run(*result).stdout.strip() == "timeout", "on_error is killed")
    finally:
        (host.root / "root/hang").unlink()
    assert len(told) > 2
    assert leader(hosts, "db") == host


def test_renewals_and_services_do_not_wait_for_a_hook(
    hosts: list[Host], watcher: Watcher, seaweedfs: SeaweedFS, bucket: str
) -> None:
    host = leader(hosts, "files")
    first = lease_in(seaweedfs, bucket, "hosts/files")["sequence"]
    wait_for(lambda: lease_in(seaweedfs, bucket, "hosts/files")["sequence"] > first + 1, "two renewals")
    state = host.run("systemctl", "show", "--property=ActiveState", "--value", "s3-leader-acquired@files.service")
    assert state.stdout.strip() == "activating"  # it hangs
    assert watcher.running(lease="files")
