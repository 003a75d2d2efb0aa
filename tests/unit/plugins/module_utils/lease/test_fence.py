# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import json
import os
import time

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import config, fence, local, systemd
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import REACTION, BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.units import Unit
from support.listener import Listener

DAEMON = "s3-leader@db.service"
GRACE = 12


class Systemd:
    """Units whose life is told by a function of the seconds since they were first asked to stop."""

    def __init__(self, monkeypatch):
        self.time = 1000.0
        self.states = {}
        self.asked = {}
        self.stops = []
        self.killed = []
        self.daemon_left = 0.0
        self.asked_to_end = []
        self.answers = True
        self.meanwhile = {}
        monkeypatch.setattr(fence, "Clock", lambda: self)
        monkeypatch.setattr(fence.units, "look", self.look)
        monkeypatch.setattr(fence.units, "stop", self.stop)
        self.sees_groups = True
        monkeypatch.setattr(fence.units, "busy", lambda names: set() if self.daemon_left else set(names))
        monkeypatch.setattr(fence.units, "sees_groups", lambda: self.sees_groups)
        monkeypatch.setattr(fence.units, "kill", self.kill)
        monkeypatch.setattr(fence.units, "terminate", lambda unit: self.asked_to_end.append(unit.name) or [99])
        monkeypatch.setattr(fence.units, "guess", lambda names: [self._unit(name, "unknown") for name in names])
        monkeypatch.setattr(time, "monotonic", lambda: self.time)

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds
        for when in [when for when in self.meanwhile if when <= self.time]:
            self.meanwhile.pop(when)()

    def look(self, names, patience=0.0):
        if not self.answers:
            self.time += patience
            return None
        found = [self._unit(name) for name in names if "*" not in name]
        return found + [self._unit(name) for name in self.states if "@1." in name and "app@*.service" in names]

    def stop(self, names, patience=0.0):
        if not self.answers:
            self.time += patience
            return
        self.stops.append((self.time, list(names)))
        for name in names:
            self.asked.setdefault(name, self.time)

    def kill(self, unit):
        self.killed.append((self.time, unit.name))
        self.states[unit.name] = lambda asked: "inactive"
        return [len(self.killed)]

    def _unit(self, name, state=""):
        if name == DAEMON:
            return Unit(name, "failed" if self.daemon_left else "active", "", "", "", "", "", self.daemon_left)
        asked = self.asked.get(name)
        state = state or self.states.get(name, lambda asked: "inactive")(asked and self.time - asked)
        active, _dash, job = state.partition("-")
        return Unit(name, active, "sub", job, "", "", "", 0.0)


@pytest.fixture
def host(monkeypatch, tmp_path):
    """A host with the lease db, which leads."""
    monkeypatch.setattr(local, "FOLDER", str(tmp_path / "run"))
    monkeypatch.setattr(config, "FOLDER", str(tmp_path / "etc"))
    (tmp_path / "etc").mkdir()
    (tmp_path / "run" / "db").mkdir(parents=True)
    (tmp_path / "run" / "db" / "leader").touch()
    configure(tmp_path)
    os.makedirs(mark())
    for file in ("lock", "started"):
        open(mark(file), "w").close()
    return Systemd(monkeypatch)


@pytest.fixture
def journal(monkeypatch):
    """What stands in the journal since it was last looked at."""
    with Listener() as listener:
        monkeypatch.setattr(systemd, "JOURNAL", listener.address)
        yield listener.messages


def configure(folder, *services, **options):
    given = {"key": "jobs/db", "stop_grace": GRACE, "services": list(services or ("app.service",)), **options}
    (folder / "etc" / "db.json").write_text(json.dumps(given))


def mark(file=""):
    return local.serving_path_of("db", file)


def ends_after(seconds):
    """It runs, and ends so long after it was asked to."""
    return lambda asked: "active" if asked is None else "deactivating" if asked < seconds else "inactive"


def looks_take(host, seconds):
    """Let systemctl take so long. Return when it was asked, as it goes on."""
    looked, look = [], host.look

    def slow(names, patience):
        looked.append(host.time)
        host.time += seconds
        return look(names)

    fence.units.look = slow
    return looked


def never_ends(asked):
    return "active"


def events(entries):
    return [entry["S3_LEADER_EVENT"] for entry in entries]


# -- the fence


