# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chaos: whatever breaks, each lease is served on one host at a time, and heals."""

from __future__ import annotations

import pathlib
import random
import re
from collections.abc import Callable, Mapping

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.protocol import margin

from system.chaos import Chaos
from system.cluster import Cluster
from system.figures import Limits, failovers, table, timeline, violations
from system.lab.host import Host
from system.lab.intervals import Overlap, overlaps
from system.lab.mounts import Mounts

RECORDS = pathlib.Path(__file__).resolve().parents[3] / ".cache/chaos"
BEFORE, AFTER = 40, 3  # seconds around an overlap that are told where the test fails


def test_whatever_breaks_no_two_hosts_serve_a_lease_at_the_same_time_and_all_of_it_heals(
    cluster: Cluster, mounts: Mounts, pytestconfig: pytest.Config, report: Callable[[str], None]
) -> None:
    minutes: float = pytestconfig.getoption("--chaos-minutes")
    seed: int = pytestconfig.getoption("--chaos-seed") or random.SystemRandom().randrange(2**32)
    duration, renew_interval = cluster.times["lease_duration"], cluster.times["renew_interval"]
    report(f"Chaos for {minutes:g} min, seed {seed}: {len(cluster.leases)} leases of {duration} s")
    chaos = Chaos(cluster, seed, hands=not pytestconfig.getoption("--chaos-without-hands"))
    try:
        chaos.rage(minutes * 60)
        cluster.wait_until_all_take_part()
    finally:
        kept = keep(cluster, chaos, seed)
        seen = cluster.watcher.intervals
        failed_over = failovers(seen, chaos.faults, chaos.spells, [host.name for host in cluster.hosts])
        report(table(seen, chaos.faults, failed_over, Limits(duration, margin(duration), renew_interval)))
        report("Hands on services: " + ", ".join(f"{verb} {count}" for verb, count in sorted(chaos.hands.items())))
    story = "\n".join(line for one in overlaps(seen) for line in around(one, kept))
    assert violations(seen) == [], story
    assert overlaps([one for one in [*seen, *mounts.intervals] if one.lease == "mount"]) == []


def keep(cluster: Cluster, chaos: Chaos, seed: int) -> dict[str, str]:
    """Leave behind what happened, and what the hosts say of it; pytest shows it, too, where the test has failed."""
    folder = RECORDS / str(seed)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"timeline": timeline(cluster.watcher.intervals, chaos.faults, chaos.spells)}
    units = ["--unit=s3-leader*", *(f"--unit={lease}-*" for lease in cluster.leases)]
    texts |= {host.name: host.journal(*units) for host in cluster.hosts}
    texts |= {f"{host.name}.init": init_of(host) for host in cluster.hosts}
    for name, text in texts.items():
        (folder / name).write_text(text)
        print(f"--- {name}\n{text}")
    return texts


def around(overlap: Overlap, kept: Mapping[str, str]) -> list[str]:
    """The lines about its lease, of that time and of both hosts: a report of CI has no room for the others."""
    _seconds, first, second = overlap
    found = []
    for name in ("timeline", first.host, second.host):
        for line in kept[name].splitlines():
            began = re.match(r"\[? *([0-9.]+)", line)
            at = float(began.group(1)) if began else 0.0
            close = second.start - BEFORE <= at <= min(first.end, second.end) + AFTER
            if close and re.search(rf"\b{first.lease}\b", line):
                found.append((at, line))
    return [line for _at, line in sorted(found)]


def init_of(host: Host) -> str:
    """What its PID 1 said last, and what it is doing."""
    said = host.journal("_PID=1", "--lines=500")
    if not host.is_on:
        return said
    files = [f"/proc/1/{name}" for name in ("status", "stat", "wchan", "stack")]
    twice = "for turn in 1 2; do cat " + " ".join(files) + "; sleep 1; done"
    return said + host.run("sh", "-c", twice, check=False).stdout
