# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease that is held back until a time after its acquisition (rule 26)."""

from __future__ import annotations

import json

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Proof, Record, utc
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Claimant,
    Held,
    Pause,
    Seen,
    Unchanged,
    Want,
    Why,
    Write,
    Written,
)
from support.dialogue import Dialogue, nonces

ME = Claimant("web-1", "my-session")
NOW = 1795409376.0
PROOF = Proof(ME.store, NOW)


def held(**fields):
    """A lease of mine that was acquired 10 s ago, written 4 s ago, and is not to be taken for 60 s."""
    values = dict(
        holder="web-1",
        session="my-session",
        term=7,
        sequence=3,
        nonce="mine",
        lease_duration=30.0,
        acquired_at=NOW - 10,
        renewed_at=NOW - 4,
        lease_until=NOW + 28,
        metadata={},
        proof=PROOF,
        hold_at_least=60.0,
    )
    return Record(**{**values, **fields})


def seen(record, age=4.0):
    return Seen(record, "e1", NOW - age, NOW)


def released(**fields):
    return held(**{"holder": "", "session": "other-session", **fields})


def acquiring(start=0.0, watch=None, **want):
    wanted = Want(**{"lease_duration": 30.0, "patience": 15.0, **want})
    return Dialogue(protocol.acquire(ME, wanted, start, nonces(), watch=watch), start)


def test_an_acquisition_says_for_how_long():
    dialogue = acquiring(hold_at_least=60.0).answer(Absent(NOW))
    assert json.loads(dialogue.expect(Write).body)["holdAtLeastSeconds"] == 60


def test_who_acquires_its_own_lease_anew_decides_anew():
    dialogue = acquiring().answer(seen(held()))
    assert "holdAtLeastSeconds" not in json.loads(dialogue.expect(Write).body)


def test_a_renewal_and_a_release_keep_it():
    for steps in (
        protocol.renew(ME, Held(seen(held()), 30.0, 0.0), None, 0.0, 15.0, nonces()),
        protocol.release(ME, Held(seen(held()), 30.0, 0.0), 0.0, 15.0, nonces()),
    ):
        body = json.loads(Dialogue(steps).expect(Write).body)
        assert (body["holdAtLeastSeconds"], body["acquiredAt"]) == (60, utc(NOW - 10))


def test_the_time_of_a_release_that_holds_it_back_is_that_of_a_leader_for_the_net_library():
    body = json.loads(
        Dialogue(protocol.release(ME, Held(seen(held()), 30.0, 0.0), 0.0, 15.0, nonces())).expect(Write).body
    )
    assert body["leaseUntilUtc"] == utc(NOW + 50)


@pytest.mark.parametrize(
    ("record", "age", "left"),
    [
        (released(), 4.0, 51.0),  # 60 s, and a second for what a Date does not tell, of which 10 s have passed
        (released(hold_at_least=10.0), 4.0, 1.0),
        (released(hold_at_least=9.0), 4.0, 0.0),
        (released(hold_at_least=0.0), 4.0, 0.0),
        (released(acquired_at=NOW + 3600), 20.0, 41.0),  # the store's clock was wrong: the age counts
        (released(acquired_at=None), 4.0, 0.0),
    ],
)
def test_it_is_free_when_the_time_has_passed(record, age, left):
    assert protocol.free_in(seen(record, age)) == left
    for takeover in ("store_clock", "observed", "never"):
        assert protocol.takeable_in(seen(record, age), ME, Want(30.0, 15.0, takeover=takeover), 0.0) == left


def test_what_a_watcher_has_seen_of_it_counts_too():
    lease = seen(released(acquired_at=NOW + 3600))
    assert protocol.takeable_in(lease, ME, Want(30.0, 15.0, takeover="observed"), 30.0) == 31.0


@pytest.mark.parametrize("session", ["other-session", "my-session"])
def test_nobody_takes_it_before_and_the_holder_does_not_either(session):
    verdict = acquiring().answer(seen(released(session=session))).verdict
    assert (verdict.is_leader, verdict.why) == (False, Why.HELD)


def test_who_waits_takes_it_then():
    dialogue = acquiring(wait_timeout=100).answer(seen(released(hold_at_least=12.0)))
    assert dialogue.expect(Pause).at_least <= 3
    dialogue.wait()
    dialogue.answer(Unchanged(NOW + 3)).expect(Write, replaces="e1")


def releasing(found, **options):
    return Dialogue(protocol.release(ME, None, 0.0, 15.0, nonces(), **options)).answer(found)


def test_a_release_leaves_it_held_back():
    assert releasing(seen(released())).verdict.why is Why.FREE


@pytest.mark.parametrize("record", [released(), held(session="other-session")])
def test_force_frees_it_at_once(record):
    dialogue = releasing(seen(record), force=True)
    body = json.loads(dialogue.expect(Write).body)
    assert (body["holderId"], body["term"]) == ("", 7)
    assert "holdAtLeastSeconds" not in body
    assert body["leaseUntilUtc"] < body["renewedAt"]
    assert dialogue.answer(Written("e2", NOW)).verdict.why is Why.BROKEN


def test_force_changes_nothing_once_the_time_has_passed():
    assert releasing(seen(released(hold_at_least=5.0)), force=True).verdict.why is Why.FREE