def test_the_mark_goes_when_all_services_were_seen_to_be_gone_and_not_before(host, journal):
    host.states["app.service"] = ends_after(60)
    host.meanwhile = {1059.0: lambda: seen.append((os.path.exists(mark()), os.path.exists(mark("started"))))}
    seen = []
    fence.end("db")
    assert seen == [(True, False)]
    assert 1060 <= host.time < 1061
    assert not os.path.exists(mark())
    assert host.killed == []  # the daemon renews the lease
    assert events(journal()) == ["waiting", "ended"]


def test_where_all_services_stop_at_once_nobody_is_told(host, journal):
    host.states["app.service"] = ends_after(0.5)
    fence.end("db")
    assert host.time < 1001
    assert journal() == []


def test_nothing_may_start_from_the_moment_that_the_fence_begins(host):
    def state(asked):
        assert not os.path.exists(mark("started"))
        return "inactive"

    host.states["app.service"] = state
    fence.end("db")


def test_what_runs_again_is_stopped_again(host):
    host.states["app.service"] = lambda asked: "activating" if host.time < 1007 else "inactive"
    fence.end("db")
    assert [names for _when, names in host.stops] == [["app.service"]] * 4


def test_what_waits_to_start_is_not_gone(host):
    host.states["app.service"] = lambda asked: "inactive-42" if asked is None else "inactive"
    fence.end("db")
    assert [names for _when, names in host.stops] == [["app.service"]]


def test_the_roles_own_units_have_to_be_gone_too_but_not_the_one_that_goes_on_with_the_daemon(host):
    for unit in ("serving@db.service", "acquired@db.service", "lost@db.service", "active@db.target", "active@db.path"):
        host.states["s3-leader-" + unit] = ends_after(1)
    host.states["s3-leader-active@db.path"] = lambda asked: "inactive-7"
    fence.end("db")
    assert len(host.stops[0][1]) == 4


def test_a_path_unit_that_would_start_the_services_again_is_stopped_while_the_daemon_says_that_it_leads(host):
    host.states["s3-leader-active@db.path"] = ends_after(0)
    fence.end("db")
    assert host.stops[0][1] == ["s3-leader-active@db.path"]


def test_a_path_unit_that_waits_for_the_next_term_is_left_alone(host):
    os.unlink(local.path_of("db", "leader"))
    host.states["s3-leader-active@db.path"] = never_ends
    fence.end("db")
    assert host.stops == []


def test_instances_of_a_template_have_to_be_gone(host, tmp_path):
    configure(tmp_path, "app.socket", "app@.service")
    host.states["app@1.service"] = ends_after(1)
    fence.end("db")
    assert host.stops[0][1] == ["app@1.service"]


def test_the_daemon_is_told_what_is_waited_for(host, tmp_path):
    configure(tmp_path, "app.service", "other.service")
    host.states["app.service"] = ends_after(5)
    told = []
    host.meanwhile = {1003.0: lambda: told.append(local.waiting("db"))}
    fence.end("db")
    assert told == ["waits for the end of app.service (deactivating: sub)"]
    assert local.waiting("db") == ""


@pytest.mark.parametrize("gone", [True, False])  # a hung one leaves it
@pytest.mark.parametrize("left", [998.0, 1000.0])
def test_when_the_daemon_is_dead_all_that_runs_is_killed_just_before_the_time_to_stop_is_over(
    host, journal, left, gone
):
    if gone:
        os.unlink(local.path_of("db", "leader"))
    host.daemon_left = left
    host.states["app.service"] = never_ends
    fence.end("db")
    [(when, name)] = host.killed
    assert name == "app.service"
    assert 0 <= when - (left + GRACE - REACTION) < 0.5
    assert events(journal()) == ["waiting", "killed", "ended"]


def test_a_daemon_that_dies_while_services_stop_has_them_killed_in_time_too(host):
    def dies():
        os.unlink(local.path_of("db", "leader"))
        host.daemon_left = host.time

    host.states["app.service"] = never_ends
    host.meanwhile = {1030.0: dies}
    fence.end("db")
    [(when, _name)] = host.killed
    assert 0 <= when - (1030 + GRACE - REACTION) < 1


def test_a_daemon_that_comes_back_meanwhile_changes_nothing(host):
    os.unlink(local.path_of("db", "leader"))
    host.daemon_left = 1000.0
    host.states["app.service"] = never_ends
    host.meanwhile = {1005.0: lambda: open(local.path_of("db", "leader"), "w").close()}
    fence.end("db")
    assert len(host.killed) == 1


def test_a_process_that_outlives_its_unit_is_asked_to_end_and_then_killed(host, monkeypatch, journal):
    monkeypatch.setattr(Unit, "processes", lambda unit: [] if host.killed or "app" not in unit.name else [99])
    fence.end("db")
    assert host.asked_to_end[0] == "app.service"
    [(when, _name)] = host.killed
    assert GRACE <= when - 1000 < GRACE + 1
    assert "it outlived its unit" in journal()[1]["MESSAGE"]


