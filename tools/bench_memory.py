# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What 1, 3 and 10 leases of one host cost, as leader and as standby, beside as many loops of boto3."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
import time
import typing as t

from bench_heartbeat import LEADER, MEMORY, STANDBY, TIMES, cpu_of, memory_of, start_daemon, start_loop
from support.daemon import eventually
from support.stores.seaweedfs import SeaweedFS

LEASES = (1, 3, 10)
ROLES = ("leader", "standby")
KINDS = ("daemons", "loops")
Processes = dict[tuple[str, str], list[int]]
"""By role and kind."""


class Cost(t.NamedTuple):
    """What all leases of a host cost."""

    private: float
    """Bytes that no other process has (USS)."""
    memory: float
    """The same, and the part of what is shared (PSS)."""
    cpu: float
    """Seconds in an hour."""


def bench_memory(seconds: float) -> None:
    """Measure for so many seconds with each number of leases, and print a table."""
    processes: Processes = {(role, kind): [] for role in ROLES for kind in KINDS}
    costs: dict[tuple[int, str], tuple[Cost, Cost]] = {}
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=MEMORY)))
        server = stack.enter_context(SeaweedFS())
        for leases in LEASES:
            for number in range(len(processes["leader", "loops"]), leases):
                start_lease(server, folder, number, processes, stack)
            time.sleep(10)  # what is done once is done by then
            measured = measure(processes, seconds)
            for role in ROLES:
                costs[leases, role] = (measured[role, "daemons"], measured[role, "loops"])
    print_costs(costs)


def start_lease(
    server: SeaweedFS, folder: pathlib.Path, number: int, processes: Processes, stack: contextlib.ExitStack
) -> None:
    """Start who leads by a further lease, and who watches it, of both kinds. They end with the stack."""
    buckets = {kind: f"{kind}-{number}" for kind in KINDS}
    for bucket in buckets.values():
        server.create_bucket(bucket)
    for role, program in zip(ROLES, (LEADER, STANDBY), strict=True):
        options = {**TIMES, "bucket": buckets["daemons"], "holder": role}
        daemon = start_daemon(server, folder / f"{role}-{number}", options, stack)
        if role == "leader":
            eventually(daemon.leader)
        processes[role, "daemons"].append(daemon.pid)
        processes[role, "loops"].append(start_loop(program, server, buckets["loops"], stack))


def measure(processes: Processes, seconds: float) -> dict[tuple[str, str], Cost]:
    before, began = {key: [cpu_of(pid) for pid in pids] for key, pids in processes.items()}, time.monotonic()
    time.sleep(seconds)
    costs = {}
    for key, pids in processes.items():
        used = sum(cpu_of(pid) for pid in pids) - sum(before[key])
        hours = (time.monotonic() - began) / 3600
        private = sum(memory_of(pid, "Private_Clean") + memory_of(pid, "Private_Dirty") for pid in pids)
        costs[key] = Cost(private, sum(memory_of(pid, "Pss") for pid in pids), used / hours)
    return costs


def print_costs(costs: dict[tuple[int, str], tuple[Cost, Cost]]) -> None:
    """Print what daemons cost, what bare loops do, and the ratio of both."""
    print(f"\n{'':17} private, MiB            PSS, MiB                CPU s/hour")
    print(f"leases  role   {'    daemons   loops  ratio' * 3}")
    for (leases, role), (ours, theirs) in costs.items():
        columns = "".join(
            f"   {mine / scale:8.1f}{bare / scale:8.1f}{mine / bare:7.2f}"
            for mine, bare, scale in zip(ours, theirs, (2**20, 2**20, 1), strict=True)
        )
        print(f"{leases:6}  {role:7}{columns}")
