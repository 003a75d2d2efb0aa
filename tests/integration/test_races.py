# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many ask for one lease at the same time: one gets it, or as many as it has slots."""

from __future__ import annotations

import json
import multiprocessing
import time
import typing as t
import uuid

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils import _options
from ansible_collections.leaderelection.s3.plugins.module_utils._module import Task
from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_acquire
from support import races
from support.leases import OLD_TERM, somebody_elses
from support.stores.both import ON_BOTH_STORES

ROUNDS = 50
TERMS = 50


@ON_BOTH_STORES
@pytest.mark.parametrize("before", races.BEFORE)
def test_of_eight_processes_exactly_one_leads_in_each_of_fifty_rounds(store, key, before, capsys):
    s3 = store.client()
    keys = [f"{key}/{turn}" for turn in range(ROUNDS)]
    races.prepare(s3, "leader-election", keys, before)
    began = time.monotonic()
    rounds = races.race(keys, dict(store.options, bucket="leader-election"))
    with capsys.disabled():
        print(f"\n{races.PROCESSES} processes, {ROUNDS} rounds over {before}: {time.monotonic() - began:.1f} s")
    assert list(rounds) == list(range(ROUNDS))
    assert races.faults(s3, "leader-election", keys, before, rounds) == []


@ON_BOTH_STORES
@pytest.mark.parametrize("before", races.BEFORE)
def test_of_forty_processes_three_lead_in_three_slots_in_each_of_ten_rounds(store, key, before):
    s3 = store.client()
    keys = [f"{key}/{turn}" for turn in range(10)]
    races.prepare(s3, "leader-election", keys, before, slots=3)
    rounds = races.race(keys, dict(store.options, bucket="leader-election", slots=3), contenders=40)
    assert list(rounds) == list(range(10))
    assert races.faults(s3, "leader-election", keys, before, rounds, contenders=40, slots=3) == []


def relay(number: int, key: str, last: int, options: dict[str, t.Any], told: t.Any) -> None:
    """One of the processes: acquire, note the term, release; until all terms were given out."""
    from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_release

    led: list[int] = []
    try:
        while len(led) <= TERMS:  # more than there are, only if terms do not rise
            session = f"{number}-{uuid.uuid4().hex}"
            params = {**races.DEFAULTS, **options, "key": key, "holder": f"process-{number}", "session": session}
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


@ON_BOTH_STORES
def test_no_two_acquisitions_of_one_lease_get_the_same_term(store, key):
    store.client().put_object(Bucket="leader-election", Key=key, Body=somebody_elses(holderId=""))
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    options = dict(store.options, bucket="leader-election")
    processes = [
        context.Process(target=relay, args=(number, key, OLD_TERM + TERMS, options, told), daemon=True)
        for number in range(races.PROCESSES)
    ]
    for process in processes:
        process.start()
    try:
        led = []
        for _process in processes:
            terms_of_one = told.get(timeout=races.TIMEOUT)
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


@ON_BOTH_STORES
def test_of_four_playbooks_at_once_one_leads_and_the_others_know_who(start_playbook, store, key):
    hosts = [f"web-{number}" for number in range(4)]
    runs = [
        start_playbook(ACQUIRE, hosts=(host,), s3=dict(store.options, bucket="leader-election"), key=key)
        for host in hosts
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


@ON_BOTH_STORES
def test_of_twenty_hosts_of_one_playbook_exactly_one_leads(run_playbook, store, key):
    hosts = [f"web-{number}" for number in range(20)]
    run = run_playbook(
        ACQUIRE,
        timeout=180,
        hosts=hosts,
        s3=dict(store.options, bucket="leader-election", request_timeout=20),
        args=("--forks", "20"),
        key=key,
    ).succeeded()
    results = {host: run.task("acquire", host).result for host in hosts}
    leaders = [host for host, result in results.items() if result["is_leader"]]
    stored = json.loads(store.client().get_object(Bucket="leader-election", Key=key)["Body"].read())
    assert leaders == [stored["holderId"]]
    assert {result["lease"]["session"] for result in results.values()} == {stored["session"]}
