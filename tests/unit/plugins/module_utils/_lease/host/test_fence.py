# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import fence, runtime
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.units import Unit
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import REACTION
from support.fenced import GRACE, configure, ends_after, events, looks_take, mark, never_ends


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
    os.unlink(runtime.path_of("db", "leader"))
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
    host.meanwhile = {1003.0: lambda: told.append(runtime.waiting("db"))}
    fence.end("db")
    assert told == ["waits for the end of app.service (deactivating: sub)"]
    assert runtime.waiting("db") == ""


def test_a_process_that_is_waited_for_does_nothing_to_terminals_by_its_name(host, monkeypatch):
    monkeypatch.setattr(fence, "_standing", lambda unit: f"{unit.name}, kept by process 7 (\x1b]0;a\x07, state D)")
    host.states["app.service"] = ends_after(5)
    told = []
    host.meanwhile = {1003.0: lambda: told.append(runtime.waiting("db"))}
    fence.end("db")
    assert told == ["waits for the end of app.service, kept by process 7 (?]0;a?, state D)"]


@pytest.mark.parametrize("gone", [True, False])  # a hung one leaves it
@pytest.mark.parametrize("left", [998.0, 1000.0])
def test_when_the_daemon_is_dead_all_that_runs_is_killed_just_before_the_time_to_stop_is_over(
    host, journal, left, gone
):
    if gone:
        os.unlink(runtime.path_of("db", "leader"))
    host.daemon_left = left
    host.states["app.service"] = never_ends
    fence.end("db")
    [(when, name)] = host.killed
    assert name == "app.service"
    assert 0 <= when - (left + GRACE - REACTION) < 0.5
    assert events(journal()) == ["waiting", "killed", "ended"]


def test_a_daemon_that_dies_while_services_stop_has_them_killed_in_time_too(host):
    def dies():
        os.unlink(runtime.path_of("db", "leader"))
        host.daemon_left = host.time

    host.states["app.service"] = never_ends
    host.meanwhile = {1030.0: dies}
    fence.end("db")
    [(when, _name)] = host.killed
    assert 0 <= when - (1030 + GRACE - REACTION) < 1


def test_a_daemon_that_comes_back_meanwhile_changes_nothing(host):
    os.unlink(runtime.path_of("db", "leader"))
    host.daemon_left = 1000.0
    host.states["app.service"] = never_ends
    host.meanwhile = {1005.0: lambda: open(runtime.path_of("db", "leader"), "w").close()}
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
    os.unlink(runtime.path_of("db", "leader"))
    host.daemon_left = 1000.0
    monkeypatch.setattr(fence.units, "kill", lambda unit: {99: "process 99"})
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
    os.unlink(runtime.path_of("db", "leader"))
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
    os.unlink(runtime.path_of("db", "leader"))
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
    os.unlink(runtime.path_of("db", "leader"))
    host.daemon_left = 1000.0
    host.states["app.service"] = never_ends
    fence.end("db")
    assert 0 <= min(host.killed)[0] - (1000 + grace - REACTION) < 0.5


def test_a_systemd_that_stops_answering_just_then_does_not_put_the_kill_off(host):
    os.unlink(runtime.path_of("db", "leader"))
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
        os.unlink(runtime.path_of("db", "leader"))
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

    remove = runtime.remove
    monkeypatch.setattr(runtime, "remove", refused)
    host.meanwhile = {1003.0: lambda: monkeypatch.setattr(runtime, "remove", remove)}
    host.states["app.service"] = ends_after(0.1)
    fence.end("db")
    assert len(host.stops) == 1
    assert events(journal())[0] == "error"
