# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import signal
import types

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import processes
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import leases, runtime
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute import by_name, signals
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.options import (
    CONFLICT,
    LOST,
    UNAVAILABLE,
    USAGE,
    parse,
)


@pytest.fixture(autouse=True)
def host(monkeypatch, tmp_path):
    """A host of its own, which takes part in the lease db; whether it leads is the test's to say."""
    monkeypatch.setattr(leases, "FOLDER", str(tmp_path / "etc"))
    monkeypatch.setattr(runtime, "FOLDER", str(tmp_path / "run"))
    monkeypatch.delenv(by_name._INSIDE, raising=False)
    monkeypatch.setattr(by_name.os, "geteuid", lambda: 0)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "db.json").write_text(json.dumps(dict(key="hosts/db", stop_grace=7)))
    made = types.SimpleNamespace(leads=[], executed=[])
    monkeypatch.setattr(by_name.fence, "leads", lambda name: made.leads.pop(0) if made.leads else False)

    def execvp(program, arguments):
        made.executed.append(arguments)
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr(by_name.os, "execvp", execvp)
    monkeypatch.setattr(processes, "adopt_orphans", lambda: None)
    numbers = (*signals.PASSED_ON, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)
    before = {number: signal.getsignal(number) for number in numbers}
    yield made
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def order(*options):
    return parse(["db", *options, "--", "sh", "-c", "echo $S3_LEADER_TERM $S3_LEADER_HOLDER"])


def test_a_lease_that_this_host_does_not_know_is_refused(capfd):
    assert by_name.run(parse(["other", "--", "true"])) == USAGE
    assert "takes part in no lease other. To take a lease here, use --key" in capfd.readouterr().err


def test_only_root_can_have_it_ended_with_the_services(monkeypatch, capfd):
    monkeypatch.setattr(by_name.os, "geteuid", lambda: 1000)
    assert by_name.run(order()) == USAGE
    assert "only root can have a command ended along with the services of the lease db" in capfd.readouterr().err


def test_where_the_host_does_not_lead_it_is_a_conflict(host, capfd):
    assert by_name.run(order("--no-wait")) == CONFLICT
    assert by_name.run(order("--no-wait", "-E", "3")) == 3
    assert capfd.readouterr().err == ""


def test_the_leader_goes_on_in_a_scope_that_the_fence_knows(host, monkeypatch, capfd):
    host.leads = [False, True]
    monkeypatch.setattr(by_name, "LOOK", 0.01)
    monkeypatch.setattr(by_name.sys, "argv", ["s3-leader", "exec", "db", "--", "true"])
    assert by_name.run(order()) == UNAVAILABLE  # there is no systemd-run
    (words,) = host.executed
    assert words[:4] == ["systemd-run", "--scope", "--quiet", "--collect"]
    assert "--slice=s3leader-db.slice" in words
    assert "--property=TimeoutStopSec=7" in words
    assert words[-5:] == [os.path.abspath("s3-leader"), "exec", "db", "--", "true"]
    assert os.environ.pop(by_name._INSIDE) == "db"


def test_a_signal_ends_the_wait(host, monkeypatch):
    class Signals(signals.Signals):
        def __init__(self):
            pass

        def wait(self, seconds):
            pass

        def take(self):
            return [signal.SIGCHLD, signal.SIGTERM]

        def reset(self):
            pass

    monkeypatch.setattr(by_name, "Signals", Signals)
    assert by_name.run(order()) == 128 + signal.SIGTERM


@pytest.fixture
def inside(monkeypatch, tmp_path):
    """The program is in the scope, and the services have these variables."""
    monkeypatch.setenv(by_name._INSIDE, "db")
    place = tmp_path / "run-serving" / "db"
    place.mkdir(parents=True)
    (place / "leader").write_text('S3_LEADER_TERM="7"\nS3_LEADER_HOLDER="web \\"1\\""\nEVIL="x"\n')


def test_within_the_scope_the_command_runs_with_what_the_services_know(host, inside, capfd):
    host.leads = [True] * 1000
    assert by_name.run(order()) == 0
    assert capfd.readouterr().out == '7 web "1"\n'


def test_a_host_that_has_just_ceased_to_lead_runs_nothing(host, inside, capfd):
    assert by_name.run(order()) == CONFLICT
    assert capfd.readouterr().out == ""


def test_a_command_that_ended_after_its_lease_is_lost(host, inside, capfd, monkeypatch):
    monkeypatch.setattr(by_name, "LOOK", 0.01)
    host.leads = [True]
    assert by_name.run(order()) == LOST
    assert "the lease db is lost, and the command was ended" in capfd.readouterr().err
