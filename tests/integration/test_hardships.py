# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a daemon goes through: it ends up right, and says in words what happened, once at the beginning and at the end.

What needs systemd or a full disk is in tests/system/test_hardships.py.
"""

from __future__ import annotations

import pathlib
import signal
import time
import typing as t
from collections.abc import Callable, Iterator

import pytest
from support import proxy as faults
from support.daemon import Daemon, eventually
from support.faketime import library
from support.leases import OLD_TERM, somebody_elses

HOUR, DAY = 3600, 86400
CALM = 45
"""Seconds after which a standby calls a series of errors over, and some more."""


@pytest.fixture(autouse=True)
def words(make: t.Any, tmp_path: t.Any, seaweedfs: t.Any) -> Iterator[None]:
    """No daemon of a test says anything but lines about its lease, and none of them a secret."""
    yield
    for said in tmp_path.glob("*/stderr"):
        lines = said.read_text().splitlines()
        assert [line for line in lines if not line.startswith(("db: ", "s3-leader: "))] == []
        assert seaweedfs.secret_key not in said.read_text()


@pytest.fixture
def put(seaweedfs, bucket, key) -> Callable[[bytes], None]:
    """Overwrites the lease, whoever holds it."""
    return lambda body: seaweedfs.client().put_object(Bucket=bucket, Key=key, Body=body)


@pytest.fixture
def remove(seaweedfs, bucket, key) -> Callable[[], None]:
    """Deletes the lease, whoever holds it."""
    return lambda: seaweedfs.client().delete_object(Bucket=bucket, Key=key)


class Wall:
    """A wall clock that steps; other clocks are right. faketime reads the file each time that it is asked."""

    def __init__(self, file: pathlib.Path) -> None:
        self._file = file
        self.environment = {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.step(0)

    def step(self, seconds: int) -> None:
        """Let it be so many seconds ahead from now on."""
        unfinished = self._file.with_suffix(".unfinished")
        unfinished.write_text(f"{seconds:+d}\n")
        unfinished.rename(self._file)


@pytest.fixture
def leader(make) -> Daemon:
    daemon = make("web-1")
    eventually(daemon.leader)
    return daemon


@pytest.fixture
def standby(make, put) -> Daemon:
    """It stands by for a lease that is held for a day."""
    put(somebody_elses(leaseDurationSeconds=DAY))
    daemon = make("web-1", poll_interval=5)
    eventually(lambda: says(daemon, "the lease is held by somebody else"))
    return daemon


def says(daemon: Daemon, text: str) -> int:
    """How many lines of the journal have this text."""
    return sum(text in line for line in daemon.lines())


def renews(daemon: Daemon, stored: Callable[[], dict[str, t.Any]], times: int = 3) -> bool:
    """Await some renewals of the term that it leads with."""
    before = stored()
    assert before["term"] == daemon.term()
    eventually(lambda: stored()["sequence"] >= before["sequence"] + times)
    assert stored()["session"] == before["session"]
    return daemon.runs()


# -- The store --------------------------------------------------------------------------------------------------------


def test_a_standby_waits_for_a_store_that_is_down_for_an_hour(standby, proxy, put):
    proxy.on(None, faults.drop_request(), nth=None)
    standby.let_pass(HOUR)
    assert proxy.count(fault="drop_request") > HOUR / 30
    assert says(standby, "closed the connection before it answered") == 1
    proxy.heal()
    standby.let_pass(CALM)
    assert says(standby, "the store answers again") == 1
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
    assert renews(leader, stored)
    assert says(leader, "closed the connection before it answered") == 2
    assert says(leader, "no longer leads: it could not be renewed in time") == 1
    assert says(leader, "the store answers again") == 1


# -- The clock --------------------------------------------------------------------------------------------------------


@pytest.fixture
def wall(tmp_path) -> Iterator[Wall]:
    return Wall(tmp_path / "wall")


@pytest.mark.parametrize("seconds", [600, -600])
def test_a_leader_leads_on_where_the_clock_steps_by_what_the_store_accepts(make, wall, stored, seconds):
    daemon = make("web-1", wall.environment)
    eventually(daemon.leader)
    wall.step(seconds)
    assert renews(daemon, stored)
    wall.step(0)
    assert renews(daemon, stored)
    assert says(daemon, "clock") == 0


@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_a_leader_whose_clock_steps_by_a_day_ends_in_time_and_leads_again_when_it_is_right(make, wall, stored, seconds):
    daemon = make("web-1", wall.environment)
    term = eventually(daemon.term)
    wall.step(seconds)
    assert daemon.ended() == 75
    assert daemon.leader() == {}
    assert says(daemon, "The clock of the host") == 1
    daemon.start()
    eventually(lambda: says(daemon, "The clock of the host") == 2)
    daemon.let_pass(CALM)
    assert daemon.leader() == {}
    wall.step(0)
    assert eventually(daemon.term) == term + 1
    assert renews(daemon, stored)
    assert says(daemon, "The clock of the host") == 2
    assert says(daemon, "the store answers again") == 1


@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_a_standby_whose_clock_steps_by_a_day_takes_nothing_over(make, wall, put, seconds):
    put(somebody_elses(leaseDurationSeconds=DAY))
    daemon = make("web-1", wall.environment)
    eventually(lambda: says(daemon, "the lease is held by somebody else"))
    wall.step(seconds)
    eventually(lambda: says(daemon, "The clock of the host"))
    daemon.let_pass(CALM)
    wall.step(0)
    daemon.let_pass(CALM)
    assert daemon.leader() == {}
    assert len(daemon.lines()) == 4
    assert says(daemon, "the store answers again") == 1


# -- The lease --------------------------------------------------------------------------------------------------------

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
    assert renews(leader, stored)
    assert says(leader, f"the lease is unreadable, so treated as held: {why}") == 2
    assert says(leader, f"no longer leads: unreadable, so treated as held: {why}") == 1


@pytest.mark.parametrize(("body", "why"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_standby_leaves_a_lease_that_it_cannot_read_alone(standby, put, body, why):
    put(body)
    standby.let_pass(CALM)
    assert standby.leader() == {}
    assert says(standby, f"the lease is unreadable, so treated as held: {why}") == 1
    put(somebody_elses())
    assert eventually(standby.term) == OLD_TERM + 1


def test_a_leader_whose_lease_somebody_overwrites_ends_and_takes_over_when_that_has_expired(leader, put, stored):
    put(somebody_elses(term=(theirs := leader.term() + 1)))
    assert leader.ended() == 75
    assert leader.leader() == {}
    assert says(leader, "no longer leads: held by somebody else") == 1
    leader.start()
    assert eventually(leader.term) == theirs + 1
    assert renews(leader, stored)


def test_a_leader_whose_lease_is_deleted_ends_and_leads_with_a_higher_term(leader, remove, stored):
    term = leader.term()
    remove()
    assert leader.ended() == 75
    assert leader.leader() == {}
    leader.start()
    assert eventually(leader.term) > term
    assert renews(leader, stored)


def test_a_standby_whose_lease_is_deleted_leads(standby, remove, stored):
    remove()
    assert eventually(standby.term) > OLD_TERM
    assert renews(standby, stored)


# -- Credentials ------------------------------------------------------------------------------------------------------


def expire(keys):
    keys.write_text("[default]\naws_access_key_id=expired\naws_secret_access_key=expired\n")


def unlink(keys):
    keys.unlink()


def hide(keys):
    """Nobody can read it, not even root."""
    keys.unlink()
    keys.mkdir()


def renew(keys, text):
    if keys.is_dir():
        keys.rmdir()
    keys.write_text(text)


SPOILT = [(expire, "Check the credentials"), (unlink, "No such file"), (hide, "Is a directory")]


@pytest.mark.parametrize(("spoil", "why"), SPOILT)
def test_a_leader_leads_on_where_its_credentials_are_renewed_in_time(leader, stored, spoil, why):
    keys = leader.keys.read_text()
    spoil(leader.keys)
    eventually(lambda: says(leader, why))
    renew(leader.keys, keys)
    assert renews(leader, stored)
    assert says(leader, why) == 1
    assert says(leader, "the store answers again") == 1
    assert says(leader, "no longer leads") == 0


@pytest.mark.parametrize(("spoil", "why"), SPOILT)
def test_a_standby_waits_for_its_credentials(standby, put, spoil, why):
    keys = standby.keys.read_text()
    spoil(standby.keys)
    standby.let_pass(CALM)
    renew(standby.keys, keys)
    standby.let_pass(CALM)
    assert says(standby, why) == 1
    assert says(standby, "the store answers again") == 1
    put(somebody_elses())
    assert eventually(standby.term) == OLD_TERM + 1


# -- systemd ----------------------------------------------------------------------------------------------------------


def test_a_leader_leads_on_where_nobody_reads_what_it_tells(leader, stored):
    leader.listens.clear()
    assert renews(leader, stored, 15)
    leader.listens.set()
    assert says(leader, "no longer leads") == 0


def test_nobody_leads_where_systemd_reads_nothing(make, put):
    put(somebody_elses(leaseDurationSeconds=DAY))
    daemon = make("web-1")
    eventually(lambda: says(daemon, "the lease is held by somebody else"))
    daemon.listens.clear()
    daemon.let_pass(20)
    put(somebody_elses())
    eventually(lambda: says(daemon, "systemd does not take messages"))
    eventually(lambda: says(daemon, "gave the lease back"))
    assert daemon.leader() == {}
    daemon.listens.set()
    assert eventually(daemon.term) > OLD_TERM + 1


def test_a_leader_leads_on_through_a_storm_of_reloads(leader, stored):
    pid, term = leader.pid, leader.term()
    for _number in range(100):
        leader.send(signal.SIGHUP)
        time.sleep(0.02)  # so that they meet all that it does
    reloads = says(leader, "reloading its code")
    assert reloads > 1
    assert renews(leader, stored)
    assert (leader.pid, leader.term()) == (pid, term)
    assert says(leader, "leads with term") == 1
