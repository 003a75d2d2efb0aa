# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The molecule scenario, as somebody with hosts of their own would run it. It takes the role away, so it comes late."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
from support.playbook import TIMEOUT
from support.stores.seaweedfs import SeaweedFS

from system.lab.host import Host
from system.lab.lab import Lab
from system.role.deployment import differences, look

ROOT = pathlib.Path(__file__).resolve().parents[3]


@pytest.mark.usefixtures("bucket")
def test_the_scenario_passes_on_a_host_and_leaves_it_as_it_was(
    lab: Lab, hosts: list[Host], seaweedfs: SeaweedFS, collections_path: str, tmp_path: pathlib.Path
) -> None:
    store = dict(endpoint_url=seaweedfs.endpoint_url, access_key=seaweedfs.access_key, secret_key=seaweedfs.secret_key)
    inventory = json.loads(lab.inventory.read_text())
    inventory["all"]["hosts"] = {"h3": inventory["all"]["hosts"]["h3"]}
    inventory["all"]["vars"] = dict(molecule_store=store)
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))
    before = look(hosts[2:])
    scripts = pathlib.Path(sys.executable).parent
    ended = subprocess.run(
        [scripts / "molecule", "test"],
        cwd=ROOT / "extensions",
        env={
            "PATH": f"{scripts}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "LANG": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": collections_path,
            "INVENTORY": str(tmp_path / "hosts.json"),
            "NO_COLOR": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert differences(before, look(hosts[2:])) == []
