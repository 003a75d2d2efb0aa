# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import mounts, units
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.units import Unit

SHOWN = """\
ControlGroup=/system.slice/app.service
Id=app.service
ExecMainExitTimestampMonotonic=5000000
ActiveExitTimestampMonotonic=4000000
ActiveState=deactivating
SubState=stop-sigterm
Job=12

ControlGroup=
Where=/srv/data
What=/dev/disk/by-label/data
Id=srv-data.mount
ActiveState=inactive
SubState=dead
Job=
"""


def unit(**changes):
    quiet = dict(name="app.service", active="inactive", sub="dead", job="", group="", place="", source="", left=0.0)
    return Unit(**{**quiet, **changes})


@pytest.fixture
def systemctl(monkeypatch, tmp_path):
    """A command that notes its arguments, and prints and ends as it is told."""

    def install(prints="", status=0, seconds=0):
        (tmp_path / "prints").write_text(prints)
        program = tmp_path / "systemctl"
        text = "#!/bin/sh\nprintf '%%s\\n' \"$@\" >>'%s/calls'\ncat '%s/prints'\nsleep %s\nexit %s\n"
        program.write_text(text % (tmp_path, tmp_path, seconds, status))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", "%s:%s" % (tmp_path, os.environ["PATH"]))
        return tmp_path / "calls"

    return install


@pytest.fixture
def cgroups(monkeypatch, tmp_path):
    """Control groups in a folder."""
    monkeypatch.setattr(units, "_CGROUPS", (str(tmp_path / "v1"), str(tmp_path / "v2")))
    monkeypatch.setattr(units, "_root", lambda: "")

    def put(version, group, *pids):
        folder = tmp_path / version / group.strip("/")
        folder.mkdir(parents=True)
        (folder / "cgroup.procs").write_text("".join("%d\n" % pid for pid in pids))

    return put


