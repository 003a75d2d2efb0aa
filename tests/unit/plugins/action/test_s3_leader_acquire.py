# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys

import pytest
from ansible import constants, context
from ansible_collections.leaderelection.s3.plugins.action.s3_leader_acquire import ActionModule
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _here, _kept, _run
from support import kept_leases
from support.action import play

ACTION = "leaderelection.s3.s3_leader_acquire"
RUN = dict(pid=str(_run.PID), started=_run.STARTED)


@pytest.fixture(autouse=True)
def command_line(monkeypatch):
    monkeypatch.setattr(_run, "user", lambda: "alice")
    monkeypatch.setattr(context, "CLIARGS", dict(args=("plays/site.yml",)))


def sent(**arguments):
    return play(ActionModule, ACTION, arguments, dict(changed=False, is_leader=False, deadline=None)).arguments


def test_the_module_is_sent_as_the_run_on_the_host_with_what_people_ask_next():
    added = dict(holder="web-1", session=_run.session("web-1"), metadata=dict(RUN, user="alice", playbook="site.yml"))
    assert sent(key="jobs/a", wait_timeout=60) == dict(added, key="jobs/a", wait_timeout=60)


def test_metadata_that_is_given_is_added_to():
    assert sent(metadata=dict(ticket="OPS-1", user="ci"))["metadata"] == dict(
        RUN, ticket="OPS-1", user="ci", playbook="site.yml"
    )


def test_metadata_that_is_no_map_is_left_to_the_module_to_refuse():
    assert sent(metadata="no map at all")["metadata"] == "no map at all"


@pytest.mark.parametrize("check_mode", [False, True])
def test_an_acquisition_that_comes_too_late_is_no_failure(check_mode):
    late = dict(changed=True, is_leader=True, term=7, deadline=-1.0, lease=dict(lease_duration=30.0), reason="leader")
    result = play(ActionModule, ACTION, dict(key="jobs/a"), late, check_mode=check_mode).result
    assert (result["is_leader"], result["term"], result["deadline"]) == (False, None, None)
    assert not result.get("failed")


def test_who_does_not_lead_has_a_message_for_where_the_task_is_made_to_fail():
    follower = dict(changed=False, is_leader=False, term=None, deadline=None, lease={}, reason="held by web-2")
    assert play(ActionModule, ACTION, dict(key="jobs/a"), follower).result["msg"] == "held by web-2"
    failed = dict(follower, failed=True, msg="no answer", reason="see msg")
    assert play(ActionModule, ACTION, dict(key="jobs/a"), failed).result["msg"] == "no answer"
    leader = dict(follower, is_leader=True, term=7, deadline=30.0, lease=dict(lease_duration=30.0))
    assert "msg" not in play(ActionModule, ACTION, dict(key="jobs/a"), leader).result


@pytest.mark.parametrize(("state", "ended"), [(_kept.HELD, [True]), (_kept.LOST, []), (_kept.ENDED, [])])
def test_the_keeper_of_what_was_acquired_too_late_gives_it_back(tmp_path, monkeypatch, state, ended):
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    asked = []
    monkeypatch.setattr(_kept, "end", lambda _kept, give_back: asked.append(give_back))
    kept = kept_leases.publish(state=state)
    late = dict(changed=True, is_leader=True, term=7, deadline=-1.0, lease=kept.lease, reason="leader")
    assert play(ActionModule, ACTION, dict(key="jobs/a"), late).result["is_leader"] is False
    assert asked == ended


@pytest.mark.parametrize(("keepalive", "refused"), [("yes", True), (True, True), ("no", False), ("", False)])
def test_keepalive_is_refused_where_no_keeper_can_work(keepalive, refused):
    follower = dict(changed=False, is_leader=False, term=None, deadline=None, lease={}, reason="held by web-2")
    told = play(ActionModule, ACTION, dict(key="jobs/a", keepalive=keepalive), follower)
    assert bool(told.result.get("failed")) is refused
    assert (told.module == "") is refused


@pytest.mark.parametrize(
    ("why_not", "told"),
    [
        (_here.ELSEWHERE[0], "the role leaderelection.s3.heartbeat keeps a lease"),
        (_here.ELSEWHERE[1], "Set become: false on it"),
        (_here.ELSEWHERE[2], "Set the environment on the tasks that need it"),
        (_here._NO_BOTOCORE, f"Install boto3 for it: {sys.executable} -m pip install boto3"),
    ],
)
def test_it_says_what_to_do_then(monkeypatch, why_not, told):
    monkeypatch.setattr(_here, "why_not", lambda *_arguments: why_not)
    message = play(ActionModule, ACTION, dict(key="jobs/a", keepalive=True), {}).result["msg"]
    assert message.startswith(f"keepalive is true, but this task cannot keep a lease: {why_not}. ")
    assert told in message
