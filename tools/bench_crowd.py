# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A crowd that wants one lease at the same instant, as ansible-pull on many hosts does, beside one of bare boto3."""

from __future__ import annotations

import collections
import contextlib
import functools
import multiprocessing
import random
import resource
import statistics
import sys
import threading
import time
import typing as t
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection

from ansible_collections.leaderelection.s3.plugins.module_utils import _options
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.driver import fresh_nonce
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Endpoint
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import StoreError, Want
from support.stores.ceph import Ceph
from support.stores.seaweedfs import SeaweedFS

BUCKET = "leader-election"
STORES: Mapping[str, type[Ceph] | type[SeaweedFS]] = {"SeaweedFS": SeaweedFS, "Ceph RGW": Ceph}
CROWDS = (10, 100, 1000)
WITHIN = 1.0
"""Seconds in which hosts begin whose timers go off in the same second."""
PROCESSES = 16
"""Fewer would compete for their interpreters, and more for the machine."""
SWITCH = 0.1
"""Seconds. Threads that wait for their interpreter wake up so often: by default hundreds of them use up a core."""
LEAD_TIME = 2.0
"""Seconds between the word to start and the start, in which every thread comes to wait for it."""

Place = tuple[Mapping[str, str], str]
"""The options for the connection, and the key."""


LEADS, LED = "leads", "led by another"


class Told(t.NamedTuple):
    """What a contender came to know."""

    what: str
    """LEADS, LED, or what failed."""
    requests: int
    at: float
    """Seconds from the start."""


Contender = Callable[[], tuple[str, int]]
"""Competes, and returns what it was told after how many requests."""


class Crowd(t.NamedTuple):
    """What all were told, and the seconds of CPU that it took this side to ask."""

    told: list[Told]
    cpu: float

    def count(self, what: str) -> int:
        return sum(one.what == what for one in self.told)

    @property
    def seconds(self) -> float:
        return max(one.at for one in self.told)


def of_the_core(place: Place) -> Contender:
    """A task s3_leader_acquire with its default options."""
    options, key = place
    timeout = Endpoint.request_timeout
    handle = _options.Handle(dict(options, bucket=BUCKET, key=key, holder="host", session="", request_timeout=timeout))
    handle.connection.at(key)  # loads what boto3's client, too, has loaded by then

    def compete() -> tuple[str, int]:
        want = Want(30.0, handle.endpoint.patience)
        try:
            verdict = handle.drive(protocol.acquire(handle.me, want, handle.clock.now(), fresh_nonce))
        except StoreError as error:
            return error.why, handle.store.requests
        return LEADS if verdict.is_leader else LED, handle.store.requests

    return compete


def of_boto3(place: Place) -> Contender:
    """What one might write instead: it is no lease, and tells nobody who leads."""
    import botocore.exceptions

    options, key = place
    client, requests = shared_client(tuple(options.items()))

    def compete() -> tuple[str, int]:
        mine = threading.get_ident()  # an earlier thread may have had it
        before = requests[mine]
        try:
            client.put_object(Bucket=BUCKET, Key=key, Body=b"host", IfNoneMatch="*")
            told = LEADS
        except botocore.exceptions.ClientError as error:
            code = error.response["Error"]["Code"]
            told = LED if code in ("PreconditionFailed", "ConditionalRequestConflict") else code
        except botocore.exceptions.BotoCoreError as error:
            told = type(error).__name__
        return told, requests[mine] - before

    return compete


@functools.cache
def shared_client(options: tuple[tuple[str, str], ...]) -> tuple[t.Any, collections.Counter[int]]:
    """Return boto3's client with its defaults, and what it has sent so far, by thread.

    A client takes longer to make than a connection. One serves a process, and has a connection for each thread.
    """
    import boto3
    from botocore.config import Config

    given = dict(options)
    client = boto3.client(
        "s3",
        given["region"],
        endpoint_url=given["endpoint_url"],
        aws_access_key_id=given["access_key"],
        aws_secret_access_key=given["secret_key"],
        config=Config(max_pool_connections=max(CROWDS)),
    )
    sent: collections.Counter[int] = collections.Counter()

    def count(**_request: t.Any) -> None:
        sent[threading.get_ident()] += 1

    client.meta.events.register("before-send.s3", count)
    return client, sent


