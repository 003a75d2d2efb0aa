# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random faults on hosts that take part in several leases.

Each host has faults of its own, one after the other, by the seed; so they overlap with those of the other hosts, and
come when the host has healed or when it has not. One host is always left that takes part in all leases.

Besides, somebody on each host does with the services what people and programs do who know nothing of leases.
"""

from __future__ import annotations

import collections
import concurrent.futures
import random
import threading
import time
import typing as t
from collections.abc import Callable

from system.cluster import Cluster, daemon
from system.figures import Cause, Fault, Spell
from system.lab import faults
from system.lab.host import CommandFailed, Host
from system.lab.watcher import now

LONGEST = 15.0  # seconds of a fault
HAND_PAUSE = 2.0  # seconds from one thing that somebody does to the services of a host to the next, on average
MASKED = 4.0  # seconds for which a service is masked
PAUSE = 6.0  # seconds from one fault of a host to the next, on average
WATCH = 0.2  # seconds between two looks at who takes part


class Case(t.NamedTuple):
    """A fault that is to befall a host, and one of its leases where it does not befall all of them."""

    cluster: Cluster
    host: Host
    lease: str
    seconds: float

    def systemctl(self, verb: str) -> None:
        self.host.run("systemctl", verb, daemon(self.lease))

    def hold(self) -> None:
        time.sleep(self.seconds)


class Kind(t.NamedTuple):
    """What may befall a host."""

    name: str
    cause: Cause
    befall: Callable[[Case], None]
    whole: bool = False
    """All leases of the host are hit."""


def _kept(fault: Callable[[Host], t.ContextManager[None]]) -> Callable[[Case], None]:
    def befall(case: Case) -> None:
        with fault(case.host):
            case.hold()

    return befall


def _stopped(case: Case) -> None:
    with faults.stopped(case.host, daemon(case.lease)):
        case.hold()


def _frozen(case: Case) -> None:
    """For less than the rest of its leases: what is frozen for longer cannot be stopped in time, by nobody."""
    began = now()
    with faults.frozen(case.host):
        if case.cluster.is_stopping(case.host):
            return  # what it renews no more is over soon
        # It may be about to lead: then it counted from before it was frozen.
        ends = [began + case.cluster.times["lease_duration"] - case.cluster.times["stop_grace"]]
        ends += [until for lease in case.cluster.leases if (until := case.cluster.leads_until(case.host, lease))]
        time.sleep(max(0, min(case.seconds, min(ends) - now())))


def _power_cut(case: Case) -> None:
    case.host.cut_power()
    case.hold()
    case.host.boot()


def _powered_off(case: Case) -> None:
    case.host.power_off()
    case.hold()
    case.host.boot()


def _stopped_and_started(case: Case) -> None:
    case.systemctl("stop")
    case.hold()
    case.systemctl("start")


def _stepped_down(case: Case) -> None:
    case.host.run("s3-leader", "step-down", case.lease, "--for", f"{max(1, case.seconds):.0f}")


KINDS = (
    Kind("kill -9", "broken", lambda case: faults.killed(case.host, daemon(case.lease))),
    Kind("kill -STOP", "broken", _stopped),
    Kind("link down", "broken", _kept(faults.link_down), whole=True),
    Kind("packets dropped", "broken", _kept(faults.store_silent), whole=True),
    Kind("connections refused", "broken", _kept(faults.store_refusing), whole=True),
    Kind("answers lost", "answers lost", _kept(faults.answers_lost), whole=True),
    Kind("power cut", "broken", _power_cut, whole=True),
    Kind("frozen", "harmless", _frozen, whole=True),
    Kind("reboot", "planned", lambda case: case.host.reboot(), whole=True),
    Kind("poweroff", "planned", _powered_off, whole=True),
    Kind("systemctl stop", "planned", _stopped_and_started),
    Kind("systemctl restart", "planned", lambda case: case.systemctl("restart")),
    Kind("step-down", "planned", _stepped_down),
    Kind("systemctl reload", "harmless", lambda case: case.systemctl("reload")),
)


# What somebody may do with services.
HANDS = ("start", "restart", "try-restart", "reload-or-restart", "cancel", "mask", "revert", "daemon-reload")


class Chaos:
    """Faults that befell, and how long they kept hosts from taking part. Times are the watcher's."""

    def __init__(self, cluster: Cluster, seed: int, hands: bool = True) -> None:
        self.faults: list[Fault] = []
        self.hands: collections.Counter[str] = collections.Counter()
        self.spells: list[Spell] = []
        self._cluster = cluster
        self._seed = seed
        self._has_hands = hands
        self._going_down: set[str] = set()
        self._changed = threading.Condition()
        self._over = False
        self._unfit: dict[str, float] = {}  # hosts that may not take part, and since when
        self._healed: dict[str, float] = {}  # those of them that no fault keeps from it now, since that time of day

    def rage(self, seconds: float) -> None:
        """Break hosts for so long. When it returns, nothing is broken; but all may not have recovered."""
        end = now() + seconds
        with concurrent.futures.ThreadPoolExecutor(2 * len(self._cluster.hosts)) as pool:
            torments = [pool.submit(self._torment, host) for host in self._cluster.hosts]
            if self._has_hands:
                torments += [pool.submit(self._meddle, host) for host in self._cluster.hosts]
            while now() < end and not any(one.done() for one in torments):
                self._look_who_takes_part()
                time.sleep(WATCH)
            with self._changed:
                self._over = True
                self._changed.notify_all()
        for one in torments:
            one.result()
        for host in self._cluster.hosts:  # somebody may have cancelled that, too
            self._start_daemons(host)
        self.spells += [Spell(host, began, float("inf")) for host, began in self._unfit.items()]

    def _start_daemons(self, host: Host) -> None:
        """Start those that do not run. One whose restart was cancelled waits for it forever, unless it is restarted."""
        daemons = [daemon(lease) for lease in self._cluster.leases]
        show = ("systemctl", "show", "--property=SubState", "--value")
        waiting = [name for name in daemons if host.run(*show, name).stdout.strip() == "auto-restart"]
        if waiting:
            host.run("systemctl", "restart", "--no-block", *waiting)
        host.run("systemctl", "start", "--no-block", *daemons)

    def _torment(self, host: Host) -> None:
        chance = random.Random(f"{self._seed} {host.name}")
        while True:
            kind = chance.choice(KINDS)
            case = Case(self._cluster, host, chance.choice(self._cluster.leases), chance.uniform(0, LONGEST))
            pause = chance.expovariate(1 / PAUSE)
            with self._changed:
                if self._changed.wait_for(lambda: self._over, pause):
                    return
                self._changed.wait_for(lambda: self._over or self._can_do_without(host))
                if self._over:
                    return
                clean = host.name not in self._unfit
                self._unfit.setdefault(host.name, now())
                self._healed.pop(host.name, None)
            leases = self._cluster.leases if kind.whole else [case.lease]
            led = {lease: self._cluster.leads_until(host, lease) is not None for lease in leases}
            began = now()
            if kind.whole and kind.cause == "planned":
                self._going_down.add(host.name)  # it would stay up for good if somebody cancelled that
            try:
                kind.befall(case)
            except CommandFailed:
                led = {}  # there was no daemon that it could befall
            self._going_down.discard(host.name)
            with self._changed:
                self._healed[host.name] = time.time()
                self.faults += [
                    Fault(kind.name, kind.cause, host.name, lease, began, now(), leading, clean)
                    for lease, leading in led.items()
                ]

    def _meddle(self, host: Host) -> None:
        chance = random.Random(f"{self._seed} hands on {host.name}")
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._over, chance.expovariate(1 / HAND_PAUSE)):
                    return
            verb, lease = chance.choice(HANDS), chance.choice(self._cluster.leases)
            services = self._cluster.services(lease)
            if not host.is_on or (verb == "cancel" and host.name in self._going_down):
                continue
            self.hands[verb] += 1
            if verb in ("cancel", "daemon-reload"):
                host.run("systemctl", verb, check=False)
            elif verb == "mask":
                host.run("systemctl", "mask", *services, check=False)
                with self._changed:
                    self._changed.wait_for(lambda: self._over, MASKED)
                self._unmask(host, services)
            elif verb == "revert":
                host.run("systemctl", "revert", *services, check=False)
            else:
                host.run("systemctl", "--no-block", verb, *services, check=False)

    def _unmask(self, host: Host, services: list[str]) -> None:
        """As files: the host may be off by now."""
        for service in services:
            mask = host.root / "etc/systemd/system" / service
            if mask.is_symlink():
                mask.unlink()
        if host.is_on:
            host.run("systemctl", "daemon-reload", check=False)
            host.run("systemctl", "--no-block", "start", *services, check=False)

    def _can_do_without(self, host: Host) -> bool:
        return any(other is not host and other.name not in self._unfit for other in self._cluster.hosts)

    def _look_who_takes_part(self) -> None:
        with self._changed:
            for host in self._cluster.hosts:
                healed = self._healed.get(host.name)
                if healed is not None and self._cluster.takes_part(host, healed):
                    self.spells.append(Spell(host.name, self._unfit.pop(host.name), now()))
                    del self._healed[host.name]
                    self._changed.notify_all()
