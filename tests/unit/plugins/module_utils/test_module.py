# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils import _module, _options
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import connection
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Record
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Seen,
    StoreRefused,
    StoreUnreachable,
    Verdict,
    Why,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._results import SEE_MSG
from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_acquire, s3_leader_preflight
from support import module
from support.refusals import RESULT_KEYS

pytestmark = pytest.mark.usefixtures("aws")

OPTIONS = dict(
    endpoint_url="http://127.0.0.1:9000",
    access_key="AKIA-somebody",
    secret_key="wJalrXUtnFEMI-the-secret-key",
    session_token="FwoGZXIvYXdzEBYaD-the-session-token",
    bucket="bucket",
    key="jobs/a",
    holder="web-1",
    session="my-session",
)
NOW = 1795409376.0
RECORD = Record("web-1", "my-session", 7, 1, "n", 30.0, NOW, NOW, NOW, {})
HELD, ABSENT = Seen(RECORD, "e1", NOW, NOW), Absent(NOW)
ACQUIRED = Verdict(True, Why.ACQUIRED, HELD, ABSENT)
LOST = Verdict(False, Why.TAKEN, HELD, HELD)
FOUND = Verdict(False, Why.FOUND, HELD, HELD)


def run(operate=lambda task: ACQUIRED, own_options=(), lost=None, check=False, diff=False, **options):
    """The result of a lease module that carries this operation out."""
    functions = [operate, lost] if lost else [operate]
    given = {name: value for name, value in dict(OPTIONS, **options).items() if value is not None}
    spec = dict(_options.SPEC, **dict(own_options))
    carry_out = functools.partial(_module.operation, **dict(zip(("operate", "lost"), functions)))
    return module.run(lambda: _module.run(spec, carry_out), check=check, diff=diff, **given)


def raises(error):
    def operate(_task):
        raise error

    return operate


# -- What an operation is given, and what becomes of its verdict


@pytest.mark.parametrize("check", [False, True])
def test_an_operation_is_given_the_lease_the_options_and_the_mode(check):
    tasks = []

    def operate(task):
        tasks.append(task)
        return ACQUIRED

    run(operate, dict(takeover=dict(type="str", default="never")), check=check)
    (task,) = tasks
    assert (str(task.lease.location), task.lease.me.session) == ("s3://bucket/jobs/a", "my-session")
    assert (task.params["takeover"], task.params["request_timeout"]) == ("never", 5)
    assert task.check_mode is check


def test_the_verdict_is_the_result():
    told = run()
    assert told.keys() >= RESULT_KEYS
    assert (told["failed"], told["is_leader"], told["changed"], told["term"]) == (False, True, True, 7)
    assert (told["lease"]["bucket"], told["lease"]["key"], told["lease"]["state"]) == ("bucket", "jobs/a", "held")


def test_the_deadline_and_the_requests_are_counted_from_the_start():
    def operate(task):
        task.lease.store.sent = 3
        return ACQUIRED._replace(deadline=task.lease.started + 29.5)

    told = run(operate)
    assert (told["requests"], told["deadline"]) == (3, pytest.approx(29.5))


def test_an_own_option_goes_before_a_common_one():
    assert run(own_options=dict(key=dict(type="str")), key="jobs/b")["lease"]["key"] == "jobs/b"
    assert run(own_options=dict(key=dict(type="str", choices=["jobs/c"])))["failed"] is True


# -- What was asked of S3


def test_what_was_asked_of_s3_is_told_if_it_is_wanted(monkeypatch):
    def operate(task):
        task.lease.connection.actions.update(("s3:PutObject", "s3:GetObject"))
        return ACQUIRED

    def fails(task):
        operate(task)
        raise StoreRefused("no")

    wanted = dict(debug_botocore_endpoint_logs=True)
    assert run(operate, **wanted)["resource_actions"] == ["s3:GetObject", "s3:PutObject"]
    assert run(fails, **wanted)["resource_actions"] == ["s3:GetObject", "s3:PutObject"]
    assert "resource_actions" not in run(operate)
    monkeypatch.setenv("ANSIBLE_DEBUG_BOTOCORE_LOGS", "true")
    assert run(operate)["resource_actions"] == ["s3:GetObject", "s3:PutObject"]