KINDS: Mapping[str, Callable[[Place], Contender]] = {"the core": of_the_core, "bare boto3": of_boto3}


def serve_contenders(pipe: Connection) -> None:
    """Be a part of crowds, until the other side is gone."""
    sys.setswitchinterval(SWITCH)
    with contextlib.suppress(EOFError):
        while True:
            kind, place, size = pipe.recv()
            contenders = [KINDS[kind](place) for _one in range(size)]
            told: list[Told] = []
            pipe.send("ready")
            (start, spread), before = pipe.recv(), cpu_seconds()
            starts = [start + random.uniform(0, spread) for _one in contenders]
            threads = [
                threading.Thread(target=compete, args=(one, begin, start, told))
                for one, begin in zip(contenders, starts, strict=True)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            pipe.send((told, cpu_seconds() - before))


def compete(contender: Contender, begin: float, start: float, told: list[Told]) -> None:
    time.sleep(max(0.0, begin - time.monotonic()))
    what, requests = contender()
    told.append(Told(what, requests, time.monotonic() - start))


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def contending_processes() -> Iterator[list[Connection]]:
    """Processes that are parts of crowds. They end with this block."""
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        pipes = []
        for _number in range(PROCESSES):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve_contenders, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            stack.callback(process.join)
            stack.callback(process.terminate)
            pipes.append(ours)
        yield pipes


def contend(pipes: list[Connection], kind: str, place: Place, size: int, spread: float) -> Crowd:
    """Let a crowd compete that begins within so many seconds, and return what it was told."""
    for number, pipe in enumerate(pipes):
        pipe.send((kind, place, len(range(number, size, len(pipes)))))
    for pipe in pipes:
        pipe.recv()
    start = time.monotonic() + LEAD_TIME
    for pipe in pipes:
        pipe.send((start, spread))
    heard = [pipe.recv() for pipe in pipes]
    return Crowd([one for told, _cpu in heard for one in told], sum(cpu for _told, cpu in heard))


def bench_crowd(sizes: t.Sequence[int], within: float) -> None:
    """Let crowds of these sizes compete, each within so many seconds, and all of one at the same instant."""
    print(f"{'':30} leaders  failed  requests each  known after  ours/boto3's  CPU of this side")
    for name, server in STORES.items():
        with server() as store, contending_processes() as pipes:
            store.create_bucket(BUCKET)
            for kind in KINDS:  # the first request of a process, and the first object of a store, cost more
                contend(pipes, kind, (store.options, f"first/{kind}"), len(pipes), 0.0)
            for size in sizes:
                for spread in (within, 0.0):
                    crowds = {}
                    for kind in KINDS:
                        place = (store.options, f"crowd/{size}/{spread:g}/{kind}")
                        crowds[kind] = contend(pipes, kind, place, size, spread)
                    print_crowds(f"{name}, {size:,}, {f'in {spread:g} s' if spread else 'at once'}", crowds)


def print_crowds(title: str, crowds: Mapping[str, Crowd]) -> None:
    baseline = crowds["bare boto3"].seconds
    for kind, crowd in crowds.items():
        leaders, told = crowd.count(LEADS), crowd.count(LEADS) + crowd.count(LED)
        requests = statistics.mean(one.requests for one in crowd.told)
        print(
            f"{title if kind == 'the core' else '  bare boto3':30} {leaders:7} {len(crowd.told) - told:7} "
            f"{requests:14.2f} {crowd.seconds:10.2f} s {crowd.seconds / baseline:13.2f} {crowd.cpu:14.2f} s",
            flush=True,
        )
