# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease as data."""

from __future__ import annotations

from ansible_collections.leaderelection.s3.plugins.module_utils._lease import wording
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Ended, Proof, Record, Unreadable
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Absent, Seen

LOCATION = Location("bucket", "jobs/a")
NOW = 1795409400.0
"""The store's clock."""
STARTED = 5000.0
"""The host's, when the task began."""
KEYS = {"changed", "is_leader", "lease", "term", "reason", "requests", "deadline"}


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


def test_a_lease_is_told_in_seconds_and_in_times_of_the_stores_clock():
    assert wording.lease(HELD, LOCATION) == dict(
        bucket="bucket",
        key="jobs/a",
        slot=None,
        slots=None,
        state="held",
        holder="web-2",
        session="5f2f2b0f",
        term=7,
        sequence=3,
        etag="e1",
        lease_duration=30.0,
        hold_at_least=0.0,
        successor=None,
        acquired_at="2026-11-23T04:49:36.000Z",
        renewed_at="2026-11-23T04:49:56.000Z",
        age=4.0,
        expires_in=28.0,
        metadata={"ticket": "OPS-1"},
        conditions_proven=None,
        history=[],
    )


def test_terms_that_have_ended_are_told_with_times_of_the_stores_clock():
    ended = Ended(6, "web-1", "a-session", None, NOW, "broken", "root@vm", "burnt down")
    (told,) = wording.lease(seen(history=(ended,)), LOCATION)["history"]
    assert told == {**ended._asdict(), "ended_at": "2026-11-23T04:50:00.000Z"}


def test_how_the_store_was_found_to_enforce_conditions_is_told_for_later_tasks():
    proof = Proof("https://s3.example.com/bucket", NOW, quoted=False, dated=True)
    assert wording.lease(seen(proof=proof), LOCATION)["conditions_proven"] == dict(
        store="https://s3.example.com/bucket", at="2026-11-23T04:50:00.000Z", quoted_etags=False, use_by_dates=True
    )


def test_a_lease_that_is_not_there_has_nothing_but_its_name():
    told = dict(wording.lease(ABSENT, LOCATION))
    assert (told.pop("bucket"), told.pop("key"), told.pop("state")) == ("bucket", "jobs/a", "absent")
    assert (told.pop("expires_in"), told.pop("metadata"), told.pop("history")) == (0.0, {}, [])
    assert set(told.values()) == {None}


def test_an_object_that_cannot_be_read_is_told_as_far_as_it_is_seen():
    told = wording.lease(UNREADABLE, LOCATION)
    assert (told["state"], told["etag"], told["age"], told["expires_in"]) == ("unreadable", "e1", 4.0, None)
    assert (told["holder"], told["session"], told["term"], told["acquired_at"]) == (None, None, None, None)
    assert told["metadata"] == {}


def test_a_released_lease_has_an_empty_holder_and_keeps_its_term():
    told = wording.lease(RELEASED, LOCATION)
    assert (told["state"], told["holder"], told["term"], told["expires_in"]) == ("released", "", 7, 0.0)


def test_a_lease_of_the_other_library_has_neither_session_nor_term():
    told = wording.lease(FOREIGN, LOCATION)
    assert (told["state"], told["session"], told["term"], told["acquired_at"]) == ("held", "", 0, None)


def test_the_metadata_is_a_copy():
    told = wording.lease(HELD, LOCATION)
    told["metadata"]["ticket"] = "another"
    assert HELD.record.metadata == {"ticket": "OPS-1"}
