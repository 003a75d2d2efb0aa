# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import signal
import socket

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute import run as runners, signals
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.command import Around
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.keeper import Keeper
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.line import Line, SharedTime
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.options import (
    CONFLICT,
    LOST,
    UNAVAILABLE,
    USAGE,
    parse,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.processes import Process

COMMAND = dict(command=4711, mark="mark", alone=True)


class Command:
    """In the place of the command: what is passed on to it, and what ends it, is noted."""

    def __init__(self, pid, mark, group, around):
        self.known = (pid, mark, group, around)
        self.passed = []

    def pass_on(self, numbers):
        self.passed += numbers

    def reap(self):
        pass

    def left(self):
        return set()


class Signals(signals.Signals):
    """Those that the test lets come, one wait after the other. What each wait does is the test's, too."""

    def __init__(self):
        self.coming, self.meanwhile = [], []

    def wait(self, seconds, other=()):
        if self.meanwhile:
            self.meanwhile.pop(0)()

    def take(self):
        return self.coming.pop(0) if self.coming else []


@pytest.fixture
def ended(monkeypatch):
    """When processes were to be killed, and by when that was to be over; nothing is sent, and nobody writes a log."""
    ends = []
    monkeypatch.setattr(
        runners.processes, "end", lambda look, killed_at, deadline, clock: ends.append((killed_at, deadline))
    )
    monkeypatch.setattr(runners.syslog, "syslog", lambda *_args: None)
    monkeypatch.setattr(runners, "Command", Command)
    return ends


@pytest.fixture
def line():
    """The keeper's end."""
    ours, theirs = socket.socketpair()
    yield Line(ours), theirs
    for end in (ours, theirs):
        end.close()


@pytest.fixture
def make(line, ended, capfd):
    """Makes a runner of a keeper that the test speaks for; with the deadline that both share."""

    def runner(*options, left=0.0):
        deadline = SharedTime()
        deadline.value = Clock().now() + left if left else 0.0
        keeper = Keeper(Process(2**22, "none"), line[0], deadline, Around((), ()))
        signals = Signals()
        order = parse(["--key", "a", *options, "--", "true"])
        return runners._Runner(order, keeper, signals, runners.Screen()), signals, deadline

    return runner


@pytest.fixture
def says(line):
    """The keeper says so; without words, it ends."""
    keeper = Line(line[1])

    def say(**message):
        keeper.tell(**message) if message else keeper.close()

    say.heard = keeper.read
    return say


def over(runner):
    with pytest.raises(runners._Over) as error:
        runner.run()
    return error.value.status


def test_the_command_runs_when_the_lease_is_held_and_its_status_is_the_runners(make, says, capfd):
    runner, signals, _deadline = make(left=30)
    says(**COMMAND)
    says(held=True)
    signals.meanwhile = [lambda: None, lambda: (says(status=7), says(over=True)), lambda: (says(left=""), says())]
    assert runner.run() == 7
    assert capfd.readouterr().err == ""


def test_signals_are_passed_on_while_it_runs(make, says):
    runner, signals, _deadline = make(left=30)
    says(**COMMAND)
    says(held=True)
    signals.coming = [[], [signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1]]
    signals.meanwhile = [lambda: None, lambda: None, lambda: says(status=0), lambda: says(over=True), says]
    assert runner.run() == 0
    assert runner._command.passed == [signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_the_wait_and_the_keeper_is_heard_to_its_end(make, says, number, capfd):
    runner, signals, _deadline = make()
    signals.coming = [[number]]
    signals.meanwhile = [lambda: None, lambda: (says(left="the store does not answer"), says())]
    assert over(runner) == 128 + number
    assert "was not given back, and expires by itself: the store does not answer" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGCHLD, signal.SIGUSR1, signal.SIGCONT])
def test_other_signals_do_not(make, says, number):
    runner, signals, _deadline = make()
    signals.coming = [[number]]
    signals.meanwhile = [lambda: None, lambda: says(conflict="held by web-2")]
    assert over(runner) == CONFLICT


def test_a_conflict_is_the_status_that_is_wanted_and_says_nothing(make, says, capfd):
    runner, _signals, _deadline = make("-E", "3")
    says(conflict="held by web-2")
    assert over(runner) == 3
    assert capfd.readouterr().err == ""


