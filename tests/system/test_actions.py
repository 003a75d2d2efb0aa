# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What befalls a host that leads, and what becomes of the lease and of its two services.

The hosts are the same for all tests here; each begins and ends with all of them taking part.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import time
import typing as t
from collections.abc import Callable, Iterator

import pytest
from support import playbook
from support.leases import somebody_elses
from support.playbook import Run
from support.waiting import wait_for

from system import plays
from system.cluster import BUCKET, LEASE_DURATION, Cluster, Service, daemon
from system.lab import faults
from system.lab.host import Host
from system.lab.intervals import Overlap, overlaps
from system.lab.watcher import now
from system.workloads import pair

LEASE = "db"
DAEMON = daemon(LEASE)


@pytest.fixture(scope="module")
def shared(start_cluster: Callable[..., t.ContextManager[Cluster]]) -> Iterator[Cluster]:
    """Three hosts, one lease."""
    with start_cluster({LEASE: pair(LEASE)}) as started:
        yield started


@pytest.fixture
def cluster(shared: Cluster) -> Iterator[Cluster]:
    """They all take part, before and after; pytest shows what their journals got meanwhile where a test fails."""
    shared.wait_until_all_take_part()
    began = time.time()
    yield shared
    try:
        for host in shared.hosts:
            if not host.is_on:
                host.boot()
            host.run("systemctl", "start", DAEMON)
        shared.wait_until_all_take_part()
    finally:
        for host in shared.hosts:
            print(f"--- {host.name}\n{host.journal(f'--since=@{began:.0f}', '--unit=s3-leader*', f'--unit={LEASE}-*')}")


@pytest.fixture
def led(cluster: Cluster) -> Service:
    """Who leads, and the services there."""
    return cluster.wait_until_served(LEASE)


# -- Somebody wishes it -----------------------------------------------------------------------------------------------

# What is done, and whether the host takes part again by itself.
PLANNED: dict[str, Callable[[Host], object]] = {
    "systemctl stop": lambda host: host.run("systemctl", "stop", DAEMON),
    "systemctl restart": lambda host: host.run("systemctl", "restart", DAEMON),
    "poweroff": Host.power_off,
    "reboot": Host.reboot,
    "s3-leader step-down": lambda host: host.run("s3-leader", "step-down", LEASE, "--for", "5"),
}


@pytest.mark.parametrize("stop", PLANNED.values(), ids=PLANNED)
def test_in_a_planned_stop_the_services_end_and_then_the_lease_is_given_back_and_then_the_next_ones_start(
    cluster: Cluster, led: Service, stop: Callable[[Host], object]
) -> None:
    before = len(events(led.host))
    stop(led.host)
    app, slow = ends(cluster, led)
    following = cluster.wait_until_served(LEASE, after=led.term)
    assert app < slow < min(following.app.start, following.slow.start)
    assert following.term == led.term + 1
    assert hands_over(events(led.host)[before:])
    assert not overlaps_since(cluster, led)


# -- It breaks --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def killed(host: Host) -> Iterator[None]:
    faults.killed(host, DAEMON)
    yield


@contextlib.contextmanager
def stopped(host: Host) -> Iterator[None]:
    with faults.stopped(host, DAEMON):
        yield


@contextlib.contextmanager
def stopped_after_a_reexec(host: Host) -> Iterator[None]:
    host.run("systemctl", "daemon-reexec")
    with faults.stopped(host, DAEMON):
        yield


# How the leader's daemon may end. When its time is over it ends by itself, or systemd ends it if it is too slow.
KILLED, BY_WATCHDOG, IN_TIME = [set[str]()], [{"watchdog"}], [{"lost"}, {"watchdog"}, {"lost", "watchdog"}]
BROKEN: dict[str, tuple[Callable[[Host], t.ContextManager[None]], list[set[str]]]] = {
    "kill -9": (killed, KILLED),
    "kill -STOP": (stopped, BY_WATCHDOG),
    "kill -STOP after daemon-reexec": (stopped_after_a_reexec, BY_WATCHDOG),
    "link down": (faults.link_down, IN_TIME),
    "packets to the store dropped": (faults.store_silent, IN_TIME),
    "connections refused": (faults.store_refusing, IN_TIME),
    "answers lost": (faults.answers_lost, IN_TIME),
}


@pytest.mark.parametrize(("fault", "ways"), BROKEN.values(), ids=BROKEN)
def test_where_a_leader_breaks_its_services_have_ended_before_another_host_starts_them(
    cluster: Cluster, led: Service, fault: Callable[[Host], t.ContextManager[None]], ways: list[set[str]]
) -> None:
    before = len(events(led.host))
    pid = led.host.main_pid(DAEMON)
    with fault(led.host):
        app, slow = ends(cluster, led)
        following = cluster.wait_until_served(LEASE, after=led.term)
    assert app < slow < min(following.app.start, following.slow.start)
    assert following.host is not led.host
    assert following.term == led.term + 1
    wait_for(lambda: led.host.main_pid(DAEMON) not in ("0", pid), "systemd has started another daemon")
    assert set(events(led.host)[before:]) & {"lost", "watchdog"} in ways
    assert not overlaps_since(cluster, led)


