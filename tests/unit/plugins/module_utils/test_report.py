# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils import _report
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.report import ESSENTIAL, Check, Report


def report(*checks, seconds=1.23456):
    """What a preflight found: all that a lease depends on is good, and these checks."""
    good = [Check(name, "pass", "seen") for name in ESSENTIAL]
    return Report((*good, *checks), 9, seconds)


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ((), "safe"),
        ((Check("latency", "warn", "it is slow"),), "safe"),
        ((Check("known_store", "fail", "it is known for its races", "Use another"),), "unsafe"),
    ],
)
def test_the_verdict_and_its_reason_are_the_reports(checks, verdict):
    found = report(*checks)
    told = _report.result(found, "text")
    assert (told["verdict"], told["reason"]) == (verdict, found.reason)


def test_every_check_is_told_in_order_as_a_map():
    told = _report.result(report(Check("latency", "warn", "it is slow", "Raise request_timeout")), "text")
    assert [check["name"] for check in told["checks"]] == [*ESSENTIAL, "latency"]
    assert told["checks"][-1] == dict(name="latency", verdict="warn", seen="it is slow", advice="Raise request_timeout")


def test_a_preflight_changes_nothing_and_says_what_it_took():
    told = _report.result(report(), "text")
    assert (told["changed"], told["requests"], told["seconds"], told["report"]) == (False, 9, 1.235, "text")


def test_a_preflight_that_could_not_ask_leaves_the_verdict_unknown_under_the_same_keys():
    told = _report.failure("rounds is 0: use 1 to 1000", 0)
    assert told == dict(
        msg="rounds is 0: use 1 to 1000",
        reason="the task failed: see msg",
        changed=False,
        verdict="unknown",
        checks=[],
        requests=0,
        seconds=0.0,
        report="",
    )
    assert set(told) == {*_report.result(report(), "text"), "msg"}
