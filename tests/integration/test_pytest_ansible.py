# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules as those call them who test their own roles with pytest-ansible: through Ansible's Python interface."""

from __future__ import annotations

import os
import sys

import pytest


@pytest.fixture
def lease(ansible_adhoc, tmp_path, seaweedfs, bucket, key):
    """Runs a lease module on this machine and returns its result."""
    inventory = tmp_path / "inventory"
    inventory.write_text(f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n")
    host = ansible_adhoc(inventory=str(inventory), host_pattern="localhost").localhost

    def call(operation, **options):
        module = getattr(host, f"leaderelection.s3.s3_leader_{operation}")
        return module(bucket=bucket, key=key, **seaweedfs.options, **options)["localhost"]

    return call


@pytest.fixture(autouse=True)
def _standard_input_is_kept():
    """Ansible keeps it from later programs of this process."""
    yield
    os.set_inheritable(0, True)


def test_acquire_renew_and_release_share_the_session_of_the_process(lease):
    acquired = lease("acquire")
    assert acquired["is_leader"] is True
    renewed = lease("renew")
    assert (renewed["is_leader"], renewed["term"]) == (True, acquired["term"])
    assert lease("release")["changed"] is True
    assert lease("info")["lease"]["state"] == "released"
