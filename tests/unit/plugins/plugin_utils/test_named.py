# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible import constants
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import wording
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Proof, Record
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Seen
from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_release, s3_leader_renew
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _kept, _named
from ansible_collections.leaderelection.s3.plugins.plugin_utils._kept import HELD, Kept

SESSION = "5f2f2b0f5f2f2b0f"
NOW = 1795409376.0
STORE = "https://s3.example.com/bucket"


def lease(bucket="bucket", key="jobs/a", term=7, store=STORE):
    record = Record("web-1", SESSION, term, 3, "n", 30.0, NOW - 10, NOW, NOW + 32, {}, Proof(store, NOW))
    return wording.lease(Seen(record, "e1", NOW, NOW), Location(bucket, key))


def earlier(**changes):
    return dict(is_leader=True, lease=lease(**changes))


ARGUMENTS = dict(
    **dict(bucket="bucket", key="jobs/a", session=SESSION, holder="web-1"),
    **dict(endpoint_url="https://s3.example.com", region="here", access_key="a", secret_key="b"),
)


@pytest.fixture(autouse=True)
def _one_is_kept(tmp_path, monkeypatch, aws):
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.delenv("S3_LEADER_BUCKET", raising=False)
    publish()


def publish(store=STORE, **changes):
    kept = Kept(HELD, "held", lease(store=store, **changes), store, 1030, 1028, 1000, 1000, True, 10, 0)
    (path := _kept.lock(kept.lease, store)) and _kept.os.close(path)
    _kept.publish(kept)


def meant(module=s3_leader_renew, elsewhere=False, without=(), **arguments):
    """The store and the key of the kept lease that the task means."""
    given = {name: value for name, value in {**ARGUMENTS, **arguments}.items() if name not in without}
    named = _named.kept(module, given, check_mode=False, elsewhere=elsewhere)
    return named and (named.kept.store, named.kept.lease["key"])


ONE = (STORE, "jobs/a")


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        (dict(), ONE),
        (dict(key="jobs/b"), None),
        (dict(bucket="another"), None),
        (dict(session="another-session"), None),
        (dict(session="another-session", lease=earlier()), ONE),
        (dict(session="another-session", lease=json.dumps(earlier())), ONE),
        (dict(lease=dict(earlier(), is_leader=False)), ONE),
        (dict(lease=earlier(term=6)), None),
        (dict(lease=earlier(key="jobs/b")), None),
        (dict(lease="what the module refuses"), None),
        (dict(lease=dict(is_leader=True, lease="what the module refuses")), None),
    ],
)
def test_a_task_means_the_lease_that_its_module_works_on(arguments, known):
    assert meant(**arguments) == known


def test_an_alias_comes_before_the_name_as_in_the_module():
    publish(key="jobs/b")
    assert meant(object_key="jobs/b") == (STORE, "jobs/b")
    assert meant(aws_endpoint_url="https://elsewhere.example.com") is None


def test_the_bucket_and_the_store_may_be_in_the_environment(monkeypatch):
    without = ("bucket", "endpoint_url")
    assert meant(without=without) is None
    monkeypatch.setenv("S3_LEADER_BUCKET", "bucket")
    monkeypatch.setenv("AWS_URL", "https://s3.example.com")
    assert meant(without=without) == ONE
    assert meant(bucket="another") is None


def test_of_leases_of_one_name_in_two_stores_it_is_the_one_in_the_store_of_the_task():
    other = "https://elsewhere.example.com/bucket"
    publish(store=other)
    assert meant() == ONE
    assert meant(endpoint_url="https://elsewhere.example.com") == (other, "jobs/a")
    assert meant(endpoint_url="https://a-third.example.com") is None


def test_a_result_names_its_lease_whatever_the_store_is_called_now():
    assert meant(endpoint_url="https://alias.example.com", lease=earlier()) == ONE


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        (dict(), None),
        (dict(lease=earlier()), ONE),
        (dict(lease=earlier(), bucket="another"), None),
        (dict(lease=earlier(), key="jobs/b"), None),
        (dict(lease=earlier(term=6)), None),
    ],
)
def test_elsewhere_it_means_one_only_by_a_result(arguments, known):
    assert meant(elsewhere=True, **arguments) == known


def test_elsewhere_the_environment_of_the_controller_does_not_count(monkeypatch):
    monkeypatch.setenv("S3_LEADER_BUCKET", "another")
    assert meant(elsewhere=True, without=("bucket",), lease=earlier()) == ONE


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        (s3_leader_renew, dict(lease_duraton="1h")),
        (s3_leader_renew, dict(lease_duration="-5")),
        (s3_leader_renew, dict(lease_duration="4s")),
        (s3_leader_renew, dict(on_lost="explode")),
        (s3_leader_renew, dict(request_timeout="nonsense")),
        (s3_leader_release, dict(force_foreign=True)),
        (s3_leader_release, dict(reason="two\nlines")),
        (s3_leader_release, dict(secret_key=None)),
    ],
)
def test_what_the_module_refuses_means_none(module, arguments):
    assert meant(module) == ONE
    assert meant(module, **arguments) is None


def test_where_nothing_is_kept_nothing_is_worked_out(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path / "nowhere"))
    monkeypatch.setattr(_named, "Handle", None)
    assert meant() is None