def test_a_process_that_outlives_its_unit_and_ends_when_it_is_asked_is_not_killed(host, monkeypatch):
    monkeypatch.setattr(Unit, "processes", lambda unit: [99] if "app" in unit.name and host.time < 1005 else [])
    fence.end("db")
    assert host.killed == []


def test_what_is_being_aborted_is_not_stopped_anew(host):
    host.states["app.service"] = ends_after(20)
    fence.end("db")
    assert len(host.stops) == 1


def test_what_cannot_be_killed_is_named_and_that_another_host_may_go_on(host, journal, monkeypatch):
    os.unlink(local.path_of("db", "leader"))
    host.daemon_left = 1000.0
    monkeypatch.setattr(fence.units, "kill", lambda unit: [99])
    host.states["app.service"] = lambda asked: "deactivating" if host.time < 1050 else "inactive"
    fence.end("db")
    critical = [entry for entry in journal() if entry["PRIORITY"] == "2"]
    assert len(critical) == 1
    assert "app.service (deactivating: sub). Another host may take the lease" in critical[0]["MESSAGE"]


def test_where_systemd_does_not_answer_nothing_counts_as_gone(host):
    host.answers = False
    host.meanwhile = {1020.0: lambda: setattr(host, "answers", True)}
    fence.end("db")
    assert host.time >= 1020
    assert not os.path.exists(mark())


def test_where_systemd_does_not_answer_all_is_killed_in_time_all_the_same(host):
    os.unlink(local.path_of("db", "leader"))
    host.answers = False
    host.meanwhile = {1040.0: lambda: setattr(host, "answers", True)}
    fence.end("db")
    assert 0 <= min(host.killed)[0] - (1000 + GRACE - REACTION) < 1
    assert "app.service" in {name for _when, name in host.killed}


def test_where_systemd_hangs_a_daemon_without_a_process_is_dead_although_its_file_is_there(host):
    host.answers = False
    host.daemon_left = 1000.0
    host.meanwhile = {1040.0: lambda: setattr(host, "answers", True)}
    fence.end("db")
    assert 0 <= min(host.killed)[0] - (1000 + GRACE - REACTION) < 1


def test_where_systemd_hangs_a_daemon_that_runs_leads_on(host):
    host.answers = False
    host.states["app.service"] = ends_after(1)
    host.meanwhile = {1040.0: lambda: setattr(host, "answers", True)}
    fence.end("db")
    assert host.killed == []


def test_a_systemd_that_is_slow_is_asked_less_often(host):
    looked = looks_take(host, 0.5)
    host.states["app.service"] = ends_after(20)
    fence.end("db")
    assert len(looked) < 10


def test_when_the_last_process_has_ended_systemd_is_asked_at_once_however_slow_it_is(host, monkeypatch):
    looked = looks_take(host, 0.5)
    host.states["app.service"] = ends_after(20)
    monkeypatch.setattr(Unit, "processes", lambda unit: [99] if "app" in unit.name and host.time < 1020.6 else [])
    fence.end("db")
    assert host.time < 1021.2
    assert len(looked) < 12


def test_what_lets_services_start_again_during_a_look_makes_that_look_count_for_nothing(host):
    looked = []
    look = host.look

    def opened(names, patience):
        looked.append(look(names))
        if len(looked) == 1:
            open(mark("started"), "w").close()
        return looked[-1]

    fence.units.look = opened
    fence.end("db")
    assert len(looked) == 2


def test_what_lets_services_start_again_meanwhile_is_taken_away_again(host):
    host.states["app.service"] = ends_after(5)
    host.meanwhile = {1004.5: lambda: open(mark("started"), "w").close()}
    looked = []
    look = host.look
    fence.units.look = lambda names, patience: looked.append(os.path.exists(mark("started"))) or look(names)
    fence.end("db")
    assert not any(looked)


def test_the_services_are_ended_by_which_the_host_began_to_lead_and_within_the_shorter_time(host, tmp_path):
    configure(tmp_path, "old.service", stop_grace=5)
    os.rename(tmp_path / "etc" / "db.json", mark("lease.json"))
    configure(tmp_path, "app.service", stop_grace=30, lease_duration=60)
    os.unlink(local.path_of("db", "leader"))
    host.daemon_left = 1000.0
    host.states = {"old.service": never_ends, "app.service": never_ends}
    fence.end("db")
    assert {name for _when, name in host.killed} == {"old.service", "app.service"}
    assert 0 <= host.killed[0][0] - (1005 - REACTION) < 0.5