@pytest.fixture
def sleeper(tmp_path):
    """A process in a folder."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], cwd=str(tmp_path))
    yield process
    process.kill()
    process.wait()


def test_systemctl_is_asked_about_all_units_at_once(systemctl):
    calls = systemctl(SHOWN)
    app, data = units.look(["app.service", "srv-data.mount"])
    assert app == unit(active="deactivating", sub="stop-sigterm", job="12", group="/system.slice/app.service", left=5.0)
    assert data == unit(name="srv-data.mount", place="/srv/data", source="/dev/disk/by-label/data")
    assert calls.read_text().split()[-3:] == ["--", "app.service", "srv-data.mount"]


def test_a_pattern_with_a_backslash_is_asked_for_in_both_forms_and_each_unit_told_once(systemctl):
    calls = systemctl(SHOWN + "\n" + SHOWN)
    found = units.look([r"srv-a\x2db.mount", r"a\x2db@*.service"])
    assert calls.read_text().split()[-3:] == [r"srv-a\x2db.mount", r"a\x2db@*.service", r"a\\x2db@*.service"]
    assert [one.name for one in found] == ["app.service", "srv-data.mount"]


@pytest.mark.parametrize("trouble", [dict(status=1), dict(seconds=5)])
def test_where_systemd_does_not_answer_nobody_knows(systemctl, trouble):
    systemctl(SHOWN, **trouble)
    assert units.look(["app.service"], patience=0.2) is None


def test_a_stop_waits_for_nobody(systemctl):
    calls = systemctl()
    units.stop(["app.service", "app.socket"])
    assert calls.read_text().split() == ["stop", "--no-block", "--", "app.service", "app.socket"]


@pytest.mark.parametrize(
    ("seen", "gone"),
    [
        (unit(), True),
        (unit(active="failed"), True),
        (unit(job="3"), False),
        (unit(active="activating", sub="start-pre"), False),
        (unit(active="deactivating"), False),
        (unit(active="active"), False),
        (unit(active="unknown"), False),
    ],
)
def test_gone_is_what_does_not_run_and_has_no_job(seen, gone):
    assert seen.gone is gone


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_left_a_process_behind_is_not_gone(cgroups, version):
    cgroups(version, "/system.slice/app.service")
    cgroups(version, "/system.slice/app.service/below", 1234)
    left = unit(group="/system.slice/app.service")
    assert (left.at_rest, left.gone, left.processes()) == (True, False, [1234])


def test_an_instance_that_systemctl_does_not_show_is_found_by_its_processes(systemctl, cgroups):
    systemctl(SHOWN)
    cgroups("v1", "/system.slice/system-app.slice/app@7.service", 1234)
    cgroups("v1", "/system.slice/other@7.service", 1235)
    (instance,) = [one for one in units.look(["app.service", "app@*.service"]) if "@" in one.name]
    assert (instance.name, instance.at_rest, instance.processes()) == ("app@7.service", True, [1234])


def test_where_systemd_does_not_answer_the_processes_are_known_all_the_same(cgroups):
    cgroups("v2", "/system.slice/app.service", 1234)
    cgroups("v2", "/system.slice/system-app.slice/app@7.service", 1235)
    guessed = units.guess(["app.service", "app@*.service", "other.service"])
    assert {one.name: one.processes() for one in guessed if one.processes()} == {
        "app.service": [1234],
        "app@7.service": [1235],
    }
    assert not any(one.gone for one in guessed)


def test_so_is_who_uses_a_mount(cgroups, monkeypatch):
    monkeypatch.setattr(mounts, "users", lambda place: [1236] if place == "/srv/data" else [])
    [guessed] = units.guess(["srv-data.mount"])
    assert guessed.users() == [1236]


def test_units_with_processes_are_told_without_systemd(cgroups):
    cgroups("v2", "/system.slice/app.service", 1234)
    cgroups("v2", "/system.slice/db.service")
    assert units.busy(["app.service", "db.service", "other.service"]) == {"app.service"}


def test_control_groups_are_seen_where_the_own_one_is(cgroups, monkeypatch):
    monkeypatch.setattr(units, "_group_of", lambda process: "/system.slice/s3-leader-guard.service")
    assert not units.sees_groups()
    cgroups("v2", "/system.slice/s3-leader-guard.service", os.getpid())
    assert units.sees_groups()


@pytest.mark.parametrize(
    ("told", "group"),
    [
        ("0::/init.scope\n", "/init.scope"),
        ("0::/\n", "/"),
        ("12:pids:/a\n1:name=systemd:/init.scope\n0::/unified\n", "/init.scope"),
        ("12:pids:/a\n0::/b\n", "/b"),
    ],
)
def test_the_control_group_of_a_process_is_that_of_systemd(monkeypatch, tmp_path, told, group):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "cgroup").write_text(told)
    monkeypatch.setattr(units, "_PROC", str(tmp_path))
    assert units._group_of("1") == group


def test_a_service_of_that_name_in_a_container_is_another_one(systemctl, cgroups):
    systemctl(SHOWN)
    cgroups("v2", "/machine.slice/machine-a.scope/system.slice/system-app.slice/app@7.service", 1234)
    cgroups("v2", "/user.slice/user-0.slice/user@0.service/app.slice/app@8.service", 1235)
    assert not [one for one in units.look(["app@*.service"]) if "@" in one.name]


def test_control_groups_are_looked_for_below_those_of_systemd(systemctl, cgroups, monkeypatch):
    systemctl(SHOWN)
    monkeypatch.setattr(units, "_root", lambda: "/outer.scope/inner")
    cgroups("v2", "/outer.scope/inner/system.slice/system-app.slice/app@7.service", 1234)
    cgroups("v2", "/system.slice/system-app.slice/app@8.service", 1235)
    (instance,) = [one for one in units.look(["app@*.service"]) if "@" in one.name]
    assert instance.processes() == [1234]


def test_a_backslash_that_systemctl_has_escaped_is_one(cgroups):
    cgroups("v2", r"/system.slice/system-my\x2dapp.slice/my-app@1.service", 1234)
    assert unit(group=r"/system.slice/system-my\x5cx2dapp.slice/my-app@1.service").processes() == [1234]


def test_the_root_of_all_control_groups_belongs_to_no_unit(cgroups):
    cgroups("v1", "/", 1, 2)
    assert unit(group="/").processes() == unit(group="").processes() == []


def test_a_kill_reaches_all_processes_of_a_unit_but_not_systemd(cgroups, sleeper):
    cgroups("v1", "/app", 0, 1, sleeper.pid, os.getpid())
    told = units.kill(unit(group="/app"))
    assert told.keys() == {sleeper.pid}
    # As it was: once killed, it may be gone before anybody has looked.
    assert re.fullmatch(rf"process {sleeper.pid} \(\w+, state [RSD]\)", told[sleeper.pid])
    assert sleeper.wait(10) == -signal.SIGKILL


def test_who_is_gone_by_then_is_no_trouble(cgroups, sleeper):
    cgroups("v1", "/app", sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert units.kill(unit(group="/app")) == {sleeper.pid: f"process {sleeper.pid}"}


def test_what_may_not_be_killed_keeps_nobody_from_killing_the_others(cgroups, sleeper, monkeypatch):
    kill = os.kill

    def refused(pid, number):
        if pid == 1234:
            raise PermissionError(1, "Operation not permitted")
        kill(pid, number)

    monkeypatch.setattr(os, "kill", refused)
    cgroups("v2", "/system.slice/app.service", 1234, sleeper.pid)
    units.kill(unit(group="/system.slice/app.service"))
    assert sleeper.wait() == -signal.SIGKILL


def test_a_kill_of_a_mount_reaches_who_keeps_it_busy(sleeper, monkeypatch):
    monkeypatch.setattr(mounts, "users", lambda place: [sleeper.pid] if place == "/srv/a" else [])
    assert units.kill(unit(name="b.mount", active="active", place="/srv/b")) == {}
    assert units.kill(unit(name="a.mount", active="active", place="/srv/a")).keys() == {sleeper.pid}
    assert sleeper.wait(10) == -signal.SIGKILL


def test_a_mount_is_not_gone_while_a_container_has_its_file_system(monkeypatch):
    monkeypatch.setattr(mounts, "keepers", lambda source: [99] if source == "/dev/sdb1" else [])
    assert not unit(name="a.mount", place="/srv/a", source="/dev/sdb1").gone
    assert unit(name="a.mount", place="/srv/a", source="/dev/sdc1").gone


def test_what_outlived_its_unit_is_asked_to_end_first(cgroups, sleeper):
    cgroups("v1", "/app", sleeper.pid)
    assert units.terminate(unit(group="/app")) == [sleeper.pid]
    assert sleeper.wait(10) == -signal.SIGTERM
