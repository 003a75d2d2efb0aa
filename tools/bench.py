# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what the documentation states in figures: S3 requests per operation, and what a task costs.

`make bench ARGS=preflight` tells what preflights find, how long they take, and how many requests.
`make bench ARGS=heartbeat` tells what a daemon costs, beside a loop of boto3.
`make bench ARGS=fleet` tells what a lease costs by the number of hosts, and how soon the next one leads.
`make bench ARGS=memory` tells what each further lease of a host costs, beside as many loops of boto3.
`make bench ARGS=keeper` tells what it costs to keep a lease while a playbook runs, beside a loop of boto3.
`make bench ARGS=crowd` tells what becomes of 10, 100 and 1,000 contenders in the same second, beside as many of boto3.
`make bench ARGS=late` tells how many PUTs that are held back beyond their time land, on SeaweedFS and Ceph; needs root.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import multiprocessing
import pathlib
import socket
import statistics
import tempfile
import typing as t
from collections.abc import Iterator
from multiprocessing.connection import Connection

from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.report import Report
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.run import preflight
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Endpoint, Location
from bench_check import bench_check
from bench_crowd import CROWDS, WITHIN, bench_crowd
from bench_fleet import bench_fleet
from bench_heartbeat import bench_heartbeat
from bench_keeper import bench_keeper
from bench_late import bench_late
from bench_memory import bench_memory
from support import playbook
from support.proxy import FaultProxy
from support.stores.odd import ChecksThenPuts
from support.stores.seaweedfs import SeaweedFS

BUCKET = "leader-election"
LEASE = Location(BUCKET, "bench/lease")
MARK = "mark"
Task = dict[str, t.Any]


def lease(operation: str, name: str = "", **options: t.Any) -> Task:
    """A task of one of the collection's modules; its name is what is measured, none is preparation."""
    register = {"register": options.pop("register")} if "register" in options else {}
    return {"name": name or "prepare", f"leaderelection.s3.s3_leader_{operation}": options, **register}