@pytest.mark.parametrize(
    ("told", "grace"), [("5", 5), ("6.5", 6.5), ("0", 1), ("500", GRACE), ("-5", GRACE), ("x", GRACE)]
)
def test_the_time_to_stop_is_that_of_the_daemon_that_led_where_its_configuration_was_an_older_one(host, told, grace):
    with open(mark("leader"), "w", encoding="utf-8") as file:
        file.write('S3_LEADER_HOLDER="é"\nS3_LEADER_STOP_GRACE="%s"\n' % told)
    os.unlink(local.path_of("db", "leader"))
    host.daemon_left = 1000.0
    host.states["app.service"] = never_ends
    fence.end("db")
    assert 0 <= min(host.killed)[0] - (1000 + grace - REACTION) < 0.5


def test_a_systemd_that_stops_answering_just_then_does_not_put_the_kill_off(host):
    os.unlink(local.path_of("db", "leader"))
    host.daemon_left = 1000.0
    host.states["app.service"] = never_ends
    kill_at = 1000 + GRACE - REACTION
    host.meanwhile = {kill_at - 1.0: lambda: setattr(host, "answers", False)}
    host.meanwhile[kill_at + 20] = lambda: setattr(host, "answers", True)
    fence.end("db")
    assert 0 <= min(host.killed)[0] - kill_at < 0.5


def test_a_short_time_to_stop_is_kept_where_systemd_is_slow_and_the_daemon_dies_late(host, tmp_path):
    configure(tmp_path, stop_grace=2)
    look = host.look

    def slow(names, patience):
        host.time += min(1.0, patience)
        return look(names) if patience >= 1.0 else None

    def dies():
        os.unlink(local.path_of("db", "leader"))
        host.daemon_left = 1010.0

    fence.units.look = slow
    host.states["app.service"] = never_ends
    host.meanwhile = {1010.0: dies}
    fence.end("db")
    assert min(host.killed)[0] - host.daemon_left < 2


def test_a_configuration_that_cannot_be_read_any_more_is_made_up_for_by_the_one_at_the_start(host, tmp_path):
    os.rename(tmp_path / "etc" / "db.json", mark("lease.json"))
    (tmp_path / "etc" / "db.json").write_text("{")
    host.states["app.service"] = ends_after(1)
    fence.end("db")
    assert host.stops[0][1] == ["app.service"]


def test_a_mark_that_cannot_be_removed_is_a_failure(host, monkeypatch):
    def refused(path):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(fence.shutil, "rmtree", refused)
    with pytest.raises(OSError, match="Read-only"):
        fence.end("db")


def test_what_is_led_again_by_then_is_not_abandoned(host):
    fence.end("db", abandoned=True)
    assert os.path.exists(mark("started"))


def test_without_a_configuration_nothing_is_ended_and_the_mark_stays(host, tmp_path):
    (tmp_path / "etc" / "db.json").write_text("{")
    with pytest.raises(BadOption):
        fence.end("db")
    assert os.path.exists(mark())


def test_who_waited_for_another_one_leaves_it_at_that(host, monkeypatch):
    flock = fcntl.flock

    def after_the_other(file, operation):
        flock(file, operation)
        os.unlink(mark("lock"))  # the other one was through
        open(mark("lock"), "w").close()  # and the host leads anew

    monkeypatch.setattr(fcntl, "flock", after_the_other)
    fence.end("db")
    assert os.path.exists(mark("started"))


def test_a_mark_that_cannot_be_taken_away_keeps_no_service_from_being_stopped(host, monkeypatch, journal):
    def refused(path):
        raise PermissionError("read-only")

    remove = local.remove
    monkeypatch.setattr(local, "remove", refused)
    host.meanwhile = {1003.0: lambda: monkeypatch.setattr(local, "remove", remove)}
    host.states["app.service"] = ends_after(0.1)
    fence.end("db")
    assert len(host.stops) == 1
    assert events(journal())[0] == "error"


# -- the guard


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

    monkeypatch.setattr(fence.subprocess, "Popen", start)
    return started


def unmark():
    for file in os.listdir(mark()):
        os.unlink(mark(file))
    os.rmdir(mark())


