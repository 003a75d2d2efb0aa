# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon, the fence, the units and the scripts of the role meet in files: each finds those of the others."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import subprocess
import time

import pytest
from ansible_collections.leaderelection.s3.plugins.filter.heartbeat_plan import heartbeat_plan
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import (
    config,
    fence,
    leases,
    runtime,
    systemd,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.daemon import SystemdHost
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Record
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Claimant, Held, Seen
from support.role import ROLE, TEXTFILES, script, settings, units

HOOKS = dict(on_acquired="/bin/true", on_lost="/bin/true", on_error="/bin/true")
RECORD = Record("web-1", "my-session", 7, 1, "n", 30.0, 1.0, 1.0, 31.0, {}, True)
HELD = Held(Seen(RECORD, "e1", 1.0, 1.0), 1030.0, 1000.0)


class Host:
    """A host with the role's files below a folder of its own. Its systemd does what a unit says, when it is told to."""

    def __init__(self, root):
        self.root = root
        (root / "bin").mkdir()
        (root / "bin" / "systemctl").write_text(f'#!/bin/sh\ncat "{root}/told"\n')
        (root / "bin" / "systemctl").chmod(0o755)
        self.paths = {f"heartbeat__{name}": str(root / name / "s3-leader") for name in ("etc", "run", "lib", "command")}
        for folder in ("etc", "run", "lib"):
            os.makedirs(self.paths[f"heartbeat__{folder}"])
        for name in ("environment.sh", "mark.sh"):
            pathlib.Path(self.paths["heartbeat__lib"], name).write_text(script(name, **self.paths))
        self.units = {}

    def configure(self, *services):
        lease = dict(name="db", key="jobs/db", services=services, **HOOKS)
        self.units = {path.partition("system/")[2]: text for path, text in units(lease, **self.paths).items()}
        path = pathlib.Path(leases.path_of("db"))
        path.write_text(json.dumps(heartbeat_plan([lease])["leases"]["db"]["config"]))
        (self.root / "told").write_text(" ".join(services))

    def are_met(self, unit):
        """Whether the conditions of a unit are met."""
        conditions = settings(self.units[unit], "ConditionPathExists") + settings(self.units[unit], "AssertPathExists")
        assert conditions
        return all(os.path.exists(path.lstrip("!")) != path.startswith("!") for path in conditions)

    def start(self, unit):
        """Make the folder of a unit, and run its shell commands, if its conditions are met."""
        text = self.units[unit]
        assert self.are_met(unit)
        for name in settings(text, "RuntimeDirectory"):
            os.makedirs(self.root / "run" / name)
        for setting in ("ExecStartPre", "ExecStart", "ExecStartPost"):
            for line in settings(text, setting):
                if line.startswith("/bin/sh "):
                    self.run(*shlex.split(line))

    def run(self, *arguments):
        environment = dict(os.environ, PATH=f"{self.root}/bin:{os.environ['PATH']}")
        done = subprocess.run(arguments, env=environment, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
        return done.stdout.split()

    def file(self, name, *arguments):
        """Run a script that the role has with it, and return what it prints."""
        return self.run("sh", "-c", (ROLE / "files" / name).read_text(), "sh", *arguments, "db")


@pytest.fixture
def host(tmp_path, monkeypatch):
    host = Host(tmp_path)
    monkeypatch.setattr(runtime, "FOLDER", host.paths["heartbeat__run"])
    monkeypatch.setattr(leases, "FOLDER", host.paths["heartbeat__etc"])
    monkeypatch.setattr(systemd, "notify", lambda **state: True)
    monkeypatch.setattr(systemd, "journal", lambda *entry, **fields: None)
    host.configure("a.service")
    os.mkdir(runtime.path_of("db"))
    return host


@pytest.fixture
def daemon(host):
    return SystemdHost(
        config.load("db"), Claimant("web-1", "my-session"), Clock(), "https://s3.example.com/leases/db", 12.0
    )


@pytest.fixture
def leader(host, daemon):
    """The host, when it leads and its services may start."""
    daemon.promote(HELD, 1018.0)
    host.start("s3-leader-serving@.service")
    return host


def test_the_services_of_a_host_may_start_when_its_daemon_leads(host, daemon):
    (waited_for,) = settings(host.units["s3-leader-active@.path"], "PathChanged")
    assert host.are_met("s3-leader-active@.path")
    assert not os.path.exists(waited_for)
    assert not host.are_met("s3-leader-active@.target")
    assert not host.are_met("s3-leader-serving@.service")
    daemon.promote(HELD, 1018.0)
    assert os.path.exists(waited_for)
    assert host.are_met("s3-leader-active@.target")
    starting = ["a.service.d/zzz-s3-leader-db.conf", "s3-leader-acquired@db.service", "s3-leader-lost@db.service"]
    assert not any(map(host.are_met, starting))
    host.start("s3-leader-serving@.service")
    assert all(map(host.are_met, starting))
    assert not host.are_met("s3-leader-active@.path")
    assert fence.leads("db")


def test_a_service_that_restarts_by_itself_asks_for_the_same_file(leader):
    text = leader.units["a.service.d/zzz-s3-leader-db.conf"]
    (command,) = settings(text, "ExecCondition")
    assert command.split()[-1:] == settings(text, "ConditionPathExists")


def test_no_service_starts_when_the_fence_has_closed_the_mark(leader):
    fence._Ending(config.load("db"), Clock())._close()
    assert not leader.are_met("a.service.d/zzz-s3-leader-db.conf")


def test_services_and_hooks_read_all_that_the_daemon_tells(leader):
    told = pathlib.Path(runtime.path_of("db", "leader")).read_text()
    assert 'S3_LEADER_STOP_GRACE="12"' in told
    for unit in ("a.service.d/zzz-s3-leader-db.conf", "s3-leader-acquired@db.service", "s3-leader-lost@db.service"):
        (path,) = settings(leader.units[unit], "EnvironmentFile")
        assert pathlib.Path(path.removeprefix("-")).read_text() == told
    assert fence._grace_of_daemon("db") == [12]


def test_the_fence_goes_by_the_configuration_in_the_mark_too(leader):
    leader.configure("b.service")
    assert fence.config_at_start("db").services == ["a.service", "b.service"]
    leader.file("fences.sh", leader.paths["heartbeat__run"] + "-serving", leader.paths["heartbeat__etc"])
    assert fence.config_at_start("db").services == ["b.service"]


def test_the_lock_in_the_mark_is_the_one_that_keeps_fences_apart(leader):
    with fence.alone("db"), pytest.raises(BlockingIOError), fence.alone("db", wait=False):
        pass


def test_the_role_finds_services_that_a_leader_has_not_started(leader):
    folder = leader.paths["heartbeat__run"] + "-serving"
    assert leader.file("changed-services.sh", "look", folder) == []
    leader.configure("a.service", "b.service")
    assert leader.file("changed-services.sh", "look", folder) == ["db"]


def test_on_error_reads_all_that_the_daemon_tells(host, daemon):
    (waited_for,) = settings(host.units["s3-leader-error@db.path"], "PathChanged")
    assert not host.are_met("s3-leader-error@db.service")
    daemon.trouble("the store is down")
    assert host.are_met("s3-leader-error@db.service")
    host.start("s3-leader-error@db.service")
    (path,) = settings(host.units["s3-leader-error@db.service"], "EnvironmentFile")
    told = pathlib.Path(waited_for).read_text()
    assert 'S3_LEADER_ERROR="the store is down"' in told
    assert pathlib.Path(path.removeprefix("-")).read_text() == told


def test_the_role_finds_what_runs_and_has_not_read_what_is_there_now(host):
    (host.root / "told").write_text("")  # no job
    run, etc = host.paths["heartbeat__run"], host.paths["heartbeat__etc"]
    places = (run, etc, *[str(host.root / "bin" / "systemctl")] * 2)  # for the command and the code
    os.close(runtime.keep_others_out("db", time.time()))
    locks = []
    for name in ("s3-leader-guard.service", TEXTFILES):
        (touch,) = settings(host.units[name], "ExecStartPre")
        (folder,) = settings(host.units[name], "RuntimeDirectory")
        os.makedirs(host.root / "run" / folder)
        host.run(*shlex.split(touch))
        locks.append(shlex.split(touch)[-1])
    assert host.file("outdated-daemons.sh", *places) == []
    os.close(runtime.keep_others_out("db", time.time() - 60))
    assert host.file("outdated-daemons.sh", *places) == ["s3-leader@db.service"]
    for lock in locks:
        os.utime(lock, (time.time() - 60,) * 2)
    outdated = host.file("outdated-daemons.sh", *places)
    assert outdated == ["s3-leader@db.service", "s3-leader-guard.service", TEXTFILES]
