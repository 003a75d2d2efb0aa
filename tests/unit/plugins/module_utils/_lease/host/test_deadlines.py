# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import runtime, units
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.deadlines import (
    DISPROVED,
    LEAST,
    LONGEST,
    SHORTEST,
    Deadlines,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import REACTION
from support.fenced import GRACE, configure, events, mark, never_ends

UNTIL = 1010.0
DUE = UNTIL + GRACE - REACTION


@pytest.fixture
def host(host):
    """A host whose systemd hangs: it is not asked."""
    host.answers = False
    host.states["app.service"] = never_ends
    return host


def publish(until, name="db"):
    """Write the daemon's status."""
    runtime.write(runtime.path_of(name, "status.json"), json.dumps({"role": "leader", "until": until}))


def die(host, name="db"):
    """Have the daemon killed; systemd removes its files."""
    host.daemon_left = host.time
    for file in os.listdir(runtime.path_of(name)):
        os.unlink(runtime.path_of(name, file))


def live(host, deadlines, until):
    """Look, by its own pauses, until that time."""
    while host.time < until:
        pause = deadlines.look()
        assert LEAST <= pause <= LONGEST
        host.time += pause


def services_killed(host):
    return [(pytest.approx(when), name) for when, name in host.killed if not name.startswith("s3")]


def test_what_a_dead_daemon_left_is_killed_when_its_time_is_over(host, journal):
    deadlines = Deadlines(host)
    publish(1005.0)
    live(host, deadlines, 1003)
    publish(UNTIL)
    live(host, deadlines, 1006)
    die(host)
    live(host, deadlines, DUE + 10)
    assert host.killed[0][0] == pytest.approx(DUE)
    assert "app.service" in [name for when, name in host.killed if when == host.killed[0][0]]
    assert not os.path.exists(mark("started"))
    assert {entry["S3_LEADER_EVENT"] for entry in journal()} == {"killed"}


def test_so_is_what_is_left_where_the_daemon_begins_again(host):
    deadlines = Deadlines(host)
    publish(UNTIL)
    live(host, deadlines, 1009)
    die(host)
    deadlines.look()
    host.daemon_left = 0.0
    publish(None)
    live(host, deadlines, DUE + 5)
    assert services_killed(host)[0][0] == DUE


def test_so_is_what_is_left_where_systemd_has_removed_nothing(host):
    deadlines = Deadlines(host)
    publish(UNTIL)
    host.daemon_left = 1005.0
    live(host, deadlines, DUE + 5)
    assert services_killed(host)[0][0] == DUE


def test_so_is_what_is_left_of_all_leases_at_once(host, tmp_path):
    configure(tmp_path, "other.service", name="other")
    (tmp_path / "run" / "other").mkdir()
    os.makedirs(mark(name="other"))
    deadlines = Deadlines(host)
    for name in ("db", "other"):
        publish(UNTIL, name)
    deadlines.look()
    for name in ("db", "other"):
        die(host, name)
    live(host, deadlines, DUE + 1)
    assert {name for when, name in services_killed(host) if when == DUE} == {"app.service", "other.service"}


def test_it_is_killed_again_and_again(host):
    deadlines = Deadlines(host)
    publish(UNTIL)
    deadlines.look()
    die(host)
    live(host, deadlines, DUE + 2)
    times = [when.expected for when, name in services_killed(host) if name == "app.service"]
    assert max(later - sooner for sooner, later in zip(times, times[1:], strict=False)) <= SHORTEST + 0.001
    assert times[-1] > DUE + 1


def test_the_shorter_grace_with_which_it_leads_counts(host):
    with open(mark("leader"), "w") as file:
        file.write('S3_LEADER_STOP_GRACE="5"\n')
    deadlines = Deadlines(host)
    publish(UNTIL)
    deadlines.look()
    die(host)
    live(host, deadlines, DUE)
    assert services_killed(host)[0][0] == UNTIL + 5 - REACTION


def test_what_was_started_by_an_earlier_configuration_is_killed_too(host, tmp_path):
    configure(tmp_path, "old.service")
    (tmp_path / "etc" / "db.json").rename(mark("lease.json"))
    configure(tmp_path, "app.service")
    deadlines = Deadlines(host)
    publish(UNTIL)
    deadlines.look()
    die(host)
    live(host, deadlines, DUE + 1)
    assert {"app.service", "old.service"} <= {name for _when, name in host.killed}


def test_who_uses_a_file_system_of_the_lease_is_killed_last(host, tmp_path):
    configure(tmp_path, "srv-db.mount", "app.service")
    deadlines = Deadlines(host)
    publish(UNTIL)
    deadlines.look()
    die(host)
    live(host, deadlines, DUE + 0.1)
    assert host.killed[-1] == (pytest.approx(DUE), "srv-db.mount")


@pytest.mark.parametrize("run", ["as usual", "full", "read-only"])
def test_a_daemon_that_lives_is_left_alone_however_long_its_services_take(host, run):
    deadlines = Deadlines(host)
    os.unlink(mark("started"))  # a fence waits for them
    publish(UNTIL)
    for _turn in range(100):
        live(host, deadlines, host.time + 1)
        if run == "as usual":
            publish(host.time + 10)
        elif run == "full":
            runtime.remove(runtime.path_of("db", "status.json"))
    assert host.killed == []


@pytest.mark.parametrize("run", ["full", "read-only"])
def test_what_a_daemon_leaves_that_could_not_write_when_its_time_is_over_is_for_the_fence(host, run):
    deadlines = Deadlines(host)
    publish(UNTIL)
    deadlines.look()
    if run == "full":
        runtime.remove(runtime.path_of("db", "status.json"))
    live(host, deadlines, DUE + DISPROVED * SHORTEST + 5)
    host.daemon_left = host.time
    live(host, deadlines, host.time + 30)
    assert host.killed == []


def test_a_later_time_that_it_could_write_again_counts(host):
    deadlines = Deadlines(host)
    publish(UNTIL)
    live(host, deadlines, DUE + DISPROVED * SHORTEST + 5)
    publish(host.time + 5)
    due = host.time + 5 + GRACE - REACTION
    deadlines.look()
    die(host)
    live(host, deadlines, due + 1)
    assert services_killed(host)[0][0] == due


@pytest.mark.parametrize("pause", [3, 3600])
def test_a_host_that_was_paused_kills_what_its_daemon_leaves_as_soon_as_that_has_ended(host, pause):
    deadlines = Deadlines(host)
    publish(UNTIL)
    deadlines.look()
    host.time = DUE + pause
    for _turn in range(3):
        assert deadlines.look() == SHORTEST  # the daemon has yet to find out
        host.time += SHORTEST
    die(host)
    deadlines.look()
    assert services_killed(host)[0][0] == DUE + pause + 3 * SHORTEST


def test_a_new_term_keeps_its_mounts_that_begins_while_who_uses_them_is_looked_for(host, tmp_path, monkeypatch):
    configure(tmp_path, "app.service", "srv-db.mount")
    deadlines, kill = Deadlines(host), units.kill
    publish(UNTIL)
    deadlines.look()
    die(host)
    host.time = DUE

    def slow(unit):
        publish(host.time + 60)
        return kill(unit)

    monkeypatch.setattr(units, "kill", slow)
    deadlines.look()
    assert "app.service" in [name for _when, name in host.killed]
    assert "srv-db.mount" not in [name for _when, name in host.killed]


def test_where_control_groups_are_not_visible_a_leader_counts_as_alive(host, monkeypatch):
    host.sees_groups = False
    monkeypatch.setattr(units, "busy", lambda names: set())
    publish(UNTIL)
    live(host, Deadlines(host), DUE + 5)
    assert host.killed == []


def test_the_time_of_an_earlier_term_does_not_count(host):
    deadlines = Deadlines(host)
    publish(UNTIL)
    deadlines.look()
    die(host)
    for file in os.listdir(mark()):
        os.unlink(mark(file))
    os.rmdir(mark())
    deadlines.look()
    os.makedirs(mark())
    live(host, deadlines, DUE + 30)
    assert host.killed == []


def test_an_earlier_time_counts_after_a_reload_with_a_longer_grace(host):
    deadlines = Deadlines(host)
    publish(UNTIL)
    deadlines.look()
    publish(UNTIL - 5)
    deadlines.look()
    die(host)
    live(host, deadlines, DUE + 1)
    assert services_killed(host)[0][0] == DUE - 5


def test_what_cannot_be_killed_is_told_once(host, monkeypatch, journal):
    monkeypatch.setattr(units, "kill", lambda unit: {99: "process 99 (dd, state D)"} if "app" in unit.name else {})
    deadlines = Deadlines(host)
    publish(UNTIL)
    deadlines.look()
    die(host)
    live(host, deadlines, DUE + 5)
    [entry] = journal()
    assert entry["MESSAGE"] == "db: killed process 99 (dd, state D) of app.service: the time to stop is over"
    assert events([entry]) == ["killed"]


def test_a_lease_of_which_nobody_knows_what_runs_is_left_to_people(host, tmp_path):
    publish(UNTIL)
    deadlines = Deadlines(host)
    deadlines.look()
    die(host)
    (tmp_path / "etc" / "db.json").write_text("{")
    live(host, deadlines, DUE + 5)
    assert host.killed == []


def test_where_the_mark_cannot_be_changed_it_is_killed_all_the_same(host, monkeypatch):
    def refused(path):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(runtime, "remove", refused)
    deadlines = Deadlines(host)
    publish(UNTIL)
    deadlines.look()
    die(host)
    live(host, deadlines, DUE + 1)
    assert services_killed(host)[0][0] == DUE


def test_without_any_mark_nothing_is_looked_at(host, tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "FOLDER", str(tmp_path / "nothing"))
    assert Deadlines(host).look() == LONGEST
