# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import processes
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _end_run, _kept, _processes, _run
from ansible_collections.leaderelection.s3.plugins.plugin_utils._kept import ENDED, HELD, LOST, Kept

LEASE = dict(bucket="bucket", key="jobs/a", session="5f2f2b0f", term=7)
NOW = 1000.0
KEPT = Kept(
    *(HELD, "held", LEASE, "https://s3.example.com/bucket", NOW + 30, NOW + 28),
    **dict(written_at=NOW, heard_at=NOW, aborts=True, patience=10.0, keeper=0),
)
NAME = "s3://bucket/jobs/a (term 7)"


# -- What may be at work


def host(name):
    return types.SimpleNamespace(get_name=lambda: name)


def task(name, asynchronous=0, poll=15, timeout=0):
    return types.SimpleNamespace(_uuid=name, async_val=asynchronous, poll=poll, timeout=timeout)


def public(name, of, **told):
    return types.SimpleNamespace(host=host(name), task=of, result=told)


def private(name, of, **told):
    return types.SimpleNamespace(_host=host(name), _task=of, _result=told)


@pytest.fixture(params=[public, private], ids=["2.19 and later", "2.18 and earlier"])
def result(request):
    """What Ansible tells of a task that has ended."""
    return request.param


@pytest.fixture
def observer(result):
    made = _end_run.Observer()
    made.v2_runner_on_ok(result("localhost", task("acquire")))
    return made


def test_who_was_told_nothing_knows_nothing():
    assert "does not tell" in _end_run.Observer().doubts()


@pytest.mark.parametrize("ends", ["ok", "failed", "skipped"])
def test_a_task_is_at_work_until_it_ends(observer, result, ends):
    observer.v2_runner_on_start(host("web-1"), task("deploy"))
    observer.v2_runner_on_start(host("web-2"), task("deploy"))
    assert observer.was_interrupted
    assert observer.doubts() == "a task was interrupted on web-1 and 1 other hosts"
    getattr(observer, f"v2_runner_on_{ends}")(result("web-1", task("deploy")))
    assert observer.doubts() == "a task was interrupted on web-2"
    getattr(observer, f"v2_runner_on_{ends}")(result("web-2", task("deploy")))
    assert not observer.was_interrupted
    assert observer.doubts() == ""


def test_nobody_knows_what_a_host_does_that_cannot_be_reached(observer, result):
    observer.v2_runner_on_start(host("web-1"), task("deploy"))
    observer.v2_runner_on_unreachable(result("web-1", task("deploy")))
    observer.v2_runner_on_ok(result("web-1", task("another")))
    assert "a task may still be at work on web-1" in observer.doubts()
    assert not observer.was_interrupted


@pytest.mark.parametrize(
    ("doubts", "timeout", "told"),
    [
        (True, 5, dict(timedout=dict(period=5))),
        (True, 5, dict(results=[dict(changed=True), dict(timedout=dict(period=5))])),
        (True, 5, dict(msg="The command action failed to execute in the expected time frame (5) and was terminated")),
        (True, 5, dict(censored="no_log", failed=True)),
        (False, 0, dict(censored="no_log", failed=True)),
        (False, 5, dict(censored="no_log")),
        (False, 5, dict(failed=True)),
    ],
)
def test_a_task_that_took_too_long_may_be_at_work(observer, result, doubts, timeout, told):
    observer.v2_runner_on_failed(result("web-1", task("deploy", timeout=timeout), **told))
    assert ("a task may still be at work on web-1" in observer.doubts()) is doubts


@pytest.mark.parametrize("loop", [False, True])
def test_an_asynchronous_task_is_at_work_until_it_is_seen_to_have_ended(observer, result, loop):
    def told(**job):
        return dict(results=[job]) if loop else job

    observer.v2_runner_on_ok(result("web-1", task("deploy", 600, 0), **told(ansible_job_id="j1.2", finished=0)))
    assert observer.doubts() == "asynchronous tasks may still be at work on web-1"
    observer.v2_runner_on_ok(result("web-1", task("status"), ansible_job_id="j3.4", finished=1))
    assert observer.doubts()
    observer.v2_runner_on_ok(result("web-2", task("status"), ansible_job_id="j1.2", finished=1))
    assert observer.doubts() == ""


