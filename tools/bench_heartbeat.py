# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one daemon costs, as leader and as standby, beside ten lines of boto3 that renew and watch as often."""

from __future__ import annotations

import contextlib
import ctypes
import pathlib
import subprocess
import sys
import tempfile
import time
import typing as t

from support.child_process import die_with_parent
from support.daemon import Daemon, eventually
from support.stores.seaweedfs import SeaweedFS

TIMES = {"lease_duration": 30, "renew_interval": 5, "poll_interval": 1}
MEMORY = "/dev/shm"
"""The daemon writes to /run, which is in memory."""
BUCKETS = ("daemons-lead", "daemons-follow", "loops-lead", "loops-follow")

# What one might write instead. It is no election: there is no deadline, and nobody takes over.
LEADER = """
import sys, time, boto3
url, access_key, secret_key, region, bucket, key = sys.argv[1:]
s3 = boto3.client("s3", region, endpoint_url=url, aws_access_key_id=access_key, aws_secret_access_key=secret_key)
etag = s3.put_object(Bucket=bucket, Key=key, Body=b"0", IfNoneMatch="*")["ETag"]
while True:
    time.sleep(5)
    etag = s3.put_object(Bucket=bucket, Key=key, Body=str(time.time()).encode(), IfMatch=etag)["ETag"]
"""
STANDBY = """
import sys, time, boto3, botocore.exceptions
url, access_key, secret_key, region, bucket, key = sys.argv[1:]
s3 = boto3.client("s3", region, endpoint_url=url, aws_access_key_id=access_key, aws_secret_access_key=secret_key)
etag = ""
while True:
    try:
        answer = s3.get_object(Bucket=bucket, Key=key, IfNoneMatch=etag)
        etag, holder = answer["ETag"], answer["Body"].read()
    except botocore.exceptions.ClientError:
        pass  # 304, or it is not there yet
    time.sleep(1)
"""


class Subject(t.NamedTuple):
    """A process that is measured. It has a bucket of its own, by which the server counts."""

    pid: int
    bucket: str
    method: str
    """What it sends there; who holds the lease that a standby watches writes to the same bucket."""


class Cost(t.NamedTuple):
    """What a process has cost so far, or in an hour; memory is what it takes now."""

    memory: float
    """Bytes: its own, and its part of what it shares (PSS)."""
    cpu: float
    """Seconds."""
    requests: float


def bench_heartbeat(seconds: float) -> None:
    """Measure leaders and standbys for so many seconds, all at once, and print a table."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=MEMORY)))
        server = stack.enter_context(SeaweedFS(metrics=True))
        costs = measure(server, start_all(server, folder, stack), seconds)
    print_title("One process")
    for own in ("leader", "standby"):
        print_costs({name: costs[name] for name in (own, f"{own}, bare boto3")})


def measure(server: SeaweedFS, subjects: dict[str, Subject], seconds: float) -> dict[str, Cost]:
    """Return what each costs in an hour, by so many seconds."""
    time.sleep(10)  # what is done once is done by then
    before, began = [cost_of(server, subject) for subject in subjects.values()], time.monotonic()
    time.sleep(seconds)
    after, hours = [cost_of(server, subject) for subject in subjects.values()], (time.monotonic() - began) / 3600
    costs = [
        Cost(last.memory, (last.cpu - first.cpu) / hours, (last.requests - first.requests) / hours)
        for first, last in zip(before, after, strict=True)
    ]
    return dict(zip(subjects, costs, strict=True))


def start_loop(program: str, server: SeaweedFS, bucket: str, stack: contextlib.ExitStack) -> int:
    """Start a loop of boto3, and return its process. It ends with the stack."""
    place = (server.endpoint_url, server.access_key, server.secret_key, server.region, bucket, "lease")
    process = subprocess.Popen([sys.executable, "-IBc", program, *place], preexec_fn=die_with_parent())
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process.pid


def start_daemon(
    server: SeaweedFS, folder: pathlib.Path, options: dict[str, t.Any], stack: contextlib.ExitStack
) -> Daemon:
    """Start a daemon with these options, and the keys of the server. It ends with the stack."""
    keys = f"[default]\naws_access_key_id={server.access_key}\naws_secret_access_key={server.secret_key}\n"
    place = dict(key="lease", endpoint_url=server.endpoint_url, region=server.region)
    daemon = Daemon(folder, {**place, **options}, keys)
    stack.callback(daemon.close)
    daemon.start()
    return daemon


def start_all(server: SeaweedFS, folder: pathlib.Path, stack: contextlib.ExitStack) -> dict[str, Subject]:
    """Start what is measured, by name, and whom the standbys watch. All of it ends with the stack."""

    def daemon(bucket: str, holder: str) -> Daemon:
        return start_daemon(server, folder / holder, {**TIMES, "bucket": bucket, "holder": holder}, stack)

    for bucket in BUCKETS:
        server.create_bucket(bucket)
    leader, watched = daemon(BUCKETS[0], "leader"), daemon(BUCKETS[1], "watched")
    eventually(lambda: leader.leader() and watched.leader())
    standby = daemon(BUCKETS[1], "standby")
    bare_leader = start_loop(LEADER, server, BUCKETS[2], stack)
    start_loop(LEADER, server, BUCKETS[3], stack)
    bare_standby = start_loop(STANDBY, server, BUCKETS[3], stack)
    return {
        "leader": Subject(leader.pid, BUCKETS[0], "PUT"),
        "leader, bare boto3": Subject(bare_leader, BUCKETS[2], "PUT"),
        "standby": Subject(standby.pid, BUCKETS[1], "GET"),
        "standby, bare boto3": Subject(bare_standby, BUCKETS[3], "GET"),
    }


def cost_of(server: SeaweedFS, subject: Subject) -> Cost:
    """What the process takes now, and has taken so far, its threads that have ended included."""
    return Cost(memory_of(subject.pid, "Pss"), cpu_of(subject.pid), requests_of(server, subject.bucket, subject.method))


def memory_of(pid: int, kind: str) -> int:
    """Bytes of a kind, such as Pss (proc(5))."""
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(f"{kind}:"))


def cpu_of(pid: int) -> float:
    """Seconds that the process has used so far, its threads that have ended included. Raises ProcessLookupError."""
    clock = ctypes.c_int()
    if ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise ProcessLookupError(f"the process {pid} has ended")
    return time.clock_gettime(clock.value)


def requests_of(server: SeaweedFS, bucket: str, method: str) -> float:
    """How many requests with this method have come to the bucket so far."""
    return sum(
        float(line.split()[-1])
        for line in server.metrics().splitlines()
        if line.startswith("SeaweedFS_s3_request_total{")
        and f'bucket="{bucket}"' in line
        and f'type="{method}"' in line
    )


def print_title(what: str) -> None:
    print(f"\n{what:24} PSS, MiB   CPU s/hour   requests/hour")


def print_costs(costs: dict[str, Cost]) -> None:
    """Print what ours costs, what the bare loop does, and the ratio of both."""
    for name, cost in costs.items():
        print(f"  {name:22} {cost.memory / 2**20:8.1f}   {cost.cpu:10.1f}   {cost.requests:13.0f}")
    ratios = [mine / theirs for mine, theirs in zip(*costs.values(), strict=True)]
    print(f"  {'ratio':22} {ratios[0]:8.2f}   {ratios[1]:10.2f}   {ratios[2]:13.2f}")
