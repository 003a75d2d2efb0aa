# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
import threading
import time
import types

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock, NotStarted, Overdue


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has CLOCK_BOOTTIME")
def test_rule_7_the_clock_runs_through_suspend():
    assert clock._CLOCK == time.CLOCK_BOOTTIME


def test_a_bounded_call_hands_its_value_on():
    assert Clock().bounded(lambda _until: 42, 10) == 42


def test_a_bounded_call_hands_its_error_on():
    with pytest.raises(ZeroDivisionError):
        Clock().bounded(lambda _until: 1 / 0, 10)


def test_a_returned_exception_is_no_raised_one():
    assert isinstance(Clock().bounded(ValueError, 10), ValueError)


def test_a_call_that_hangs_is_overdue():
    never = threading.Event()
    with pytest.raises(Overdue):
        Clock().bounded(lambda _until: never.wait(), 0.05)
    never.set()


def test_a_bounded_call_is_told_when_its_caller_turns_away():
    before = Clock().now()
    assert before + 10 <= Clock().bounded(lambda until: until, 10) <= Clock().now() + 10


def test_a_call_without_a_thread_is_not_made(monkeypatch):
    def fail(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(NotStarted):
        Clock().bounded(lambda _until: 42, 10)


def test_an_overdue_call_does_not_keep_the_process_alive():
    never = threading.Event()
    with pytest.raises(Overdue):
        Clock().bounded(lambda _until: never.wait(), 0.01)
    assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
    never.set()


class Standstill:
    """Time that passes only while somebody waits, for nothing."""

    def __init__(self, monkeypatch, jumps=0.0):
        self.now = 100.0
        self.waits = []
        self._jumps = jumps
        """Seconds that pass before the first wait."""
        threads = types.SimpleNamespace(Event=lambda: self, Thread=lambda target, daemon: self)
        monkeypatch.setattr(clock, "threading", threads)
        monkeypatch.setattr(
            clock, "time", types.SimpleNamespace(sleep=self.wait, clock_gettime=lambda _clock: self.now)
        )

    def start(self):
        self.now += self._jumps

    def wait(self, seconds):
        self.waits.append(seconds)
        self.now += seconds
        return False


def test_a_wait_is_cut_into_seconds_so_that_a_suspend_ends_it(monkeypatch):
    still = Standstill(monkeypatch)
    Clock().sleep(2.5)
    assert still.waits == [1, 1, 0.5]


@pytest.mark.parametrize(("jumps", "waits"), [(0, [1, 1, 0.5]), (2, [0.5]), (3, [0])])
def test_a_bounded_call_is_waited_for_in_seconds_so_that_a_suspend_ends_it(monkeypatch, jumps, waits):
    still = Standstill(monkeypatch, jumps)
    with pytest.raises(Overdue):
        Clock().bounded(lambda _until: 42, 2.5)
    assert still.waits == waits


def test_a_clock_that_jumps_as_after_a_suspend_ends_the_wait_at_once(monkeypatch):
    readings = iter([0.0, 0.0, 3600.0, 3600.0])
    monkeypatch.setattr(Clock, "now", lambda self: next(readings))
    Clock().sleep(3000)
    assert next(readings) == 3600.0
