# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils import _results
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Record, Unreadable
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Absent, Seen, Verdict, Why
from support.leases import LEASE_KEYS

LOCATION = Location("bucket", "jobs/a")
NOW = 1795409400.0
"""The store's clock."""
STARTED = 5000.0
"""The host's, when the task began."""
KEYS = {"changed", "is_leader", "lease", "term", "slot", "reason", "requests", "deadline"}


def seen(age=4.0, etag="e1", **fields):
    """A lease of web-2, written so many seconds ago."""
    given = dict(
        holder="web-2",
        session="5f2f2b0f",
        term=7,
        sequence=3,
        nonce="the-nonce",
        lease_duration=30.0,
        acquired_at=NOW - 24,
        renewed_at=NOW,
        lease_until=NOW,
        metadata={"ticket": "OPS-1"},
    )
    return Seen(Record(**dict(given, **fields)), etag, NOW - age, NOW)


HELD, ABSENT = seen(), Absent(NOW)
RELEASED = seen(holder="", metadata={"released_by": "web-2"})
UNREADABLE = Seen(Unreadable("it is not JSON"), "e1", NOW - 4, NOW)
FOREIGN = seen(session="", term=0, sequence=0, lease_duration=0.0, acquired_at=None, metadata={}, lease_until=NOW + 60)


def success(is_leader, why, lease=HELD, before=ABSENT, deadline=None, requests=2):
    return _results.success(Verdict(is_leader, why, lease, before, deadline), LOCATION, requests, STARTED)


# -- Success


def test_a_leader_has_its_term_and_its_deadline_in_seconds_from_the_start():
    told = success(True, Why.ACQUIRED, deadline=STARTED + 29.5)
    assert (told["is_leader"], told["term"], told["changed"]) == (True, 7, True)
    assert (told["deadline"], told["requests"]) == (29.5, 2)
    assert told["reason"].startswith("leader now, with term 7")


def test_who_does_not_lead_has_no_term_of_its_own():
    told = success(False, Why.HELD)
    assert (told["is_leader"], told["term"], told["deadline"]) == (False, None, None)
    assert told["lease"]["term"] == 7
    assert told["reason"] == "held by web-2 (term 7) since 2026-11-23T04:49:36Z, renewed 4 s ago, free in at most 28 s"


@pytest.mark.parametrize("why", list(Why))
def test_changed_says_whether_leadership_changed_hands(why):
    assert success(False, why)["changed"] == (why in (Why.ACQUIRED, Why.RELEASED, Why.BROKEN))


@pytest.mark.parametrize("found", [HELD, ABSENT, RELEASED, UNREADABLE, FOREIGN])
def test_every_result_has_the_same_keys(found):
    told = success(False, Why.FOUND, found, found)
    assert set(told) == KEYS
    assert set(told["lease"]) == LEASE_KEYS
    failed = _results.failure("no", 3)
    assert set(failed) == {*KEYS, "msg"}
    local = _results.local(dict(is_leader=False, term=None, reason="no"))
    assert (set(local), set(local["lease"])) == (KEYS, LEASE_KEYS)


def test_what_proves_that_a_write_landed_is_not_told():
    assert "the-nonce" not in str(success(True, Why.ACQUIRED))


# -- Failure


def test_nobody_leads_by_a_failure():
    assert _results.failure("no answer", 3) == dict(
        msg="no answer",
        reason="the task failed: see msg",
        changed=False,
        is_leader=False,
        lease=None,
        term=None,
        slot=None,
        requests=3,
        deadline=None,
    )


# -- The daemon of the host


STATUS = dict(is_leader=True, bucket="bucket", key="hosts/db", holder="web-1", term=7, reason="still leader", pid=4711)


def test_the_daemon_tells_what_it_knows_and_the_rest_is_none():
    told = _results.local(STATUS)
    assert (told["is_leader"], told["term"], told["reason"]) == (True, 7, "still leader")
    assert (told["changed"], told["requests"], told["deadline"]) == (False, 0, None)
    lease = told["lease"]
    assert [lease.pop(name) for name in ("bucket", "key", "holder", "term")] == ["bucket", "hosts/db", "web-1", 7]
    assert (lease.pop("metadata"), lease.pop("history")) == ({}, [])
    assert set(lease.values()) == {None}


def test_a_host_that_does_not_lead_knows_the_term_of_the_lease_but_has_none():
    told = _results.local(dict(STATUS, is_leader=False))
    assert (told["term"], told["lease"]["term"]) == (None, 7)


def test_where_no_daemon_runs_the_lease_has_no_name():
    told = _results.local(dict(is_leader=False, holder=None, term=None, reason="no daemon of this lease runs here"))
    assert (told["is_leader"], told["term"], told["reason"]) == (False, None, "no daemon of this lease runs here")
    assert (told["lease"].pop("metadata"), told["lease"].pop("history")) == ({}, [])
    assert set(told["lease"].values()) == {None}


# -- Diff mode


def difference(is_leader, why, lease, before):
    return _results.difference(Verdict(is_leader, why, lease, before), LOCATION)


def test_a_difference_is_named_after_the_lease():
    told = difference(True, Why.ACQUIRED, HELD, ABSENT)
    assert (told["before_header"], told["after_header"]) == ("s3://bucket/jobs/a", "s3://bucket/jobs/a")


def test_an_acquisition_shows_who_had_it_before():
    told = difference(True, Why.ACQUIRED, HELD, seen(age=3600.0, holder="web-9", term=6, metadata={}))
    assert told["before"] == dict(state="expired", holder="web-9", term=6, lease_duration=30.0, metadata={})
    assert told["after"] == dict(
        state="held", holder="web-2", term=7, lease_duration=30.0, metadata={"ticket": "OPS-1"}
    )


def test_a_renewal_shows_no_difference():
    told = difference(True, Why.RENEWED, seen(age=0.0, etag="e2", sequence=4), HELD)
    assert told["before"] == told["after"]


def test_a_renewal_for_another_time_shows_it():
    told = difference(True, Why.RENEWED, seen(age=0.0, lease_duration=60.0), HELD)
    assert (told["before"]["lease_duration"], told["after"]["lease_duration"]) == (30.0, 60.0)


@pytest.mark.parametrize("why", [Why.RELEASED, Why.BROKEN])
def test_a_release_shows_what_was_given_up(why):
    told = difference(False, why, RELEASED, HELD)
    assert (told["before"]["state"], told["after"]["state"]) == ("held", "released")


@pytest.mark.parametrize("why", [Why.HELD, Why.TAKEN])
def test_what_others_did_meanwhile_is_no_difference(why):
    told = difference(False, why, seen(holder="web-9", term=8), HELD)
    assert told["before"] == told["after"]
    assert told["after"]["holder"] == "web-9"
