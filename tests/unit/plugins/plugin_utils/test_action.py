# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import types

import pytest
from ansible import context
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.protocol import MARGIN_RATE
from ansible_collections.leaderelection.s3.plugins.module_utils._results import SEE_MSG
from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_info
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _run
from ansible_collections.leaderelection.s3.plugins.plugin_utils._action import LeaseAction, metadata
from support.action import play
from support.refusals import RESULT_KEYS

FOLLOWER = dict(
    changed=False, is_leader=False, term=None, reason="held by web-2", lease=None, requests=1, deadline=None
)
LEASE = dict(bucket="bucket", key="jobs/a", session="5f2f2b0f", term=7, sequence=3, etag="e1", lease_duration=30.0)


def leader(deadline=30.0, **others):
    """What the module of a leader answers: the deadline is in seconds from its start."""
    known = dict(changed=True, is_leader=True, term=7, reason="leader now", lease=LEASE, requests=2, deadline=deadline)
    return dict(known, **others)


class Plain(LeaseAction):
    """An action that adds nothing of its own."""

    module = s3_leader_info


def run(answer=None, host="web-1", action="leaderelection.s3.s3_leader_info", check_mode=False, **arguments):
    return play(Plain, action, arguments, answer or FOLLOWER, host, check_mode)


def arguments(host="web-1", **given):
    """What the module is sent with."""
    return run(host=host, **given).arguments


@pytest.fixture
def clock(monkeypatch):
    """The controller's clock: it stands still unless a test moves it."""
    reading = types.SimpleNamespace(at=1000.0)
    monkeypatch.setattr(_run, "now", lambda: reading.at)
    return reading


# -- Which module goes to the host, and with what


@pytest.mark.parametrize("action", ["leaderelection.s3.s3_leader_info", "s3_leader_info"])
def test_the_module_is_the_one_of_the_same_name_also_for_a_short_name(action):
    assert run(action=action).module == "leaderelection.s3.s3_leader_info"


def test_the_holder_and_the_session_are_added_and_all_else_is_left_as_it_is():
    given = dict(key="jobs/a", bucket="bucket", secret_key="whatever", metadata={"ticket": "OPS-1"})
    assert arguments(**given) == dict(given, holder="web-1", session=_run.session("web-1"))


def test_the_arguments_of_the_task_are_not_changed():
    """A loop and a retry run with the same ones."""
    given = dict(key="jobs/a", lease=dict(leader(), skipped=True))
    before = copy.deepcopy(given)
    play(Plain, "s3_leader_renew", given, FOLLOWER)
    assert given == before


@pytest.mark.parametrize("name", ["holder", "instance_id"])
def test_a_holder_that_is_given_stays_by_either_name(name):
    told = arguments(**{name: "ci-7"})
    assert {one: told[one] for one in ("holder", "instance_id") if one in told} == {name: "ci-7"}


@pytest.mark.parametrize("given", [dict(holder="", instance_id="ci-7"), dict(holder="ci-7", instance_id="")])
def test_an_empty_alias_does_not_hide_the_name(given):
    """Ansible goes by the alias where both are there."""
    told = arguments(**given)
    assert [told[name] for name in ("holder", "instance_id") if name in told] == ["ci-7"]


def test_a_session_that_is_given_stays():
    assert arguments(session="one-for-both")["session"] == "one-for-both"


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_holder_or_session_is_as_good_as_none(empty):
    told = arguments(holder=empty, session=empty)
    assert (told["holder"], told["session"]) == ("web-1", _run.session("web-1"))


def test_a_holder_that_is_given_has_no_say_in_the_session():
    assert arguments(holder="us")["session"] == _run.session("web-1")


def test_each_host_of_a_run_has_its_own_session():
    assert arguments("web-1")["session"] == arguments("web-1")["session"]
    assert arguments("web-1")["session"] != arguments("web-2")["session"]


def test_a_delegated_task_asks_for_the_host_that_it_is_a_task_of():
    delegated = dict(ansible_delegated_vars={"db-1": dict(inventory_hostname="db-1")}, ansible_host="db-1.example.com")
    told = play(Plain, "s3_leader_info", {}, FOLLOWER, "web-1", **delegated).arguments
    assert (told["holder"], told["session"]) == ("web-1", _run.session("web-1"))


