# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.leaderelection.s3.plugins.action.s3_leader_preflight import ActionModule
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _run
from support.action import play

ACTION = "leaderelection.s3.s3_leader_preflight"
RESULT_KEYS = {"changed", "verdict", "reason", "checks", "requests", "seconds", "report"}


def test_the_module_is_sent_as_the_run_on_the_host():
    told = dict(changed=False, verdict="safe", checks=[], requests=9)
    played = play(ActionModule, ACTION, dict(key="jobs/a", rounds=2), told)
    assert played.module == ACTION
    assert played.arguments == dict(key="jobs/a", rounds=2, holder="web-1", session=_run.session("web-1"))
    assert played.result == told


def test_a_module_that_died_leaves_the_verdict_unknown_and_names_no_leader():
    result = play(ActionModule, ACTION, dict(key="jobs/a"), dict(failed=True, msg="MODULE FAILURE", rc=1)).result
    assert result.keys() == {*RESULT_KEYS, "failed", "msg", "rc"}
    assert (result["failed"], result["verdict"], result["msg"]) == (True, "unknown", "MODULE FAILURE")


def test_a_module_that_failed_the_store_keeps_its_own_verdict():
    told = dict(failed=True, msg="no", changed=False, verdict="unsafe", reason="no", checks=[1], requests=9)
    told |= dict(seconds=2.5, report="### Preflight")
    assert play(ActionModule, ACTION, dict(key="jobs/a"), told).result == told


def test_async_is_refused_with_the_keys_of_a_preflight():
    played = play(ActionModule, ACTION, dict(key="jobs/a"), {}, asynchronous=60)
    assert played.module == ""
    assert played.result.keys() == {*RESULT_KEYS, "failed", "msg"}
    assert (played.result["failed"], played.result["verdict"]) == (True, "unknown")
