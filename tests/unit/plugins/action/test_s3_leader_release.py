# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible import constants
from ansible_collections.leaderelection.s3.plugins.action.s3_leader_release import ActionModule
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _kept, _run
from support import kept_leases
from support.action import play
from support.refusals import RESULT_KEYS

ACTION = "leaderelection.s3.s3_leader_release"


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


def test_the_result_handed_over_goes_along_with_its_age():
    registered = dict(is_leader=True, lease=dict(lease_duration=30.0), deadline=dict(run=_run.RUN, at=_run.now() + 30))
    told = play(ActionModule, ACTION, dict(key="jobs/a", lease=registered), {}).arguments["lease"]
    assert told["elapsed"] < 30.0
    assert (told["is_leader"], told["lease"]) == (True, dict(lease_duration=30.0))


# -- A lease that is kept


@pytest.fixture
def ended(tmp_path, monkeypatch):
    """Which keepers were to end, and whether they were to give the lease back."""
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    asked = []

    def end(kept, give_back):
        asked.append((kept.state, give_back))
        return kept._replace(state=_kept.ENDED)

    monkeypatch.setattr(_kept, "end", end)
    return asked


def release(check_mode=False):
    arguments = dict(key="jobs/a", lease=kept_leases.result())
    return play(
        ActionModule, ACTION, arguments, dict(changed=True, is_leader=False, deadline=None), check_mode=check_mode
    )


def test_its_keeper_ends_first_and_the_task_releases_what_it_held_last(ended):
    kept = kept_leases.publish()
    assert release().arguments["lease"]["lease"] == kept.lease
    assert ended == [(_kept.HELD, False)]


@pytest.mark.parametrize("state", [_kept.LOST, _kept.ENDED])
def test_a_keeper_that_has_ended_is_not_waited_for(ended, state):
    kept_leases.publish(state=state)
    assert release().arguments["lease"]["lease"] == kept_leases.LEASE
    assert not ended


def test_check_mode_ends_no_keeper(ended):
    kept_leases.publish()
    release(check_mode=True)
    assert not ended
