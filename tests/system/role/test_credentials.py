# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has the keys to the store, who has not, and how they are changed."""

from __future__ import annotations

import json

import pytest
from support.playbook import Run
from support.stores.seaweedfs import SeaweedFS
from support.waiting import wait_for

from system.lab.host import Host
from system.lab.watcher import Watcher
from system.role.deployment import leader, lease_in

FILE = "/etc/s3-leader/db.credentials"


@pytest.mark.usefixtures("deployed")
def test_the_daemon_and_root_can_read_the_keys_and_nobody_else(hosts: list[Host], seaweedfs: SeaweedFS) -> None:
    for host in hosts:
        assert host.run("stat", "--format=%a %U:%G", FILE).stdout == "640 root:s3-leader\n"
        places = ("/etc", "/run", "/usr/local", "/var", "/tmp")
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        search = (*nobody, "grep", "-rlsF", "--devices=skip", seaweedfs.secret_key, *places)
        assert host.run(*search, check=False).stdout == ""


@pytest.mark.usefixtures("deployed")
def test_no_process_has_the_secret_key_in_its_arguments_or_its_environment(
    hosts: list[Host], seaweedfs: SeaweedFS
) -> None:
    for host in hosts:
        # the pattern is no occurrence of itself
        search = f"grep -ls {seaweedfs.secret_key[:-1]}[{seaweedfs.secret_key[-1]}]"
        found = host.run("sh", "-c", f"{search} /proc/[0-9]*/cmdline /proc/[0-9]*/environ", check=False)
        assert found.stdout == ""


def test_no_journal_and_no_output_of_the_role_shows_the_secret_key(
    deployed: Run, hosts: list[Host], seaweedfs: SeaweedFS
) -> None:
    shown = {"output": str(deployed), "results": str(deployed.results)}
    shown |= {host.name: host.journal("--output=export", "--all") for host in hosts}
    assert [place for place, text in shown.items() if seaweedfs.secret_key in text] == []
    assert all("s3-leader" in text for text in shown.values())


@pytest.mark.usefixtures("deployed")
def test_changed_keys_are_followed_without_a_restart(
    hosts: list[Host], watcher: Watcher, seaweedfs: SeaweedFS, bucket: str
) -> None:
    host = leader(hosts, "db")
    ran, pid, first = watcher.running(), host.main_pid("s3-leader@db.service"), lease_in(seaweedfs, bucket, "hosts/db")
    good = host.run("cat", FILE).stdout
    host.run("tee", FILE, stdin=good.replace(seaweedfs.secret_key, "wrong"))
    wait_for(lambda: "error" in events(host), "the daemon tries the wrong key")
    other = seaweedfs.identities["no-list"]
    changed = good.replace(seaweedfs.secret_key, other.secret_key).replace(seaweedfs.access_key, other.access_key)
    host.run("tee", FILE, stdin=changed)
    wait_for(lambda: "recovered" in events(host), "the daemon renews with the other key")
    host.run("tee", FILE, stdin=good)
    assert lease_in(seaweedfs, bucket, "hosts/db")["term"] == first["term"]
    assert host.main_pid("s3-leader@db.service") == pid
    assert watcher.running() == ran


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("lease", ["files", "sealed"])
def test_credentials_that_systemd_hands_over_are_used(
    hosts: list[Host], seaweedfs: SeaweedFS, bucket: str, lease: str
) -> None:
    def terms() -> list[int]:
        status = ("s3-leader", "status", "--json", lease)
        return [json.loads(host.run(*status).stdout)[lease]["term"] for host in hosts if host.release in releases]

    releases = (12, 13) if lease == "sealed" else (11, 12, 13)
    term = wait_for(lambda: lease_in(seaweedfs, bucket, f"hosts/{lease}")["term"], "somebody leads")
    wait_for(lambda: terms() == [term] * len(releases), "all see the lease")


def events(host: Host) -> list[str]:
    """What has happened to the lease db, by a field of the journal."""
    return host.journal("S3_LEADER_NAME=db", "--output=cat", "--output-fields=S3_LEADER_EVENT").splitlines()
