# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import types

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import processes
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.command import (
    MARK,
    NOT_EXECUTABLE,
    NOT_FOUND,
    Around,
    Command,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.signals import PASSED_ON, Signals
from support.waiting import wait_for


@pytest.fixture
def around():
    """What is around a command that pytest starts: the stores that pytest has started are none of the command's."""
    here = processes.this()
    return Around((here,), [*processes.family((here,), lambda pid: False, ())])


@pytest.fixture
def make(capfd, around):
    """Makes commands that wait to be let go; killed at the end."""
    made = []

    def forked(*arguments):
        # pytest's handlers stay as they are.
        signals = Signals.__new__(Signals)
        signals._handled = PASSED_ON
        made.append(Command.forked(arguments, signals, around))
        return made[-1]

    yield forked
    for one in made:
        processes.end(one.left, 0, processes.Clock().now() + 60, processes.Clock())
        ended(one)


def ended(command):
    wait_for(lambda: command.reap() or command.status is not None, "it has ended")
    return command.status


def test_a_command_waits_until_it_is_let_go_and_gets_its_variables(make, capfd, monkeypatch):
    monkeypatch.setenv(MARK, "around")
    command = make("sh", "-c", f"echo $VALUE ${MARK}; exit 7")
    command.reap()
    assert command.status is None
    command.let_go({"VALUE": "ü$x"})
    assert ended(command) == 7
    assert capfd.readouterr().out == f"ü$x around {command.mark}\n"


def test_it_has_a_process_group_of_its_own(make, capfd):
    command = make("sh", "-c", "ps -o pgid= -p $$ || cut -d' ' -f5 /proc/$$/stat")
    command.let_go({})
    assert ended(command) == 0
    assert int(capfd.readouterr().out) == command.group.number


def test_a_command_that_was_not_let_go_ends_when_nobody_can_do_so_any_more(make):
    command = make("true")
    os.close(command.fileno())
    assert ended(command) == 0


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["no-such-command"], NOT_FOUND, "s3-leader: no-such-command: No such file or directory\n"),
        (["/dev/null"], NOT_EXECUTABLE, "s3-leader: /dev/null: Permission denied\n"),
    ],
)
def test_a_command_that_cannot_be_started_says_so(make, capfd, words, status, text):
    command = make(*words)
    command.let_go({})
    assert ended(command) == status
    assert capfd.readouterr().err == text


def test_a_script_that_names_no_shell_is_run_by_one(make, capfd, tmp_path):
    script = tmp_path / "script"
    script.write_text("echo $1\n")
    script.chmod(0o755)
    command = make(str(script), "given")
    command.let_go({})
    assert ended(command) == 0
    assert capfd.readouterr().out == "given\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_status_names_the_signal_that_ended_it(make, number):
    command = make("sleep", "600")
    command.let_go({})
    command.group.send(number)
    assert ended(command) == 128 + number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_what_a_command_that_has_ended_has_left_in_the_background(make, number):
    command = make("sh", "-c", "set -m; sleep 600 & sleep 0.2")
    command.let_go({})
    ended(command)
    command.pass_on([number])
    wait_for(lambda: command.reap() or not command.is_at_work, "nothing is left")


def test_a_command_gets_none_of_the_signals_that_are_for_s3_leader():
    sent = []
    command = Command(0, "mark", types.SimpleNamespace(send=sent.append), Around((), ()))
    command.pass_on([signal.SIGCHLD, signal.SIGUSR1, signal.SIGHUP])
    assert sent == [signal.SIGUSR1, signal.SIGHUP, signal.SIGCONT]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_was_stopped_is_ended_too(make, number):
    command = make("sleep", "600")
    command.let_go({})
    command.group.send(signal.SIGSTOP)
    command.pass_on([number])
    assert ended(command) == 128 + number


def test_what_is_left_is_known_by_group_mark_and_descent(make, around, tmp_path):
    note = tmp_path / "pids"
    sleeps = "sleep 600 & echo $! >>" + str(note)
    alone = f"setsid sh -c '{sleeps}; wait'"
    command = make("sh", "-c", f"{sleeps}; {alone} & env -i {alone} & wait")
    command.let_go({})
    wait_for(lambda: note.exists() and len(note.read_text().split()) == 3, "all run")
    pids = {int(pid) for pid in note.read_text().split()}
    assert pids <= {one.pid for one in command.left()}
    assert not {os.getpid(), os.getppid()} & {one.pid for one in command.left()}
    strangers = [*around.strangers, *(one for one in command.left() if one.pid == command.pid)]
    assert Command(command.pid, "", None, around._replace(strangers=strangers)).left() == set()


def test_what_it_leaves_in_the_background_is_work_and_a_daemon_is_none(make):
    command = make("sh", "-c", "set -m; sleep 600 & setsid sleep 600 & sleep 0.3")
    command.let_go({})
    assert ended(command) == 0
    assert command.is_at_work
    for one in command.left():
        if os.getsid(one.pid) == os.getsid(0):
            one.send(signal.SIGKILL)
    wait_for(lambda: command.reap() or not command.is_at_work, "only the daemon is left")
    assert len(command.left()) == 1


def test_where_there_is_no_proc_its_group_is_what_is_left(make, monkeypatch):
    command = make("sleep", "600")
    monkeypatch.setattr(os.path, "isdir", lambda path: False)
    assert command.left() == {command.group}
    assert {one.pid for one in Command(command.pid, "", None, Around((), ())).left()} == {command.pid}
    monkeypatch.undo()


def test_a_command_ends_with_its_parent_however_that_ends(tmp_path):
    program = (
        "import os, sys\n"
        "from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.command import *\n"
        "from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.signals import Signals\n"
        "command = Command.forked(['sleep', '600'], Signals([]), Around((), ()))\n"
        "command.let_go({})\n"
        "print(command.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        one = processes.of(int(process.stdout.readline()))
        wait_for(lambda: b"sleep" in pathlib.Path(f"/proc/{one.pid}/cmdline").read_bytes(), "it runs")
        process.kill()
    wait_for(lambda: not one.is_alive(), "it has ended")
