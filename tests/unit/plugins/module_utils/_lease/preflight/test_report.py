# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.report import ESSENTIAL, Check, Report

GOOD = {name: Check(name, "pass", "well") for name in ESSENTIAL}


def report(*checks, without=()):
    kept = {name: one for name, one in GOOD.items() if name not in without}
    return Report((*{**kept, **{one.name: one for one in checks}}.values(),), 1, 1.0)


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ([], "safe"),
        ([Check("versioning", "warn", "on")], "safe"),
        ([Check("clock", "warn", "late")], "safe"),
        ([Check("lifecycle", "unknown", "forbidden")], "safe"),
        ([Check("lifecycle", "fail", "deletes it")], "unsafe"),
        ([Check("known_store", "fail", "races")], "unsafe"),
        ([Check("create_race", "unknown", "throttled")], "unknown"),
        ([Check("create_race", "unknown", "throttled"), Check("reads", "fail", "stale")], "unsafe"),
    ],
)
def test_the_verdict_follows_from_the_checks(checks, verdict):
    assert report(*checks).verdict == verdict


@pytest.mark.parametrize("name", ESSENTIAL)
def test_no_store_is_safe_while_an_essential_question_is_open(name):
    assert report(Check(name, "unknown", "no answer")).verdict == "unknown"
    assert report(without=[name]).verdict == "unknown"
    assert report(Check(name, "fail", "no")).verdict == "unsafe"


def test_the_reason_tells_each_thing_once():
    reason = report(Check("replace", "fail", "a", "Do it"), Check("create", "fail", "b", "Do it")).reason
    assert reason.endswith(": b; a. Do it")


def test_the_reason_of_a_dry_run_is_that_nothing_was_written():
    assert "nothing was written" in report(without=ESSENTIAL).reason