def hands_over(said: list[str]) -> bool:
    """Tell whether a host gave the lease back after its services. A fence that starts late sees none of them any more,
    and has nothing to say.
    """
    return said[:4] == ["waiting", "ended", "lost", "released"] or said[:2] == ["lost", "released"]


def test_where_a_leader_loses_power_its_services_are_gone_and_another_host_starts_them(
    cluster: Cluster, led: Service
) -> None:
    led.host.cut_power()
    ended = max(ends(cluster, led))
    following = cluster.wait_until_served(LEASE, after=led.term)
    assert ended < min(following.app.start, following.slow.start)
    assert following.term == led.term + 1
    assert not overlaps_since(cluster, led)


# -- Somebody takes it ------------------------------------------------------------------------------------------------


def test_a_leader_that_finds_somebody_elses_lease_ends_its_services_and_the_next_term_is_above_that_one(
    cluster: Cluster, led: Service
) -> None:
    term = led.term + 7
    body = somebody_elses(term=term, leaseDurationSeconds=LEASE_DURATION)
    cluster.client.put_object(Bucket=BUCKET, Key=cluster.key(LEASE), Body=body)
    app, slow = ends(cluster, led)
    following = cluster.wait_until_served(LEASE, after=led.term)
    assert app < slow < min(following.app.start, following.slow.start)
    assert following.term == term + 1
    assert "held by somebody else" in led.host.journal(f"--unit={DAEMON}", "S3_LEADER_EVENT=lost")
    assert not overlaps_since(cluster, led)


def test_whose_lease_is_broken_by_force_ends_its_services_at_the_next_renewal(
    cluster: Cluster, led: Service, break_by_force: Callable[[], Run]
) -> None:
    break_by_force().succeeded()
    app, slow = ends(cluster, led)
    following = cluster.wait_until_served(LEASE, after=led.term)
    assert app < slow
    assert following.term == led.term + 1
    # Force is for a holder that is dead. Who lives may still be at work when the next one begins, as the module says;
    # the lower term is how the resource knows it.
    for overlap in overlaps_since(cluster, led):
        assert (int(overlap.first.term), int(overlap.second.term)) == (led.term, following.term)


def test_a_leader_whose_services_somebody_stops_all_at_once_gives_the_lease_back(
    cluster: Cluster, led: Service
) -> None:
    led.host.run("systemctl", "stop", f"s3-leader-active@{LEASE}.target")
    app, slow = ends(cluster, led)
    following = cluster.wait_until_served(LEASE, after=led.term)
    assert app < slow < min(following.app.start, following.slow.start)
    assert "no longer leads: somebody has stopped its services" in led.host.journal(f"--unit={DAEMON}")
    assert not overlaps_since(cluster, led)


SLOW = "[Service]\nExecStartPre=/bin/sleep 2\n"


@pytest.mark.parametrize("number", range(3), ids=["Debian 11", "Debian 12", "Debian 13"])
def test_who_begins_to_lead_serves_though_somebody_cancels_all_that_systemd_is_about_to_do(
    cluster: Cluster, number: int
) -> None:
    host = cluster.hosts[number]
    for one in cluster.hosts:
        one.run("systemctl", "stop", DAEMON)
    term = cluster.record(LEASE)["term"]
    dropin = f"s3-leader-serving@{LEASE}.service.d/slow.conf"
    host.write_units({dropin: SLOW})
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "start", DAEMON)
    target = f"s3-leader-active@{LEASE}.target"
    wait_for(lambda: target in host.run("systemctl", "list-jobs").stdout, "the services are about to start")
    host.run("systemctl", "cancel")
    following = cluster.wait_until_served(LEASE, after=term)
    assert (following.host, following.term) == (host, term + 1)
    (host.root / "etc/systemd/system" / dropin).unlink()
    host.run("systemctl", "daemon-reload")


@pytest.fixture
def break_by_force(cluster: Cluster, tmp_path: pathlib.Path, collections_path: str) -> Callable[[], Run]:
    """The module s3_leader_release, with force."""

    def run() -> Run:
        options = dict(cluster.server.options, bucket=BUCKET, key=cluster.key(LEASE), force=True, reason="a test")
        task = {"leaderelection.s3.s3_leader_release": options}
        return playbook.start(tmp_path, [task], collections_path=collections_path).wait()

    return run


# -- Time goes by -----------------------------------------------------------------------------------------------------


