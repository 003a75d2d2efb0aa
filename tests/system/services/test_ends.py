# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way of life of a service, among every end of leadership, under each systemd: never on two hosts.

One host leads by all leases; then all of them meet the same end, and the next host takes over. Each host has its turn.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
import typing as t
from collections.abc import Callable, Iterator

import pytest
from support.leases import somebody_elses
from support.waiting import wait_for

from system.cluster import BUCKET, Cluster
from system.lab import faults
from system.lab.host import Host
from system.lab.intervals import Interval, gaps, overlaps
from system.lab.mounts import Mounts
from system.lab.watcher import now
from system.workloads import TIMES

DAEMONS = "s3-leader@*.service"
PATIENCE = 240.0  # seconds; on Debian 13 a unit that is masked has 90 s to stop, whatever its settings were


class Case(t.NamedTuple):
    """All leases are led by one host, and another one waits for them. The name is that of their end."""

    cluster: Cluster
    old: Host
    new: Host
    name: str

    def systemctl(self, *arguments: str) -> None:
        """On the old host; what it refuses is of no interest."""
        self.old.run("systemctl", *arguments, check=False)

    @property
    def services(self) -> list[str]:
        """All services of all leases."""
        return [service for lease in self.cluster.leases for service in self.cluster.services(lease)]


def _step_down(case: Case) -> None:
    each = " & ".join(f"s3-leader step-down {lease} --for 60" for lease in case.cluster.leases)
    case.old.run("sh", "-c", f"{each} & wait")


def _restart(case: Case) -> None:
    case.systemctl("restart", DAEMONS)


def _lost(case: Case) -> None:
    for lease in case.cluster.leases:
        term = case.cluster.record(lease)["term"] + 5
        body = somebody_elses(term=term, leaseDurationSeconds=TIMES["lease_duration"])
        case.cluster.client.put_object(Bucket=BUCKET, Key=case.cluster.key(lease), Body=body)


@contextlib.contextmanager
def _hung(case: Case) -> Iterator[None]:
    with faults.stopped(case.old, DAEMONS):
        yield


# In the place of systemd-sleep: no test can put the machine to sleep.
SLEEP = "[Service]\nExecStart=\nExecStart=/bin/sh -c 'until [ -e /run/awake ]; do sleep 0.1; done'\n"


@contextlib.contextmanager
def _asleep(case: Case) -> Iterator[None]:
    case.old.write_units({"systemd-suspend.service.d/asleep.conf": SLEEP})
    case.systemctl("daemon-reload")
    case.systemctl("start", "--no-block", "systemd-suspend.service")
    yield
    case.old.run("touch", "/run/awake")
    wait_for(lambda: not case.old.run("systemctl", "list-jobs", "--no-legend").stdout, "it is awake")
    case.old.run("rm", "/run/awake")


@contextlib.contextmanager
def _power_cut(case: Case) -> Iterator[None]:
    case.old.cut_power()
    yield
    case.old.boot()


@contextlib.contextmanager
def _masked(case: Case, end: Callable[[Case], None]) -> Iterator[None]:
    case.systemctl("mask", *case.services)
    end(case)
    yield
    case.systemctl("unmask", *case.services)


@contextlib.contextmanager
def _reverted(case: Case, end: Callable[[Case], None]) -> Iterator[None]:
    case.systemctl("revert", *case.services)
    end(case)
    yield
    case.cluster.add_later(case.old)


def _meddled(end: Callable[[Case], None], *verbs: str) -> Callable[[Case], None]:
    """Somebody does that to all services again and again while they stop."""

    def befall(case: Case) -> None:
        end(case)
        for _again in range(8):
            for verb in verbs:
                names = () if verb == "cancel" else case.services
                case.systemctl(verb, "--no-block", *names)
            time.sleep(0.4)  # somebody's pace

    return befall


def _stop(case: Case) -> None:
    case.systemctl("stop", "--no-block", DAEMONS)


def _kill(case: Case) -> None:
    faults.killed(case.old, DAEMONS)


def _once(end: Callable[[Case], None]) -> Callable[[Case], t.ContextManager[None]]:
    @contextlib.contextmanager
    def befall(case: Case) -> Iterator[None]:
        end(case)
        yield

    return befall


