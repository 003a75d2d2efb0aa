# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A systemd that does not listen, and reloads without end."""

from __future__ import annotations

import signal
import time

from support.daemon import eventually
from support.leases import OLD_TERM, somebody_elses

DAY = 86400


def test_a_leader_leads_on_where_nobody_reads_what_it_tells(leader, stored):
    leader.listens.clear()
    assert leader.renews(stored, 15)
    leader.listens.set()
    assert leader.says("no longer leads") == 0


def test_nobody_leads_where_systemd_reads_nothing(make, put):
    put(somebody_elses(leaseDurationSeconds=DAY))
    daemon = make("web-1")
    eventually(lambda: daemon.says("the lease is held by somebody else"))
    daemon.listens.clear()
    daemon.let_pass(20)
    put(somebody_elses())
    eventually(lambda: daemon.says("systemd does not take messages"))
    eventually(lambda: daemon.says("gave the lease back"))
    assert daemon.leader() == {}
    daemon.listens.set()
    assert eventually(daemon.term) > OLD_TERM + 1


def test_a_leader_leads_on_through_a_storm_of_reloads(leader, stored):
    pid, term = leader.pid, leader.term()
    for _number in range(100):
        leader.send(signal.SIGHUP)
        time.sleep(0.02)  # so that they meet all that it does
    eventually(lambda: leader.send(signal.SIGHUP) or leader.says("reloading its code") > 1)
    assert leader.renews(stored)
    assert (leader.pid, leader.term()) == (pid, term)
    assert leader.says("leads with term") == 1