def test_what_failed_is_said(make, says, capfd):
    runner, _signals, _deadline = make()
    says(failed="403", code=USAGE)
    assert over(runner) == USAGE
    assert capfd.readouterr().err == "s3-leader: the lease s3://leader-election/a: 403\n"


def test_a_keeper_that_dies_before_the_command_runs_is_told_of(make, says, capfd):
    runner, _signals, _deadline = make()
    says()
    assert over(runner) == UNAVAILABLE
    assert runners.DEAD in capfd.readouterr().err


def test_a_command_that_dies_before_it_runs_is_told_of(make, says, capfd):
    runner, _signals, _deadline = make()
    says(**COMMAND)
    says(status=137)
    says(over=True)
    assert over(runner) == UNAVAILABLE
    assert "the process that was to become the command has ended" in capfd.readouterr().err


def test_trouble_that_lasts_is_said_once(make, says, capfd, monkeypatch):
    runner, signals, _deadline = make()
    monkeypatch.setattr(runner._order.endpoint.__class__, "patience", 0)
    for _again in range(3):
        says(waits="no answer", trouble=True)
    signals.meanwhile = [lambda: None, lambda: says(conflict="held")]
    over(runner)
    assert capfd.readouterr().err == "s3-leader: the lease s3://leader-election/a: no answer\n"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (lambda says: says(lost="held by web-2"), "held by web-2"),
        (lambda says: says(), runners.DEAD),
    ],
)
def test_a_command_whose_lease_is_lost_is_ended_at_once(make, says, ended, capfd, how, why):
    runner, signals, deadline = make(left=30)
    says(**COMMAND)
    says(held=True)
    signals.meanwhile = [lambda: None, lambda: how(says)]
    before = Clock().now()
    assert runner.run() == LOST
    ((killed_at, until),) = ended
    assert before + 10 <= killed_at <= Clock().now() + 10
    assert until == deadline.value
    assert (
        capfd.readouterr().err == f"s3-leader: the lease s3://leader-election/a is lost: {why}. The command was ended\n"
    )


def test_a_keeper_that_is_silent_is_not_waited_for(make, says, ended, capfd):
    runner, _signals, deadline = make(left=10)  # of which the command has 10 s to end
    says(**COMMAND)
    says(held=True)
    assert runner.run() == LOST
    assert ended[0][0] == pytest.approx(deadline.value - 0.5)
    assert runners.SILENT in capfd.readouterr().err


def test_the_newest_deadline_counts_though_nothing_was_said(make, says, ended):
    runner, signals, deadline = make(left=10.2)
    says(**COMMAND)
    says(held=True)

    def renewed():
        deadline.value = Clock().now() + 30

    signals.meanwhile = [lambda: None, renewed, lambda: None, lambda: says(over=True), says]
    assert runner.run() == UNAVAILABLE  # it was not told how the command ended
    assert ended == []


def test_processes_that_cannot_be_ended_are_told_of(make, says, capfd, monkeypatch):
    runner, signals, _deadline = make(left=30)
    says(**COMMAND)
    says(held=True)
    signals.meanwhile = [lambda: None, lambda: says(lost="taken")]
    monkeypatch.setattr(runners.processes, "alive", lambda left: {"one"})
    assert runner.run() == LOST
    assert "Processes of the command cannot be ended, and go on" in capfd.readouterr().err


def test_background_work_is_told_of(make, says, capfd):
    runner, signals, _deadline = make(left=30)
    says(**COMMAND)
    says(held=True)
    ends = [dict(status=0), dict(background=True), dict(over=True), dict(left="")]
    signals.meanwhile = [lambda: None, lambda: [says(**message) for message in ends], says]
    assert runner.run() == 0
    assert "The lease is kept for what it has left in the background" in capfd.readouterr().err


def test_where_no_process_can_be_started_that_is_said(monkeypatch, capfd):
    def no_process(order, signals):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(runners.Keeper, "forked", no_process)
    monkeypatch.setattr(runners, "Signals", lambda: None)
    assert runners.run(parse(["--key", "a", "--", "true"])) == 126
    assert "no process can be started to keep the lease" in capfd.readouterr().err