ENDS: dict[str, Callable[[Case], t.ContextManager[None]]] = {
    "step-down": _once(_step_down),
    "systemctl stop": _once(lambda case: case.systemctl("stop", DAEMONS)),
    "systemctl restart": _once(_restart),
    "the targets are stopped": _once(lambda case: case.systemctl("stop", "s3-leader-active@*.target")),
    "reboot": _once(lambda case: case.old.reboot()),
    "sleep": _asleep,
    "kill -9": _once(_kill),
    "kill -STOP": _hung,
    "link down": lambda case: faults.link_down(case.old),
    "somebody else's lease": _once(_lost),
    "power cut": _power_cut,
    "stop, and start": _once(_meddled(_stop, "start")),
    "stop, and reload": _once(_meddled(_stop, "try-reload-or-restart")),
    "stop, and restart": _once(_meddled(_stop, "restart")),
    "stop, and cancel": _once(_meddled(_stop, "cancel")),
    "kill -9, and start and reload": _once(_meddled(_kill, "start", "reload")),
    "mask, and stop": lambda case: _masked(case, _stop),
    "mask, and kill -9": lambda case: _masked(case, _kill),
    "mask, and step-down": lambda case: _masked(case, _step_down),
    "revert, and step-down": lambda case: _reverted(case, _step_down),
    "revert, and kill -9": lambda case: _reverted(case, _kill),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each end on one host, the hosts in turn; --every-systemd has each of them on all hosts."""
    every = metafunc.config.getoption("--every-systemd")
    if "end" in metafunc.fixturenames:
        turns = [(name, turn) for number, name in enumerate(ENDS) for turn in range(3) if every or turn == number % 3]
        ids = [f"{name}, Debian {turn + 11}" for name, turn in turns]
        metafunc.parametrize(("end", "turn"), [(ENDS[name], turn) for name, turn in turns], ids=ids)
    elif "turn" in metafunc.fixturenames:
        turns = range(3) if every else [len(metafunc.function.__name__) % 3]
        metafunc.parametrize("turn", turns, ids=lambda turn: f"Debian {turn + 11}")


@pytest.fixture
def case(cluster: Cluster, turn: int, request: pytest.FixtureRequest) -> Iterator[Case]:
    """The hosts in their turn; pytest shows what their journals got meanwhile where the test fails."""
    since = time.time()
    name = request.node.callspec.id.rpartition(", Debian")[0]
    made = Case(cluster, cluster.hosts[turn], cluster.hosts[(turn + 1) % 3], name)
    try:
        gather(made)
        yield made
    finally:
        for host in cluster.hosts:
            print(f"--- {host.name}\n{host.journal(f'--since=@{since:.0f}')}")


def test_no_service_runs_on_two_hosts(
    case: Case,
    mounts: Mounts,
    end: Callable[[Case], t.ContextManager[None]],
    request: pytest.FixtureRequest,
    report: Callable[[str], None],
) -> None:
    cluster = case.cluster
    terms = {lease: cluster.record(lease)["term"] for lease in cluster.leases}
    began = now()
    with end(case):
        wait_for(lambda: all(goes_on(case, lease, terms[lease]) for lease in cluster.leases), "all go on", PATIENCE)
    leader = cluster.wait_for_leader("command").name
    cluster.watcher.wait_until_running("command", "command", leader)  # which something outside of the lease has started
    seen = [*cluster.watcher.intervals, *mounts.intervals]
    assert overlaps(one for one in seen if one.end > began) == []
    report(f"{request.node.callspec.id:45} {handovers(seen, began)}")


def keeper(*options: str) -> tuple[str, ...]:
    """Somebody's process that is not of the lease, and keeps the file system of its mount."""
    command = ("/bin/sh", "-c", "cd /srv/mount && exec sleep infinity" if not options else "exec sleep infinity")
    return ("systemd-run", "--quiet", "--collect", "--unit=keeper", *options, *command)


KEEPERS = {
    "it works below the mount point": (keeper(), "active: mounted"),
    "it has mounts of its own": (keeper("--property=MountFlags=private"), "inactive: dead"),  # as a container has
}
KEPT = pytest.mark.parametrize(("keeper", "state"), KEEPERS.values(), ids=KEEPERS)


@KEPT
def test_who_keeps_a_file_system_keeps_the_lease(
    case: Case, mounts: Mounts, keeper: tuple[str, ...], state: str
) -> None:
    cluster, before = case.cluster, case.cluster.record("mount")
    case.old.run(*keeper)
    case.systemctl("stop", "--no-block", "s3-leader@mount.service")
    wait_for(lambda: f"srv-mount.mount ({state}, kept by process" in said(case.old), "the host says why it waits")
    lasts = math.ceil((TIMES["lease_duration"] + 3) / TIMES["renew_interval"])
    wait_for(lambda: cluster.record("mount")["sequence"] > before["sequence"] + lasts, "the lease is renewed")
    assert cluster.record("mount")["term"] == before["term"]
    case.old.run("systemctl", "stop", "keeper.service")
    wait_for(lambda: leads_anew(cluster, "mount", before["term"]), "another host goes on")
    assert cluster.leader("mount") is case.new
    assert overlaps([*cluster.watcher.intervals, *mounts.intervals]) == []


@KEPT
def test_who_keeps_a_file_system_is_killed_before_the_lease_of_a_dead_daemon_is_over(
    case: Case, mounts: Mounts, keeper: tuple[str, ...], state: str
) -> None:
    cluster, before = case.cluster, case.cluster.record("mount")
    case.old.run(*keeper)
    faults.killed(case.old, "s3-leader@mount.service")
    wait_for(lambda: leads_anew(cluster, "mount", before["term"]), "another host goes on")
    assert case.old.run("systemctl", "is-active", "keeper.service", check=False).stdout.strip() != "active"
    killed = case.old.journal("S3_LEADER_EVENT=killed", "S3_LEADER_NAME=mount")
    assert re.search(r"killed process \d+ \((sh|sleep), state \w\) of srv-mount.mount", killed)
    assert overlaps([*cluster.watcher.intervals, *mounts.intervals]) == []


def said(host: Host) -> str:
    """What a host says of the lease of the mount."""
    return host.run("s3-leader", "status", "mount").stdout


def gather(case: Case) -> None:
    """Let the old host lead by all leases, the new one wait for them, and the third one rest."""
    for host in case.cluster.hosts:
        if not host.is_on:
            host.boot()
        if host is not case.old:
            host.run("systemctl", "stop", "--no-block", DAEMONS)
            host.run("systemctl", "kill", "--signal=KILL", *case.services, check=False)  # for want of time
            host.run("systemctl", "stop", DAEMONS)
    case.systemctl("stop", "keeper.service")
    names = [f"s3-leader@{lease}.service" for lease in case.cluster.leases]
    case.old.run("sh", "-c", "rm -f /run/s3-leader/*.away; systemctl start " + " ".join(names))
    wait_for(lambda: all(case.cluster.leader(lease) is case.old for lease in case.cluster.leases), "one leads all")
    since = time.time()
    case.new.run("sh", "-c", "rm -f /run/s3-leader/*.away; systemctl start " + " ".join(names))
    wait_for(lambda: case.cluster.takes_part(case.new, since), "another one waits")


def goes_on(case: Case, lease: str, term: int) -> bool:
    """Whether a host serves it in a later term; or the old one as before, where the stop was cancelled as a whole.

    systemd does not restart the service that fails if it did so while its stop was pending, even if that is cancelled.
    """
    if case.cluster.leader(lease) is not case.old or case.cluster.record(lease)["term"] > term:
        return leads_anew(case.cluster, lease, term)
    started = case.old.run("cat", f"/run/s3-leader-serving/{lease}/started", check=False).stdout.split()
    as_before = {"active", "activating"} | ({"failed"} if lease == "failing" else set())
    states = case.old.run("systemctl", "is-active", f"s3-leader-active@{lease}.target", *started, check=False)
    return case.name == "stop, and cancel" and set(states.stdout.split()) <= as_before


def leads_anew(cluster: Cluster, lease: str, term: int) -> bool:
    """Whether a host serves it in a later term of its own."""
    leader, record = cluster.leader(lease), cluster.record(lease)
    return leader is not None and record["holderId"] == leader.name and bool(record["term"] > term)


def handovers(seen: list[Interval], began: float) -> str:
    """For people: how long nobody ran the services of a lease, and since the fault."""
    found = [gap for gap in gaps(seen) if gap.after.start > began]
    seconds = [gap.seconds for gap in found]
    since = [gap.after.start - began for gap in found]
    if not found:
        return "no handovers"
    return f"{len(found)} handovers, gaps {min(seconds):.2f} to {max(seconds):.2f} s, last {max(since):.2f} s after"
