# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import types

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute import kept_command
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.kept_command import KeptCommand
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.line import Line, SharedTime
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.options import (
    STOP_GRACE,
    UNAVAILABLE,
    parse,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.heartbeat import Ended, Stop
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Record
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Absent, Held, Refused, Seen, Unknown

UTC = 1795409376.0
RECORD = Record("web-1", "5f2f2b0f", 7, 1, "n", 30.0, UTC, UTC, UTC, {})


class Command:
    """A command whose end the test decides."""

    pid, mark, status = 4711, "mark", None

    def __init__(self):
        self.values, self.is_at_work, self.ends = None, True, None

    def let_go(self, values):
        self.values = values

    def reap(self):
        self.status = self.ends

    def left(self):
        return set()


@pytest.fixture
def command():
    return Command()


@pytest.fixture
def ends():
    """Both ends of the line: the runner's, and the keeper's."""
    lines = [Line(end) for end in socket.socketpair()]
    yield lines
    for line in lines:
        line.close()


@pytest.fixture
def runner(ends):
    return ends[0]


@pytest.fixture
def kept(command, ends):
    """What is put to the test. It waits for nothing."""
    signals = types.SimpleNamespace(wait=lambda seconds, other: None, take=list)
    order = parse(["--key", "a", "--holder", "web-1", "--", "true"])
    return KeptCommand(order, command, ends[1], SharedTime(), signals)


def held(left=30.0):
    now = Clock().now()
    return Held(Seen(RECORD, "e1", UTC, UTC), now + left, now)


def confirm(kept, left=30.0):
    one = held(left)
    kept.confirmed(one, one.lapses_at - STOP_GRACE)
    return one


def test_the_command_runs_when_the_runner_wants_it_under_a_lease_that_lasts(kept, command, runner):
    runner.tell(run=True)
    kept.listen()
    assert command.values is None  # there is no lease yet
    one = confirm(kept)
    assert runner.read() == [{"held": True}]
    runner.tell(run=True)
    kept.listen()
    assert command.values == dict(
        S3_LEADER_TERM="7", S3_LEADER_HOLDER="web-1", S3_LEADER_DEADLINE=f"{one.lapses_at:.3f}"
    )
    assert kept.serving()


def test_a_command_is_not_started_when_its_time_is_nearly_over(kept, command, runner):
    confirm(kept, left=9.0)  # of which the last 10 s are for its end
    runner.tell(run=True)
    kept.listen()
    assert command.values is None


def test_a_renewal_moves_the_deadline_and_is_not_told_again(kept, runner):
    confirm(kept)
    runner.tell(run=True)
    kept.listen()
    one = confirm(kept, left=60.0)
    assert kept._deadline.value == one.lapses_at
    assert runner.read() == [{"held": True}]


def test_a_lease_that_nobody_works_under_is_given_back_at_its_first_renewal(kept, runner):
    confirm(kept)
    with pytest.raises(Ended):
        confirm(kept)
    kept.demote("the command was not started")
    assert not kept.serving()
    assert runner.read()[-1] == {"failed": "the command was not started", "code": UNAVAILABLE}


def test_the_end_of_the_command_is_the_end_and_what_it_left_is_waited_for(kept, command, runner, monkeypatch):
    confirm(kept)
    runner.tell(run=True)
    kept.listen()
    command.ends = 7
    kept.listen()
    assert runner.read()[1:] == [{"status": 7}]
    monkeypatch.setattr(kept_command, "REACTION", 0)
    kept.listen()
    kept.listen()
    assert runner.read() == [{"background": True}]
    command.is_at_work = False
    with pytest.raises(Stop):
        kept.wait(60)
    assert runner.read() == [{"over": True}]
    assert not kept.serving()
    kept.demote("asked to stop")
    kept.released("")
    assert runner.read() == [{"left": ""}]


def test_why_it_was_not_given_back_is_told(kept, command, runner):
    kept.trouble("the store does not answer")
    command.ends, command.is_at_work = 0, False
    with pytest.raises(Stop):
        kept.listen()
    kept.trouble("the lease was not given back")
    assert runner.read()[-1] == {"left": "the lease was not given back"}


def test_a_loss_is_told_with_the_trouble_that_led_to_it(kept, runner):
    confirm(kept)
    runner.tell(run=True)
    kept.listen()
    kept.trouble("no answer within 5 s")
    kept.demote("the lease could not be renewed in time")
    assert runner.read()[-1] == {"lost": "the lease could not be renewed in time (no answer within 5 s)"}
    assert kept.serving()


def test_a_runner_that_has_died_or_cancels_ends_it(kept, runner):
    runner.tell(cancel=True)
    with pytest.raises(Stop):
        kept.listen()
    kept.demote("asked to stop")
    assert runner.read() == []
    runner.close()
    with pytest.raises(Stop):
        kept.wait(60)


def test_what_is_left_is_ended_by_who_is_left(kept, command, runner, monkeypatch):
    ends = []
    monkeypatch.setattr(kept_command.processes, "end", lambda *arguments: ends.append(arguments[1:3]))
    one = confirm(kept)
    kept.bury()
    assert ends == []  # the runner lives
    runner.tell(run=True)
    kept.listen()
    runner.close()
    kept.await_end()
    (killed_at, deadline), now = ends[0], Clock().now()
    assert now < killed_at <= min(now + 10, one.lapses_at - 0.5)
    assert deadline == one.lapses_at


def test_a_runner_that_is_stopped_is_not_waited_for(kept, command, runner, monkeypatch):
    ends = []
    monkeypatch.setattr(kept_command.processes, "end", lambda *arguments: ends.append(arguments[1:3]))
    one = confirm(kept, left=10.5)
    runner.tell(run=True)
    kept.listen()
    kept._deadline.value = Clock().now() + 0.2
    kept.await_end()
    assert len(ends) == 1
    assert ends[0][0] <= Clock().now()
    assert one.lapses_at > Clock().now()


def test_trouble_with_the_store_is_what_is_waited_for(kept, runner):
    kept._report(Unknown("no answer within 5 s"))
    kept._report(Refused("403 AccessDenied", "Check the credentials"))
    kept._report(Unknown("412", precondition_failed=True))
    kept._report(Seen(RECORD, "e1", UTC, UTC + 10))
    kept._report(Absent(UTC))
    trouble, refused, standing = runner.read()
    assert trouble == {"waits": "waits, and asks again and again: no answer within 5 s", "trouble": True}
    assert refused["waits"].endswith("403 AccessDenied. Check the credentials")
    held = "held by web-1 (term 7) since 2026-11-23T04:49:36Z, renewed 10 s ago, free in at most 22 s"
    assert standing == {"waits": f"waits (free in 22 s unless it is renewed): {held}"}
