# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from ansible import constants
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _kept, _run
from ansible_collections.leaderelection.s3.plugins.plugin_utils._kept import ENDED, HELD, LOST
from support.kept_leases import STORE, kept_at
from support.waiting import wait_for

NOW = 1000.0
KEPT = kept_at(NOW + 10)
LEASE = KEPT.lease
IDENTITY = {name: LEASE[name] for name in ("bucket", "key", "session")}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(_run, "now", lambda: NOW + 10)
    os.close(_kept.lock(IDENTITY, STORE))


def is_kept(kept):
    with _kept._alone(kept) as alone:
        return not alone


def publish(**changes):
    kept = KEPT._replace(**changes)
    _kept.publish(kept)
    return kept


# -- What is known of a lease


def test_what_a_keeper_publishes_is_found_by_its_lease():
    kept = publish()
    assert _kept.find(IDENTITY) == kept
    assert _kept.every() == [kept]


@pytest.mark.parametrize("other", [dict(bucket="b"), dict(key="jobs/b"), dict(session="another"), dict(session=None)])
def test_another_lease_is_another_one(other):
    publish()
    assert _kept.find(dict(IDENTITY, **other)) is None


def test_without_a_keeper_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path / "nowhere"))
    assert _kept.find(IDENTITY) is None
    assert _kept.every() == []


EARLIER = dict(is_leader=True, lease=LEASE)


@pytest.mark.parametrize(
    ("held", "state", "deadline"), [(True, HELD, 10.1), (False, HELD, 10.0), (False, LOST, 30.0), (False, ENDED, 30.0)]
)
def test_a_result_is_held_as_long_as_its_keeper_holds_the_lease(held, state, deadline):
    publish(state=state, deadline=NOW + deadline)
    result = dict(EARLIER, deadline=dict(run=_run.RUN, at=NOW + 20))  # by itself it is
    assert _kept.is_held(result) is held


@pytest.mark.parametrize("lease", [dict(LEASE, term=8), dict(LEASE, key="jobs/b"), None])
def test_a_result_of_another_lease_or_term_is_held_by_its_own_deadline(lease):
    publish(state=LOST)
    for held, deadline in ((True, 20), (False, 5)):
        assert _kept.is_held(dict(is_leader=True, lease=lease, deadline=dict(run=_run.RUN, at=NOW + deadline))) is held


def test_a_result_that_made_nobody_leader_is_not_held():
    publish()
    assert not _kept.is_held(dict(is_leader=False, lease=LEASE, deadline=None))


# -- What comes of it


def test_a_renewal_is_what_the_keeper_has_done_already():
    result = _kept.renewed(publish())
    assert (result["is_leader"], result["term"], result["requests"], result["changed"]) == (True, 7, 0, False)
    assert (result["lease"]["age"], result["lease"]["expires_in"]) == (10.0, 22.0)
    assert result["deadline"] == dict(run=_run.RUN, at=NOW + 30, heard=NOW + 10)
    assert result["reason"] == "still leader with term 7, and kept while this run lasts: renewed 10 s ago"


def test_what_is_over_does_not_expire_in_less_than_nothing():
    result = _kept.renewed(publish(written_at=NOW - 60, deadline=NOW - 30))
    assert (result["is_leader"], result["lease"]["expires_in"]) == (False, 0.0)


def test_a_renewal_of_what_is_lost_tells_why():
    result = _kept.renewed(publish(state=LOST, reason="taken by bob"))
    assert (result["is_leader"], result["term"], result["deadline"]) == (False, None, None)
    assert result["reason"] == "taken by bob"


def test_what_is_handed_over_has_its_age():
    assert publish().result == dict(is_leader=True, lease=LEASE, elapsed=10.0, heard=9.5)


def test_people_are_told_of_it_by_its_place_and_term():
    assert KEPT.name == "s3://bucket/jobs/a (term 7)"


# -- Who keeps it


def test_a_second_keeper_is_kept_out_as_long_as_the_first_one_lives():
    lock = _kept.lock(IDENTITY, STORE)
    assert is_kept(KEPT)
    with pytest.raises(BlockingIOError):
        _kept.lock(IDENTITY, STORE)
    for other in (KEPT._replace(lease=dict(IDENTITY, key="jobs/b")), KEPT._replace(store="https://elsewhere/bucket")):
        assert not is_kept(other)
    os.close(lock)
    assert not is_kept(KEPT)


