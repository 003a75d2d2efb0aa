# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import json
import os

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import fence, guard, runtime, units
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.guard import Guard
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.units import Unit
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import REACTION
from support.fenced import GRACE, configure, ends_after, events, mark, never_ends


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
    watching = Guard(host)
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
    Guard(host).look_around()
    assert len(host.stops) == 1


def test_what_waits_to_start_finds_no_mark_then(host):
    unmark()
    host.states["app.service"] = lambda asked: "inactive-7"
    Guard(host).look_around()
    assert host.stops == []


def test_what_a_unit_has_left_behind_is_killed(host, monkeypatch):
    unmark()
    monkeypatch.setattr(Unit, "processes", lambda unit: [99])
    Guard(host).look_around()
    assert [name for _when, name in host.killed] == ["app.service", "s3leader-db.slice"]


@pytest.mark.parametrize("serving", ["inactive-3", "activating", "activating-3"])
def test_services_that_wait_for_the_mark_are_left_alone(host, serving):
    unmark()
    host.states["app.service"] = lambda asked: "activating"
    host.states["s3-leader-serving@db.service"] = lambda asked: serving
    Guard(host).look_around()
    assert host.stops == []


def test_a_mark_that_comes_meanwhile_counts(host, monkeypatch):
    unmark()
    host.states["app.service"] = never_ends
    monkeypatch.setattr(fence, "begins", lambda name: os.makedirs(mark()) or False)
    Guard(host).look_around()
    assert host.stops == []


def test_a_host_that_leads_is_left_alone(host, children):
    host.states["app.service"] = never_ends
    Guard(host).look_around()
    assert (host.stops, children) == ([], [])


def test_what_nobody_ends_is_ended(host, children):
    os.unlink(mark("started"))
    watching = Guard(host)
    watching.look_around()
    watching.look_around()
    [(command, child)] = children
    assert command[1:] == ["fence", "--abandoned", "db"]
    child.ended = True
    watching.look_around()
    assert len(children) == 2


def test_so_is_what_a_dead_daemon_left(host, children):
    os.unlink(runtime.path_of("db", "leader"))
    Guard(host).look_around()
    assert len(children) == 1


def test_so_is_what_a_dead_daemon_left_whose_file_a_systemd_that_hangs_has_not_removed(host, children):
    host.answers = False
    host.daemon_left = 1000.0
    Guard(host).look_around()
    assert [command[-1] for command, _child in children] == ["db"]


def test_where_systemd_hangs_a_leader_is_left_alone(host, children):
    host.answers = False
    Guard(host).look_around()
    assert children == []


@pytest.mark.parametrize("answers", [True, False])
def test_a_leader_whose_control_group_is_not_found_is_left_alone(host, children, monkeypatch, answers):
    host.answers = answers
    host.sees_groups = False
    monkeypatch.setattr(units, "busy", lambda names: set())
    Guard(host).look_around()
    assert children == []


