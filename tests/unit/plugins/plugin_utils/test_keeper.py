# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import socket
import types

import pytest
from ansible import constants
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import processes
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.heartbeat import Lost, Stop
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Record
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import REACTION, Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Held, Seen
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _end_run, _keeper, _kept, _processes
from ansible_collections.leaderelection.s3.plugins.plugin_utils._kept import ENDED, HELD, LOST

UTC = 1795409376.0
RECORD = Record("web-1", "5f2f2b0f", 7, 1, "n", 30.0, UTC, UTC, UTC, {})
STORE = "https://s3.example.com/bucket"
PARAMS = dict(
    bucket="bucket",
    key="jobs/a",
    session="5f2f2b0f",
    lease_duration=30,
    on_lost="abort",
    keep_at_most=None,
    textfile=None,
)


def fails(_kept):
    raise OSError("no space left")


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Makes the keeper's view of a run; ``run.ended`` ends that."""
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(_keeper.syslog, "syslog", lambda *_args: None)
    os.close(_kept.lock(PARAMS, STORE))
    reader, writer = os.pipe()
    handler = signal.getsignal(signal.SIGUSR1)

    def make(**params):
        endpoint = types.SimpleNamespace(request_timeout=5)
        me = types.SimpleNamespace(store=STORE, holder="web-1")
        lease = types.SimpleNamespace(endpoint=endpoint, location=Location("bucket", "jobs/a"), me=me)
        made = _keeper.Run(lease, dict(PARAMS, **params), reader)
        confirm(made)
        return made

    make.end = lambda: os.close(writer)
    yield make
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGUSR1, handler)


def held(left=30.0):
    now = Clock().now()
    return Held(Seen(RECORD, "e1", UTC, UTC), now + left, now)


def confirm(made, left=30.0):
    one = held(left)
    made.confirmed(one, one.lapses_at - made.timing.stop_grace)


def known():
    (kept,) = _kept.every()
    return kept


def test_what_is_confirmed_is_published(run):
    made = run()
    kept = known()
    assert (kept.state, kept.lease["term"], kept.keeper, kept.aborts) == (HELD, 7, os.getpid(), True)
    assert kept.deadline - kept.until == pytest.approx(made.timing.stop_grace, abs=0.1)
    assert made.timing.renew_interval == 10.0
    assert kept.patience == made.timing.time_to_end


@pytest.mark.parametrize(("give_back", "serving"), [(False, True), (True, False)])
def test_it_ends_when_it_is_asked_to_and_gives_back_what_nobody_works_under(run, give_back, serving):
    made = run()
    made.listen()
    _kept.ask(known(), give_back)
    with pytest.raises(Stop):
        made.wait(600)
    assert made.serving() is serving
    made.demote("asked to stop")
    assert known().state == ENDED
    made.released("")
    assert known().given_back


def test_a_signal_by_anybody_else_is_none_of_its_business(run):
    made = run()
    os.kill(os.getpid(), signal.SIGUSR1)
    made.wait(0.05)
    made.listen()


def test_where_the_lease_is_not_given_back_the_reason_is_known(run):
    made = run()
    _kept.ask(known(), give_back=True)
    with pytest.raises(Stop):
        made.listen()
    made.demote("asked to stop")
    made.trouble("the lease was not given back, and expires by itself: no answer")
    assert known().reason == "the lease was not given back, and expires by itself: no answer"


def test_a_loss_ends_no_run_that_is_ending(run, monkeypatch):
    monkeypatch.setattr(_end_run, "end", lambda *_args: pytest.fail("ended"))
    made = run()
    _kept.announce_end()
    made.demote("taken")
    assert known().state == LOST


@pytest.mark.parametrize("aborts", [True, False])
def test_it_ends_with_its_run_and_looks_after_what_that_leaves_behind(run, monkeypatch, aborts):
    left = []
    monkeypatch.setattr(_end_run, "end_what_is_left", lambda *times: left.append(times))
    made = run(on_lost="abort" if aborts else "report")
    run.end()
    with pytest.raises(Stop):
        made.wait(600)
    assert made.serving()
    made.demote("asked to stop")
    assert known().state == ENDED
    made.bury()
    assert left == ([(known().until, known().deadline)] if aborts else [])


