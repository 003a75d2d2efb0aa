# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot work is refused before a host is changed: with the option, its value, and the way out."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator

import pytest
from support.ports import free_ports
from support.stores.odd import IgnoresIfMatch, Store

from system.lab import network
from system.lab.host import Host
from system.role.deployment import Deployment, differences, look


class Unsafe(IgnoresIfMatch):
    """Hosts reach it."""

    address = network.STORE


@pytest.fixture(scope="module")
def unsafe() -> Iterator[Store]:
    """A store that replaces whatever is there."""
    with Unsafe() as store:
        yield store


@pytest.fixture(scope="module")
def silent() -> str:
    """The URL of a store that is not there."""
    return f"http://{network.STORE}:{free_ports(1, network.STORE)[0]}"


@pytest.fixture(scope="module")
def refused(deployment: Deployment, hosts: list[Host], unsafe: Store, silent: str) -> dict[str, str]:
    """What a host was told in each case: one play tries all, and leaves the host as it was."""
    here = dict(key="hosts/refused", access_key="somebody", secret_key="secret", request_timeout=1)
    cases: dict[str, list[dict[str, t.Any]]] = {
        "services": [
            dict(here, key=f"hosts/{lease['name']}", **lease)
            for lease in (
                dict(name="slow", services=["slow.service"], stop_grace=4),
                dict(name="nowhere", services=["nowhere.service"]),
                dict(name="second", services=["slow.service"], stop_timeout=2),
                dict(name="short", lease_duration=10),
            )
        ],
        "silent store": [dict(here, name="a", endpoint_url=silent)],
        "unsafe store": [dict(here, name="a", endpoint_url=unsafe.url)],
    }
    told = "{{ ansible_failed_result.results | default([ansible_failed_result]) | map(attribute='msg') | join }}"
    role = {"ansible.builtin.include_role": {"name": "leaderelection.s3.heartbeat"}}
    tasks = [
        {
            "block": [dict(role, vars=dict(heartbeat_leases=leases))],
            "rescue": [{"name": case, "ansible.builtin.debug": {"msg": told}}],
        }
        for case, leases in cases.items()
    ]
    before = look(hosts[:1])
    run = deployment.play(f"- hosts: h1\n  gather_facts: false\n  tasks: {json.dumps(tasks)}\n").succeeded()
    assert differences(before, look(hosts[:1])) == []
    return {case: run[case]["msg"] for case in cases}


def test_a_stop_grace_shorter_than_what_systemd_gives_a_service_is_refused(refused: dict[str, str]) -> None:
    assert (
        "slow: stop_grace is 4 s, but stopping everything may take 91 s: slow.service 90 s, and 1 s for systemd. Set "
        "stop_timeout to what the services really need, or raise stop_grace, and lease_duration by as much"
    ) in refused["services"]


def test_a_service_that_does_not_exist_is_refused(refused: dict[str, str]) -> None:
    told = "nowhere: nowhere.service does not exist on this host: install it first, or take it out of services"
    assert told in refused["services"]


def test_a_service_of_two_leases_is_refused(refused: dict[str, str]) -> None:
    assert "second: slow.service belongs to the lease slow already: list it in one of them" in refused["services"]


def test_times_that_do_not_add_up_are_refused(refused: dict[str, str]) -> None:
    assert "short: lease_duration is 10: two renewals have to fit in" in refused["services"]
    assert "Use 23.5 s or more" in refused["services"]


def test_a_store_that_cannot_be_reached_is_refused(refused: dict[str, str], silent: str) -> None:
    assert silent in refused["silent store"]


def test_a_store_that_ignores_conditions_is_refused(refused: dict[str, str]) -> None:
    told = refused["unsafe store"]
    assert "s3://leader-election/hosts/refused: the store cannot be trusted with a lease: a replace of" in told
    assert "Use a store that enforces conditional writes" in told
