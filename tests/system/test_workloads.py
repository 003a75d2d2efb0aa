# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way of life of a service, among every end of leadership, under each systemd: never on two hosts.

One host leads by all leases; then all of them meet the same end, and the next host takes over. Each host has its turn.
"""

from __future__ import annotations

import contextlib
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
from system.workloads import WORKLOADS

# Seconds. Some of the workloads need most of stop_grace.
TIMES = dict(lease_duration=13, renew_interval=2, stop_grace=6.5, poll_interval=1, request_timeout=1.5, stop_timeout=5)
DAEMONS = "s3-leader@*.service"


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Cluster]) -> Cluster:
    """Three hosts, a lease for each workload."""
    return start_cluster({name: make(name) for name, make in WORKLOADS.items()}, times=TIMES)


@pytest.fixture(scope="module")
def mounts(cluster: Cluster) -> Iterator[Mounts]:
    """Sees mounts."""
    with Mounts(cluster.hosts) as watching:
        yield watching


class Case(t.NamedTuple):
    """All leases are led by one host, and another one waits for them."""

    cluster: Cluster
    old: Host
    new: Host

    def systemctl(self, *arguments: str) -> None:
        """On the old host; what it refuses is of no interest."""
        self.old.run("systemctl", *arguments, check=False)

    @property
    def services(self) -> list[str]:
        """All services of all leases, but templates."""
        return [
            service
            for workload in self.cluster.workloads.values()
            for service in workload.services
            if "@." not in service
        ]


def _step_down(case: Case) -> None:
    each = " & ".join(f"s3-leader step-down {lease} --for 60" for lease in case.cluster.leases)
    case.old.run("sh", "-c", f"{each} & wait")


def _restart(case: Case) -> None:
    case.systemctl("restart", DAEMONS)


def _lost(case: Case) -> None:
    for lease in case.cluster.leases:
        term = case.cluster.record(lease)["term"] + 5
        body = somebody_elses(term=term, leaseDurationSeconds=3)
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
    "mask, and step-down": lambda case: _masked(case, _step_down),
    "mask, and stop": lambda case: _masked(case, _stop),
    "mask, and kill -9": lambda case: _masked(case, _kill),
    "revert, and step-down": lambda case: _reverted(case, _step_down),
    "revert, and kill -9": lambda case: _reverted(case, _kill),
}


@pytest.mark.parametrize("turn", range(3), ids=["Debian 11", "Debian 12", "Debian 13"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_no_service_runs_on_two_hosts(
    cluster: Cluster,
    mounts: Mounts,
    end: Callable[[Case], t.ContextManager[None]],
    turn: int,
    request: pytest.FixtureRequest,
    report: Callable[[str], None],
) -> None:
    case = Case(cluster, cluster.hosts[turn], cluster.hosts[(turn + 1) % 3])
    since = time.time()
    gather(case)
    terms = {lease: cluster.record(lease)["term"] for lease in cluster.leases}
    began = now()
    try:
        with end(case):
            wait_for(lambda: all(leads_anew(cluster, lease, terms[lease]) for lease in cluster.leases), "all go on")
        seen = [one for one in [*cluster.watcher.intervals, *mounts.intervals] if one.end > began - 30]
        found = [overlap for overlap in overlaps(seen) if overlap.seconds > 0]
        assert found == []
        report(f"{request.node.callspec.id:45} {handovers(seen, began)}")
    except BaseException:
        for host in cluster.hosts:
            print(f"--- {host.name}\n{host.journal(f'--since=@{since:.0f}')}")
        raise


def gather(case: Case) -> None:
    """Let the old host lead by all leases, the new one wait for them, and the third one rest."""
    for host in case.cluster.hosts:
        if not host.is_on:
            host.boot()
        if host is not case.old:
            host.run("systemctl", "stop", DAEMONS)
    names = [f"s3-leader@{lease}.service" for lease in case.cluster.leases]
    case.old.run("sh", "-c", "rm -f /run/s3-leader/*.away; systemctl start " + " ".join(names))
    wait_for(lambda: all(case.cluster.leader(lease) is case.old for lease in case.cluster.leases), "one leads all")
    since = time.time()
    case.new.run("sh", "-c", "rm -f /run/s3-leader/*.away; systemctl start " + " ".join(names))
    wait_for(lambda: case.cluster.takes_part(case.new, since), "another one waits")


def leads_anew(cluster: Cluster, lease: str, term: int) -> bool:
    """Whether a host serves it in a later term."""
    leader = cluster.leader(lease)
    return leader is not None and bool(cluster.record(lease)["term"] > term)


def handovers(seen: list[Interval], began: float) -> str:
    """For people: how long nobody ran the services of a lease, and since the fault."""
    found = [gap for gap in gaps(seen) if gap.after.start > began]
    seconds = [gap.seconds for gap in found]
    since = [gap.after.start - began for gap in found]
    if not found:
        return "no handovers"
    return f"{len(found)} handovers, gaps {min(seconds):.2f} to {max(seconds):.2f} s, last {max(since):.2f} s after"
