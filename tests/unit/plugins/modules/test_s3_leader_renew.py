# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.leaderelection.s3.plugins.modules.s3_leader_acquire import main as acquire
from ansible_collections.leaderelection.s3.plugins.modules.s3_leader_renew import main
from support.leases import somebody_elses


@pytest.fixture
def acquired(run, store):
    """The result of an acquisition, as the action plugin hands it over at once; the store begins to count anew."""
    told = run(acquire, lease_duration=60)
    store.forget()
    return dict(is_leader=told["is_leader"], lease=told["lease"], elapsed=0.0, heard=0.0)


def stored(store):
    return json.loads(store.get("jobs/a").body)


def test_with_the_lease_handed_over_it_is_a_single_put(run, store, acquired):
    told = run(main, lease=acquired, session="another-session")
    assert (told["failed"], told["is_leader"], told["changed"], told["requests"]) == (False, True, False, 1)
    assert told["term"] == acquired["lease"]["term"]
    assert [request.method for request in store.requests] == ["PUT"]
    assert stored(store)["sequence"] == acquired["lease"]["sequence"] + 1


@pytest.mark.parametrize("lease", [None, dict(is_leader=False)])
def test_without_it_the_lease_is_read_first(run, store, acquired, lease):
    told = run(main, lease=lease)
    assert (told["is_leader"], told["term"]) == (True, acquired["lease"]["term"])
    assert [request.method for request in store.requests] == ["GET", "PUT"]


def test_it_lasts_as_long_as_before_or_as_it_is_told(run, store, acquired):
    assert run(main)["deadline"] >= 60.0
    assert stored(store)["leaseDurationSeconds"] == 60.0
    assert run(main, lease_duration=300)["deadline"] >= 300.0
    assert stored(store)["leaseDurationSeconds"] == 300.0


@pytest.mark.parametrize("there", ["nothing", "somebody else's", "released"])
def test_a_lease_that_is_lost_fails_the_task(run, store, there):
    if there != "nothing":
        store.put("jobs/a", somebody_elses(holderId="" if there == "released" else "web-9", session="my-session-"))
    told = run(main)
    assert (told["failed"], told["is_leader"], told["changed"], told["term"]) == (True, False, False, None)
    assert told["msg"].startswith("The lease s3://bucket/jobs/a is not held: ")
    assert store.count("PUT") == 0


def test_with_on_lost_report_it_is_only_told(run):
    told = run(main, on_lost="report")
    assert (told["failed"], told["is_leader"]) == (False, False)


def test_a_lease_whose_time_is_over_is_lost_even_if_nobody_took_it(run, store, acquired):
    store.age("jobs/a", 3600)
    told = run(main, lease=dict(acquired, elapsed=3600.0))
    assert (told["failed"], told["is_leader"]) == (True, False)
    assert "the lease was not renewed in time" in told["reason"]
    assert store.count("PUT") == 0


def test_check_mode_predicts_and_writes_nothing(run, store, acquired):
    told = run(main, check=True, lease=acquired)
    assert (told["is_leader"], told["changed"], told["deadline"]) == (True, False, None)
    assert [request.method for request in store.requests] == ["GET"]


def test_in_check_mode_a_lost_lease_does_not_fail(run):
    told = run(main, check=True)
    assert (told["failed"], told["is_leader"]) == (False, False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(lease_duration=0), "lease_duration is 0: use 1 to 86400 seconds"),
        (dict(lease_duration=7), "Use a lease_duration of more than 7 s"),
        (dict(lease=dict(rc=0)), "pass the whole registered result"),
        (dict(on_lost="ignore"), "value of on_lost must be one of: fail, report"),
        (dict(lease="the last one"), "lease"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(run, store, options, words):
    told = run(main, **options)
    assert told["failed"] is True
    assert words in told["msg"]
    assert store.requests == []