def test_without_variables_it_is_localhost(monkeypatch):
    monkeypatch.setattr(_run, "user", lambda: "alice")
    told = arguments(host=None)
    assert told["session"] == _run.session("localhost")
    assert told["holder"].startswith("alice@")


# -- The result handed over


def test_a_result_of_this_run_is_handed_over_with_its_age(clock):
    deadline = dict(run=_run.RUN, at=clock.at + 18.0, heard=clock.at - 11.0)
    registered = leader(deadline=deadline, diff={}, invocation={})
    assert arguments(lease=registered)["lease"] == dict(is_leader=True, lease=LEASE, elapsed=12.0, heard=11.0)


@pytest.mark.parametrize("heard", [{}, dict(heard=None), dict(heard="long ago")])
def test_a_result_that_does_not_tell_when_it_was_heard_of_is_no_proof(clock, heard):
    registered = leader(deadline=dict(run=_run.RUN, at=clock.at + 18.0, **heard))
    assert arguments(lease=registered)["lease"]["heard"] is None


def test_a_result_of_another_run_is_handed_over_without_an_age(clock):
    registered = leader(deadline=dict(run="another", at=clock.at + 18.0))
    assert arguments(lease=registered)["lease"] == dict(is_leader=True, lease=LEASE, elapsed=None, heard=None)


def test_an_age_is_counted_and_never_believed(clock):
    assert arguments(lease=leader(deadline=None, elapsed=0.0))["lease"]["elapsed"] is None


def test_a_result_has_no_age_below_zero(clock):
    """One that waited for its lease has its deadline later by what it waited, less the margin of the clocks."""
    registered = leader(deadline=dict(run=_run.RUN, at=clock.at + 31.0))
    assert arguments(lease=registered)["lease"]["elapsed"] == 0.0


def test_a_result_that_is_overdue_says_so(clock):
    registered = leader(deadline=dict(run=_run.RUN, at=clock.at - 5.0))
    assert arguments(lease=registered)["lease"]["elapsed"] == 35.0


@pytest.mark.parametrize("lease", [None, "mine", {}, {"lease_duration": None}, {"lease_duration": "long"}])
def test_a_result_whose_lease_is_none_has_no_age_and_goes_to_the_module_which_refuses_it(clock, lease):
    registered = leader(deadline=dict(run=_run.RUN, at=clock.at + 18.0), lease=lease)
    assert arguments(lease=registered)["lease"] == dict(is_leader=True, lease=lease, elapsed=None, heard=None)


def test_a_follower_hands_over_that_it_does_not_lead():
    assert arguments(lease=FOLLOWER)["lease"] == dict(is_leader=False, lease=None, elapsed=None, heard=None)


def test_a_skipped_task_hands_nothing_over():
    assert arguments(lease=dict(skipped=True, changed=False))["lease"] == {}


@pytest.mark.parametrize("nonsense", [dict(LEASE), dict(results=[leader()]), {}, "the last one", 7, [1]])
def test_what_is_no_result_goes_to_the_module_as_it_is(nonsense):
    assert arguments(lease=nonsense)["lease"] == nonsense


# -- The deadline


def takes(clock, seconds, result):
    """The host's answer, after so many seconds of the controller's."""

    def answer():
        clock.at += seconds
        return dict(result)

    return answer


def test_the_deadline_counts_from_before_the_task_was_sent_by_rule_6(clock):
    result = run(takes(clock, 4.0, leader(deadline=30.0))).result
    assert result["deadline"] == dict(run=_run.RUN, at=1030.0, heard=1004.0)
    assert _run.is_held(result)


def test_an_older_lease_has_its_earlier_deadline(clock):
    assert run(leader(deadline=12.5)).result["deadline"]["at"] == 1012.5


def test_for_a_wait_the_rates_of_the_two_clocks_may_have_differed(clock):
    """The lease of 30 s was acquired 200 s after the task began."""
    at = run(takes(clock, 201.0, leader(deadline=230.0))).result["deadline"]["at"]
    assert at == pytest.approx(1230.0 - 200.0 * MARGIN_RATE)
    assert at < 1230.0


