# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests of a run share: the network, an ssh key, and a folder that ends with the run."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import typing as t
from collections.abc import Iterator

from system.lab import network
from system.lab.host import Host
from system.lab.images import SUITES

FOLDER = pathlib.Path("/run/lab")  # in a file system of the run's own, in memory


class Lab:
    """Made once in the namespaces of worker.py; it ends with them."""

    def __init__(self) -> None:
        self.shared = FOLDER / "shared"  # hosts see it, too
        self.inventory = FOLDER / "inventory.json"
        self._group = pathlib.Path(os.environ["LAB_GROUP"])
        self.shared.mkdir(parents=True)
        network.set_up()
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(FOLDER / "key")]
        subprocess.run(command, check=True)

    def host(self, number: int, release: int) -> Host:
        """A new host, h1 for number 1 (to 200), with this release of Debian, switched off."""
        name = f"h{number}"
        key = (FOLDER / "key.pub").read_text()
        address = f"10.77.0.{10 + number}"
        return Host(name, address, release, FOLDER / name, self._group / name, self.shared, key)

    @contextlib.contextmanager
    def hosts(self) -> Iterator[list[Host]]:
        """Three fresh hosts that are up and in the inventory: h1 with Debian 11, h2 with 12, h3 with 13."""
        with contextlib.ExitStack() as stack:
            made = [stack.enter_context(self.host(number, release)) for number, release in enumerate(SUITES, 1)]
            self.write_inventory(made)
            for host in made:
                host.switch_on()
            for host in made:
                host.wait_until_up()
            yield made

    def write_inventory(self, hosts: t.Iterable[Host]) -> None:
        """Tell Ansible how to reach the hosts. The host's own variables win over those of the group "all"."""
        self.inventory.write_text(json.dumps({"all": {"hosts": {host.name: self._variables(host) for host in hosts}}}))

    def _variables(self, host: Host) -> dict[str, t.Any]:
        # Host keys are the image's. A connection is kept, unless its host has gone.
        options = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ServerAliveInterval=2",
        ]
        return {
            "ansible_connection": "ssh",
            "ansible_host": host.address,
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_private_key_file": str(FOLDER / "key"),
            "ansible_ssh_common_args": "-o " + " -o ".join(options),
            "ansible_pipelining": True,  # tasks take half as long
            # A socket's path has 107 characters at most.
            "ansible_control_path_dir": str(FOLDER / "ssh"),
        }