def own_address() -> str:
    """This machine's address in its network, where the store can be reached for as long as this runs.

    Every task tests a store on loopback again, so it would not cost what it costs elsewhere.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; the address is nobody's (RFC 5737)
        except OSError:
            raise SystemExit("This machine has no network, and a store on loopback is never remembered.") from None
        address: str = probe.getsockname()[0]
        return address


def play(
    server: SeaweedFS, folder: pathlib.Path, tasks: list[Task], endpoint_url: str = ""
) -> playbook.RunningPlaybook:
    """Play tasks, all of which share what is known of the store, and which reach it by endpoint_url if it is given."""
    s3 = {**server.options, "bucket": BUCKET, "endpoint_url": endpoint_url or server.endpoint_url}
    return playbook.start(folder, tasks, s3=s3, env={"XDG_CACHE_HOME": str(folder / "cache")}, args=["--forks=1"])


def count_requests(server: SeaweedFS, folder: pathlib.Path) -> dict[str, collections.Counter[str]]:
    """Play each operation on a lease of its own, and return what came to the server, by method."""
    tasks: list[Task] = []
    counted: dict[str, collections.Counter[str]] = {}

    def measure(what: str, operation: str, prepare: tuple[Task, ...] = (), **options: t.Any) -> None:
        # The server tells what belongs to the measured task by the mark before it.
        tasks.extend((*prepare, lease("info", key=MARK), lease(operation, what, key=what, **options)))
        counted[what] = collections.Counter()

    def held(what: str, **options: t.Any) -> Task:
        return lease("acquire", key=what, register="lease", **options)

    handed = "{{ lease }}"
    measure("acquire, the first in a bucket", "acquire")
    measure("acquire, never held before", "acquire")
    what = "acquire, held by another"
    measure(what, "acquire", (held(what, session="somebody else"),))
    what = "acquire, released"
    measure(what, "acquire", (held(what), lease("release", key=what)))
    what = "acquire, expired"
    until_expired = {
        **lease("info", key=what, register="now"),
        "until": "now.lease.state == 'expired'",
        "retries": 30,
        "delay": 1,
    }
    measure(what, "acquire", (held(what, session="who crashed", lease_duration=5, request_timeout=2), until_expired))
    what = "renew, lease handed over"
    measure(what, "renew", (held(what),), lease=handed)
    what = "renew"
    measure(what, "renew", (held(what),))
    what = "release, lease handed over"
    measure(what, "release", (held(what),), lease=handed)
    what = "release"
    measure(what, "release", (held(what),))
    measure("info", "info")
    proxy = FaultProxy(server.endpoint_url)
    proxy.address = server.address
    with proxy:
        play(server, folder, tasks, endpoint_url=proxy.url).wait().succeeded()
        marked = iter(counted)
        measured = ""
        for request in proxy.requests:
            if request.key == MARK:
                measured = next(marked)
            elif request.key == measured:
                counted[measured][request.method] += 1
    return counted


def time_tasks(server: SeaweedFS, folder: pathlib.Path, rounds: int) -> dict[str, list[float]]:
    """Play the tasks in turn, so many rounds after a first one, and return the seconds that each took."""
    s3_object = {
        "bucket": BUCKET,
        "object": "an-object",
        "content": "x" * 400,
        "mode": "put",
        "overwrite": "always",
        "encrypt": False,
        "permission": [],
        **server.options,
    }
    one_round: list[Task] = [
        {"name": "ansible.builtin.ping", "ansible.builtin.ping": {}},
        {"name": "amazon.aws.s3_object, puts an object", "amazon.aws.s3_object": s3_object},
    ]
    for way, here in (("here", True), ("as a module", False)):
        round_of_a_lease = (
            lease("acquire", f"s3_leader_acquire, {way}", key="mine", register="lease"),
            lease("renew", f"s3_leader_renew, {way}", key="mine", lease="{{ lease }}", register="lease"),
            lease("release", f"s3_leader_release, {way}", key="mine", lease="{{ lease }}"),
            lease("acquire", f"s3_leader_acquire, held, {way}", key="theirs"),
        )
        one_round += [{**task, "vars": {"s3_leader_in_process": here}} for task in round_of_a_lease]
    first = lease("acquire", key="theirs", session="somebody else", lease_duration=86400)
    run = play(server, folder, [first, *one_round * (rounds + 1)])
    run.wait(timeout=60 + 10 * rounds).succeeded()
    took: dict[str, list[float]] = collections.defaultdict(list)
    started = 0.0
    for line in (run.folder / "results.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["status"] == "started":
            started = entry["time"]
        else:
            took[entry["task"]].append(entry["time"] - started)
    return {name: seconds[1:] for name, seconds in took.items() if name != "prepare"}


def bench_preflights(runs: int, racy_runs: int) -> None:
    """Run preflights with their defaults on SeaweedFS, and on a store that checks first and writes 1 ms later."""
    with SeaweedFS() as server:
        server.create_bucket(BUCKET)
        endpoint = Endpoint(server.endpoint_url, server.access_key, server.secret_key, region=server.region)
        print_preflights("SeaweedFS", (preflight(endpoint, LEASE) for _run in range(runs)))
    with racy_store() as url:
        racy = Endpoint(url, "somebody", "whatever", region="us-east-1")
        print_preflights("a window of 1 ms", (preflight(racy, LEASE) for _run in range(racy_runs)))


@contextlib.contextmanager
def racy_store() -> Iterator[str]:
    """The URL of a store in a process of its own, as stores have one."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve_racy_store, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()  # raises EOFError where the process ends without a word
    finally:
        process.terminate()
        process.join()


def serve_racy_store(urls: Connection) -> None:
    """Serve until the process is terminated."""
    with ChecksThenPuts() as store:
        store.window = 0.001
        urls.send(store.url)
        store.stopped.wait()