@pytest.mark.parametrize("seconds", [30.0, 30.001, 3600.0])
def test_an_answer_that_comes_too_late_makes_no_leader_by_rule_8(clock, seconds):
    result = run(takes(clock, seconds, leader(deadline=30.0))).result
    assert (result["is_leader"], result["term"], result["deadline"]) == (False, None, None)
    assert result["reason"] == "not leader: the host's answer came after the deadline of the lease"
    assert (result["lease"], result["requests"]) == (LEASE, 2), "what stands in the store is told all the same"
    assert not result.get("failed")
    assert _run.is_held(result) is False


def test_an_answer_just_in_time_does(clock):
    assert run(takes(clock, 29.999, leader(deadline=30.0))).result["is_leader"] is True


@pytest.mark.parametrize("answer", [FOLLOWER, leader(deadline=None)], ids=["a follower", "check mode"])
def test_without_a_deadline_the_answer_stays_as_it_is(clock, answer):
    assert run(takes(clock, 3600.0, answer)).result == answer


def written(sequence, term=7):
    return dict(LEASE, sequence=sequence, term=term)


ELSEWHERE = dict(store="https://elsewhere/bucket", at="2026-11-23T04:49:36.000Z")
"""The test of another store."""


@pytest.mark.parametrize(
    ("handed_over", "seconds", "leads"),
    [
        (written(3), 9.999, True),
        (written(3), 10.0, False),
        (written(2), 25.0, True),
        (written(3, term=6), 25.0, True),
        (dict(written(1), conditions_proven=ELSEWHERE), 10.0, False),
        (dict(written(1), conditions_proven=ELSEWHERE), 9.999, True),
        (dict(written(4), conditions_proven=ELSEWHERE), 25.0, True),
    ],
    ids=[
        "before",
        "after",
        "another task has renewed it since",
        "it was acquired anew",
        "after a test of the store",
        "before, with a test of the store",
        "it was not written",
    ],
)
def test_a_renewal_that_is_heard_of_after_the_lapse_makes_no_leader_by_rule_22(clock, handed_over, seconds, leads):
    """The lease has 10 s left when the task begins, and the host counts from when the task gets there."""
    before = leader(lease=handed_over, deadline=dict(run=_run.RUN, at=clock.at + 10.0))
    answer = takes(clock, seconds, leader(deadline=30.0, lease=written(4)))
    result = run(answer, action="leaderelection.s3.s3_leader_renew", lease=before).result
    assert result["is_leader"] is leads


@pytest.mark.parametrize("before", ["no result", {}, dict(lease=None), leader(lease=written(3))])
def test_what_is_no_result_of_this_run_has_not_lapsed(clock, before):
    answer = takes(clock, 25.0, leader(deadline=30.0, lease=written(4)))
    assert run(answer, action="leaderelection.s3.s3_leader_renew", lease=before).result["is_leader"] is True


# -- Failures


def test_a_module_that_died_leaves_the_keys_of_a_result(clock):
    result = run(dict(failed=True, msg="MODULE FAILURE", rc=1, module_stderr="Segmentation fault")).result
    assert result.keys() >= RESULT_KEYS
    assert (result["failed"], result["is_leader"], result["deadline"]) == (True, False, None)
    assert (result["msg"], result["reason"]) == ("MODULE FAILURE", SEE_MSG)
    assert (result["rc"], result["module_stderr"]) == (1, "Segmentation fault")


class OnPython(Plain):
    """An action on a host that answers so when it is asked for the version of its Python."""

    answer = ""

    def run(self, tmp=None, task_vars=None):
        self._used_interpreter = "#!/usr/bin/python3"
        return super().run(tmp, task_vars)

    def _low_level_execute_command(self, cmd):
        assert cmd.startswith("/usr/bin/python3 -c ")
        return dict(stdout=self.answer, rc=0)


DEAD = dict(failed=True, msg="MODULE FAILURE", rc=1, module_stderr="SyntaxError", exception="Traceback")


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7"])
def test_a_host_whose_python_is_too_old_says_so_in_one_sentence(monkeypatch, version):
    monkeypatch.setattr(OnPython, "answer", version + "\n")
    result = play(OnPython, "leaderelection.s3.s3_leader_info", {}, DEAD).result
    assert result["msg"].startswith(f"Python {version} on this host is too old (/usr/bin/python3): ")
    assert "ansible_python_interpreter" in result["msg"]
    assert set(result) == RESULT_KEYS | {"failed", "msg"}