def test_where_access_is_denied_the_owner_of_the_bucket_may_be_why():
    denied = raises(StoreRefused("http://127.0.0.1:9000 answered 403 AccessDenied"))
    told = run(denied, expected_bucket_owner="012345678901")
    assert told["msg"].endswith("Or the bucket does not belong to the AWS account 012345678901 (expected_bucket_owner)")
    assert "owner" not in run(denied)["msg"]
    assert "owner" not in run(raises(StoreRefused("answered 501")), expected_bucket_owner="012345678901")["msg"]


def test_the_bucket_may_be_in_the_environment(monkeypatch):
    monkeypatch.setenv("S3_LEADER_BUCKET", "our-leases")
    assert run(bucket=None)["lease"]["bucket"] == "our-leases"
    assert run()["lease"]["bucket"] == "bucket"


@pytest.mark.parametrize(
    "proxies",
    [
        {"https": "http://bob:hunter2%21@proxy.example.com"},
        {"https": "bob:hunter2%21@proxy.example.com:3128"},
        {"https": "//bob:hunter2%21@proxy.example.com"},
        "http://bob:hunter2%21@proxy.example.com",
        ["bob:hunter2%21@proxy.example.com"],
    ],
)
@pytest.mark.parametrize("other", [{}, {"addressing_style": "foo"}, {"colour": "red"}])
def test_the_password_of_a_proxy_is_not_shown(proxies, other):
    told = run(raises(StoreRefused("hunter2%21 and hunter2!")), aws_config={"proxies": proxies}, **other)
    assert told["failed"]
    assert "hunter2" not in str(told)


# -- Lost


def test_a_lease_that_is_lost_is_a_failure_with_all_of_the_result():
    told = run(lambda task: LOST, lost=lambda task, verdict: verdict is LOST)
    assert told.keys() >= RESULT_KEYS
    assert (told["failed"], told["is_leader"], told["term"], told["lease"]["term"]) == (True, False, None, 7)
    assert told["msg"].startswith("The lease s3://bucket/jobs/a is not held: held by web-1")


def test_whether_it_is_lost_is_asked_with_the_task():
    assert run(lambda task: LOST, lost=lambda task, verdict: not task.check_mode, check=True)["failed"] is False
    assert run(lambda task: LOST, lost=lambda task, verdict: not task.check_mode)["failed"] is True


def test_without_a_say_in_it_nothing_is_lost():
    assert run(lambda task: LOST)["failed"] is False


# -- Diff mode


def test_diff_mode_shows_the_lease_before_and_after():
    told = run(diff=True)["diff"]
    assert (told["before"]["state"], told["after"]["state"]) == ("absent", "held")
    assert told["before_header"] == "s3://bucket/jobs/a"


@pytest.mark.parametrize("check", [False, True])
def test_without_diff_mode_there_is_no_diff(check):
    assert "diff" not in run(check=check)


def test_who_only_looked_has_no_diff():
    assert "diff" not in run(lambda task: FOUND, diff=True)


# -- Failures


def nobody_leads(told, requests=0):
    assert told.keys() >= RESULT_KEYS
    assert (told["failed"], told["changed"], told["is_leader"]) == (True, False, False)
    assert (told["term"], told["lease"], told["deadline"], told["requests"]) == (None, None, None, requests)
    assert told["reason"] == SEE_MSG  # so that Ansible prints the text once
    return told["msg"]


def test_where_credentials_cannot_be_fetched_nobody_is_sent_to_the_network():
    told = nobody_leads(run(raises(StoreUnreachable(f"{connection.NO_CREDENTIALS}: a process failed"))))
    assert "Check where the credentials come from" in told
    assert "endpoint_url" not in told


def test_an_option_that_the_operation_refuses_is_a_failure():
    told = run(raises(BadOption("lease_duration", 1, "use a longer one")))
    assert nobody_leads(told) == "lease_duration is 1: use a longer one"