def print_preflights(name: str, reports: t.Iterable[Report]) -> None:
    done = list(reports)
    verdicts = collections.Counter(report.verdict for report in done)
    told = ", ".join(f"{count} of {len(done)} {verdict}" for verdict, count in verdicts.items())
    requests = statistics.median(report.requests for report in done)
    seconds = [report.seconds for report in done]
    print(
        f"  {name:20} {told}; {requests:.0f} requests, {statistics.median(seconds):.1f} s (at most {max(seconds):.1f})"
    )


def print_requests(counted: dict[str, collections.Counter[str]]) -> None:
    print(f"\n{'S3 requests, as the server counted them':42} GET  PUT")
    for what, methods in counted.items():
        print(f"  {what:40} {methods['GET']:3}  {methods['PUT']:3}")


def print_times(took: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(seconds) for name, seconds in took.items()}
    ping = medians["ansible.builtin.ping"]
    yardstick = medians["amazon.aws.s3_object, puts an object"] - ping
    title = "Task wall time, median of " + str(len(took["ansible.builtin.ping"]))
    print(f"\n{title:42}    s  of ping's  over ping  of s3_object's")
    for name, seconds in medians.items():
        over = seconds - ping
        print(f"  {name:38} {seconds:6.3f}   {seconds / ping:7.2f}     {over:6.3f}         {over / yardstick:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25, help="how often each task is timed (default: %(default)s)")
    parser.add_argument(
        "what",
        nargs="?",
        choices=("tasks", "check", "preflight", "heartbeat", "fleet", "memory", "keeper", "crowd", "late"),
        default="tasks",
    )
    parser.add_argument("--runs", type=int, default=10, help="preflights on SeaweedFS (default: %(default)s)")
    parser.add_argument("--racy-runs", type=int, default=100, help="on a racy store (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="to watch daemons for (default: %(default)s)")
    parser.add_argument("--moves", type=int, default=9, help="of the lease of a fleet, each way (default: %(default)s)")
    parser.add_argument("--puts", type=int, default=200, help="held back in each way (default: %(default)s)")
    parser.add_argument("--within", type=float, default=WITHIN, help="seconds in which crowds begin (default: 1)")
    arguments = parser.parse_args()
    if arguments.what == "check":
        bench_check(arguments.rounds)
        return
    if arguments.what == "preflight":
        print(f"Running {arguments.runs} and {arguments.racy_runs} preflights with their defaults.", flush=True)
        bench_preflights(arguments.runs, arguments.racy_runs)
        return
    if arguments.what == "heartbeat":
        print(f"Starting SeaweedFS, daemons and loops, then measuring for {arguments.seconds:g} s.", flush=True)
        bench_heartbeat(arguments.seconds)
        return
    if arguments.what == "fleet":
        print(
            "Starting SeaweedFS and the daemons of 86 hosts, then moving their leases; this takes minutes.", flush=True
        )
        bench_fleet(arguments.seconds, arguments.moves)
        return
    if arguments.what == "memory":
        print(f"Starting SeaweedFS, daemons and loops, then measuring for {arguments.seconds:g} s.", flush=True)
        bench_memory(arguments.seconds)
        return
    if arguments.what == "keeper":
        print(f"Starting SeaweedFS, a play and a loop, then measuring for {arguments.seconds:g} s.", flush=True)
        bench_keeper(arguments.seconds)
        return
    if arguments.what == "crowd":
        print("Letting crowds compete for a lease that nobody has held before, in an untested store.", flush=True)
        bench_crowd(CROWDS, arguments.within)
        return
    if arguments.what == "late":
        print(f"Holding {arguments.puts} PUTs back in each way, on each store; this takes minutes.", flush=True)
        bench_late(arguments.puts)
        return
    print("Starting SeaweedFS, then playing each operation; this takes about two minutes.", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, SeaweedFS(address=own_address()) as server:
        server.create_bucket(BUCKET)
        print_requests(count_requests(server, pathlib.Path(folder)))
        print_times(time_tasks(server, pathlib.Path(folder), arguments.rounds))


if __name__ == "__main__":
    main()
