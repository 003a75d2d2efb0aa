# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: one group of hosts for all tests of the role, and how far the role has come on them.

By the names of the files, the tests of removal come last but for those that need hosts without the role.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

import pytest
from support.playbook import Run
from support.stores.seaweedfs import SeaweedFS

from system.lab.host import Host
from system.lab.lab import Lab
from system.lab.watcher import Watcher, unit
from system.role.deployment import Deployment, Look, look

HOOK = """#!/bin/sh
# Writes down what it is told; then it hangs, if that is asked for.
echo "$1 $S3_LEADER_TERM $S3_LEADER_ERROR" >> /var/log/hooks
if [ "$2" = hang ] || [ -e /root/hang ]; then exec sleep infinity; fi
"""
KEYS = "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n"


@pytest.fixture(scope="package")
def watcher(lab: Lab) -> Iterator[Watcher]:
    """Sees services start and end."""
    with Watcher(lab.shared) as started:
        yield started


@pytest.fixture(scope="package")
def hosts(lab: Lab, watcher: Watcher, seaweedfs: SeaweedFS) -> Iterator[list[Host]]:
    """Three hosts with the services, a program for hooks, and files with credentials."""
    keys = KEYS.format(seaweedfs.access_key, seaweedfs.secret_key)
    with lab.hosts() as made:
        for host in made:
            for lease, service in (("db", "app"), ("db", "late"), ("files", "files"), ("none", "slow")):
                (host.root / f"etc/systemd/system/{service}.service").write_text(unit(lease, service))
            (host.root / "usr/local/sbin/hook").write_text(HOOK)
            (host.root / "usr/local/sbin/hook").chmod(0o755)
            (host.root / "root/keys").write_text(keys)
            (host.root / "root/keys").chmod(0o600)
            if host.release >= 12:
                seal = ("systemd-creds", "encrypt", "--name=credentials", "--with-key=host")
                host.run(*seal, "/root/keys", "/root/keys.sealed")
            host.run("systemctl", "daemon-reload")
        yield made


@pytest.fixture(autouse=True)
def journals(hosts: list[Host]) -> Iterator[None]:
    """pytest shows them where a test has failed."""
    yield
    for host in hosts:
        print(f"--- the end of the journal of {host.name}\n{host.journal('--lines=60')}")


@pytest.fixture(scope="package")
def deployment(
    lab: Lab,
    hosts: list[Host],
    seaweedfs: SeaweedFS,
    bucket: str,
    collections_path: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Deployment:
    """Runs the role with a lease that has keys and hooks, one with LoadCredential=, and one with encrypted ones."""
    made = Deployment(lab.inventory, tmp_path_factory.mktemp("role"), collections_path)
    store: dict[str, t.Any] = dict(bucket=bucket, endpoint_url=seaweedfs.endpoint_url)
    # So long that no lease is lost on a machine that is busy.
    store |= dict(lease_duration=90, renew_interval=2, stop_timeout=2, stop_grace=8, request_timeout=10)
    keys = dict(access_key=seaweedfs.access_key, secret_key=seaweedfs.secret_key)
    hooks = {hook: f"/usr/local/sbin/hook {hook}" for hook in ("on_acquired", "on_lost", "on_error")}
    made.leases = [
        dict(store, name="db", key="hosts/db", services=["app.service"], hook_timeout=5, **keys, **hooks),
        dict(
            store,
            name="files",
            key="hosts/files",
            services=["files.service"],
            load_credential="/root/keys",
            on_acquired="/usr/local/sbin/hook files hang",
            hook_timeout=3600,
        ),
    ]
    made.newer_leases = [
        dict(store, name="sealed", key="hosts/sealed", load_credential_encrypted="/root/keys.sealed"),
    ]
    return made


@pytest.fixture(scope="package")
def before(hosts: list[Host], deployment: Deployment) -> Look:
    """What the hosts look like without the role."""
    return look(hosts)


@pytest.fixture(scope="package")
def foreseen(deployment: Deployment, before: Look) -> Run:
    """The role in check mode, on fresh hosts."""
    return deployment.run("--check", "--diff", preflight=True).succeeded()


@pytest.fixture(scope="package")
def after_check(hosts: list[Host], foreseen: Run) -> Look:
    """What the hosts look like after a run in check mode."""
    return look(hosts)


@pytest.fixture(scope="package")
def deployed(deployment: Deployment, after_check: Look, watcher: Watcher) -> Run:
    """The first run of the role, with all that Ansible has to say. Afterwards the services run."""
    run = deployment.run("-vvv", "--diff", preflight=True).succeeded()
    for lease in ("db", "files"):
        watcher.wait_until_running(lease=lease)
    return run
