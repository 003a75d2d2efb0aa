# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import fence, guard, runtime, units
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.guard import Guard
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.units import Unit
from support.fenced import ends_after, events, mark, never_ends


class Child:
    ended = False

    def poll(self):
        return 0 if self.ended else None


@pytest.fixture
def children(monkeypatch):
    """What the guard starts."""
    started = []

    def start(command):
        started.append((command, Child()))
        return started[-1][1]

    monkeypatch.setattr(guard.subprocess, "Popen", start)
    return started


def unmark():
    for file in os.listdir(mark()):
        os.unlink(mark(file))
    os.rmdir(mark())


def test_what_runs_without_a_mark_is_stopped_and_told_once(host, journal):
    unmark()
    host.states["app.service"] = ends_after(5)
    watching = Guard()
    watching.look_around()
    host.time += 1
    watching.look_around()
    assert [names for _when, names in host.stops] == [["app.service"]] * 2
    [entry] = journal()
    assert (entry["S3_LEADER_EVENT"], entry["PRIORITY"]) == ("stray", "2")
    assert entry["MESSAGE"].startswith("db: app.service ran here without the lease")
    host.time += 5
    watching.look_around()
    host.states["app.service"] = never_ends
    watching.look_around()
    assert events(journal()) == ["stray"]


@pytest.mark.parametrize("state", ["activating", "reloading"])
def test_so_is_what_starts(host, state):
    unmark()
    host.states["app.service"] = lambda asked: state
    Guard().look_around()
    assert len(host.stops) == 1


def test_what_waits_to_start_finds_no_mark_then(host):
    unmark()
    host.states["app.service"] = lambda asked: "inactive-7"
    Guard().look_around()
    assert host.stops == []


def test_what_a_unit_has_left_behind_is_killed(host, monkeypatch):
    unmark()
    monkeypatch.setattr(Unit, "processes", lambda unit: [99])
    Guard().look_around()
    assert [name for _when, name in host.killed] == ["app.service", "s3leader-db.slice"]


@pytest.mark.parametrize("serving", ["inactive-3", "activating", "activating-3"])
def test_services_that_wait_for_the_mark_are_left_alone(host, serving):
    unmark()
    host.states["app.service"] = lambda asked: "activating"
    host.states["s3-leader-serving@db.service"] = lambda asked: serving
    Guard().look_around()
    assert host.stops == []


def test_a_mark_that_comes_meanwhile_counts(host, monkeypatch):
    unmark()
    host.states["app.service"] = never_ends
    monkeypatch.setattr(fence, "begins", lambda name: os.makedirs(mark()) or False)
    Guard().look_around()
    assert host.stops == []


def test_a_host_that_leads_is_left_alone(host, children):
    host.states["app.service"] = never_ends
    Guard().look_around()
    assert (host.stops, children) == ([], [])


def test_what_nobody_ends_is_ended(host, children):
    os.unlink(mark("started"))
    watching = Guard()
    watching.look_around()
    watching.look_around()
    [(command, child)] = children
    assert command[1:] == ["fence", "--abandoned", "db"]
    child.ended = True
    watching.look_around()
    assert len(children) == 2


def test_so_is_what_a_dead_daemon_left(host, children):
    os.unlink(runtime.path_of("db", "leader"))
    Guard().look_around()
    assert len(children) == 1


def test_so_is_what_a_dead_daemon_left_whose_file_a_systemd_that_hangs_has_not_removed(host, children):
    host.answers = False
    host.daemon_left = 1000.0
    Guard().look_around()
    assert [command[-1] for command, _child in children] == ["db"]


def test_where_systemd_hangs_a_leader_is_left_alone(host, children):
    host.answers = False
    Guard().look_around()
    assert children == []


@pytest.mark.parametrize("answers", [True, False])
def test_a_leader_whose_control_group_is_not_found_is_left_alone(host, children, monkeypatch, answers):
    host.answers = answers
    host.sees_groups = False
    monkeypatch.setattr(units, "busy", lambda names: set())
    Guard().look_around()
    assert children == []


def test_what_the_fence_ends_is_left_to_it(host, children):
    os.unlink(mark("started"))
    with open(mark("lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Guard().look_around()
    assert children == []


def test_a_mark_that_is_being_made_is_left_alone(host, children):
    os.unlink(mark("started"))
    host.states["s3-leader-serving@db.service"] = lambda asked: "activating"
    Guard().look_around()
    assert children == []


def test_a_guard_goes_by_the_last_configuration_that_can_be_used(host, tmp_path, journal):
    unmark()
    watching = Guard()
    watching.look_around()
    (tmp_path / "etc" / "db.json").write_text("{")
    host.states["app.service"] = never_ends
    watching.look_around()
    assert len(host.stops) == 1
    assert events(journal()) == ["stray"]


def test_a_guard_that_cannot_start_a_process_guards_on(host, monkeypatch, journal):
    def refused(command):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(guard.subprocess, "Popen", refused)
    os.unlink(mark("started"))
    Guard().look_around()
    assert "nothing ends them" in journal()[0]["MESSAGE"]


def test_a_lease_that_cannot_be_looked_after_is_told_once(host, tmp_path, journal):
    (tmp_path / "etc" / "db.json").write_text("{")
    watching = Guard()
    watching.look_around()
    watching.look_around()
    assert len(journal()) == 1


def test_it_keeps_deadlines_besides_and_ends_with_what_is_unforeseen_there(host, monkeypatch, tmp_path):
    class Deadlines:
        def __init__(self, clock):
            pass

        def look(self):
            (tmp_path / "looked").touch()
            raise SystemExit(1)

    monkeypatch.setattr(guard, "Deadlines", Deadlines)
    monkeypatch.setattr(guard, "INTERVAL", 0.01)
    guard.guard()
    assert (tmp_path / "looked").exists()
