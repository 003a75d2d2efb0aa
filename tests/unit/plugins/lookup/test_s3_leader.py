# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError, AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import connection
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _run
from support.leases import OLD_TERM, somebody_elses
from support.stores.odd import Store

SECRETS = {"secret_key": "wJalrXUtnFEMI-the-secret-key", "session_token": "FwoGZXIvYXdzEBYaD-the-session-token"}
RESULT_KEYS = {"changed", "is_leader", "term", "slot", "reason", "lease", "requests", "deadline"}


pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture
def store(open_store):
    return open_store(Store)


@pytest.fixture
def look_up(store):
    """Looks leases up as a task of web-1 would, with options over those that reach the store; None leaves one out."""

    def run(*keys, host="web-1", **options):
        given = dict(endpoint_url=store.url, access_key="AKIA-somebody", **SECRETS)
        given = {name: value for name, value in dict(given, **options).items() if value is not None}
        plugin = lookup_loader.get("leaderelection.s3.s3_leader")
        return plugin.run(list(keys), dict(inventory_hostname=host) if host else None, **given)

    return run


def test_each_key_has_its_result_in_the_order_of_the_keys(look_up, store):
    store.put("jobs/b", somebody_elses(leaseDurationSeconds=300))
    first, second, third = look_up("jobs/a", "jobs/b", "jobs/a")
    assert [one["lease"]["state"] for one in (first, second, third)] == ["absent", "held", "absent"]
    assert second["lease"]["holder"] == "somebody else"
    assert second["lease"]["term"] == OLD_TERM
    assert second["reason"].startswith("held by somebody else")
    assert all(set(one) == RESULT_KEYS for one in (first, second, third))


def test_it_writes_nothing(look_up, store):
    store.put("jobs/a", somebody_elses())
    (told,) = look_up("jobs/a")
    assert (told["changed"], told["requests"], told["deadline"]) == (False, 1, None)
    assert [request.method for request in store.requests] == ["GET"]


@pytest.mark.parametrize(("host", "leads"), [("web-1", True), ("web-2", False), (None, False)])
def test_this_run_leads_where_the_task_asks_for_the_host_that_holds_it(look_up, store, host, leads):
    store.put(
        "jobs/a",
        somebody_elses(store.url + "/leader-election", session=_run.session("web-1"), leaseDurationSeconds=300),
    )
    (told,) = look_up("jobs/a", host=host)
    assert (told["is_leader"], told["term"]) == (leads, OLD_TERM if leads else None)


def test_without_variables_it_asks_for_localhost(look_up, store):
    store.put(
        "jobs/a",
        somebody_elses(store.url + "/leader-election", session=_run.session("localhost"), leaseDurationSeconds=300),
    )
    assert look_up("jobs/a", host=None)[0]["is_leader"] is True


@pytest.mark.parametrize(
    ("options", "path"), [({}, "/leader-election/jobs/a"), (dict(bucket="another"), "/another/jobs/a")]
)
def test_the_bucket_has_the_default_of_the_modules(look_up, store, options, path):
    look_up("jobs/a", **options)
    assert [request.path for request in store.requests] == [path]


def test_options_have_the_aliases_of_the_modules(look_up, store):
    aliases = dict(aws_access_key="AKIA-another", aws_secret_key="whatever", aws_region="xy-north-1")
    look_up("jobs/a", access_key=None, secret_key=None, **aliases)
    assert "Credential=AKIA-another/" in store.requests[0].headers["Authorization"]
    assert "/xy-north-1/s3/" in store.requests[0].headers["Authorization"]


def test_options_come_from_the_environment(look_up, store, monkeypatch):
    monkeypatch.setenv("AWS_URL", store.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-of-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "whatever")
    look_up("jobs/a", endpoint_url=None, access_key=None, secret_key=None)
    assert "Credential=AKIA-of-environment/" in store.requests[0].headers["Authorization"]


def test_a_key_that_is_a_number_is_a_key(look_up, store):
    assert look_up(4711)[0]["lease"]["key"] == "4711"


@pytest.mark.parametrize(
    ("key", "options", "words"),
    [
        ("jobs//a", {}, ("The lease jobs//a could not be read", 'key is "jobs//a"', "Use a key like jobs/migrate-db")),
        ("jobs/a", dict(bucket="b"), ('bucket is "b"', "use 3 to 255 letters")),
        ("jobs/a", dict(request_timeout=0), ("request_timeout is 0", "use 1 to 60 seconds")),
        (
            "jobs/a",
            dict(secret_key=None),
            ("secret_key is not set", "access_key is, and needs it. Set both or neither"),
        ),
        ("jobs/a", dict(profile="prod"), ('profile is "prod"', "Leave out one of the two")),
        (
            "jobs/a",
            dict(endpoint_url="https://root:hunter2@s3.example.com"),
            ("endpoint_url is ***", "user or password"),
        ),
        (
            "jobs/a",
            dict(access_key=None, secret_key=None, session_token=None),
            ("no credentials were found", "Set access_key and secret_key"),
        ),
    ],
)
def test_what_cannot_work_is_an_error_that_names_it_and_the_way_out(look_up, store, key, options, words):
    with pytest.raises(AnsibleLookupError) as error:
        look_up(key, **options)
    message = str(error.value)
    assert [word for word in words if word not in message] == []
    assert [secret for secret in (*SECRETS.values(), "hunter2") if secret in message] == []
    assert store.requests == []


def test_what_the_store_refuses_is_an_error_with_what_to_do(look_up, store):
    store.dispatch = lambda request: store.error(403, "InvalidAccessKeyId")
    with pytest.raises(AnsibleLookupError, match=r"The lease jobs/a could not be read: .* Check the credentials"):
        look_up("jobs/a")


def test_an_aws_configuration_that_cannot_be_read_is_an_error(look_up, store, aws):
    aws("no configuration")
    with pytest.raises(AnsibleLookupError, match=r"The lease jobs/a could not be read: botocore cannot use its config"):
        look_up("jobs/a")
    assert store.requests == []


def test_a_value_of_the_wrong_type_is_refused(look_up, store):
    with pytest.raises(AnsibleError, match="request_timeout"):
        look_up("jobs/a", request_timeout="soon")
    assert store.requests == []


def test_without_botocore_it_says_what_is_missing_and_where(look_up, store, monkeypatch):
    monkeypatch.setattr(connection, "MISSING_LIBRARY", ImportError("no botocore"))
    with pytest.raises(
        AnsibleLookupError, match=r"s3_leader needs botocore, which comes with boto3, on the controller"
    ):
        look_up("jobs/a")


def test_variables_reach_it_where_module_defaults_do_not(store):
    variables = dict(s3_leader_endpoint_url=store.url, s3_leader_bucket="another", s3_leader_access_key="AKIA-somebody")
    variables |= {f"s3_leader_{name}": value for name, value in SECRETS.items()}
    [told] = lookup_loader.get("leaderelection.s3.s3_leader").run(["jobs/a"], variables)
    assert (told["lease"]["bucket"], told["lease"]["state"]) == ("another", "absent")
    assert [request.path for request in store.requests] == ["/another/jobs/a"]