@pytest.mark.parametrize(("poll", "doubts"), [(0, True), (15, False)])
def test_of_a_censored_task_it_is_known_whether_anybody_waits_for_it(observer, result, poll, doubts):
    observer.v2_runner_on_ok(result("web-1", task("deploy", 600, poll), censored="no_log"))
    assert bool(observer.doubts()) is doubts


def test_ansible_finds_all_of_its_methods():
    methods = {name for name in vars(_end_run.Observer) if name.startswith("v2_")}
    assert _end_run.Observer._implemented_callback_methods == methods


# -- The main process


class Main:
    """The main process of a run, its clock, and what it knows of its leases."""

    def __init__(self):
        self.now = NOW
        self.kept = []
        self.told = []
        self.timer = None
        self.asked = []
        self.handlers = {}


@pytest.fixture
def main(monkeypatch, tmp_path):
    made = Main()
    monkeypatch.setattr(_processes, "MAIN", processes.this())
    monkeypatch.setattr(_run, "now", lambda: made.now)
    monkeypatch.setattr(_kept, "every", lambda: made.kept)
    monkeypatch.setattr(_kept, "mark", lambda: str(tmp_path / "run"))
    monkeypatch.setattr(_kept, "ask", lambda kept, give_back: made.asked.append(give_back))
    monkeypatch.setattr(_kept, "await_end", lambda kept: made.last)
    monkeypatch.setattr(_kept, "announce_end", lambda: made.asked.append("announced"))
    monkeypatch.setattr(_processes, "mark", lambda path: None)
    monkeypatch.setattr(_end_run, "_others", set)
    monkeypatch.setattr(_end_run, "_say", made.told.append)
    monkeypatch.setattr(_end_run._Main, "watches", False)
    monkeypatch.setattr(_end_run._Main, "observer", None)
    monkeypatch.setattr(_end_run._Main, "on_term", signal.SIG_DFL)
    monkeypatch.setattr(_end_run._Main, "ending_since", None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: made.handlers.update({number: handler}))
    monkeypatch.setattr(os, "kill", lambda pid, number: made.asked.append(number))
    monkeypatch.setattr(signal, "setitimer", lambda _timer, seconds: setattr(made, "timer", seconds))
    return made


def look(callbacks=None):
    """Look after the leases as Ansible does something, or as a program that embeds it does."""
    self = types.SimpleNamespace(_tqm=types.SimpleNamespace(_callback_plugins=callbacks))
    assert self
    _end_run._look(signal.SIGALRM, sys._getframe())


def test_the_first_time_an_observer_is_registered(main):
    callbacks = []
    look(callbacks)
    look(callbacks)
    assert [type(one) for one in callbacks] == [_end_run.Observer]


def test_where_ansible_cannot_be_observed_it_goes_without(main, monkeypatch):
    before = iter(["what Ansible does", _end_run._terminate])
    monkeypatch.setattr(signal, "signal", lambda _number, _handler: next(before))
    look()
    look()
    assert _end_run._Main.observer is None
    assert _end_run._Main.on_term == "what Ansible does"


def test_the_timer_is_set_for_the_first_lease_that_ends(main):
    main.kept = [KEPT, KEPT._replace(until=NOW + 9), KEPT._replace(until=NOW + 5, aborts=False)]
    look()
    assert main.timer == 9


def test_without_a_lease_to_look_after_no_timer_is_set(main):
    main.kept = [KEPT._replace(state=ENDED), KEPT._replace(state=LOST, aborts=False)]
    look()
    assert main.timer is None


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (KEPT._replace(state=LOST, reason="taken by bob"), "taken by bob"),
        (KEPT._replace(until=NOW), "it was not renewed in time, and the process that keeps it is silent"),
    ],
)
def test_a_run_that_has_lost_a_lease_is_interrupted_and_says_why(main, kept, why):
    main.kept = [kept]
    with pytest.raises(KeyboardInterrupt):
        look()
    (told,) = main.told
    assert f"the lease {NAME} is lost: {why}. This run ends" in told
    assert "let what they change refuse the term 7" in told
    assert main.timer > _end_run.TO_END


