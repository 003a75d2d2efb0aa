# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.at_once import at_once
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock, GivenUp
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Unknown, Written

WON, LOST = Written("e1", 0.0), Unknown("answered 412", precondition_failed=True)
SILENT = Unknown("no answer")


def test_nobody_sends_before_all_are_ready():
    ready = []

    def write(hold):
        ready.append(1)
        hold()
        return Unknown(str(len(ready)))

    assert at_once([write] * 8, 60, Clock()) == [Unknown("8")] * 8


@pytest.mark.parametrize("drops_out", ["returns", "raises"])
def test_nobody_waits_for_one_that_does_not_get_so_far(drops_out):
    def gives_up(_hold):
        if drops_out == "raises":
            raise OSError("no connection")
        return SILENT

    def write(hold):
        hold()
        return WON

    outcomes = at_once([gives_up, write, write], 3600, Clock())
    assert outcomes[1:] == [WON, WON]
    assert isinstance(outcomes[0], Unknown)


def test_one_that_comes_when_the_others_have_started_is_not_completed():
    """It would find what they have left, and be refused by a store that checks first, too."""
    sent = threading.Event()

    def write(hold):
        hold()
        sent.set()
        return WON

    def comes_late(hold):
        sent.wait()
        with pytest.raises(GivenUp):
            hold()
        return SILENT

    assert at_once([write, comes_late], 1, Clock()) == [WON, SILENT]


def test_one_that_is_sent_a_second_time_comes_too_late():
    def refused_at_first(hold):
        hold()
        with pytest.raises(GivenUp):
            hold()
        return SILENT

    def write(hold):
        hold()
        return WON

    assert at_once([refused_at_first, write], 60, Clock()) == [SILENT, WON]


@pytest.mark.parametrize("refusal", [LOST, Unknown("answered 409", conflict=True)])
def test_a_refusal_before_the_last_byte_tells_nothing_of_the_race(refusal):
    def write(hold):
        hold()
        return WON

    outcomes = at_once([lambda _hold: refusal, write], 60, Clock())
    assert outcomes == [Unknown(refusal.why), WON]


def test_the_outcome_of_one_that_takes_too_long_is_unknown():
    end = threading.Event()

    def hangs(hold):
        hold()
        end.wait()
        return WON

    def write(hold):
        hold()
        return LOST

    try:
        outcomes = at_once([write, hangs], 1, Clock())
    finally:
        end.set()
    assert outcomes[0] == LOST
    assert outcomes[1] == Unknown("no answer within 1 s")


def test_one_for_which_there_is_no_thread_keeps_nobody_waiting(monkeypatch):
    start, threads = threading.Thread.start, []

    def first_only(self):
        if threads:
            raise RuntimeError("can't start new thread")
        threads.append(self)
        start(self)

    def write(hold):
        hold()
        return WON

    monkeypatch.setattr(threading.Thread, "start", first_only)
    outcomes = at_once([write, write], 3600, Clock())
    assert outcomes[0] == WON
    assert isinstance(outcomes[1], Unknown)
