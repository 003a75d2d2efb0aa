# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which events a source tells of what it finds: the records are those that the protocol writes."""

from __future__ import annotations

import json

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import (
    SCHEMA,
    Ended,
    Proof,
    Record,
    Unreadable,
    decode,
    encode,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Absent, Claimant, Seen, Want
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _events
from ansible_collections.leaderelection.s3.plugins.plugin_utils._events import FIELDS, State, Told

NOW = 1795409376.0
LEASE = Location("leases", "jobs/a")
PREFIX = Location("leases", "jobs/")
STORE = "https://s3.example.com/leases"
A, B, C = (Claimant(f"web-{number}", f"session-{number}", STORE) for number in (1, 2, 3))
WANT = Want(30.0, 15.0, proof=Proof(STORE, NOW - 1000))
NOTHING = Absent(NOW)
PAGE = Seen(Unreadable("it is not JSON"), "e", NOW, NOW)


class Lease:
    """A lease that is written as the protocol writes it, at these seconds after NOW."""

    def __init__(self):
        self.found = NOTHING

    def at(self, seconds):
        """What a look finds then."""
        return self.found._replace(store_time=NOW + seconds)

    def _write(self, record, seconds):
        self.found = Seen(record, f"e{seconds}", NOW + seconds, NOW + seconds)
        return self.found

    def acquire(self, who, seconds, want=WANT):
        return self._write(protocol.claim(who, self.at(seconds), want, NOW + seconds, "nonce"), seconds)

    def renew(self, seconds):
        return self._write(protocol.renewal(self.found.record, NOW + seconds, 30.0, "nonce"), seconds)

    def release(self, who, seconds, reason="", by_force=False):
        found = self.at(seconds)
        return self._write(protocol.tombstone(who, found, NOW + seconds, reason, "nonce", by_force), seconds)


@pytest.fixture
def lease():
    return Lease()


def looked(state, found, now=NOW):
    return list(_events.looked(state, LEASE, LEASE.key, found, now))


class Teller:
    """Looks at one lease again and again, and forgets nothing but what it has told."""

    def __init__(self, state=None):
        self.state = State() if state is None else state

    def events(self, found, location=LEASE):
        changes = looked(self.state, {location: found})
        if changes:
            self.state = changes[-1].after
        return [event for change in changes for event in change.events]

    def __call__(self, found):
        """The types of the events, each with its holder."""
        return [(event["type"], event["holder"]) for event in self.events(found)]


@pytest.fixture
def tell():
    """A source that has found no lease at its first look."""
    teller = Teller()
    assert teller(NOTHING) == []
    return teller


def acquired(holder, changed=True):
    return [("leader_acquired", holder), *([("leader_changed", holder)] if changed else [])]


# -- The life of a lease


def test_an_acquisition_and_a_release_are_told_once(tell, lease):
    assert tell(lease.acquire(A, 0)) == acquired("web-1")
    assert tell(lease.at(5)) == []
    assert tell(lease.renew(10)) == []
    assert tell(lease.release(A, 12)) == [("leader_lost", "web-1")]
    assert tell(lease.at(100)) == []


def test_a_lease_that_nobody_renews_is_told_as_expired_when_others_may_take_it_and_once(tell, lease):
    tell(lease.acquire(A, 0))
    assert tell(lease.at(31.9)) == []
    assert tell(lease.at(32)) == [("lease_expired", "web-1"), ("leader_lost", "web-1")]
    assert tell(lease.at(100)) == []
    assert tell(lease.acquire(B, 101)) == acquired("web-2")


def test_a_lease_that_was_told_as_expired_does_not_last_again_where_the_clock_of_another_node_is_behind(tell, lease):
    tell(lease.acquire(A, 0))
    assert tell(lease.at(32)) == [("lease_expired", "web-1"), ("leader_lost", "web-1")]
    assert tell(lease.at(29)) == []
    assert tell(lease.at(33)) == []
    assert tell(lease.renew(34)) == [("leader_acquired", "web-1")]  # late, but nobody has taken it
    assert tell(lease.at(60)) == []
    assert tell(lease.at(70)) == [("lease_expired", "web-1"), ("leader_lost", "web-1")]
    assert tell(lease.at(60)) == []


def test_a_lease_that_was_expired_at_the_first_look_does_not_last_again_where_a_clock_is_behind(lease):
    tell = Teller()
    lease.acquire(A, 0)
    assert tell(lease.at(32)) == tell(lease.at(29)) == []


@pytest.mark.parametrize(
    "write", [dict(modified=NOW + 10), dict(etag="another")], ids=["the same bytes", "in the second"]
)
def test_an_expired_lease_lasts_again_once_it_is_written_again(tell, lease, write):
    tell(lease.acquire(A, 0))
    tell(lease.at(40))
    assert tell(lease.at(20)._replace(**write)) == [("leader_acquired", "web-1")]


def test_a_takeover_between_two_looks_is_told_whole(tell, lease):
    tell(lease.acquire(A, 0))
    assert tell(lease.acquire(B, 40)) == [
        ("lease_expired", "web-1"),
        ("leader_lost", "web-1"),
        *acquired("web-2"),
    ]


def test_a_lease_that_is_broken_names_who_broke_it_and_why(tell, lease):
    tell(lease.acquire(A, 0))
    broken, lost = tell.events(lease.release(C, 10, "it burns", by_force=True))
    assert (broken["type"], lost["type"]) == ("lease_broken", "leader_lost")
    for event in (broken, lost):
        assert (event["holder"], event["how"], event["by"], event["reason"]) == ("web-1", "broken", "web-3", "it burns")
        assert event["at"] == "2026-11-23T04:49:46.000Z"


def test_an_expired_lease_that_is_broken_later_is_told_as_broken_and_not_as_lost_again(tell, lease):
    tell(lease.acquire(A, 0))
    tell(lease.at(40))
    assert tell(lease.release(C, 50, by_force=True)) == [("lease_broken", "web-1")]
    assert tell(lease.at(60)) == []


def test_an_expired_lease_that_its_holder_releases_later_is_not_lost_again(tell, lease):
    tell(lease.acquire(A, 0))
    tell(lease.at(40))
    assert tell(lease.release(A, 50)) == []


def test_a_holder_that_leads_again_has_not_changed(tell, lease):
    tell(lease.acquire(A, 0))
    tell(lease.release(A, 10))
    again = A._replace(session="another-session")
    assert tell(lease.acquire(again, 20)) == acquired("web-1", changed=False)


def test_all_terms_since_the_last_look_are_told_in_their_order(tell, lease):
    tell(lease.acquire(A, 0))
    lease.release(A, 5)
    lease.acquire(B, 10)
    lease.release(C, 15, by_force=True)
    assert tell(lease.acquire(A, 20)) == [
        ("leader_lost", "web-1"),
        *acquired("web-2"),
        ("lease_broken", "web-2"),
        ("leader_lost", "web-2"),
        *acquired("web-1"),
    ]


def test_what_the_history_has_room_for_no_more_is_left_out_and_nothing_is_told_twice(tell, lease):
    tell(lease.acquire(A, 0))
    for number in range(20):
        lease.release(A, 10 * number + 5)
        lease.acquire(A, 10 * number + 10)
    told = tell(lease.at(205))
    assert told[0] == ("leader_lost", "web-1")
    assert told[1:] == [
        *[*acquired("web-1"), ("leader_lost", "web-1")],  # nobody knows who led before that
        *[*acquired("web-1", changed=False), ("leader_lost", "web-1")] * 7,
        ("leader_acquired", "web-1"),
    ]
    assert tell(lease.at(206)) == []


def test_nobody_is_said_to_have_led_before_a_term_that_comes_after_terms_that_nobody_has_told(tell, lease):
    tell(lease.acquire(A, 0))
    for number in range(10):
        lease.release(A, 10 * number + 5)
        lease.acquire(B, 10 * number + 10)
    lost, first, changed, *others = tell.events(lease.at(105))
    assert (lost["type"], lost["term"], lost["how"], lost["at"]) == ("leader_lost", int(NOW), "unknown", None)
    for event in (first, changed):
        assert event["term"] == int(NOW) + 2
        assert (event["previous_holder"], event["previous_term"]) == (None, None)
    later = next(event for event in others if event["type"] == "leader_acquired")
    assert (later["previous_holder"], later["previous_term"]) == ("web-2", int(NOW) + 2)
    times = [event["at"] for event in (first, *others)]
    assert times == sorted(times)


def test_a_term_that_is_over_and_that_the_lease_does_not_name_is_nobodys_predecessor(tell, lease):
    tell(lease.acquire(A, 0))
    tell(lease.release(A, 5))
    lease.found = NOTHING
    first, changed = tell.events(lease.acquire(A, 60))
    assert (first["type"], changed["type"]) == ("leader_acquired", "leader_changed")
    assert (changed["previous_holder"], changed["previous_term"]) == (None, None)


def test_an_acquisition_that_was_not_completed_is_nobodys_leadership(tell, lease):
    assert tell(lease.acquire(A, 0, WANT._replace(proof=None))) == []
    assert tell(lease.acquire(B, 60)) == acquired("web-2")


def test_slot_1_has_no_leader_while_the_number_of_slots_changes(tell, lease):
    found = lease.acquire(A, 0, WANT._replace(slots=3))
    assert tell(found._replace(record=found.record._replace(slots_before=2))) == []
    assert tell(found) == acquired("web-1")


# -- Objects that are gone, or no lease


@pytest.mark.parametrize(("there", "how"), [(NOTHING, "removed"), (PAGE, "overwritten")])
def test_a_leader_whose_object_is_gone_has_lost(tell, lease, there, how):
    tell(lease.acquire(A, 0))
    (event,) = tell.events(there)
    assert (event["type"], event["holder"], event["how"]) == ("leader_lost", "web-1", how)
    assert event["at"] is None  # it may have expired before
    assert event["acquired_at"] is None  # nor is that known
    assert tell(there) == []


def test_a_lease_that_is_there_again_is_told_as_acquired_by_the_same_holder(tell, lease):
    tell(lease.acquire(A, 0))
    tell(NOTHING)
    assert tell(lease.at(5)) == acquired("web-1", changed=False)


def test_a_lease_that_was_removed_and_created_anew_between_two_looks_does_not_tell_how_it_ended(tell, lease):
    tell(lease.acquire(A, 0))
    lease.found = NOTHING
    first, *others = tell.events(lease.acquire(B, 40))
    assert (first["type"], first["how"], first["at"]) == ("leader_lost", "unknown", None)
    assert [event["type"] for event in others] == ["leader_acquired", "leader_changed"]


def test_a_release_of_another_lease_in_its_place_is_not_how_a_term_ended(tell, lease):
    tell(lease.acquire(A, 0))
    lease.found = NOTHING
    lease.acquire(B, 40)
    first, *_others = tell.events(lease.release(B, 45))
    assert (first["type"], first["holder"], first["how"]) == ("leader_lost", "web-1", "unknown")


def test_a_lease_that_its_holder_created_anew_in_the_same_second_is_another_term(tell, lease):
    tell(lease.acquire(A, 0))
    lease.found = NOTHING
    again = A._replace(session="another-session")
    assert tell(lease.acquire(again, 0)) == [("leader_lost", "web-1"), *acquired("web-1")]


def test_a_lease_that_was_created_anew_in_the_same_second_and_released_is_told_whole(tell, lease):
    tell(lease.acquire(A, 0))
    lease.found = NOTHING
    lease.acquire(B, 0)
    assert tell(lease.release(B, 5)) == [
        ("leader_lost", "web-1"),
        *acquired("web-2"),
        ("leader_lost", "web-2"),
    ]


def test_an_older_version_that_somebody_restored_has_its_leader_and_no_past(tell, lease):
    lease.acquire(A, 0)
    lease.release(A, 5)
    older = lease.acquire(B, 10)
    tell(older)
    lease.release(B, 15)
    tell(lease.acquire(C, 20))
    assert tell(older) == [("leader_lost", "web-3"), *acquired("web-2")]


def test_an_older_version_has_no_past_even_if_that_is_the_first_term_of_all():
    tell = Teller(State({LEASE.key: Told("web-3", "session-3", 3, "", "")}))
    past = Ended(1, "web-1", "session-1", NOW - 20, NOW - 10, "released")
    record = Lease().acquire(B, 0).record._replace(term=2, history=(past,))
    assert tell(Seen(record, "e", NOW, NOW)) == [("leader_lost", "web-3"), *acquired("web-2")]


def test_a_lease_that_was_created_anew_in_the_second_of_the_last_acquisition_has_a_new_leader(tell, lease):
    tell(lease.acquire(A, 0))
    lease.found = NOTHING
    again = lease.acquire(B, 0)
    assert again.record.term == int(NOW)
    assert tell(again) == [("leader_lost", "web-1"), *acquired("web-2")]


@pytest.mark.parametrize("there", [NOTHING, PAGE])
def test_what_is_no_lease_and_was_none_is_nothing_to_tell(tell, there):
    assert tell(there) == []


# -- The .NET library, which has no terms


def foreign(holder, until=60):
    record = Record(holder, "", 0, 0, "", 0, None, None, NOW + until, {})
    return Seen(record, f"e-{holder}", NOW, NOW)


def test_leases_of_the_net_library_are_told_by_their_holders(tell, lease):
    assert tell(foreign("net-1")) == acquired("net-1")
    assert tell(foreign("net-1", until=120)) == []
    assert tell(foreign("net-2")) == [("leader_lost", "net-1"), *acquired("net-2")]
    (lost,) = tell.events(foreign(""))
    assert (lost["holder"], lost["how"]) == ("net-2", "released")
    assert tell(foreign("net-1", until=-60)) == [
        *acquired("net-1"),
        ("lease_expired", "net-1"),
        ("leader_lost", "net-1"),
    ]
    lease.found = foreign("net-1", until=-60)
    assert tell(lease.acquire(A, 0)) == acquired("web-1")


def test_a_lease_of_the_net_library_says_itself_until_when_it_lasts(tell):
    begins, changed = tell.events(foreign("net-1"))
    assert [event["expires_at"] for event in (begins, changed)] == ["2026-11-23T04:50:36.000Z"] * 2
    expired, _lost = tell.events(foreign("net-1")._replace(store_time=NOW + 70))
    assert expired["at"] == "2026-11-23T04:50:36.000Z"


def test_the_net_library_released_a_lease_when_it_was_written_for_the_last_time(tell):
    tell(foreign("net-1"))
    (lost,) = tell.events(foreign("")._replace(modified=NOW + 5, store_time=NOW + 9))
    assert (lost["how"], lost["at"]) == ("released", "2026-11-23T04:49:41.000Z")


def test_nobody_knows_who_led_before_a_holder_of_the_net_library_nor_when_that_ended(tell):
    tell(foreign("net-1"))
    lost, *begins = tell.events(foreign("net-2"))
    assert (lost["how"], lost["at"]) == ("unknown", None)
    assert [event["previous_holder"] for event in begins] == [None, None]


def test_a_term_of_the_net_library_between_two_looks_is_told(tell, lease):
    tell(lease.acquire(A, 0))
    lease.found = foreign("net-1", until=-60)
    assert tell(lease.acquire(B, 60)) == [
        ("leader_lost", "web-1"),
        *acquired("net-1"),
        ("lease_expired", "net-1"),
        ("leader_lost", "net-1"),
        *acquired("web-2"),
    ]


# -- Leases of a newer version of the collection


@pytest.fixture
def newer():
    fields = json.loads(encode(Lease().acquire(A, 0).record))
    return Seen(decode(json.dumps({**fields, "schema": SCHEMA + 1}).encode()), "e", NOW, NOW)


def test_no_term_ends_because_a_newer_version_has_written_the_lease(tell, lease, newer):
    held = lease.acquire(A, 0)
    tell(held)
    assert tell(newer) == []
    assert tell(held) == []
    assert tell(newer) == []
    assert tell(lease.release(A, 5)) == [("leader_lost", "web-1")]


def test_the_first_look_tells_nothing_of_a_lease_of_a_newer_version(newer):
    tell = Teller()
    assert tell(newer) == tell(newer) == []


def test_only_a_newer_version_is_told_as_one(newer):
    assert _events.too_new(newer) == "its schema 2 is newer than 1, the newest that this version knows"
    assert [_events.too_new(found) for found in (NOTHING, PAGE, Lease().acquire(A, 0))] == [None] * 3
    assert _events.too_new(PAGE._replace(record=decode(b'{"schema": 0}'))) is None


# -- First looks, and what was told before


@pytest.mark.parametrize("seconds", [5, 60], ids=["held", "expired"])
def test_the_first_look_tells_nothing(lease, seconds):
    tell = Teller()
    lease.acquire(A, 0)
    assert tell(lease.at(seconds)) == []
    assert tell(lease.at(seconds)) == []
    assert tell(lease.acquire(B, 100))[-2:] == acquired("web-2")


def test_a_lease_that_is_new_below_a_prefix_is_told_from_its_first_term_on(tell, lease):
    tell(lease.acquire(A, 0))
    other = Lease()
    other.acquire(B, 0)
    other.release(B, 5)
    other.acquire(C, 10)
    told = tell.events(other.at(11), Location("leases", "jobs/b"))
    assert [event["type"] for event in told] == [
        *("leader_acquired", "leader_changed", "leader_lost"),
        *("leader_acquired", "leader_changed"),
    ]
    assert {event["key"] for event in told} == {"jobs/b"}
    assert set(tell.state.told) == {"jobs/a", "jobs/b"}


def test_a_lease_below_a_prefix_is_forgotten_once_its_object_is_gone_and_that_was_told(lease):
    state = State({"jobs/b": None, "jobs/c": Told("web-3", "session-3", 7, "released", "")})
    others = {Location("leases", key): NOTHING for key in ("jobs/b", "jobs/c")}
    changes = [*_events.looked(state, PREFIX, None, {LEASE: lease.acquire(A, 0), **others}, NOW)]
    assert set(changes[-1].after.told) == {LEASE.key}
    changes = [*_events.looked(changes[-1].after, PREFIX, None, {LEASE: NOTHING}, NOW)]
    assert [event["type"] for change in changes for event in change.events] == ["leader_lost"]
    assert changes[-1].after.told == {}


def test_an_object_that_is_no_lease_any_more_is_not_forgotten(lease):
    state = State({LEASE.key: Told("web-1", "session-1", 7, "", "")})
    changes = [*_events.looked(state, PREFIX, None, {LEASE: PAGE}, NOW)]
    assert changes[-1].after.told[LEASE.key].how == "overwritten"


@pytest.mark.parametrize("how", ["released", "broken", "expired"])
def test_a_restart_between_two_changes_neither_repeats_nor_leaves_out_an_event(tell, lease, how):
    tell(lease.acquire(A, 0))
    lease.acquire(B, 40)
    if how != "expired":
        lease.release(B if how == "released" else A, 50, by_force=how == "broken")
    lease.acquire(C, 80)
    changes = looked(tell.state, {LEASE: lease.at(200)})
    assert [event["type"] for change in changes for event in change.events].count("leader_lost") == 3
    for number, change in enumerate(changes, 1):
        others = [event for after in changes[number:] for event in after.events]
        assert Teller(change.after).events(lease.at(200)) == others


# -- What is told again after a kill


def takeover(lease):
    lease.acquire(B, 40)


def release(lease):
    lease.release(A, 5, "done")
    lease.acquire(B, 10)
    lease.release(C, 15, "it burns", by_force=True)
    lease.acquire(C, 20)


def net(lease):
    lease.found = foreign("net-1", until=50)


@pytest.mark.parametrize("happens", [takeover, release, net])
def test_an_event_that_is_told_again_equals_the_first_in_every_field(tell, lease, happens):
    tell(lease.acquire(A, 0))
    happens(lease)
    before = tell.state
    first = tell.events(lease.at(45))
    assert len(first) >= 3
    later = [*first, *tell.events(lease.at(200))]
    assert [event["type"] for event in later[len(first) :]] == ["lease_expired", "leader_lost"]
    for seconds, events in ((45, first), (46, first), (200, later)):
        assert Teller(before).events(lease.at(seconds)) == events


def test_an_event_that_is_told_again_equals_the_first_after_others_took_the_expired_lease(tell, lease):
    before = tell.state
    lease.acquire(A, 0)
    told = [*tell.events(lease.at(1)), *tell.events(lease.at(40))]
    assert [event["type"] for event in told] == ["leader_acquired", "leader_changed", "lease_expired", "leader_lost"]
    lease.acquire(B, 50)
    assert Teller(before).events(lease.at(51))[:4] == told


def test_only_until_when_it_lasts_is_another_once_the_lease_was_written_in_between(tell, lease):
    before = tell.state
    first = tell.events(lease.acquire(A, 0))
    lease.renew(10)
    again = Teller(before).events(lease.at(11))
    assert [event["expires_at"] for event in again] == ["2026-11-23T04:50:16.000Z"] * 2
    assert [{**event, "expires_at": "2026-11-23T04:50:06.000Z"} for event in again] == first
    lease.release(A, 12)
    again = Teller(before).events(lease.at(13))[:2]
    assert [{**event, "expires_at": "2026-11-23T04:50:06.000Z"} for event in again] == first


def test_a_late_renewal_is_told_by_another_event_than_the_acquisition(tell, lease):
    first, _changed = tell.events(lease.acquire(A, 0))
    tell(lease.at(40))
    (second,) = tell.events(lease.renew(41))
    assert [first[name] for name in ("type", "key", "term", "at")] == [
        second[name] for name in ("type", "key", "term", "at")
    ]
    assert (first["expires_at"], second["expires_at"]) == ("2026-11-23T04:50:06.000Z", "2026-11-23T04:50:47.000Z")


def test_two_terms_of_one_holder_of_the_net_library_are_told_by_different_events(tell):
    first = tell.events(foreign("net-1", until=-60))
    tell(foreign("net-2", until=-30))
    second = tell.events(foreign("net-1", until=-10))
    assert [event["type"] for event in first] == [event["type"] for event in second]
    assert not [event for event in second if event in first]


# -- The store


def test_a_series_of_failures_is_told_once_and_so_is_its_end(tell, lease):
    (change,) = _events.failed(tell.state, LEASE, LEASE.key, "it answered 503", NOW)
    (error,) = change.events
    assert (error["type"], error["error"], error["at"]) == (
        "store_error",
        "it answered 503",
        "2026-11-23T04:49:36.000Z",
    )
    assert _events.failed(change.after, LEASE, LEASE.key, "something else", NOW + 5) == []
    changes = looked(change.after, {LEASE: lease.acquire(A, 0)}, NOW + 60)
    recovered, first, _second = (event for one in changes for event in one.events)
    assert (recovered["type"], recovered["error"]) == ("store_recovered", "it answered 503")
    assert (recovered["since"], recovered["at"]) == (error["at"], "2026-11-23T04:50:36.000Z")
    assert first["type"] == "leader_acquired"
    assert changes[-1].after.failure is None
    (only,) = looked(change.after, {LEASE: NOTHING}, NOW + 60)
    assert only.after.failure is None


def test_a_store_that_fails_at_the_first_look_is_told_and_the_first_look_that_succeeds_tells_no_more(lease):
    (change,) = _events.failed(State(), LEASE, None, "no answer", NOW)
    assert change.after.told is None
    changes = looked(change.after, {LEASE: lease.acquire(A, 0)})
    assert [event["type"] for one in changes for event in one.events] == ["store_recovered"]


# -- What an event has


def test_an_event_has_what_people_ask_for(tell, lease):
    tell(lease.acquire(A, 0))
    lease.release(A, 5)
    events = tell.events(lease.acquire(B, 10))
    assert events[-1] == dict(
        type="leader_changed",
        at="2026-11-23T04:49:46.000Z",
        location="s3://leases/jobs/a",
        bucket="leases",
        key="jobs/a",
        slot=None,
        holder="web-2",
        session="session-2",
        term=int(NOW) + 1,
        acquired_at="2026-11-23T04:49:46.000Z",
        expires_at="2026-11-23T04:50:16.000Z",
        how=None,
        by=None,
        reason=None,
        previous_holder="web-1",
        previous_term=int(NOW),
        error=None,
        since=None,
    )


def test_every_event_has_the_same_fields_and_is_json(tell, lease):
    events = tell.events(lease.acquire(A, 0)) + tell.events(lease.at(60))
    (change,) = _events.failed(tell.state, LEASE, None, "no", NOW)
    for event in [*events, *change.events]:
        assert tuple(event) == FIELDS
        assert json.loads(json.dumps(event)) == event


def test_the_beginning_of_a_term_that_is_over_tells_nothing_of_its_end(tell, lease):
    lease.acquire(A, 0)
    begins, _changed, lost = tell.events(lease.release(A, 5, "done"))
    ends = ("how", "by", "reason")
    assert [begins[name] for name in (*ends, "expires_at")] == [None] * 4
    assert [lost[name] for name in ends] == ["released", "web-1", "done"]


def test_only_the_beginning_of_a_term_tells_until_when_it_lasts(tell, lease):
    lease.acquire(A, 0)
    events = tell.events(lease.at(60))
    until = "2026-11-23T04:50:06.000Z"
    assert [(event["type"], event["expires_at"]) for event in events] == [
        *(("leader_acquired", until), ("leader_changed", until)),
        *(("lease_expired", None), ("leader_lost", None)),
    ]


def test_what_nobody_has_said_is_null(tell, lease):
    tell(lease.acquire(A, 0))
    assert [(event["by"], event["reason"]) for event in tell.events(lease.at(60))] == [(None, None)] * 2


def test_an_event_names_the_slot(tell, lease):
    found = lease.acquire(A, 0, WANT._replace(slots=3))
    (acquired, _changed) = tell.events(found, Location("leases", "restarts/slot-2"))
    assert (acquired["slot"], acquired["key"]) == (2, "restarts/slot-2")


def test_texts_of_an_event_are_printable(tell, lease):
    lease.acquire(A._replace(holder="web\n1", session="a\tsession"), 0)
    lease.release(A._replace(session="a\tsession"), 5, "it\x1b[31mburns")
    lease.acquire(B, 10)
    first, _changed, lost, second, _changed = tell.events(lease.at(11))
    assert (first["holder"], first["session"]) == ("web?1", "a?session")
    assert (lost["reason"], second["previous_holder"]) == ("it?[31mburns", "web?1")


def test_the_text_of_an_error_is_printable():
    (change,) = _events.failed(State(), LEASE, LEASE.key, "it says\nno", NOW)
    recovered, *_others = looked(change.after, {LEASE: NOTHING})
    assert [event["error"] for event in (*change.events, *recovered.events)] == ["it says?no"] * 2
