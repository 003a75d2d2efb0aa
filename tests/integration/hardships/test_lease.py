# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease that somebody spoils, overwrites or deletes."""

from __future__ import annotations

import pytest
from support.daemon import eventually
from support.leases import OLD_TERM, somebody_elses

CALM = 45
"""Seconds after which a standby calls a series of errors over, and some more."""


UNREADABLE = {
    "corrupt": (b"{", "it is not JSON"),
    "newer": (somebody_elses(schema=2), "its schema 2 is newer"),
}


@pytest.mark.parametrize(("body", "why"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_leader_whose_lease_nobody_can_read_ends_and_leads_when_it_is_gone(leader, put, remove, stored, body, why):
    term = leader.term()
    put(body)
    assert leader.ended() == 75
    assert leader.leader() == {}
    leader.start()
    leader.let_pass(CALM)
    assert leader.leader() == {}
    remove()
    assert eventually(leader.term) > term
    assert leader.renews(stored)
    assert leader.says(f"the lease is unreadable, so treated as held: {why}") == 2
    assert leader.says(f"no longer leads: unreadable, so treated as held: {why}") == 1


@pytest.mark.parametrize(("body", "why"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_standby_leaves_a_lease_that_it_cannot_read_alone(standby, put, body, why):
    put(body)
    standby.let_pass(CALM)
    assert standby.leader() == {}
    assert standby.says(f"the lease is unreadable, so treated as held: {why}") == 1
    put(somebody_elses())
    assert eventually(standby.term) == OLD_TERM + 1


def test_a_leader_whose_lease_somebody_overwrites_ends_and_takes_over_when_that_has_expired(leader, put, stored):
    put(somebody_elses(term=(theirs := leader.term() + 1)))
    assert leader.ended() == 75
    assert leader.leader() == {}
    assert leader.says("no longer leads: held by somebody else") == 1
    leader.start()
    assert eventually(leader.term) == theirs + 1
    assert leader.renews(stored)


def test_a_leader_whose_lease_is_deleted_ends_and_leads_with_a_higher_term(leader, remove, stored):
    term = leader.term()
    remove()
    assert leader.ended() == 75
    assert leader.leader() == {}
    leader.start()
    assert eventually(leader.term) > term
    assert leader.renews(stored)


def test_a_standby_whose_lease_is_deleted_leads(standby, remove, stored):
    remove()
    assert eventually(standby.term) > OLD_TERM
    assert standby.renews(stored)
