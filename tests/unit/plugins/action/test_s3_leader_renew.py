# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible import constants
from ansible_collections.leaderelection.s3.plugins.action.s3_leader_renew import ActionModule
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _run
from ansible_collections.leaderelection.s3.plugins.plugin_utils._kept import LOST
from support import kept_leases
from support.action import play

ACTION = "leaderelection.s3.s3_leader_renew"
LEASE = dict(lease_duration=30.0)


def renewed(deadline=30.0):
    """What the module answers; with a deadline below 0 the answer is too late."""
    return dict(changed=False, is_leader=True, term=7, deadline=deadline, lease=LEASE, reason="still leader")


def result_of(answer, check_mode=False, **arguments):
    return play(ActionModule, ACTION, dict(arguments, key="jobs/a"), answer, check_mode=check_mode).result


def test_the_module_is_sent_as_the_run_on_the_host_and_without_metadata():
    told = play(ActionModule, ACTION, dict(key="jobs/a", on_lost="report"), renewed())
    assert told.module == ACTION
    assert told.arguments == dict(key="jobs/a", on_lost="report", holder="web-1", session=_run.session("web-1"))


def test_an_answer_in_time_is_a_leaders():
    result = result_of(renewed())
    assert (result["is_leader"], result["term"], _run.is_held(result)) == (True, 7, True)
    assert not result.get("failed")


@pytest.mark.parametrize("given", [{}, dict(on_lost="fail")])
def test_an_answer_that_comes_too_late_is_a_lost_lease_and_fails_the_task(given):
    result = result_of(renewed(-1.0), **given)
    assert (result["failed"], result["is_leader"], result["term"], result["deadline"]) == (True, False, None, None)
    assert result["msg"].startswith("The lease is lost: not leader: the host's answer came after the deadline")


def test_with_on_lost_report_it_is_only_told():
    result = result_of(renewed(-1.0), on_lost="report")
    assert result["is_leader"] is False
    assert not result.get("failed")


def test_in_check_mode_a_lost_lease_does_not_fail():
    result = result_of(renewed(-1.0), check_mode=True)
    assert result["is_leader"] is False
    assert not result.get("failed")


def test_the_module_tells_itself_what_it_found_to_be_lost():
    told = dict(renewed(None), is_leader=False, term=None, failed=True, msg="The lease is not held any more")
    assert result_of(told) == told


# -- A lease that is kept


@pytest.fixture
def _kept(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))


@pytest.mark.parametrize("duration", [{}, dict(lease_duration=10), dict(lease_duration=30), dict(lease_duration="30s")])
@pytest.mark.usefixtures("_kept")
def test_what_a_keeper_renews_is_renewed_without_a_request(duration):
    kept_leases.publish()
    told = play(ActionModule, ACTION, dict(key="jobs/a", lease=kept_leases.result(), **duration), renewed())
    assert told.module == ""
    assert (told.result["is_leader"], told.result["requests"]) == (True, 0)


@pytest.mark.usefixtures("_kept")
def test_to_last_for_longer_it_is_written_as_its_keeper_knows_it():
    kept = kept_leases.publish()
    told = play(ActionModule, ACTION, dict(key="jobs/a", lease=kept_leases.result(), lease_duration="30.1s"), renewed())
    assert told.module == ACTION
    assert (told.arguments["bucket"], told.arguments["lease"]["lease"]) == ("bucket", kept.lease)


@pytest.mark.parametrize("given", [{}, dict(on_lost="report")])
@pytest.mark.usefixtures("_kept")
def test_what_its_keeper_lost_is_told_without_a_request(given):
    kept_leases.publish(state=LOST, reason="taken by bob")
    told = play(ActionModule, ACTION, dict(key="jobs/a", lease=kept_leases.result(), **given), renewed())
    assert (told.module, told.result["is_leader"], told.result["reason"]) == ("", False, "taken by bob")
    assert told.result.get("failed", False) is not bool(given)
