# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many ask for one lease at the same time: one gets it."""

from __future__ import annotations

import dataclasses
import email.utils
import json
import multiprocessing
import threading
import time
import typing as t
import uuid

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils import _options
from ansible_collections.leaderelection.s3.plugins.module_utils._module import Task
from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_acquire
from support.leases import OLD_TERM, somebody_elses

PROCESSES = 8
ROUNDS = 50
# SeaweedFS answers contended PUTs to one key about a second apart. In lanes, rounds wait side by side.
LANES = 10
TIMEOUT = 300  # seconds
DEFAULTS: dict[str, t.Any] = {
    **{name: option.get("default") for name, option in _options.SPEC.items()},
    **dict(request_timeout=10, lease_duration=60, wait_timeout=0, poll_interval=2, takeover="store_clock", metadata={}),
    "hold_at_least": 0,
    "keepalive": False,
}
TERMS = 50


@dataclasses.dataclass(frozen=True)
class Claim:
    """What one process was told in one round."""

    round: int
    session: str
    leads: bool
    term: int | None


def claimant(number: int, barriers: t.Any, keys: list[str], options: dict[str, t.Any], told: t.Any) -> None:
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
                term = verdict.lease.record.term if verdict.is_leader else None
                claims.append(Claim(turn, session, verdict.is_leader, term))
        except BaseException as error:
            claims.append(error)
            barriers[first].abort()

    threads = [threading.Thread(target=lane, args=(first,)) for first in range(LANES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told.put(claims)


def race(keys: list[str], options: dict[str, t.Any]) -> dict[int, list[Claim]]:
    """Let the processes ask for each key; what they were told, by round."""
    context = multiprocessing.get_context("fork")
    barriers = [context.Barrier(PROCESSES) for dummy in range(LANES)]
    told = context.Queue()
    processes = [
        context.Process(target=claimant, args=(number, barriers, keys, options, told), daemon=True)
        for number in range(PROCESSES)
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


def await_expiry(s3: t.Any, bucket: str, key: str) -> None:
    """Wait until by the store's clock the lease is older than its second and the margin of two."""
    deadline = time.monotonic() + 30
    while True:
        answer = s3.get_object(Bucket=bucket, Key=key)
        date = email.utils.parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        if (date - answer["LastModified"]).total_seconds() >= 3:
            return
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("before", ["nothing", "an expired lease", "a released lease"])
def test_of_eight_processes_exactly_one_leads_in_each_of_fifty_rounds(seaweedfs, bucket, key, before, capsys):
    s3 = seaweedfs.client()
    keys = [f"{key}/{turn}" for turn in range(ROUNDS)]
    if before != "nothing":
        for name in keys:
            body = somebody_elses(holderId="somebody else" if before == "an expired lease" else "")
            s3.put_object(Bucket=bucket, Key=name, Body=body)
        await_expiry(s3, bucket, keys[-1])
    began = time.monotonic()
    rounds = race(keys, dict(seaweedfs.options, bucket=bucket))
    with capsys.disabled():
        print(f"\n{PROCESSES} processes, {ROUNDS} rounds over {before}: {time.monotonic() - began:.1f} s")
    leaders = {turn: [claim for claim in claims if claim.leads] for turn, claims in rounds.items()}
    assert {turn: len(claims) for turn, claims in rounds.items()} == dict.fromkeys(range(ROUNDS), PROCESSES)
    assert {turn: len(claims) for turn, claims in leaders.items()} == dict.fromkeys(range(ROUNDS), 1)
    for turn, [leader] in leaders.items():
        stored = json.loads(s3.get_object(Bucket=bucket, Key=keys[turn])["Body"].read())
        assert (stored["session"], stored["term"]) == (leader.session, leader.term)
        if before != "nothing":
            assert leader.term == OLD_TERM + 1


def relay(number: int, key: str, last: int, options: dict[str, t.Any], told: t.Any) -> None:
    """One of the processes: acquire, note the term, release; until all terms were given out."""
    from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_release

    led: list[int] = []
    try:
        while len(led) <= TERMS:  # more than there are, only if terms do not rise
            session = f"{number}-{uuid.uuid4().hex}"
            params = {**DEFAULTS, **options, "key": key, "holder": f"process-{number}", "session": session}
            verdict = s3_leader_acquire.acquire(Task(_options.Handle(params), params, check_mode=False))
            if verdict.is_leader:
                led.append(verdict.lease.record.term)
                params |= {"force": False, "force_foreign": False, "reason": "", "lease": None}
                s3_leader_release.release(Task(_options.Handle(params), params, check_mode=False))
            if getattr(verdict.lease.record, "term", 0) >= last:
                break
        told.put(led)
    except BaseException as error:
        told.put(error)


def test_no_two_acquisitions_of_one_lease_get_the_same_term(seaweedfs, bucket, key):
    seaweedfs.client().put_object(Bucket=bucket, Key=key, Body=somebody_elses(holderId=""))
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    options = dict(seaweedfs.options, bucket=bucket)
    processes = [
        context.Process(target=relay, args=(number, key, OLD_TERM + TERMS, options, told), daemon=True)
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    try:
        led = []
        for _process in processes:
            terms_of_one = told.get(timeout=TIMEOUT)
            if isinstance(terms_of_one, BaseException):
                raise terms_of_one
            led.append(terms_of_one)
    finally:
        for process in processes:
            process.kill()
            process.join()
    terms = sorted(term for each in led for term in each)
    assert terms == list(range(OLD_TERM + 1, OLD_TERM + 1 + len(terms)))
    assert all(each == sorted(each) for each in led)
    assert len(terms) >= TERMS


ACQUIRE = """
    - name: acquire
      leaderelection.s3.s3_leader_acquire:
        key: "{{ key }}"
"""


def test_of_four_playbooks_at_once_one_leads_and_the_others_know_who(start_playbook, seaweedfs, bucket, key):
    hosts = [f"web-{number}" for number in range(4)]
    runs = [
        start_playbook(ACQUIRE, hosts=(host,), s3=dict(seaweedfs.options, bucket=bucket), key=key) for host in hosts
    ]
    results = {host: run.wait().succeeded()["acquire"] for host, run in zip(hosts, runs, strict=True)}
    leaders = [host for host, result in results.items() if result["is_leader"]]
    assert len(leaders) == 1
    for host, result in results.items():
        if host not in leaders:
            assert result["changed"] is False
            assert f"held by {leaders[0]} (term " in result["reason"]
            # The leader may still have been asking the store for its conditions: then its term grew after this look.
            assert result["lease"]["term"] <= results[leaders[0]]["term"]


def test_of_twenty_hosts_of_one_playbook_exactly_one_leads(run_playbook, seaweedfs, bucket, key):
    hosts = [f"web-{number}" for number in range(20)]
    run = run_playbook(
        ACQUIRE,
        timeout=180,
        hosts=hosts,
        s3=dict(seaweedfs.options, bucket=bucket, request_timeout=20),
        args=("--forks", "20"),
        key=key,
    ).succeeded()
    results = {host: run.task("acquire", host).result for host in hosts}
    leaders = [host for host, result in results.items() if result["is_leader"]]
    stored = json.loads(seaweedfs.client().get_object(Bucket=bucket, Key=key)["Body"].read())
    assert leaders == [stored["holderId"]]
    assert {result["lease"]["session"] for result in results.values()} == {stored["session"]}
