# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets many processes fight over leases on a real S3 server, by way of a proxy that breaks requests, for minutes.

Then it holds what they were told against the specification of a lease (tests/linearizability/checker.py).
"""

from __future__ import annotations

import argparse
import collections
import itertools
import pathlib
import random
import shutil
import sys
import time
import typing as t

from linearizability import history
from linearizability.checker import NotLinearizable, check
from linearizability.history import NEVER, Call, History, Operation, Write
from linearizability.processes import Mishaps, Processes, RandomFaults
from stress_commands import stress_commands
from stress_races import stress_races
from stress_runs import stress_runs
from support.stores.both import STORES
from support.stores.served import Served

BUCKET = "leader-election"
ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNS_AT_ONCE = 4
HISTORIES = ROOT / ".cache" / "stress"


def fight(
    arguments: argparse.Namespace, folder: pathlib.Path, server: Served
) -> tuple[Mishaps, collections.Counter[str], int]:
    """Run the processes, and return what befell them, the faults by kind, and the number of requests."""
    with RandomFaults(server.endpoint_url, arguments.seed, arguments.faults) as proxy:
        fighters = Processes({**server.environment, "AWS_URL": proxy.url}, f"{BUCKET}/lease", folder, arguments.seed)
        mishaps = fighters.run(arguments.processes, arguments.per_lease, seconds=arguments.minutes * 60)
        return mishaps, proxy.faults(), len(proxy.requests)


def print_calls(calls: list[Call]) -> None:
    print(f"\n{len(calls)} calls")
    for operation in dict.fromkeys(call.operation for call in calls):
        results = collections.Counter(call.result for call in calls if call.operation == operation)
        told = ", ".join(f"{count} {result}" for result, count in results.most_common())
        print(f"  {operation:8} {sum(results.values()):6}: {told}")


def print_overlap(history: History) -> None:
    """Say how far from one after the other the calls were."""
    at_once = 0
    longest: list[Call] = []
    for key in history.operations:
        window: list[Call] = []
        for call in sorted((call for call in history.calls if call.key == key), key=lambda call: call.invoked):
            if window and call.invoked > max((one.answered for one in window if one.answered < NEVER), default=0):
                window = []
            window.append(call)
            at_once = max(at_once, sum(call.invoked <= one.answered < NEVER for one in window))
            longest = max(longest, window, key=len)
    if longest:
        seconds = max(call.answered for call in longest if call.answered < NEVER) - longest[0].invoked
        print(f"up to {at_once} calls at once on a lease, up to {len(longest)} in a row ({seconds:.0f} s) that overlap")


def takeovers(order: list[Operation]) -> int:
    """Count how often a lease was taken from another session that had not released it."""
    versions = [operation.version for operation in order if isinstance(operation, Write)]
    pairs = itertools.pairwise(versions)
    return sum(new.sequence == 1 and not old.released and old.session != new.session for old, new in pairs)


def verdict(operations: t.Mapping[str, list[Operation]]) -> bool:
    """Check every lease, and say how it went."""
    began = time.monotonic()
    orders: list[list[Operation]] = []
    for key, of_one in operations.items():
        try:
            orders.append(check(of_one))
        except NotLinearizable as why:
            print(f"\nNOT LINEARIZABLE: {key}\n{why}")
    seconds = time.monotonic() - began
    writes = [one for of_one in operations.values() for one in of_one if isinstance(one, Write)]
    untold = sum(not write.told for write in writes)
    landed = sum(isinstance(one, Write) and not one.told for order in orders for one in order)
    print(f"{len(operations)} leases, {len(writes)} writes, {untold} of them without an answer of their own")
    print(f"  {landed} of those took effect; {sum(map(takeovers, orders))} takeovers of leases that were over")
    linearizable = len(orders) == len(operations)
    print(f"\n{'Linearizable' if linearizable else 'Not linearizable'}; the checker took {seconds:.2f} s.")
    return linearizable


def main() -> int:
    """Fight, check, and return the exit status."""
    parser = argparse.ArgumentParser(description="Many processes, few leases, many faults; and was it a lease?")
    parser.add_argument("--minutes", type=float, default=1, help="how long it goes on (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=16, help="how many (default: %(default)s)")
    parser.add_argument("--per-lease", type=int, default=4, help="how many want the same (default: %(default)s)")
    parser.add_argument("--faults", type=float, default=0.15, help="share of the requests (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of chance; what the machine does to it is its own")
    parser.add_argument("--check", type=pathlib.Path, help="no fight: check the history in this folder once more")
    parser.add_argument("--store", choices=STORES, default="seaweedfs", help="which (default: %(default)s)")
    parser.add_argument("--races", type=int, help="instead, let eight ask for a lease at once in so many rounds")
    parser.add_argument("--slots", type=int, help="instead, let forty ask for one of three slots in so many rounds")
    parser.add_argument("--runs", type=int, help="instead, let something happen to so many runs that keep a lease")
    parser.add_argument("--commands", type=int, help="instead, let something happen to so many of s3-leader exec")
    arguments = parser.parse_args()
    for name, most in (("minutes", 24 * 60), ("processes", 1000), ("per_lease", 1000), ("faults", 1)):
        value = getattr(arguments, name)
        if not 0 <= value <= most or (value == 0 and name != "faults"):
            parser.error(f"--{name.replace('_', '-')} is {value:g}: give more than 0, and {most} at most")
    if arguments.check:
        if not any(arguments.check.glob("*.jsonl")):
            parser.error(f"--check is {arguments.check}: there is no history. Each run says where it leaves its own")
        return not verdict(history.load(arguments.check).operations)
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(2**32)
    with STORES[arguments.store]() as server:
        server.create_bucket(BUCKET)
        return not stress(arguments, server)


def stress(arguments: argparse.Namespace, server: Served) -> bool:
    """Do what was asked for on this server, print what happened, and return whether all was well."""
    if arguments.races:
        print(f"{arguments.races} rounds of races on {arguments.store}", flush=True)
        return stress_races(arguments.races, server, BUCKET)
    if arguments.slots:
        print(f"{arguments.slots} rounds of races for slots on {arguments.store}", flush=True)
        return stress_races(arguments.slots, server, BUCKET, contenders=40, slots=3)
    if arguments.runs:
        print(f"Seed {arguments.seed}: {arguments.runs} rounds of two playbook runs", flush=True)
        return stress_runs(arguments.runs, RUNS_AT_ONCE, arguments.seed, server)
    if arguments.commands:
        print(f"Seed {arguments.seed}: {arguments.commands} rounds of two commands", flush=True)
        return stress_commands(arguments.commands, RUNS_AT_ONCE, arguments.seed, server)
    folder = HISTORIES / str(arguments.seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(
        f"Seed {arguments.seed}: {arguments.processes} processes, {arguments.per_lease} for each lease, "
        f"{arguments.minutes:g} min on {arguments.store}; history in {folder.relative_to(ROOT)}",
        flush=True,
    )
    mishaps, faults, requests = fight(arguments, folder, server)
    told = history.load(folder)
    print_calls(told.calls)
    print(f"\n{requests} requests, {sum(faults.values())} of them with a fault")
    for fault, count in faults.most_common():
        print(f"  {fault:24} {count:5}")
    print(f"{mishaps.kills} processes killed and replaced, {mishaps.stops} stopped for a while")
    print_overlap(told)
    return verdict(told.operations)


if __name__ == "__main__":
    sys.exit(main())
