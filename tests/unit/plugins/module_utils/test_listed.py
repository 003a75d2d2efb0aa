# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils import _listed, _options
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import connection
from ansible_collections.leaderelection.s3.plugins.module_utils._module import Call
from support.leases import LEASE_KEYS, OLD_TERM, somebody_elses
from support.refusals import RESULT_KEYS
from support.stores.odd import Store

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture
def store(open_store):
    return open_store(Store)


@pytest.fixture
def carry_out(store):
    """Carries a task out on that store, whose arguments Ansible has checked."""

    def carry_out(prefix="jobs/", **options):
        params = dict.fromkeys(_options.SPEC)
        params.update(bucket="bucket", holder="web-1", endpoint_url=store.url, request_timeout="1s", prefix=prefix)
        params.update(access_key="AKIA-somebody", secret_key="whatever", addressing_style="auto", **options)
        return _listed.carry_out(Call(params, False, False, lambda text: None))

    return carry_out


def test_the_result_has_every_lease_by_key_as_a_result_of_one_lease_has_it(store, carry_out):
    store.put("jobs/b", somebody_elses(leaseDurationSeconds=300))
    store.put("jobs/a", somebody_elses(holderId=""))
    store.put("jobs/c", b"<html>")
    store.put("other", somebody_elses())
    told = carry_out()
    assert [(one["key"], one["state"], one["term"]) for one in told["leases"]] == [
        ("jobs/a", "released", OLD_TERM),
        ("jobs/b", "held", OLD_TERM),
        ("jobs/c", "unreadable", None),
    ]
    assert all(set(one) == LEASE_KEYS for one in told["leases"])
    assert (told["reason"], told["requests"]) == ("3 objects below jobs/: 1 held, 1 free, 1 not a lease", 4)


def test_nobody_leads_by_it_and_it_has_the_keys_of_every_result(store, carry_out):
    store.put("jobs/a", somebody_elses(leaseDurationSeconds=300))
    told = carry_out()
    assert set(told) == {*RESULT_KEYS, "changed", "leases"}
    assert (told["is_leader"], told["changed"]) == (False, False)
    assert (told["lease"], told["term"], told["deadline"]) == (None, None, None)


def test_where_there_is_nothing_there_are_no_leases(carry_out):
    told = carry_out("none/")
    assert (told["leases"], told["reason"], told["requests"]) == ([], "no objects below none/", 1)


def test_what_was_asked_of_s3_is_told_if_it_is_wanted(store, carry_out):
    store.put("jobs/a", somebody_elses())
    assert "resource_actions" not in carry_out()
    told = carry_out(debug_botocore_endpoint_logs=True)
    assert told["resource_actions"] == ["s3:GetObject", "s3:ListObjectsV2"]


# -- Failure


def is_failure(told, requests, words):
    assert set(told) == {*RESULT_KEYS, "changed", "failed", "msg"}
    assert (told["failed"], told["is_leader"], told["lease"], told["requests"]) == (True, False, None, requests)
    assert words in told["msg"]


def test_where_the_bucket_may_not_be_listed_the_permission_is_named(store, carry_out, monkeypatch):
    monkeypatch.setattr(store, "on_list", lambda query: store.error(403, "AccessDenied"))
    words = f"s3://bucket/jobs/ cannot be listed: {store.url} answered 403 AccessDenied. Grant s3:ListBucket on the buc"
    is_failure(carry_out(), 1, words)
    is_failure(
        carry_out(expected_bucket_owner="012345678901"), 1, "Or the bucket does not belong to the AWS account 0123"
    )


def test_where_one_lease_may_not_be_read_there_is_no_part_of_a_result(store, carry_out, monkeypatch):
    monkeypatch.setattr(store, "on_missing", lambda request: store.error(403, "AccessDenied"))
    store.put("jobs/a", somebody_elses())
    list_first = store.on_list

    def on_list(query):
        answer = list_first(query)
        store.remove("jobs/a")
        return answer

    monkeypatch.setattr(store, "on_list", on_list)
    is_failure(
        carry_out(), 2, f"s3://bucket/jobs/a cannot be read: {store.url} answered 403 AccessDenied. Grant s3:GetO"
    )


def test_a_store_that_is_silent_is_told_with_how_long_it_was_tried(store, carry_out):
    store.stop()
    told = carry_out()
    is_failure(told, told["requests"], f"Given up after {told['requests']} requests and ")
    assert told["requests"] > 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(prefix="s3://bucket/jobs/"), 'prefix is "s3://bucket/jobs/": it is a URL'),
        (dict(prefix="jobs/", bucket="a b"), 'bucket is "a b"'),
        (dict(prefix="jobs/", request_timeout="61s"), "request_timeout is 61: use 1 to 60 seconds"),
        (dict(prefix="jobs/", profile="nobody"), 'profile is "nobody"'),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(carry_out, options, words):
    is_failure(carry_out(**options), 0, words)


def test_without_botocore_it_says_what_is_missing(carry_out, monkeypatch):
    monkeypatch.setattr(connection, "MISSING_LIBRARY", ImportError("No module named 'botocore'"))
    is_failure(carry_out(), 0, "botocore")