@pytest.mark.parametrize("on_lost", ["abort", "report"])
def test_a_loss_is_published_and_ends_the_run_if_wanted(run, monkeypatch, on_lost):
    ended = []
    monkeypatch.setattr(_end_run, "end", lambda _run, deadline: ended.append(deadline))
    made = run(on_lost=on_lost)
    made.trouble("no answer within 5 s")
    made.demote("the lease could not be renewed in time")
    assert known().state == LOST
    assert known().reason == "the lease could not be renewed in time (no answer within 5 s)"
    assert ended == ([known().deadline] if on_lost == "abort" else [])


def test_trouble_that_is_over_is_no_reason(run, monkeypatch):
    monkeypatch.setattr(_end_run, "end", lambda *_args: None)
    made = run()
    made.trouble("no answer within 5 s")
    confirm(made)
    made.demote("taken")
    assert known().reason == "taken"


def test_for_as_long_as_wanted_it_waits_as_it_is_told(run):
    run(keep_at_most=600).wait(0.01)


def test_after_that_it_renews_no_more_and_says_so_when_the_time_is_nearly_over(run):
    made, now = run(keep_at_most=60), [Clock().now() + 60]
    made._clock = types.SimpleNamespace(now=lambda: now[0])

    def wait(seconds, _other):
        now[0] += seconds

    made._signals = types.SimpleNamespace(wait=wait, take=list)
    confirm(made, 90)
    with pytest.raises(Lost, match="it was kept for 60 s, as keep_at_most says"):
        made.wait(0.02)
    assert now[0] == pytest.approx(known().until - REACTION)


def test_a_disk_that_becomes_full_does_not_end_it(run, monkeypatch):
    made = run()
    monkeypatch.setattr(_kept, "publish", fails)
    confirm(made)


def test_a_disk_that_is_full_keeps_it_from_beginning(run, monkeypatch):
    monkeypatch.setattr(_kept, "publish", fails)
    with pytest.raises(OSError, match="no space left"):
        run()


def test_it_does_what_a_keeper_does_not():
    for call in (lambda: _keeper.Run.promote(None, None, 0.0), lambda: _keeper.Run.reload(None, None)):
        with pytest.raises(TypeError):
            call()


def test_only_a_worker_of_the_run_starts_one(monkeypatch):
    monkeypatch.setattr(_processes, "MAIN", processes.Process(1, "1"))
    assert _keeper.start(PARAMS, STORE, held()) == "the task does not run in a worker of this run"


def test_one_that_is_there_already_is_replaced(monkeypatch, run):
    """It may have been given other options."""
    run()
    ended = []
    monkeypatch.setattr(_processes, "MAIN", processes.Process(os.getppid(), ""))
    monkeypatch.setattr(_kept, "end", lambda kept, give_back: ended.append((kept.lease["key"], give_back)))
    monkeypatch.setattr(os, "pidfd_open", fails)
    assert "no space left" in _keeper.start(PARAMS, STORE, held())
    assert ended == [("jobs/a", False)]
    assert "no space left" in _keeper.start(PARAMS, "https://elsewhere/bucket", held())
    assert ended == [("jobs/a", False)]


@pytest.mark.parametrize("error", [OSError("no process"), AttributeError("no pidfd_open")])
def test_where_no_process_can_be_started_that_is_said(monkeypatch, tmp_path, error):
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(_processes, "MAIN", processes.Process(os.getppid(), ""))

    def pidfd_open(_pid):
        raise error

    monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    assert str(error) in _keeper.start(PARAMS, STORE, held())
    os.close(_kept.lock(PARAMS, STORE))


def test_files_of_the_run_are_let_go_and_their_numbers_are_not_used_again():
    one, other = socket.socketpair()
    reader, kept = os.pipe()
    child = os.fork()
    if child == 0:
        processes.let_go_of_files({kept})
        fresh = socket.socket()
        good = fresh.fileno() not in (one.fileno(), other.fileno(), reader)
        one.close()
        os.write(kept, b"good" if good else b"bad")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 9) == b"good"
    other.close()
    one.setblocking(False)
    assert one.recv(1) == b""  # nobody else has it open
    for descriptor in (reader, kept):
        os.close(descriptor)
    one.close()


def test_metrics_that_cannot_be_written_are_told_of_once_and_the_lease_is_kept(run, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(_keeper.syslog, "syslog", lambda _level, text: told.append(text))
    made = run(textfile=str(tmp_path / "missing/nightly.prom"))
    confirm(made)
    assert [text for text in told if "the metrics cannot be written" in text] == told[:1]
    assert known().state == HELD
