# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""s3-leader webhook as the hooks of a lease: it is told of each change, and no renewal waits for it."""

from __future__ import annotations

import json
import pathlib
import typing as t
from collections.abc import Iterator

import pytest
from support import playbook
from support.server import Answer, Exchange, LoopbackServer
from support.stores.seaweedfs import SeaweedFS
from support.waiting import wait_for

from system import plays
from system.lab import faults, network
from system.lab.host import Host
from system.lab.lab import Lab
from system.role.deployment import leader, lease_in

pytestmark = pytest.mark.usefixtures("journals")

BUCKET = "webhooks"
TIMES = dict(lease_duration=30, renew_interval=2, stop_grace=12, request_timeout=3)
SECRET = "Authorization: Bearer the-secret"


class Receiver(LoopbackServer):
    """Takes what is posted: fails at first, or hangs, if that is asked for."""

    address = network.CONTROLLER  # hosts can be cut off from the store alone

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, t.Any]] = []
        self.fails = 0
        """How often it answers 503 before it takes anything."""
        self.hangs = False

    def handle(self, exchange: Exchange) -> None:
        if self.hangs:
            exchange.hold()
        elif self.fails:
            self.fails -= 1
            exchange.reply(Answer(503))
        else:
            self.told.append({**json.loads(exchange.request.body), "secret": exchange.request.headers["Authorization"]})
            exchange.reply(Answer(204))

    def kinds(self) -> list[tuple[str, str, int]]:
        """What it was told: event, host and term."""
        return [(told["type"], told["host"], told["term"]) for told in self.told]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started


@pytest.fixture(scope="module")
def hosts(
    booted: list[Host],
    lab: Lab,
    tmp_path_factory: pytest.TempPathFactory,
    collections_path: str,
    seaweedfs: SeaweedFS,
    receiver: Receiver,
) -> list[Host]:
    """They take part in a lease whose hooks are webhooks."""
    seaweedfs.create_bucket(BUCKET)
    for host in booted:
        (host.root / "root/headers").write_text(f"{SECRET}\n")
        (host.root / "root/headers").chmod(0o600)
    post = f"/usr/local/bin/s3-leader webhook {{}} --url {receiver.url}/leases --headers-file /root/headers"
    lease: dict[str, t.Any] = dict(TIMES, name="db", key="hosts/db", bucket=BUCKET)
    lease |= dict(access_key=seaweedfs.access_key, secret_key=seaweedfs.secret_key, endpoint_url=seaweedfs.endpoint_url)
    lease |= {f"on_{event}": post.format(event) for event in ("acquired", "lost", "error")}
    play = plays.heartbeat(heartbeat_leases=[lease], heartbeat_preflight=False)
    folder: pathlib.Path = tmp_path_factory.mktemp("play")
    running = playbook.start(
        folder, play, hosts=(), args=("--inventory", str(lab.inventory)), collections_path=collections_path
    )
    running.wait().succeeded()
    return booted


def led(hosts: list[Host]) -> Host:
    """Wait until one of the hosts leads."""

    def one() -> Host | None:
        try:
            return leader(hosts, "db")
        except ValueError:
            return None

    return wait_for(one, "a host leads")  # type: ignore[return-value]


def term(seaweedfs: SeaweedFS) -> int:
    number: int = lease_in(seaweedfs, BUCKET, "hosts/db")["term"]
    return number


def test_a_webhook_is_told_who_leads_and_who_does_not_any_more_though_it_fails_at_first(
    hosts: list[Host], receiver: Receiver, seaweedfs: SeaweedFS
) -> None:
    first = led(hosts)
    wait_for(lambda: ("leader_acquired", first.name, term(seaweedfs)) in receiver.kinds(), "the first leader is told")
    old = term(seaweedfs)
    receiver.told.clear()
    receiver.fails = 2
    first.run("s3-leader", "step-down", "db")
    second = led([host for host in hosts if host != first])
    wait_for(lambda: len(receiver.told) >= 2, "both changes are told")
    assert sorted(receiver.kinds()) == [
        ("leader_acquired", second.name, term(seaweedfs)),
        ("leader_lost", first.name, old),
    ]
    for told in receiver.told:
        assert (told["name"], told["secret"]) == ("db", "Bearer the-secret")
    journal = first.journal("--unit=s3-leader-lost@db.service") + second.journal("--unit=s3-leader-acquired@db.service")
    assert "answered 503. Trying again" in journal
    assert f"s3-leader: the webhook at {receiver.url} answered 204" in journal
    assert "the-secret" not in journal


def test_a_webhook_is_told_of_errors_of_the_store(hosts: list[Host], receiver: Receiver) -> None:
    host = led(hosts)
    receiver.told.clear()
    with faults.store_refusing(host):
        wait_for(lambda: "store_error" in [told["type"] for told in receiver.told], "the error is told")
    (told,) = [told for told in receiver.told if told["type"] == "store_error"]
    assert told["host"] == host.name
    assert told["error"]


def test_renewals_do_not_wait_for_a_webhook_that_hangs_and_the_next_host_only_until_it_gives_up(
    hosts: list[Host], receiver: Receiver, seaweedfs: SeaweedFS
) -> None:
    first = led(hosts)
    receiver.hangs = True
    first.run("s3-leader", "step-down", "db")
    second = led([host for host in hosts if host != first])
    state = ("systemctl", "show", "--property=ActiveState", "--value")
    assert first.run(*state, "s3-leader-lost@db.service").stdout.strip() == "failed"
    assert "Given up" in first.journal("--unit=s3-leader-lost@db.service")
    hook = (*state, "s3-leader-acquired@db.service")
    wait_for(lambda: second.run(*hook).stdout.strip() == "activating", "the webhook of the next host hangs, too")
    before = lease_in(seaweedfs, BUCKET, "hosts/db")["sequence"]
    wait_for(lambda: lease_in(seaweedfs, BUCKET, "hosts/db")["sequence"] > before + 1, "two renewals")
    receiver.hangs = False
    assert leader(hosts, "db") == second
