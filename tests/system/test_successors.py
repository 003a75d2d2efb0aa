# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who leads next: the host that a step-down names, and not one that takes over later than others."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from support import playbook
from support.stores.seaweedfs import SeaweedFS
from support.waiting import wait_for

from system import plays
from system.lab.host import Host
from system.lab.lab import Lab
from system.lab.watcher import Watcher, unit

pytestmark = pytest.mark.usefixtures("journals")

LEASES = ("db", "web")
LATER = "h3"
"""The host that leaves the lease db to the others."""
TIMES = dict(lease_duration=13, renew_interval=2, stop_grace=4, request_timeout=1.5, stop_timeout=2)


@pytest.fixture(scope="module")
def hosts(
    booted: list[Host], lab: Lab, tmp_path_factory: pytest.TempPathFactory, collections_path: str, seaweedfs: SeaweedFS
) -> list[Host]:
    """They take part in both leases, each of which has a service."""
    seaweedfs.create_bucket("successors")
    store = dict(
        bucket="successors",
        endpoint_url=seaweedfs.endpoint_url,
        access_key=seaweedfs.access_key,
        secret_key=seaweedfs.secret_key,
    )
    leases: list[dict[str, t.Any]] = []
    for lease in LEASES:
        for host in booted:
            (host.root / f"etc/systemd/system/{lease}.service").write_text(unit(lease, lease))
        leases.append(dict(TIMES, name=lease, key=f"hosts/{lease}", services=[f"{lease}.service"], **store))
    leases[0]["takeover_delay"] = "{{ '10s' if inventory_hostname == '%s' else '0s' }}" % LATER
    play = plays.heartbeat(heartbeat_leases=leases, heartbeat_preflight=False)
    folder: pathlib.Path = tmp_path_factory.mktemp("play")
    running = playbook.start(
        folder, play, hosts=(), args=("--inventory", str(lab.inventory)), collections_path=collections_path
    )
    running.wait().succeeded()
    return booted


def statuses(host: Host) -> dict[str, t.Any]:
    found: dict[str, t.Any] = json.loads(host.run("s3-leader", "status", "--json").stdout)
    return found


def settled(hosts: list[Host], lease: str) -> Host:
    """Wait until one host leads, and all others take part. Return it."""

    def look() -> Host | None:
        seen = {host: statuses(host)[lease] for host in hosts}
        leaders = [host for host in hosts if seen[host]["is_leader"]]
        roles = sorted(one["role"] for one in seen.values())
        return leaders[0] if roles == ["leader", *["standby"] * (len(hosts) - 1)] and leaders else None

    return wait_for(look, f"one host leads by the lease {lease}, and the others wait for it")


def by_name(hosts: list[Host], name: str) -> Host:
    return next(host for host in hosts if host.name == name)


def hand_over(hosts: list[Host], lease: str, to: Host) -> None:
    """Let a host lead, if it does not."""
    leader = settled(hosts, lease)
    if leader is not to:
        leader.run("s3-leader", "step-down", lease, "--to", to.name, "--for", "1")


def test_the_host_that_is_named_leads_next(
    hosts: list[Host], module_watcher: Watcher, pytestconfig: pytest.Config
) -> None:
    """The others look as often, and the former leader competes again a second later."""
    for turn in range(pytestconfig.getoption("--handovers")):
        leader = settled(hosts, "db")
        others = [host for host in hosts if host is not leader]
        successor = others[turn % 2]
        served = module_watcher.wait_until_running(lease="db", host=leader.name)
        leader.run("s3-leader", "step-down", "db", "--to", successor.name, "--for", "1")
        module_watcher.wait_until_ended(served)
        following = module_watcher.wait(
            lambda seen, served=served: next(
                (one for one in seen if one.lease == "db" and int(one.term or 0) > int(served.term)), None
            )
        )
        assert following.host == successor.name, f"hand-over {turn + 1}"


def test_a_host_that_takes_over_later_leads_only_if_no_other_host_does(hosts: list[Host]) -> None:
    later = by_name(hosts, LATER)
    first, second = [host for host in hosts if host is not later]
    hand_over(hosts, "db", first)
    for leader, following in ((first, second), (second, first)):
        assert settled(hosts, "db") is leader
        told = statuses(later)["db"]["reason"]
        assert told.endswith(". This host takes over 10 s later than others")
        leader.run("s3-leader", "step-down", "db", "--for", "3")
        assert settled(hosts, "db") is following
    for host in (first, second):
        host.run("systemctl", "stop", "s3-leader@db")
    wait_for(lambda: statuses(later)["db"]["is_leader"], "it leads all the same")
    for host in (first, second):
        host.run("systemctl", "start", "s3-leader@db")


def test_a_host_that_is_to_be_maintained_hands_over_all_of_its_leases(hosts: list[Host]) -> None:
    leader, following, _third = hosts
    for lease in LEASES:
        hand_over(hosts, lease, leader)
    assert [settled(hosts, lease) for lease in LEASES] == [leader, leader]
    leader.run("s3-leader", "step-down", "--all", "--to", following.name, "--for", "3600")
    for lease in LEASES:
        wait_for(lambda lease=lease: statuses(following)[lease]["is_leader"], f"{following.name} leads by {lease}")
        # Its daemon ends when it has handed over, and then starts anew.
        wait_for(lambda lease=lease: statuses(leader)[lease]["role"] == "away", f"{leader.name} stays away")


def test_who_does_not_lead_names_no_successor(hosts: list[Host]) -> None:
    leader = wait_for(lambda: next((host for host in hosts if statuses(host)["web"]["is_leader"]), None), "one leads")
    other = next(host for host in hosts if host is not leader)
    ended = other.run("s3-leader", "step-down", "web", "--to", leader.name, check=False)
    assert ended.returncode == 2
    assert "does not lead web, so it can hand over nothing to" in ended.stderr
