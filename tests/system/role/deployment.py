# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role on the lab's hosts, run by Ansible; and what a host looks like, to see what a run has done to it."""

from __future__ import annotations

import json
import pathlib
import typing as t
from collections.abc import Mapping, Sequence

from support import playbook
from support.playbook import Run, RunningPlaybook
from support.stores.seaweedfs import SeaweedFS

from system import plays
from system.lab.host import Host

SERVICES = ("app.service", "files.service")
# What belongs to the time that passes, not to the role: systemd's own state, logs, the backups of user databases.
_VOLATILE = ("/run/systemd", "/run/log", "/run/tmp", "/run/utmp", "/run/motd.dynamic", "/etc/.pwd.lock", "/etc/*-")
_PRUNED = " -o ".join(f"-path '{path}'" for path in _VOLATILE)
_LOOK = f"""
find /etc /usr/local /run \\( {_PRUNED} \\) -prune -o -printf '%p is %y %m %u:%g %l\\n'
find /etc /usr/local \\( {_PRUNED} \\) -prune -o -type f -exec sha256sum {{}} +
find /run -name '*s3-leader*'
systemctl list-unit-files --no-legend --no-pager
systemctl list-units --all --plain --no-legend --no-pager 's3-leader*'
systemctl show --property=Id,FragmentPath,DropInPaths,PartOf,After,NeedDaemonReload {" ".join(SERVICES)}
"""


class Deployment:
    """Runs the role on all hosts of an inventory, with these leases unless others are given."""

    def __init__(self, inventory: pathlib.Path, folder: pathlib.Path, collections_path: str) -> None:
        self.leases: list[dict[str, t.Any]] = []
        self.newer_leases: list[dict[str, t.Any]] = []  # of hosts whose systemd is 250 or newer: all but h1
        self._inventory = inventory
        self._folder = folder
        self._collections_path = collections_path

    def run(self, *args: str, leases: Sequence[Mapping[str, t.Any]] | None = None, **options: t.Any) -> Run:
        """Run the role to its end; state is its heartbeat_state, preflight its heartbeat_preflight."""
        return self.start(*args, leases=leases, **options).wait()

    def start(
        self, *args: str, leases: Sequence[Mapping[str, t.Any]] | None = None, **options: t.Any
    ) -> RunningPlaybook:
        """Start to run the role."""
        play = plays.heartbeat(
            heartbeat_state=options.pop("state", "present"),
            heartbeat_preflight=options.pop("preflight", False),
            heartbeat_leases="{{ leases + ([] if inventory_hostname == 'h1' else newer_leases) }}",
        )
        leases = self.leases if leases is None else leases
        return self._start(play, *args, leases=leases, newer_leases=self.newer_leases, **options)

    def play(self, play: str, *args: str) -> Run:
        """Run any play to its end."""
        return self._start(play, *args).wait()

    def _start(self, play: str, *args: str, collections_path: str = "", **variables: t.Any) -> RunningPlaybook:
        return playbook.start(
            self._folder,
            play,
            hosts=(),
            args=("--inventory", str(self._inventory), *args),
            collections_path=collections_path or self._collections_path,
            **variables,
        )


def changes(run: Run) -> set[tuple[str, str]]:
    """What a run changed, or would have: host and task."""
    return {(one.host, one.task.rpartition(" : ")[2]) for one in run.results if one.status == "changed"}


Look = dict[str, set[str]]
"""What hosts look like, by name: files, users and groups (by their files), units."""


def look(hosts: Sequence[Host]) -> Look:
    """What they look like now."""
    # systemd 247 lists units in any order
    return {
        host.name: {
            " ".join(sorted(line.replace("=", "= ").split()))
            for line in host.run("sh", "-c", _LOOK).stdout.splitlines()
        }
        for host in hosts
    }


def differences(before: Look, after: Look) -> list[str]:
    """What has come to which host, and what has gone."""
    return [
        f"{host}: {'+' if line in after[host] else '-'} {line}"
        for host, lines in before.items()
        for line in sorted(lines ^ after[host])
    ]


def logged(host: Host) -> list[list[str]]:
    """What the hooks of a host were told: event, term, and error, in words."""
    log = host.root / "var/log/hooks"
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def leader(hosts: Sequence[Host], lease: str) -> Host:
    """The host that leads. Raises ValueError unless there is exactly one."""
    (one,) = [host for host in hosts if host.run("s3-leader", "check", lease, check=False).returncode == 0]
    return one


def lease_in(store: SeaweedFS, bucket: str, key: str) -> dict[str, t.Any]:
    """The lease as it is in the store."""
    lease: dict[str, t.Any] = json.load(store.client().get_object(Bucket=bucket, Key=key)["Body"])
    return lease