def test_an_option_that_every_module_refuses_is_one_before_the_operation():
    told = run(lambda task: pytest.fail("it went on"), key="jobs//a")
    assert nobody_leads(told).startswith('key is "jobs//a": stores disagree')


def test_a_configuration_that_cannot_be_used_is_one(aws):
    aws("no configuration")
    assert nobody_leads(run()).startswith("botocore cannot use its configuration")


def test_what_the_store_refused_is_told_with_the_lease_and_what_to_do():
    def operate(task):
        task.lease.store.sent = 2
        raise StoreRefused("answered 403", "Grant s3:PutObject")

    assert nobody_leads(run(operate), 2) == "The lease s3://bucket/jobs/a: answered 403. Grant s3:PutObject"


def test_a_store_that_did_not_answer_is_told_with_how_long_it_was_tried():
    def operate(task):
        task.lease.store.sent = 4
        task.lease.started -= 18.0
        raise StoreUnreachable("no answer within 5 s")

    assert nobody_leads(run(operate), 4) == (
        "The lease s3://bucket/jobs/a: no answer within 5 s. Given up after 4 requests and 18 s. "
        "Check endpoint_url and the network, or raise request_timeout"
    )


def test_who_cannot_reach_the_store_is_not_told_to_wait_longer():
    text = "https://h could not be reached: nothing listens there"
    assert nobody_leads(run(raises(StoreUnreachable(text)))).endswith("Check endpoint_url and the network")


def test_where_the_buckets_name_is_part_of_the_hosts_the_style_may_be_wrong():
    text = "https://bucket.10.0.0.7 could not be reached: its name is unknown"
    answer = nobody_leads(run(raises(StoreUnreachable(text)), addressing_style="virtual"))
    assert answer.endswith("Check endpoint_url, addressing_style and the network")


def test_a_write_that_may_have_landed_is_told():
    error = StoreUnreachable("no answer within 5 s")
    error.doubtful = True
    message = nobody_leads(run(raises(error)))
    assert (
        "Whether the write of this task landed is unknown, but it made nobody leader. Check with s3_leader_info"
        in message
    )


@pytest.mark.parametrize(
    ("leases_module", "keys"), [(s3_leader_acquire, RESULT_KEYS), (s3_leader_preflight, {"verdict", "checks"})]
)
def test_without_botocore_a_module_says_what_is_missing_in_its_own_words(monkeypatch, leases_module, keys):
    monkeypatch.setattr(connection, "MISSING_LIBRARY", ImportError("no botocore"))
    told = module.run(leases_module.main, **OPTIONS)
    assert told["failed"] is True
    assert "botocore" in told["msg"]
    assert told.keys() >= keys


# -- Secrets


SECRETS = (OPTIONS["secret_key"], OPTIONS["session_token"])


@pytest.mark.parametrize(
    "operate", [lambda task: ACQUIRED, raises(StoreRefused("answered %s and %s" % SECRETS))], ids=["good", "failed"]
)
def test_no_secret_is_in_a_result(operate):
    told = run(operate, diff=True)
    assert [secret for secret in SECRETS if secret in str(told)] == []
    assert told["invocation"]["module_args"]["access_key"] == "AKIA-somebody"


def test_a_password_in_the_endpoint_is_refused_and_in_no_part_of_the_result():
    told = run(endpoint_url="https://root:hunter2%21@s3.example.com")
    assert nobody_leads(told) == ("endpoint_url is ***: it contains a user or password. Use access_key and secret_key")
    assert "hunter2" not in str(told)


def test_the_environment_is_asked_for_what_is_not_given(monkeypatch):
    endpoints = []

    def operate(task):
        endpoints.append(task.lease.endpoint)
        return ACQUIRED

    monkeypatch.setenv("AWS_URL", "http://127.0.0.1:9001")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-of-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret-of-environment")
    told = run(operate, endpoint_url=None, access_key=None, secret_key=None, session_token=None)
    (endpoint,) = endpoints
    assert (endpoint.endpoint_url, endpoint.access_key) == ("http://127.0.0.1:9001", "AKIA-of-environment")
    assert endpoint.secret_key == "the-secret-of-environment"
    assert "the-secret-of-environment" not in str(told)