def test_what_the_fence_ends_is_left_to_it(host, children):
    os.unlink(mark("started"))
    with open(mark("lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Guard(host).look_around()
    assert children == []


def test_a_mark_that_is_being_made_is_left_alone(host, children):
    os.unlink(mark("started"))
    host.states["s3-leader-serving@db.service"] = lambda asked: "activating"
    Guard(host).look_around()
    assert children == []


def publish(until):
    """Write the daemon's status."""
    runtime.write(runtime.path_of("db", "status.json"), json.dumps({"role": "leader", "until": until}))


def die(host):
    """Have the daemon killed; systemd removes its files."""
    host.daemon_left = host.time
    for file in os.listdir(runtime.path_of("db")):
        os.unlink(runtime.path_of("db", file))


def rounds(watching, host, until):
    """Let the guard look around, by its own pauses, until that time."""
    while host.time < until:
        host.time += watching.look_around()


@pytest.fixture
def sluggish(host, monkeypatch):
    """A host on which a fence is at work, but gets nothing done."""
    host.states["app.service"] = never_ends
    monkeypatch.setattr(guard, "_is_abandoned", lambda name: False)
    return host


def test_what_runs_when_the_time_to_stop_is_over_is_killed_however_late_the_fence_begins(sluggish, journal):
    watching = Guard(sluggish)
    publish(1010.0)
    rounds(watching, sluggish, 1004)
    publish(1014.0)
    rounds(watching, sluggish, 1005)
    die(sluggish)
    rounds(watching, sluggish, 1040)
    at, name = sluggish.killed[0]
    assert name == "s3-leader-serving@db.service"
    assert at == pytest.approx(1014 + GRACE - REACTION)
    assert "app.service" in [name for when, name in sluggish.killed if when == at]
    assert not os.path.exists(mark("started"))
    assert {entry["S3_LEADER_EVENT"] for entry in journal()} == {"killed"}


def test_so_is_it_where_the_daemon_begins_again(sluggish):
    watching = Guard(sluggish)
    publish(1010.0)
    rounds(watching, sluggish, 1009)
    die(sluggish)
    watching.look_around()
    sluggish.daemon_left = 0.0
    publish(None)
    rounds(watching, sluggish, 1030)
    assert sluggish.killed[0][0] == pytest.approx(1010 + GRACE - REACTION)


def test_so_is_it_where_systemd_hangs(sluggish):
    sluggish.answers = False
    watching = Guard(sluggish)
    publish(1010.0)
    rounds(watching, sluggish, 1005)
    sluggish.daemon_left = 1005.0  # its files stay
    rounds(watching, sluggish, 1030)
    assert sluggish.killed[0][0] == pytest.approx(1010 + GRACE - REACTION)


def test_the_shorter_grace_with_which_it_leads_counts(sluggish):
    with open(mark("leader"), "w") as file:
        file.write('S3_LEADER_STOP_GRACE="5"\n')
    watching = Guard(sluggish)
    publish(1010.0)
    rounds(watching, sluggish, 1009)
    die(sluggish)
    rounds(watching, sluggish, 1030)
    assert sluggish.killed[0][0] == pytest.approx(1010 + 5 - REACTION)


@pytest.mark.parametrize("run", ["as usual", "read-only", "taken away"])
def test_a_daemon_that_lives_is_left_alone_however_long_its_services_take(sluggish, run):
    watching = Guard(sluggish)
    os.unlink(mark("started"))  # a fence waits for them
    publish(1010.0)
    for _turn in range(100):
        rounds(watching, sluggish, sluggish.time + 1)
        if run == "as usual":
            publish(sluggish.time + 10)
        elif run == "taken away":
            runtime.remove(runtime.path_of("db", "status.json"))
    assert sluggish.killed == []


def test_the_time_of_an_earlier_term_does_not_count(sluggish):
    watching = Guard(sluggish)
    publish(1010.0)
    watching.look_around()
    die(sluggish)
    unmark()
    watching.look_around()
    os.makedirs(mark())
    rounds(watching, sluggish, 1050)
    assert sluggish.killed == []


def test_what_cannot_be_killed_is_told_once(sluggish, monkeypatch, journal):
    monkeypatch.setattr(units, "kill", lambda unit: {99: "process 99 (dd, state D)"} if "app" in unit.name else {})
    watching = Guard(sluggish)
    publish(1010.0)
    watching.look_around()
    die(sluggish)
    rounds(watching, sluggish, 1030)
    [entry] = journal()
    assert entry["MESSAGE"] == "db: killed process 99 (dd, state D) of app.service: the time to stop is over"


def test_who_keeps_a_file_system_is_killed_then_too(sluggish, tmp_path):
    configure(tmp_path, "app.service", "srv-db.mount")
    looked, look = [], units.look
    units.look = lambda names, *patience: looked.append(names) or look(names, *patience)
    watching = Guard(sluggish)
    publish(1010.0)
    watching.look_around()
    die(sluggish)
    rounds(watching, sluggish, 1010 + GRACE)
    assert looked[-1] == ["srv-db.mount"]


def test_a_guard_goes_by_the_last_configuration_that_can_be_used(host, tmp_path, journal):
    unmark()
    watching = Guard(host)
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
    Guard(host).look_around()
    assert "nothing ends them" in journal()[0]["MESSAGE"]


def test_a_lease_that_cannot_be_looked_after_is_told_once(host, tmp_path, journal):
    (tmp_path / "etc" / "db.json").write_text("{")
    watching = Guard(host)
    watching.look_around()
    watching.look_around()
    assert len(journal()) == 1
