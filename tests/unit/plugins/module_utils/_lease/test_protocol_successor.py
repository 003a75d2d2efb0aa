# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease that is reserved for a successor (rule 27), and callers that wait longer than others (rule 28)."""

from __future__ import annotations

import json

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Proof, Record, Unreadable, utc
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Claimant,
    Held,
    Pause,
    Seen,
    Want,
    Watch,
    Why,
    Write,
    Written,
)
from support.dialogue import Dialogue, nonces

ME = Claimant("app-2", "my-session")
NOW = 1795409376.0
HELD = Record(
    holder="app-1",
    session="other-session",
    term=7,
    sequence=3,
    nonce="theirs",
    lease_duration=30.0,
    acquired_at=NOW - 100,
    renewed_at=NOW - 4,
    lease_until=NOW + 28,
    metadata={},
    proof=Proof(ME.store, NOW),
)
MINE = HELD._replace(holder=ME.holder, session=ME.session)


def seen(record, age=4.0):
    return Seen(record, "e1", NOW - age, NOW)


def released(successor="", **fields):
    return HELD._replace(holder="", successor=successor, **fields)


def takeable_in(found, takeover="observed", unchanged_for=0.0, delay=0.0):
    want = Want(30.0, 15.0, takeover=takeover, takeover_delay=delay)
    return protocol.takeable_in(found, ME, want, unchanged_for)


def releasing(record=MINE, successor="app-3", **how):
    held = Held(seen(record), 26.0, 0.0)
    return Dialogue(protocol.release(ME, held, 0.0, 15.0, nonces(), successor=successor, **how))


# -- Rule 27


def test_a_release_names_the_successor():
    assert json.loads(releasing().expect(Write).body)["successorId"] == "app-3"


def test_a_release_for_anybody_names_none():
    assert "successorId" not in json.loads(releasing(successor="").expect(Write).body)


def test_for_the_net_library_a_reserved_lease_is_held_as_long():
    body = json.loads(releasing().expect(Write).body)
    assert (body["holderId"], body["leaseUntilUtc"]) == ("", utc(NOW + 4 + 30))
    for hold_at_least, until in ((3600.0, NOW - 100 + 3600), (110.0, NOW + 4 + 30)):
        held_back = json.loads(releasing(MINE._replace(hold_at_least=hold_at_least)).expect(Write).body)
        assert held_back["leaseUntilUtc"] == utc(until)


def test_what_is_broken_by_force_is_free_for_anybody():
    steps = protocol.release(ME, None, 0.0, 15.0, nonces(), force=True, successor="app-3")
    assert "successorId" not in json.loads(Dialogue(steps).answer(seen(HELD)).expect(Write).body)


def test_force_frees_what_is_reserved():
    dialogue = Dialogue(protocol.release(ME, None, 0.0, 15.0, nonces(), force=True)).answer(seen(released("app-3")))
    assert "successorId" not in json.loads(dialogue.expect(Write).body)
    assert dialogue.answer(Written("e2", NOW)).verdict.why is Why.BROKEN


@pytest.mark.parametrize("takeover", ["store_clock", "observed", "never"])
@pytest.mark.parametrize(
    ("age", "left"),
    [(0.0, 31.0), (4.0, 27.0), (31.0, 0.0), (100.0, 0.0)],  # 30 s, and one for what a Date does not tell
)
def test_others_wait_for_as_long_as_the_lease_lasted(takeover, age, left):
    reserved = seen(released("app-3"), age)
    assert protocol.free_in(reserved) == left
    assert takeable_in(reserved, takeover) == left


def test_what_they_have_seen_of_it_counts_where_the_stores_clock_is_wrong():
    assert takeable_in(seen(released("app-3"), age=0.0), unchanged_for=25.0) == 6.0


@pytest.mark.parametrize("takeover", ["store_clock", "observed", "never"])
def test_the_successor_takes_it_at_once(takeover):
    assert takeable_in(seen(released("app-2")), takeover) == 0.0
    assert takeable_in(seen(released("app-2"), age=0.0), takeover, delay=60.0) == 0.0


def test_what_is_held_back_is_so_for_the_successor_too():
    assert takeable_in(seen(released("app-2", hold_at_least=110.0))) == 11.0
    assert takeable_in(seen(released("app-3", hold_at_least=110.0))) == 27.0
    assert takeable_in(seen(released("app-3", hold_at_least=130.0))) == 31.0


def test_a_lease_that_is_held_is_reserved_for_nobody():
    assert takeable_in(seen(HELD._replace(successor="app-2")), delay=60.0) == 92.0


def test_who_takes_it_reserves_it_for_nobody():
    want = Want(30.0, 15.0, takeover="observed")
    dialogue = Dialogue(protocol.acquire(ME, want, 0.0, nonces())).answer(seen(released("app-2")))
    assert "successorId" not in json.loads(dialogue.expect(Write).body)


def test_a_task_that_may_not_wait_is_told_that_it_is_not_free():
    dialogue = Dialogue(protocol.acquire(ME, Want(30.0, 15.0), 0.0, nonces())).answer(seen(released("app-3")))
    assert (dialogue.verdict.is_leader, dialogue.verdict.why) == (False, Why.HELD)


# -- Rule 28


@pytest.mark.parametrize(
    ("found", "takeover", "unchanged_for", "left"),
    [
        (seen(HELD), "observed", 4.0, 88.0),
        (seen(HELD), "observed", 92.0, 0.0),
        (seen(HELD, age=12.0), "store_clock", 0.0, 80.0),
        (seen(HELD, age=92.0), "store_clock", 0.0, 0.0),
        (seen(HELD._replace(session="", lease_until=NOW - 5.0)), "observed", 0.0, 57.0),
        (seen(released()), "observed", 0.0, 56.0),
        (seen(released()), "observed", 50.0, 10.0),
        (seen(released(), age=60.0), "observed", 0.0, 0.0),
        (seen(released("app-3")), "observed", 0.0, 87.0),
        (seen(released(hold_at_least=110.0)), "observed", 0.0, 71.0),
        (Absent(NOW), "observed", 0.0, 60.0),
        (Absent(NOW), "observed", 60.0, 0.0),
        (seen(HELD, age=100.0), "never", 0.0, None),
        (seen(Unreadable("it is not JSON"), age=100.0), "observed", 100.0, None),
    ],
)
def test_it_counts_from_when_others_may_take_the_lease(found, takeover, unchanged_for, left):
    assert takeable_in(found, takeover, unchanged_for, delay=60.0) == left


def test_a_free_lease_is_waited_for_and_then_taken():
    watch = Watch()
    want = Want(30.0, 15.0, 1000.0, 1.0, "observed", takeover_delay=2.0)
    dialogue = Dialogue(protocol.acquire(ME, want, 0.0, nonces(), watch=watch)).answer(Absent(NOW))
    while dialogue.now < 2.0:
        assert dialogue.expect(Pause).at_most <= 2.0
        dialogue.wait()
        dialogue.answer(Absent(NOW))
    dialogue.expect(Write)


def test_it_is_nothing_to_who_holds_the_lease_already():
    want = Want(30.0, 15.0, takeover="observed", takeover_delay=60.0)
    Dialogue(protocol.acquire(ME, want, 0.0, nonces())).answer(seen(MINE)).expect(Write)
