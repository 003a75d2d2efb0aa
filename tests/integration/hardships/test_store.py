# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store that is down for an hour."""

from __future__ import annotations

from support import proxy as faults
from support.daemon import eventually
from support.leases import OLD_TERM, somebody_elses

HOUR = 3600
CALM = 45
"""Seconds after which a standby calls a series of errors over, and some more."""


def test_a_standby_waits_for_a_store_that_is_down_for_an_hour(standby, proxy, put):
    proxy.on(None, faults.drop_request(), nth=None)
    standby.let_pass(HOUR)
    assert proxy.count(fault="drop_request") > HOUR / 30
    assert standby.says("closed the connection before it answered") == 1
    proxy.heal()
    standby.let_pass(CALM)
    assert standby.says("the store answers again") == 1
    assert standby.leader() == {}
    put(somebody_elses())
    assert eventually(standby.term) == OLD_TERM + 1
    assert len(standby.lines()) == 5


def test_a_leader_ends_in_time_and_its_successor_waits_for_a_store_that_is_down_for_an_hour(make, proxy, stored):
    leader = make("web-1", poll_interval=5)
    term = eventually(leader.term)
    proxy.on(None, faults.drop_request(), nth=None)
    assert leader.ended() == 75
    assert leader.leader() == {}
    leader.start()  # as systemd does
    leader.let_pass(HOUR)
    assert leader.leader() == {}
    proxy.heal()
    assert eventually(leader.term) == term + 1
    assert leader.renews(stored)
    assert leader.says("closed the connection before it answered") == 2
    assert leader.says("no longer leads: the lease could not be renewed in time") == 1
    assert leader.says("the store answers again") == 1