@pytest.mark.parametrize("answer", ["3.8\n", "3.13\n", "", "sh: not found"])
def test_where_the_python_is_not_the_reason_the_failure_stays_as_it_is(monkeypatch, answer):
    monkeypatch.setattr(OnPython, "answer", answer)
    result = play(OnPython, "leaderelection.s3.s3_leader_info", {}, DEAD).result
    assert (result["msg"], result["module_stderr"]) == ("MODULE FAILURE", "SyntaxError")


def test_a_module_that_died_without_a_word_has_failed():
    assert run(dict(failed=True)).result["msg"] == "the module failed"


def test_what_a_failed_module_told_itself_stands():
    told = dict(FOLLOWER, failed=True, msg="no", reason="no", requests=9)
    assert run(told).result == told


def test_a_result_of_another_kind_is_left_alone():
    """As preflight's, which names no leader."""
    assert run(dict(changed=False, verdict="safe")).result == dict(changed=False, verdict="safe")


def test_async_is_refused_before_anything_is_sent():
    played = play(Plain, "s3_leader_info", {}, FOLLOWER, asynchronous=60)
    assert played.module == ""
    assert played.result.keys() >= RESULT_KEYS
    assert (played.result["failed"], played.result["is_leader"]) == (True, False)
    assert "async" in played.result["msg"]
    assert "use wait_timeout" in played.result["msg"]


# -- The metadata


ALICE = dict(user="alice", pid="4711", started="2026-11-23T04:49:36Z")


@pytest.fixture
def command_line(monkeypatch):
    """Sets what stood on the command line: a list of playbooks, or the pattern of an ad-hoc command."""
    monkeypatch.setattr(_run, "user", lambda: "alice")
    monkeypatch.setattr(_run, "PID", 4711)
    monkeypatch.setattr(_run, "STARTED", "2026-11-23T04:49:36Z")
    monkeypatch.delenv("AWX_HOST", raising=False)

    def set_arguments(args):
        monkeypatch.setattr(context, "CLIARGS", {} if args is None else dict(args=args))

    return set_arguments


@pytest.mark.parametrize("args", [("plays/site.yml",), ["/srv/plays/site.yml", "plays/other.yml"]])
def test_metadata_tells_the_playbook_and_the_user(command_line, args):
    command_line(args)
    assert metadata(None, {}) == metadata({}, {}) == dict(ALICE, playbook="site.yml")


@pytest.mark.parametrize("args", ["web-1", (), None])
def test_without_a_playbook_it_tells_the_user(command_line, args):
    command_line(args)
    assert metadata(None, {}) == ALICE


def test_metadata_that_is_given_wins(command_line):
    command_line(("site.yml",))
    given = dict(ticket="OPS-1", user="ci")
    assert metadata(given, {}) == dict(ALICE, ticket="OPS-1", user="ci", playbook="site.yml")
    assert given == dict(ticket="OPS-1", user="ci")


@pytest.mark.parametrize("given", [["a", "b"], "a text", 5, False])
def test_metadata_that_is_no_map_goes_to_the_module_which_refuses_it(command_line, given):
    assert metadata(given, {}) == given


@pytest.mark.parametrize("name", ["awx", "tower"])
def test_metadata_of_a_job_tells_which_one_and_who_launched_it(command_line, monkeypatch, name):
    command_line(None)
    job = {"job_id": 17, "job_template_name": "migrate", "user_name": "bob", "job_launch_type": "manual"}
    variables = {f"{name}_{one}": value for one, value in job.items()}
    known = dict(ALICE, awx_job="17", awx_template="migrate", awx_user="bob")
    assert metadata(None, variables) == known
    monkeypatch.setenv("AWX_HOST", "https://awx.example.com/")
    assert metadata(None, variables) == dict(known, awx_url="https://awx.example.com/#/jobs/playbook/17")


def test_metadata_of_a_job_that_is_given_wins(command_line):
    command_line(None)
    assert metadata(dict(awx_job="mine"), {"awx_job_id": 17})["awx_job"] == "mine"


def test_metadata_of_a_job_that_nobody_launched_names_nobody(command_line):
    command_line(None)
    assert metadata(None, {"awx_job_id": 17}) == dict(ALICE, awx_job="17")