def test_what_runs_without_a_mark_is_stopped_and_told_once(host, journal):
    unmark()
    host.states["app.service"] = ends_after(5)
    guard = fence.Guard()
    guard.look_around()
    host.time += 1
    guard.look_around()
    assert [names for _when, names in host.stops] == [["app.service"]] * 2
    [entry] = journal()
    assert (entry["S3_LEADER_EVENT"], entry["PRIORITY"]) == ("stray", "2")
    assert entry["MESSAGE"].startswith("db: app.service ran here without the lease")
    host.time += 5
    guard.look_around()
    host.states["app.service"] = never_ends
    guard.look_around()
    assert events(journal()) == ["stray"]


@pytest.mark.parametrize("state", ["activating", "reloading"])
def test_so_is_what_starts(host, state):
    unmark()
    host.states["app.service"] = lambda asked: state
    fence.Guard().look_around()
    assert len(host.stops) == 1


def test_what_waits_to_start_finds_no_mark_then(host):
    unmark()
    host.states["app.service"] = lambda asked: "inactive-7"
    fence.Guard().look_around()
    assert host.stops == []


def test_what_a_unit_has_left_behind_is_killed(host, monkeypatch):
    unmark()
    monkeypatch.setattr(Unit, "processes", lambda unit: [99])
    fence.Guard().look_around()
    assert [name for _when, name in host.killed] == ["app.service"]


@pytest.mark.parametrize("serving", ["inactive-3", "activating", "activating-3"])
def test_services_that_wait_for_the_mark_are_left_alone(host, serving):
    unmark()
    host.states["app.service"] = lambda asked: "activating"
    host.states["s3-leader-serving@db.service"] = lambda asked: serving
    fence.Guard().look_around()
    assert host.stops == []


def test_a_mark_that_comes_meanwhile_counts(host, monkeypatch):
    unmark()
    host.states["app.service"] = never_ends
    monkeypatch.setattr(fence, "_begins", lambda name: os.makedirs(mark()) or False)
    fence.Guard().look_around()
    assert host.stops == []


def test_a_host_that_leads_is_left_alone(host, children):
    host.states["app.service"] = never_ends
    fence.Guard().look_around()
    assert (host.stops, children) == ([], [])


def test_what_nobody_ends_is_ended(host, children):
    os.unlink(mark("started"))
    guard = fence.Guard()
    guard.look_around()
    guard.look_around()
    [(command, child)] = children
    assert command[1:] == ["fence", "--abandoned", "db"]
    child.ended = True
    guard.look_around()
    assert len(children) == 2


def test_so_is_what_a_dead_daemon_left(host, children):
    os.unlink(local.path_of("db", "leader"))
    fence.Guard().look_around()
    assert len(children) == 1


def test_so_is_what_a_dead_daemon_left_whose_file_a_systemd_that_hangs_has_not_removed(host, children):
    host.answers = False
    host.daemon_left = 1000.0
    fence.Guard().look_around()
    assert [command[-1] for command, _child in children] == ["db"]


def test_where_systemd_hangs_a_leader_is_left_alone(host, children):
    host.answers = False
    fence.Guard().look_around()
    assert children == []


@pytest.mark.parametrize("answers", [True, False])
def test_a_leader_whose_control_group_is_not_found_is_left_alone(host, children, monkeypatch, answers):
    host.answers = answers
    host.sees_groups = False
    monkeypatch.setattr(fence.units, "busy", lambda names: set())
    fence.Guard().look_around()
    assert children == []


def test_what_the_fence_ends_is_left_to_it(host, children):
    os.unlink(mark("started"))
    with open(mark("lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fence.Guard().look_around()
    assert children == []


def test_a_mark_that_is_being_made_is_left_alone(host, children):
    os.unlink(mark("started"))
    host.states["s3-leader-serving@db.service"] = lambda asked: "activating"
    fence.Guard().look_around()
    assert children == []


def test_a_guard_goes_by_the_last_configuration_that_can_be_used(host, tmp_path, journal):
    unmark()
    guard = fence.Guard()
    guard.look_around()
    (tmp_path / "etc" / "db.json").write_text("{")
    host.states["app.service"] = never_ends
    guard.look_around()
    assert len(host.stops) == 1
    assert events(journal()) == ["stray"]


def test_a_guard_that_cannot_start_a_process_guards_on(host, monkeypatch, journal):
    def refused(command):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(fence.subprocess, "Popen", refused)
    os.unlink(mark("started"))
    fence.Guard().look_around()
    assert "nobody ends them" in journal()[0]["MESSAGE"]


def test_a_lease_that_cannot_be_looked_after_is_told_once(host, tmp_path, journal):
    (tmp_path / "etc" / "db.json").write_text("{")
    guard = fence.Guard()
    guard.look_around()
    guard.look_around()
    assert len(journal()) == 1
