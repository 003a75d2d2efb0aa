# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.leaderelection.s3.plugins.action.s3_leader_info import ActionModule
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _run
from support.action import play
from support.refusals import RESULT_KEYS

ACTION = "leaderelection.s3.s3_leader_info"


def test_the_module_is_sent_as_the_run_on_the_host():
    told = dict(changed=False, is_leader=False, deadline=None)
    played = play(ActionModule, ACTION, dict(key="jobs/a"), told)
    assert played.module == ACTION
    assert played.arguments == dict(key="jobs/a", holder="web-1", session=_run.session("web-1"))
    assert played.result == told


def test_a_module_that_died_names_no_leader():
    result = play(ActionModule, ACTION, dict(key="jobs/a"), dict(failed=True, msg="MODULE FAILURE")).result
    assert result.keys() >= RESULT_KEYS
    assert (result["failed"], result["is_leader"]) == (True, False)