def test_a_host_that_is_frozen_for_longer_than_its_lease_has_its_frozen_services_until_the_thaw_and_they_end_then(
    cluster: Cluster, led: Service
) -> None:
    frozen_at = now()
    with faults.frozen(led.host):
        following = cluster.wait_until_served(LEASE, after=led.term)
        wait_for(lambda: now() > frozen_at + 20, "it was frozen for 20 s")
        assert {led.app, led.slow} <= set(cluster.watcher.running(host=led.host.name))
        thawed_at = now()
    assert thawed_at < min(ends(cluster, led))  # they are killed, since their time is over
    assert following.term == led.term + 1
    assert following.host is not led.host
    assert cluster.wait_until_served(LEASE)[:2] == following[:2]
    # No host can stop what is frozen together with it. It has the lower term, by which the resource can refuse it.
    found = overlaps_since(cluster, led)
    assert {(one.first.host, one.first.term) for one in found} == {(led.host.name, str(led.term))}


# In the place of systemd-sleep: no test can put the machine to sleep. It notes whether the daemon still runs by then.
SLEEP = f"""[Service]
ExecStart=
ExecStart=/bin/sh -c 'systemctl is-active {DAEMON} > /asleep; until [ -e /awake ]; do sleep 0.1; done'
"""


def test_a_host_hands_over_before_it_sleeps_and_takes_part_again_afterwards(cluster: Cluster, led: Service) -> None:
    before = len(events(led.host))
    dropin = led.host.root / "etc/systemd/system/systemd-suspend.service.d/asleep.conf"
    dropin.parent.mkdir()
    dropin.write_text(SLEEP)
    led.host.run("systemctl", "daemon-reload")
    led.host.run("systemctl", "start", "--no-block", "systemd-suspend.service")
    app, slow = ends(cluster, led)
    following = cluster.wait_until_served(LEASE, after=led.term)
    assert app < slow < min(following.app.start, following.slow.start)
    assert following.term == led.term + 1
    assert hands_over(events(led.host)[before:])
    asleep = led.host.root / "asleep"
    assert wait_for(lambda: asleep.exists() and asleep.read_text(), "it sleeps") == "inactive\n"
    assert following.host is not led.host
    (led.host.root / "awake").touch()
    wait_for(lambda: led.host.main_pid(DAEMON) != "0", "it takes part again")
    assert not overlaps_since(cluster, led)


# -- Nothing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [f"reload {DAEMON}", "daemon-reload", "daemon-reexec"])
def test_nothing_of_a_leader_changes_by(cluster: Cluster, led: Service, command: str) -> None:
    pid = led.host.main_pid(DAEMON)
    led.host.run("systemctl", *command.split())
    before = cluster.record(LEASE)["sequence"]
    wait_for(lambda: cluster.record(LEASE)["sequence"] > before + 1, "it was renewed twice")
    assert cluster.wait_until_served(LEASE) == led
    assert led.host.main_pid(DAEMON) == pid


def test_a_rolling_update_of_code_and_configuration_over_all_hosts_at_once_moves_nothing(
    cluster: Cluster, led: Service, changed_collection: str
) -> None:
    pids = [host.main_pid(DAEMON) for host in cluster.hosts]
    cluster.deploy(collections_path=changed_collection, lease_duration=LEASE_DURATION + 2)
    wait_for(lambda: all("by new code" in told(host) for host in cluster.hosts), "all daemons run the new code")
    wait_for(
        lambda: cluster.record(LEASE)["leaseDurationSeconds"] == LEASE_DURATION + 2,
        "the leader goes by the new configuration",
    )
    assert cluster.record(LEASE)["term"] == led.term
    assert cluster.wait_until_served(LEASE) == led
    assert [host.main_pid(DAEMON) for host in cluster.hosts] == pids
    assert not overlaps_since(cluster, led)


@pytest.fixture
def changed_collection(tmp_path: pathlib.Path) -> str:
    """Where a copy of this collection is, whose daemon says in its status that it is new."""
    return plays.changed_collection(tmp_path, 'STATUS="%s: ', 'STATUS="by new code %s: ')


# -- What is asked ----------------------------------------------------------------------------------------------------


def ends(cluster: Cluster, led: Service) -> tuple[float, float]:
    """Wait until both services have ended, and return when: the one that stops when asked, the stubborn one."""
    return cluster.watcher.wait_until_ended(led.app).end, cluster.watcher.wait_until_ended(led.slow).end


def events(host: Host) -> list[str]:
    """What the daemons of a host have told in the journal since it was made; "watchdog" where systemd killed one."""
    lines = host.journal("--output=json", f"S3_LEADER_NAME={LEASE}", "+", f"UNIT={DAEMON}").splitlines()
    entries = [json.loads(line) for line in lines]
    told = [
        entry.get("S3_LEADER_EVENT") or ("Watchdog timeout" in entry["MESSAGE"] and "watchdog") for entry in entries
    ]
    return [event for event in told if event]


def overlaps_since(cluster: Cluster, led: Service) -> list[Overlap]:
    """Two hosts at work at the same time, since this one began to lead."""
    return overlaps(one for one in cluster.watcher.intervals if int(one.term or 0) >= led.term)


def told(host: Host) -> str:
    """The line that systemctl status shows."""
    return host.run("systemctl", "show", "--property=StatusText", "--value", DAEMON).stdout