def test_a_run_that_does_not_end_is_ended(main, monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    main.kept = [KEPT._replace(state=LOST)]
    with pytest.raises(KeyboardInterrupt):
        look()
    look()  # a keeper asks once more
    assert ended == []
    main.now += _end_run.TO_END
    look()
    assert ended == [_end_run.ABORTED]


def test_a_worker_has_its_own_alarms():
    """Ansible refuses a task with a timeout where there is a handler already."""
    before = signal.getsignal(signal.SIGALRM)
    try:
        for handler, left in ((_end_run._look, signal.SIG_DFL), (signal.SIG_IGN, signal.SIG_IGN)):
            signal.signal(signal.SIGALRM, handler)
            _end_run._forget()
            assert signal.getsignal(signal.SIGALRM) == left
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_worker_that_gets_the_signal_does_nothing(main, monkeypatch):
    monkeypatch.setattr(_processes, "MAIN", processes.Process(1, "1"))
    main.kept = [KEPT._replace(state=LOST)]
    look()
    assert main.told == []


# -- The end of a run


def at_the_end(main, observer, **last):
    _end_run._Main.observer = observer
    main.last = KEPT._replace(state=ENDED, reason="asked to end", **last)
    _end_run._at_the_end(os.getpid())


def test_the_lease_is_given_back_and_people_are_told(main, observer):
    main.kept = [KEPT, KEPT._replace(state=ENDED), KEPT._replace(state=LOST)]
    at_the_end(main, observer, given_back=True)
    assert main.asked == ["announced", True]
    assert f"The lease {NAME} was given back at the end of the run" in "".join(main.told)


def test_in_doubt_it_is_left_to_expire_and_people_are_told_why(main, observer):
    main.kept = [KEPT]
    observer.v2_runner_on_unreachable(public("web-1", task("deploy")))
    at_the_end(main, observer)
    assert main.asked == ["announced", False]
    said = "".join(main.told)
    assert f"The lease {NAME} was not given back, and expires in 30 s: a task may still be at work on web-1" in said


def test_a_run_that_is_terminated_ends_in_order_and_then_as_ansible_wants(main, observer):
    main.kept = [KEPT]
    _end_run._Main.observer = observer
    main.last = KEPT._replace(state=ENDED, given_back=True)
    _end_run._Main.on_term = "what Ansible does"
    _end_run._terminate(signal.SIGTERM, None)
    assert main.asked == ["announced", True, signal.SIGTERM]
    assert main.handlers[signal.SIGTERM] == "what Ansible does"
    assert "was given back" in main.told[0]


def test_where_it_cannot_be_given_back_people_are_told_why(main, observer):
    main.kept = [KEPT]
    at_the_end(main, observer)
    assert main.asked == ["announced", True]
    assert "was not given back, and expires in 30 s: asked to end" in "".join(main.told)


def test_a_lease_whose_release_has_failed_is_named_until_it_is_over(main, observer):
    ended = KEPT._replace(state=ENDED)
    main.kept = [ended, ended._replace(given_back=True), ended._replace(deadline=NOW), KEPT._replace(state=LOST)]
    at_the_end(main, observer)
    assert main.told == [f"The lease {NAME} was not given back, and expires in 30 s: its release has failed"]
    assert main.asked == []


def test_a_run_that_was_aborted_and_a_worker_say_nothing_more(main, observer):
    main.kept = [KEPT]
    _end_run._at_the_end(1)
    _end_run._Main.ending_since = NOW
    at_the_end(main, observer)
    assert main.asked == []


# -- What is left of a run

WORK = "import os, signal, time\n%sos.write(1, b'!')\ntime.sleep(600)"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


@pytest.mark.parametrize(("how", "number"), [("", signal.SIGTERM), (STUBBORN, signal.SIGKILL)])
def test_processes_are_asked_to_end_and_then_killed(monkeypatch, tmp_path, how, number):
    monkeypatch.setattr(_processes, "MAIN", processes.this())
    monkeypatch.setattr(_kept, "every", list)
    monkeypatch.setattr(_kept, "mark", lambda: str(tmp_path / "run"))
    monkeypatch.setattr(_end_run, "TO_END", 0.1 if how else 60.0)  # however busy the machine is
    with subprocess.Popen([sys.executable, "-S", "-c", WORK % how], stdout=subprocess.PIPE) as process:
        process.stdout.read(1)
        only = {one for one in _processes.of_run(str(tmp_path), ()) if one.pid == process.pid}
        monkeypatch.setattr(_end_run, "_others", lambda: {one for one in only if one.is_alive()})
        _end_run.end_what_is_left(_run.now(), _run.now() + 120)
        assert process.wait() == -number
