# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import systemd
from support.listener import Listener


@pytest.fixture
def listener():
    with Listener() as started:
        yield started


@pytest.fixture
def no_journal(monkeypatch, tmp_path):
    monkeypatch.setattr(systemd, "JOURNAL", str(tmp_path / "socket"))


def test_systemd_is_told_in_one_message_for_all(listener, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", listener.variable)
    assert systemd.notify(READY=1, STATUS="standby: é")
    assert systemd.notify(WATCHDOG=1)
    assert listener.messages() == [{"READY": "1", "STATUS": "standby: é"}, {"WATCHDOG": "1"}]


def test_the_socket_may_be_a_file(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("notify")
        monkeypatch.setenv("NOTIFY_SOCKET", "notify")
        assert systemd.notify(READY=1)
        assert listener.recv(100) == b"READY=1"


def test_without_systemd_there_is_nobody_to_tell(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert systemd.notify(READY=1)


def test_a_message_that_is_lost_is_known_to_be(monkeypatch, tmp_path):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not systemd.notify(READY=1)


def test_an_entry_of_the_journal_has_fields_of_its_own_and_each_is_one_line(listener, monkeypatch, capsys):
    monkeypatch.setattr(systemd, "JOURNAL", listener.address)
    systemd.journal(systemd.WARNING, "db: lost\nMESSAGE=forged", S3_LEADER_TERM=7, S3_LEADER_HOLDER="wéb\n1")
    assert listener.messages() == [
        {
            "S3_LEADER_TERM": "7",
            "S3_LEADER_HOLDER": "wéb 1",
            "PRIORITY": "4",
            "SYSLOG_IDENTIFIER": "s3-leader",
            "MESSAGE": "db: lost MESSAGE=forged",
        }
    ]
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("no_journal")
def test_without_a_journal_the_message_goes_to_standard_error(capsys):
    systemd.journal(systemd.INFO, "db: standby", S3_LEADER_NAME="db")
    assert capsys.readouterr().err == "db: standby\n"


class Broken(io.StringIO):
    def write(self, text):
        raise OSError("no space left")


@pytest.mark.usefixtures("no_journal")
def test_a_message_that_cannot_be_written_anywhere_does_no_harm(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Broken())
    systemd.journal(systemd.INFO, "db: standby")


@pytest.mark.parametrize("who", ["systemd", "the journal"])
def test_a_listener_that_hangs_keeps_nobody_waiting(who, listener, monkeypatch):
    monkeypatch.setattr(systemd, "JOURNAL", listener.address)
    monkeypatch.setenv("NOTIFY_SOCKET", listener.variable)
    lost = threading.Event()

    def tell():
        for _message in range(100000):  # more than any queue takes
            told = systemd.notify(WATCHDOG=1) if who == "systemd" else systemd._send(systemd.JOURNAL, "MESSAGE=a\n")
            if not told:
                lost.set()
                return

    threading.Thread(target=tell, daemon=True).start()
    assert lost.wait(60)


# -- Signals ----------------------------------------------------------------------------------------------------------

PROGRAM = """
import os, sys
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import systemd
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock

systemd.hold_signals()
if "replaced" not in sys.argv:
    print("ready", flush=True)
    sys.stdin.readline()  # while the signals come
waits = int(sys.argv[1])
if "listen" in sys.argv:
    try:
        systemd.listen()
    except systemd.Stop:
        print("heard", flush=True)
        waits -= 1
for _signal in range(waits):
    try:
        systemd.wait(600, Clock(), lambda: None)
    except systemd.Stop:
        print("stop", flush=True)
    except systemd.Reload:
        print("reload", flush=True)
        if "replace" in sys.argv:
            os.execv(sys.executable, [sys.executable, sys.argv[0], "1", "replaced"])
print("end")
"""


@pytest.fixture
def run(tmp_path, collections_path):
    """Runs the program, sends it signals while it is busy, and returns what it says of them."""

    def run(*signals, arguments=()):
        (tmp_path / "program.py").write_text(PROGRAM)
        command = [sys.executable, str(tmp_path / "program.py"), str(len(signals)), *arguments]
        environment = dict(os.environ, PYTHONPATH=collections_path)
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with subprocess.Popen(command, env=environment, **pipes) as process:
            try:
                assert process.stdout.readline() == "ready\n"
                for number in signals:
                    process.send_signal(number)
                said = process.communicate("\n", timeout=120)[0]
            finally:
                process.kill()
        return said.split(), process.returncode

    return run


@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGTERM, "stop"), (signal.SIGINT, "stop"), (signal.SIGHUP, "reload")]
)
def test_a_signal_waits_until_it_is_waited_for(run, number, word):
    assert run(number) == ([word, "end"], 0)


def test_signals_of_two_kinds_both_count(run):
    said, status = run(signal.SIGTERM, signal.SIGHUP)
    assert (sorted(said), status) == (["end", "reload", "stop"], 0)


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        ([signal.SIGHUP], ["reload"]),
        ([signal.SIGTERM], ["heard"]),
        ([signal.SIGHUP, signal.SIGTERM], ["heard", "reload"]),
    ],
)
def test_between_requests_a_stop_is_heard_and_a_reload_stays_pending(run, signals, said):
    assert run(*signals, arguments=["listen"]) == ([*said, "end"], 0)


def test_a_signal_that_comes_while_the_program_is_replaced_is_not_lost(run):
    assert run(signal.SIGHUP, signal.SIGTERM, arguments=["replace"]) == (["reload", "stop", "end"], 0)


class Jumping(Clock):
    """A clock that reads what it is told."""

    def __init__(self, *readings):
        self.readings = list(readings)

    def now(self):
        return self.readings.pop(0)


@pytest.mark.parametrize(
    ("number", "code", "error"), [(7501938, 0, 0), (1, 1769171584, 0), (1, 1, 0), (15, 0, 32692), (0, 0, 0)]
)
def test_what_python_makes_up_after_a_stop_is_no_signal(monkeypatch, number, code, error):
    made_up = signal.struct_siginfo((number, code, error, 0, 0, 0, 0))
    monkeypatch.setattr(signal, "sigtimedwait", lambda _signals, _seconds: made_up)
    systemd.wait(1, Jumping(0.0, 0.5, 1.0), lambda: None)


def test_a_wait_ends_at_once_when_the_clock_jumps_as_after_a_suspend():
    clock = Jumping(0.0, 3600.0)
    systemd.wait(3000, clock, lambda: None)
    assert clock.readings == []


def test_a_long_wait_is_one_of_slices_with_a_sign_of_life_before_each(monkeypatch):
    slices = []
    monkeypatch.setattr(signal, "sigtimedwait", lambda _signals, seconds: slices.append(seconds))
    clock = Jumping(0.0, 0.0, 1.0, 2999.5, 3000.0)
    signs = []
    systemd.wait(3000, clock, lambda: signs.append(len(slices)))
    assert slices == [1.0, 1.0, 0.5, 0]
    assert signs == [0, 1, 2, 3]
