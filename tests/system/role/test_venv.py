# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose distribution has no boto3 gets it from PyPI; here from a folder of wheels, as its pip.conf says."""

from __future__ import annotations

import os
import pathlib
import shutil
import typing as t
from collections.abc import Iterator

import pytest
from support.stores.seaweedfs import SeaweedFS
from support.waiting import wait_for

from system.lab.host import Host
from system.role.deployment import Deployment, changes, differences, look

DAEMON = "s3-leader@venv.service"
PIP = "[global]\nno-index = true\nfind-links = /srv/wheels\n"
ROLE = "leaderelection.s3.heartbeat"
LIBRARIES = "usr/lib/python3/dist-packages"


@pytest.fixture
def host(hosts: list[Host]) -> Iterator[Host]:
    """Without botocore, and with a mirror of PyPI."""
    host = hosts[1]
    shutil.copytree(os.environ["WHEELS"], host.root / "srv/wheels")
    (host.root / "etc/pip.conf").write_text(PIP)
    host.run("mv", f"/{LIBRARIES}/botocore", "/srv/botocore")
    yield host
    host.run("mv", "/srv/botocore", f"/{LIBRARIES}/botocore")
    (host.root / "etc/pip.conf").unlink()


def test_where_there_is_no_package_the_daemon_runs_in_a_venv_and_moves_on_to_the_one_that_is_asked_for(
    deployment: Deployment, host: Host, seaweedfs: SeaweedFS, bucket: str
) -> None:
    def leads() -> bool:
        return host.run("s3-leader", "check", "venv", check=False).returncode == 0

    def program() -> pathlib.Path:
        arguments = pathlib.Path(f"{host.inside}/proc/{host.main_pid(DAEMON)}/cmdline").read_text()
        return pathlib.Path(arguments.split("\0")[0])

    def run(*args: str, **options: t.Any) -> t.Any:
        return deployment.run("--limit=h2", *args, leases=[lease], heartbeat_packages=["no-such-package"], **options)

    lease = dict(
        name="venv",
        key="hosts/venv",
        bucket=bucket,
        endpoint_url=seaweedfs.endpoint_url,
        access_key=seaweedfs.access_key,
        secret_key=seaweedfs.secret_key,
    )
    before = look([host])
    deployment.newer_leases, others = [], deployment.newer_leases
    try:
        told = run(preflight=True).succeeded()[f"{ROLE} : Say why the distribution's package is not used"]
        assert "no-such-package could not be installed" in told["msg"]
        wait_for(leads, "the daemon leads")
        pid = host.main_pid(DAEMON)
        assert program() == pathlib.Path("/usr/local/lib/s3-leader/venv/bin/python")
        assert changes(run(preflight=True).succeeded()) == set()
        run(heartbeat_venv="/opt/s3-leader").succeeded()
        wait_for(lambda: program() == pathlib.Path("/opt/s3-leader/bin/python"), "it has moved")
        assert leads()
        assert host.main_pid(DAEMON) == pid
        run(heartbeat_venv="/opt/s3-leader", state="absent").succeeded()
        assert differences(before, look([host])) == []
        assert not (host.root / "opt/s3-leader").exists()
    finally:
        deployment.newer_leases = others
