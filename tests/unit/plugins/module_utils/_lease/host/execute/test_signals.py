# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import signal
import socket

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.signals import PASSED_ON, Signals


@pytest.fixture(autouse=True)
def _restored():
    before = {
        number: signal.getsignal(number) for number in (*PASSED_ON, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)
    }
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_end_a_wait_and_are_noted_once():
    signals = Signals()
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGCHLD)
    signals.wait(600)
    assert signals.take() == [signal.SIGUSR1, signal.SIGCHLD]
    assert signals.take() == []
    signals.wait(0)


def test_what_can_be_read_ends_a_wait():
    signals, (one, other) = Signals(), socket.socketpair()
    other.send(b"!")
    signals.wait(600, [one])
    assert signals.take() == []
    one.close()
    other.close()


def test_what_was_ignored_stays_so():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signals = Signals()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signals.take() == []
    assert signal.getsignal(signal.SIGCHLD) != signal.SIG_IGN  # or nobody would know how a process ended
    signals.reset()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_a_program_begins_with_the_usual_handlers():
    signals = Signals([signal.SIGUSR1])
    signals.reset()
    for number in (signal.SIGUSR1, signal.SIGPIPE, signal.SIGXFSZ):
        assert signal.getsignal(number) == signal.SIG_DFL


def test_files_with_high_numbers_can_be_waited_for():
    signals, (one, other) = Signals(), socket.socketpair()
    high = fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 1500)
    other.send(b"!")

    class File:
        def fileno(self):
            return high

    signals.wait(600, [File()])
    for file in (one, other):
        file.close()
    os.close(high)
