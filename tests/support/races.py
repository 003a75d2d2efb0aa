# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Races: several processes ask for one lease at the same instant, again and again, by the code of s3_leader_acquire."""

from __future__ import annotations

import dataclasses
import email.utils
import json
import multiprocessing
import threading
import time
import typing as t
import uuid
from collections.abc import Mapping, Sequence

from ansible_collections.leaderelection.s3.plugins.module_utils import _options
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.protocol import record_of
from ansible_collections.leaderelection.s3.plugins.module_utils._module import Task
from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_acquire

from .leases import OLD_TERM, somebody_elses

PROCESSES = 8
# SeaweedFS answers contended PUTs to one key about a second apart. In lanes, rounds wait side by side.
LANES = 10
TIMEOUT = 300  # seconds
NOTHING, EXPIRED, RELEASED = "nothing", "an expired lease", "a released lease"
BEFORE = (NOTHING, EXPIRED, RELEASED)
"""What stands at the key when they come."""
DEFAULTS: dict[str, t.Any] = {
    **{name: option.get("default") for name, option in s3_leader_acquire.SPEC.items()},
    **dict(request_timeout=10, lease_duration=60, wait_timeout=0, poll_interval=2, hold_at_least=0),
}
"""The options of a task that acquires."""


@dataclasses.dataclass(frozen=True)
class Claim:
    """What one process was told in one round."""

    round: int
    session: str
    leads: bool
    term: int | None
    slot: int
    """0 for a lease without slots."""


Rounds = Mapping[int, Sequence[Claim]]
"""What all were told, by round."""


def claimant(number: int, barriers: t.Any, keys: Sequence[str], options: Mapping[str, t.Any], told: t.Any) -> None:
    """One of the processes: each round it waits for the others and asks."""
    claims: list[Claim | BaseException] = []

    def lane(first: int) -> None:
        try:
            for turn in range(first, len(keys), LANES):
                session = f"{number}-{uuid.uuid4().hex}"
                params = {**DEFAULTS, **options, "key": keys[turn], "holder": f"process-{number}", "session": session}
                task = Task(_options.Handle(params), params, check_mode=False)
                barriers[first].wait(TIMEOUT)
                verdict = s3_leader_acquire.acquire(task)
                record = record_of(verdict.lease)
                term = record.term if verdict.is_leader and record else None
                claims.append(Claim(turn, session, verdict.is_leader, term, verdict.slot))
        except BaseException as error:
            claims.append(error)
            barriers[first].abort()

    threads = [threading.Thread(target=lane, args=(first,)) for first in range(LANES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told.put(claims)


def race(keys: Sequence[str], options: Mapping[str, t.Any], contenders: int = PROCESSES) -> dict[int, list[Claim]]:
    """Let the processes ask for each key; what they were told, by round."""
    context = multiprocessing.get_context("fork")
    barriers = [context.Barrier(contenders) for dummy in range(LANES)]
    told = context.Queue()
    processes = [
        context.Process(target=claimant, args=(number, barriers, keys, options, told), daemon=True)
        for number in range(contenders)
    ]
    for process in processes:
        process.start()
    rounds: dict[int, list[Claim]] = {turn: [] for turn in range(len(keys))}
    try:
        for _process in processes:
            for claim in told.get(timeout=TIMEOUT):
                if isinstance(claim, BaseException):
                    raise claim
                rounds[claim.round].append(claim)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return rounds


def prepare(s3: t.Any, bucket: str, keys: Sequence[str], before: str, slots: int = 0) -> None:
    """Put what is to stand there before (one of BEFORE) at each key. Return when it is free by the store's clock."""
    if before == NOTHING:
        return
    changes: dict[str, t.Any] = {"slots": slots} if slots else {}
    names = [name for key in keys for name in objects(key, slots)]
    for name in names:
        body = somebody_elses(holderId="somebody else" if before == EXPIRED else "", **changes)
        s3.put_object(Bucket=bucket, Key=name, Body=body)
    _await_expiry(s3, bucket, names[-1])


def objects(key: str, slots: int = 0) -> list[str]:
    """Return the keys of a lease: its own, or those of its slots."""
    return [f"{key}/slot-{slot}" for slot in range(1, slots + 1)] or [key]


def _await_expiry(s3: t.Any, bucket: str, key: str) -> None:
    """Wait until by the store's clock the lease is older than its second and the margin of two."""
    deadline = time.monotonic() + 30
    while True:
        answer = s3.get_object(Bucket=bucket, Key=key)
        date = email.utils.parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        if (date - answer["LastModified"]).total_seconds() >= 3:
            return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def faults(
    s3: t.Any,
    bucket: str,
    keys: Sequence[str],
    before: str,
    rounds: Rounds,
    contenders: int = PROCESSES,
    slots: int = 0,
) -> list[str]:
    """What is wrong with how these rounds ended, one line for each fault.

    If there is none, each lease, or each slot of it, has one leader.
    """
    wrong = []
    for turn, claims in rounds.items():
        leaders = sorted((claim for claim in claims if claim.leads), key=lambda claim: claim.slot)
        if len(claims) != contenders:
            wrong.append(f"round {turn}: {len(claims)} of {contenders} were told anything")
        if [claim.slot for claim in leaders] != ([*range(1, slots + 1)] or [0]):
            wrong.append(f"round {turn}: {len(leaders)} leaders {leaders}")
            continue
        for leader, name in zip(leaders, objects(keys[turn], slots), strict=True):
            stored = json.loads(s3.get_object(Bucket=bucket, Key=name)["Body"].read())
            if (stored["session"], stored["term"]) != (leader.session, leader.term):
                wrong.append(f"round {turn}: {leader} leads, but the store has {stored}")
            if before != NOTHING and leader.term != OLD_TERM + 1:
                wrong.append(f"round {turn}: the term is {leader.term} after {OLD_TERM}")
    return wrong
