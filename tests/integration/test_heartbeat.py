# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two daemons as real processes on one lease: who leads, who stands by, and how the one follows the other."""

from __future__ import annotations

import signal

import pytest
from support.daemon import TIMES, Daemon, eventually
from support.stores.both import ON_BOTH_STORES


@pytest.fixture
def pair(make) -> tuple[Daemon, Daemon]:
    """A leader, and a standby that knows of it."""
    leader = make("web-1")
    eventually(leader.leader)
    standby = make("web-2")
    eventually(lambda: any("held by web-1" in message.get("STATUS", "") for message in standby.told))
    return leader, standby


@ON_BOTH_STORES
def test_one_leads_and_the_other_stands_by(pair, stored):
    leader, standby = pair
    record = stored()
    assert leader.leader() == {
        "S3_LEADER_NAME": "db",
        "S3_LEADER_TERM": str(record["term"]),
        "S3_LEADER_HOLDER": record["holderId"],
        "S3_LEADER_STOP_GRACE": str(TIMES["stop_grace"]),
    }
    assert standby.leader() == {}
    assert (leader.command("check", "db").returncode, standby.command("check", "db").returncode) == (0, 1)
    assert [daemon.status()["is_leader"] for daemon in pair] == [True, False]
    assert [daemon.status()["role"] for daemon in pair] == ["leader", "standby"]
    assert [daemon.status()["holder"] for daemon in pair] == ["web-1", "web-1"]
    assert [daemon.told[0] for daemon in pair] == [{"READY": "1"}] * 2


def test_a_reload_keeps_the_process_the_term_and_the_file_and_goes_on_renewing(pair, stored):
    leader, standby = pair
    before, written = stored(), (leader.run / "leader").stat().st_mtime_ns
    for daemon in pair:
        daemon.send(signal.SIGHUP)
        eventually(lambda daemon=daemon: daemon.told.count({"READY": "1"}) == 2)
    eventually(lambda: stored()["sequence"] >= before["sequence"] + 5)
    after = stored()
    assert (after["session"], after["term"]) == (before["session"], before["term"])
    assert (leader.run / "leader").stat().st_mtime_ns == written
    assert leader.said().count("leads with term") == 1
    assert leader.runs()
    assert standby.runs()
    assert standby.leader() == {}


def test_a_second_daemon_of_the_lease_on_one_host_ends_and_disturbs_nobody(pair):
    leader, _standby = pair
    second = leader.command("heartbeat", "db")
    assert second.returncode == 2
    assert "another daemon of the lease db runs here already" in second.stderr
    assert leader.leader()


@ON_BOTH_STORES
def test_who_is_stopped_gives_the_lease_back_and_the_other_leads_with_a_higher_term(pair, stored):
    leader, standby = pair
    term = leader.term()
    renewed = len(leader.told)
    eventually(lambda: len(leader.told) > renewed)  # the next one might find that somebody has stopped the services
    leader.send(signal.SIGTERM)
    assert leader.ended() == 0
    assert leader.leader() == {}
    assert "db: gave the lease back" in leader.said()
    assert eventually(standby.term) == term + 1
    assert (stored()["holderId"], stored()["term"]) == ("web-2", term + 1)


def test_while_services_may_be_running_the_lease_is_not_given_back(pair, stored):
    leader, standby = pair
    leader.send(signal.SIGTERM, services_stop=False)
    assert leader.ended() == 0
    assert leader.leader() == {}
    assert stored()["holderId"] == "web-1"
    assert standby.leader() == {}


@ON_BOTH_STORES
def test_who_is_killed_is_followed_when_its_time_is_over(pair):
    leader, standby = pair
    term = leader.term()
    leader.stop()
    assert eventually(standby.term) == term + 1


@ON_BOTH_STORES
def test_who_does_not_reach_the_store_ends_in_time_and_arms_no_watchdog_after_the_last_renewal(pair, proxy):
    leader, standby = pair
    proxy.stop()
    assert leader.ended() == 75
    assert leader.leader() == {}
    assert "db: no longer leads: the lease could not be renewed in time" in leader.said()
    assert leader.status()["is_leader"] is False
    eventually(lambda: leader.told[-1].get("STATUS") == "standby: the lease could not be renewed in time")
    failed = next(number for number, message in enumerate(leader.told) if "reached" in message.get("STATUS", ""))
    assert leader.told[failed]["STATUS"].startswith("leader: ")
    assert [message for message in leader.told[failed:] if "WATCHDOG" in message] == []
    armed = [message for message in leader.told[:failed] if "WATCHDOG_USEC" in message][-1]
    assert armed["WATCHDOG"] == "1"
    assert int(armed["WATCHDOG_USEC"]) <= (TIMES["lease_duration"] - TIMES["stop_grace"]) * 1e6
    assert standby.runs()
    assert standby.leader() == {}
