# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.leaderelection.s3.plugins.modules.s3_leader_acquire import main
from support.leases import OLD_TERM, somebody_elses


def test_a_free_lease_is_acquired_as_the_options_say(run, store):
    told = run(main, lease_duration=60, metadata={"ticket": 4711})
    assert (told["failed"], told["is_leader"], told["changed"]) == (False, True, True)
    assert told["deadline"] >= 60.0
    stored = json.loads(store.get("jobs/a").body)
    assert (stored["holderId"], stored["session"], stored["term"]) == ("web-1", "my-session", told["term"])
    assert (stored["leaseDurationSeconds"], stored["metadata"]) == (60.0, {"ticket": "4711"})


def test_without_options_the_lease_lasts_thirty_seconds(run, store):
    run(main)
    assert json.loads(store.get("jobs/a").body)["leaseDurationSeconds"] == 30.0


def test_acquired_again_it_is_the_same_term_and_no_change(run):
    first, second = run(main), run(main)
    assert (second["is_leader"], second["term"], second["changed"]) == (True, first["term"], False)


def test_a_lease_that_is_held_is_asked_for_once_and_is_no_failure(run, store):
    before = store.put("jobs/a", somebody_elses(leaseDurationSeconds=300))
    told = run(main)
    assert (told["failed"], told["is_leader"], told["changed"], told["requests"]) == (False, False, False, 1)
    assert (told["term"], told["deadline"]) == (None, None)
    assert told["reason"].startswith("held by somebody else")
    assert store.get("jobs/a") == before


@pytest.mark.parametrize(("takeover", "leads"), [("store_clock", True), ("never", False)])
def test_a_lease_that_expired_is_taken_over_unless_never(run, store, takeover, leads):
    store.put("jobs/a", somebody_elses(store.url + "/bucket"))
    store.age("jobs/a", 3600)
    told = run(main, takeover=takeover)
    assert (told["is_leader"], told["term"]) == (leads, OLD_TERM + 1 if leads else None)
    assert ("takeover is 'never'" in told["reason"]) is not leads


def test_check_mode_predicts_and_writes_nothing(run, store):
    told = run(main, check=True)
    assert (told["is_leader"], told["changed"], told["deadline"]) == (True, True, None)
    assert [request.method for request in store.requests] == ["GET"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(lease_duration=0), "lease_duration is 0: use 1 to 86400 seconds"),
        (dict(lease_duration=7), "lease_duration is 7: a single slow request would outlast it (request_timeout 5 s"),
        (dict(request_timeout=60), "Use a lease_duration of more than 62 s"),
        (dict(wait_timeout=-1), "wait_timeout is -1: use 0 to 86400 seconds"),
        (
            dict(wait_timeout=86400),
            "wait_timeout is 86400: in a wait this long, clock rates that differ by a thousandth",
        ),
        (dict(poll_interval=0), "poll_interval is 0: use 1 to 3600 seconds"),
        (dict(takeover="observed"), "wait_timeout is 0: takeover: observed has to watch"),
        (dict(takeover="observed", request_timeout=2, wait_timeout=32), "Use more than 32 s"),
        (dict(metadata={"tags": ["a"]}), 'metadata is {"tags": ["a"]}: use strings or numbers as its values'),
        (dict(metadata={"log": "x" * 4096}), "bytes as JSON. Use at most 4096"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(run, store, options, words):
    told = run(main, **options)
    assert (told["failed"], told["is_leader"], told["requests"]) == (True, False, 0)
    assert words in told["msg"]
    assert store.requests == []


@pytest.mark.parametrize("options", [dict(takeover="always"), dict(lease_duration="long"), dict(metadata="no map")])
def test_a_value_that_is_none_of_the_option_is_refused(run, store, options):
    told = run(main, **options)
    assert told["failed"] is True
    assert next(iter(options)) in told["msg"]
    assert store.requests == []