def keeper(wanted):
    """A process that holds the lock, and ends when it is woken and finds what it was asked for."""
    path = _kept._path(IDENTITY, STORE)
    code = (
        "import fcntl, os, signal, sys, time\n"
        "fcntl.flock(os.open(sys.argv[1] + '.lock', os.O_RDWR), fcntl.LOCK_EX)\n"
        "def wake(number, frame):\n"
        "    asked = f'{sys.argv[1]}.{os.getpid()}.ask'\n"
        "    if os.path.exists(asked) and open(asked).read() == sys.argv[2]: os._exit(0)\n"
        "signal.signal(signal.SIGUSR1, wake)\n"
        "os.write(1, b'!'); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, path, wanted], stdout=subprocess.PIPE)
    assert process.stdout.read(1) == b"!"
    return process


@pytest.mark.parametrize(("give_back", "wanted"), [(True, _kept.GIVE_BACK), (False, _kept.LET_EXPIRE)])
def test_a_keeper_is_asked_to_end(give_back, wanted):
    with keeper(wanted) as process:
        last = _kept.end(publish(keeper=process.pid), give_back)
        assert process.wait() == 0
    assert last.state == ENDED
    assert _kept.asked(last) == ""


def test_a_keeper_that_another_one_follows_meanwhile_has_ended():
    with keeper("something else") as process:  # it has the lock that the next one would have
        following = publish(keeper=process.pid + 1)
        assert _kept.await_end(KEPT._replace(keeper=process.pid)) == following
        process.kill()


def test_a_keeper_that_hangs_is_killed():
    with keeper("something else") as process:
        last = _kept.end(publish(keeper=process.pid, patience=0.0), give_back=True)
        assert process.wait() == -signal.SIGKILL
    assert "did not answer" in last.reason


def test_a_keeper_that_was_dead_already_is_not_waited_for():
    with keeper("") as process:
        process.kill()
    wait_for(lambda: not is_kept(KEPT), "it is dead")
    assert _kept.end(publish(keeper=process.pid), give_back=True).state == ENDED
    assert _kept.find(IDENTITY).state == ENDED


def test_keepers_know_when_the_run_is_ending():
    assert not _kept.is_ending()
    _kept.announce_end()
    assert _kept.is_ending()


def test_of_leases_of_one_name_in_two_stores_the_result_tells_which_one_it_is():
    other = "https://elsewhere/bucket"
    publish()
    publish(store=other, state=LOST)
    assert _kept.find(IDENTITY) is None
    for store, state in ((STORE, HELD), (other, LOST)):
        assert _kept.find(dict(IDENTITY, conditions_proven=dict(store=store))).state == state
    assert _kept.find(dict(IDENTITY, conditions_proven=dict(store="https://a-third/bucket"))) is None


def test_a_store_with_two_names_has_one_lease_of_one_acquisition():
    kept = publish(lease=dict(LEASE, acquired_at="2026-11-23T04:49:36.000Z"))
    result = dict(
        IDENTITY, term=7, acquired_at="2026-11-23T04:49:36.000Z", conditions_proven=dict(store="http://alias")
    )
    assert _kept.find(result) == kept
    assert _kept.find(dict(result, term=6)) is None
    assert _kept.find(dict(result, acquired_at="2026-11-23T04:49:37.000Z")) is None


def test_a_result_of_an_earlier_term_than_the_kept_one_is_not_held():
    publish()
    deadline = dict(run=_run.RUN, at=NOW + 20)
    assert not _kept.is_held(dict(is_leader=True, lease=dict(LEASE, term=6), deadline=deadline))
    assert _kept.is_held(dict(is_leader=True, lease=dict(LEASE, term=8), deadline=deadline))


def test_what_is_forgotten_is_known_no_more():
    _kept.forget(publish(state=LOST))
    assert _kept.find(IDENTITY) is None
    _kept.forget(KEPT)


def test_a_release_is_noted_only_of_the_lease_that_its_keeper_had():
    last = publish(state=ENDED)
    _kept.released(last)
    assert _kept.find(IDENTITY).given_back
    following = publish(keeper=4711)
    _kept.released(last)
    assert _kept.find(IDENTITY) == following


def test_nothing_is_noted_while_another_keeper_is_at_work():
    last = publish(state=ENDED)
    lock = _kept.lock(IDENTITY, STORE)
    _kept.released(last)
    os.close(lock)
    assert not _kept.find(IDENTITY).given_back
