# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import CannotSend
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.listing import Below
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Endpoint, Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import StoreError
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _event_watch
from ansible_collections.leaderelection.s3.plugins.plugin_utils._event_watch import Watch, parsed
from ansible_collections.leaderelection.s3.plugins.plugin_utils._events import State
from support.leases import somebody_elses
from support.server import error
from support.stores.odd import Store
from support.wire import VirtualClock, Wire

KEYS = dict(access_key="key", secret_key="the-secret")
HELD = dict(leaseDurationSeconds=60)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("S3_LEADER_BUCKET", "AWS_URL", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


# -- Options


def test_options_have_defaults():
    options = parsed(dict(key="jobs/a"))
    assert (options.location, options.endpoint) == (Location("leader-election", "jobs/a"), Endpoint())
    assert (options.poll_interval, options.state_file, options.key) == (5, None, "jobs/a")


def test_a_prefix_has_no_key():
    options = parsed(dict(bucket="leases", prefix=""))
    assert (options.location, options.key) == (Below("leases", ""), None)


def test_durations_are_texts_or_numbers_and_the_endpoint_takes_the_rest():
    options = parsed(dict(key="a", poll_interval="1m", request_timeout=2, validate_certs=False, region="", **KEYS))
    assert options.poll_interval == 60
    assert options.endpoint == Endpoint(request_timeout=2, validate_certs=False, **KEYS)


def test_variables_stand_in_for_options_as_on_the_command_line(monkeypatch):
    monkeypatch.setenv("S3_LEADER_BUCKET", "leases")
    monkeypatch.setenv("AWS_URL", "http://127.0.0.1:9000")
    options = parsed(dict(key="a"))
    assert (options.location.bucket, options.endpoint.endpoint_url) == ("leases", "http://127.0.0.1:9000")
    assert parsed(dict(key="a", bucket="mine")).location.bucket == "mine"


def test_an_empty_option_is_none(monkeypatch):
    monkeypatch.setenv("S3_LEADER_BUCKET", "leases")
    monkeypatch.setenv("AWS_URL", "http://127.0.0.1:9000")
    options = parsed(dict(key="a", bucket="", endpoint_url="", state_file=""))
    assert (options.location.bucket, options.endpoint.endpoint_url) == ("leases", "http://127.0.0.1:9000")
    assert options.state_file is None
    monkeypatch.delenv("S3_LEADER_BUCKET")
    assert parsed(dict(key="a", bucket="")).location.bucket == "leader-election"


def test_what_the_rulebook_adds_is_left_alone():
    assert parsed(dict(key="a", eda_feedback_queue=object())).key == "a"


FILES = ("aws_ca_bundle", "credentials_file", "state_file")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "key is not set: name the lease to watch, or use prefix"),
        (dict(key="a", prefix="b"), 'prefix is "b": key is set, too'),
        (dict(key="a//b"), 'key is "a//b": stores disagree'),
        (dict(key=""), 'key is "": it has 0 bytes'),
        (dict(prefix="s3://leases/jobs"), "it is a URL"),
        (dict(key=7), "key is 7: it has to be a string: put it in quotes"),
        (dict(key="a", bucket="x"), 'bucket is "x": use 3 to 255'),
        (dict(key="a", poll_interval="0"), "poll_interval is 0: use 1 to 3600 seconds"),
        (dict(key="a", poll_interval="soon"), 'poll_interval is "soon": use a number of seconds'),
        (dict(key="a", poll_interval=True), "poll_interval is true: it has to be"),
        (dict(key="a", validate_certs="no"), 'validate_certs is "no": it has to be true or false'),
        (dict(key="a", aws_config="x"), "aws_config is ***: it has to be a map"),
        (dict(key="a", access_key="key"), "secret_key is not set: access_key is"),
        (dict(key="a", keys="the-secret"), "keys is ***: this option does not exist. Use access_key, "),
        (dict(key="a", secret_key=b"the-secret"), "secret_key is ***: it has to be a string"),
        (dict(key="a", access_key=["the-secret"]), "access_key is ***: it has to be a string"),
        (dict(key="a", session_token=["the-secret"]), "session_token is ***: it has to be a string"),
        (dict(key="a", eda="x"), "eda is ***: this option does not exist"),
        (dict(key="a", edam="x"), "edam is ***: this option does not exist"),
        ({"key": "a", 1: "the-secret"}, "1 is ***: this option does not exist"),
        ({"key": "a", None: "x"}, "None is ***: this option does not exist"),
        *((dict(key="a") | {name: "a\0"}, f'{name} is "a\\u0000": no file can have this name') for name in FILES),
        *((dict(key="a") | {name: "a\ud800"}, f"{name} is ") for name in FILES),
        (dict(key="a\0"), 'key is "a\\u0000": it has a control character'),
        (dict(key="a", endpoint_url="http://me:the-secret@store"), "endpoint_url is ***: it contains a user"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_by_its_name_and_no_secret_is_shown(arguments, told):
    with pytest.raises(BadOption, match=re.escape(told)) as refused:
        parsed(arguments)
    assert "the-secret" not in str(refused.value)


# -- Looks


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def wire(store):
    wire = Wire(store, VirtualClock())
    wire.bucket_url = f"{wire.origin}/bucket"
    return wire


@pytest.fixture
def made(monkeypatch, wire):
    """The connections that were made, each with its location."""
    made = []

    def connect(_endpoint, location):
        made.append(location)
        return wire.at(location.key)

    monkeypatch.setattr(_event_watch, "Connection", connect)
    monkeypatch.setattr(_event_watch, "Clock", lambda: wire.clock)
    return made


class Teller:
    def __init__(self, **options):
        self.watch = Watch(parsed(dict(bucket="bucket", **options)))
        self.state = State()

    def __call__(self):
        """Look, and return what is told: types and keys."""
        told = []
        for change in self.watch.changes(self.state):
            told += [(event["type"], event["key"]) for event in change.events]
            self.state = change.after
        return told


ACQUIRED = ["leader_acquired", "leader_changed"]


def new(key):
    return [(kind, key) for kind in ACQUIRED]


@pytest.fixture
def asked(store):
    """The requests since the last time: the key, and whether the ETag of what was known went with it."""
    before = []

    def asked():
        since = store.requests[len(before) :]
        before.extend(since)
        return [(request.key, request.if_none_match is not None) for request in since]

    return asked


def test_a_lease_that_has_not_changed_is_asked_for_by_its_etag(store, made, asked):
    store.put("jobs/a", somebody_elses(**HELD))
    look = Teller(key="jobs/a")
    assert look() == look() == []
    assert asked() == [("jobs/a", False), ("jobs/a", True)]
    store.put("jobs/a", somebody_elses(**HELD, term=42, holderId="web-2"))
    assert look() == [("leader_lost", "jobs/a"), *new("jobs/a")]


def test_a_lease_that_has_not_changed_expires_all_the_same(store, wire, made):
    store.put("jobs/a", somebody_elses(**HELD))
    look = Teller(key="jobs/a")
    assert look() == []
    wire.clock.sleep(70)
    assert look() == [("lease_expired", "jobs/a"), ("leader_lost", "jobs/a")]


def test_of_a_prefix_only_what_has_changed_is_read(store, made, asked):
    for name in "abc":
        store.put(f"jobs/{name}", somebody_elses(**HELD))
    store.put("jobs/page", b"<html>")
    look = Teller(prefix="jobs/")
    assert look() == []
    asked()
    store.put("jobs/b", somebody_elses(**HELD, term=42))
    store.put("jobs/d", somebody_elses(**HELD))
    assert look() == [("leader_lost", "jobs/b"), *new("jobs/b"), *new("jobs/d")]
    assert sorted(asked()) == [("", False), ("jobs/b", True), ("jobs/d", False)]


def test_a_lease_that_is_not_in_the_listing_is_looked_for_before_its_term_ends(store, made, asked, monkeypatch):
    store.put("jobs/a", somebody_elses(**HELD))
    store.put("jobs/b", somebody_elses(**HELD))
    look = Teller(prefix="jobs/")
    assert look() == []
    kept = store.on_list
    monkeypatch.setattr(store, "on_list", lambda query: kept({**query, "prefix": "jobs/b"}))
    asked()
    assert look() == []
    assert ("jobs/a", False) in asked()
    store.remove("jobs/a")
    assert look() == [("leader_lost", "jobs/a")]
    assert look() == []


@pytest.fixture
def outdated(store, monkeypatch):
    """Make the store answer with this listing from now on, as of this date."""

    def outdated(query):
        old = store.on_list(query).body
        monkeypatch.setattr(store, "on_list", lambda _query: store.answer(200, body=old))

    return outdated


def test_a_leader_that_renews_is_not_lost_where_the_listing_is_out_of_date(store, wire, made, outdated):
    store.put("jobs/a", somebody_elses(**HELD))
    look = Teller(prefix="jobs/")
    assert look() == []
    outdated({"prefix": "jobs/"})
    for sequence in range(8, 12):
        wire.clock.sleep(40)
        store.put("jobs/a", somebody_elses(**HELD, sequence=sequence))
        assert look() == []


def test_a_leader_whose_object_is_gone_is_not_told_as_expired_where_the_listing_is_out_of_date(
    store, wire, made, outdated
):
    store.put("jobs/a", somebody_elses(**HELD))
    look = Teller(prefix="jobs/")
    assert look() == []
    outdated({"prefix": "jobs/"})
    store.remove("jobs/a")
    wire.clock.sleep(70)
    assert look() == [("leader_lost", "jobs/a")]


def test_a_lease_below_a_prefix_is_read_once_when_its_term_expires(store, wire, made, asked):
    for name in "ab":
        store.put(f"jobs/{name}", somebody_elses(**HELD))
    look = Teller(prefix="jobs/")
    assert look() == []
    asked()
    wire.clock.sleep(55)
    store.put("jobs/b", somebody_elses(**HELD, sequence=8))
    wire.clock.sleep(15)
    assert look() == [("lease_expired", "jobs/a"), ("leader_lost", "jobs/a")]
    assert look() == []
    assert asked() == [("", False), ("jobs/b", True), ("jobs/a", True), ("", False)]


@pytest.mark.parametrize("change", ["written", "expired", "removed"])
def test_an_object_below_a_prefix_that_cannot_be_read_is_named(store, wire, made, change):
    for name in "ab":
        store.put(f"jobs/{name}", somebody_elses(**HELD))
    look = Teller(prefix="jobs/")
    assert look() == []
    wire.faults.append(lambda request: error(403, "InvalidObjectState") if request.key == "jobs/a" else None)
    if change == "written":
        store.put("jobs/a", somebody_elses(**HELD, sequence=8))
    elif change == "expired":
        wire.clock.sleep(70)
    else:
        store.remove("jobs/a")
    assert look() == [("store_error", None)]
    assert look.state.failure.error.startswith("s3://bucket/jobs/a cannot be read: ")
    assert "InvalidObjectState. Grant s3:GetObject on s3://bucket/jobs/a" in look.state.failure.error


def test_a_lease_whose_object_is_gone_is_looked_for_once_and_then_forgotten(store, wire, made, asked):
    store.put("jobs/a", somebody_elses(**HELD))
    store.put("jobs/b", somebody_elses(**HELD))
    store.put("jobs/page", b"<html>")
    look = Teller(prefix="jobs/")
    assert look() == []
    wire.clock.sleep(70)
    assert look() == [(kind, f"jobs/{name}") for name in "ab" for kind in ("lease_expired", "leader_lost")]
    for name in ("a", "page"):
        store.remove(f"jobs/{name}")
    asked()
    assert look() == look() == []
    assert sorted(asked()) == [("", False), ("", False), ("jobs/a", False), ("jobs/page", False)]
    assert set(look.state.told) == {"jobs/b"}


def test_a_lease_that_is_not_in_the_listing_is_not_forgotten(store, wire, made, monkeypatch):
    store.put("jobs/a", somebody_elses(**HELD))
    look = Teller(prefix="jobs/")
    assert look() == []
    wire.clock.sleep(70)
    look()
    kept = store.on_list
    monkeypatch.setattr(store, "on_list", lambda query: kept({**query, "prefix": "jobs/b"}))
    assert look() == []
    monkeypatch.undo()
    assert look() == []
    assert set(look.state.told) == {"jobs/a"}


def test_a_lease_that_is_restored_with_the_same_bytes_lasts_from_then_on(store, wire, made):
    body = somebody_elses(**HELD)
    store.put("jobs/a", body)
    look = Teller(key="jobs/a")
    assert look() == []
    store.remove("jobs/a")
    assert look() == [("leader_lost", "jobs/a")]
    wire.clock.sleep(70)
    store.put("jobs/a", body)
    assert look() == [("leader_acquired", "jobs/a")]


@pytest.mark.parametrize("where", [dict(key="jobs/a"), dict(prefix="jobs/")])
def test_a_lease_of_a_newer_version_is_logged_once_as_long_as_it_is_one(store, made, caplog, where):
    store.put("jobs/a", somebody_elses(**HELD))
    look = Teller(**where)
    assert look() == []
    for _number in range(2):
        store.put("jobs/a", somebody_elses(**HELD, schema=2))
        assert look() == []
    (warning,) = caplog.records
    assert warning.getMessage() == (
        "s3://bucket/jobs/a: its schema 2 is newer than 1, the newest that this version knows. Nothing is told of it. "
        "Upgrade the collection where ansible-rulebook runs"
    )
    store.put("jobs/a", somebody_elses(**HELD))
    assert look() == []
    store.put("jobs/a", somebody_elses(**HELD, schema=2))
    assert look() == []
    store.put("jobs/a", somebody_elses(**HELD, schema=3))
    assert look() == []
    assert [re.findall(r"schema \d", one.getMessage()) for one in caplog.records] == [
        ["schema 2"],
        ["schema 2"],
        ["schema 3"],
    ]


@pytest.mark.parametrize("where", [dict(key="jobs/a"), dict(prefix="jobs/")])
@pytest.mark.parametrize("seconds", [253402300700, 249_999_999_000 - 1])
def test_an_object_that_was_written_in_the_last_years_of_the_calendar_ends_nothing(store, wire, made, where, seconds):
    look = Teller(**where)
    assert look() == []
    store.put("jobs/a", somebody_elses(leaseDurationSeconds=86400))
    store.age("jobs/a", store.now() - seconds)
    told = look()
    assert told == ([("store_error", None if "prefix" in where else "jobs/a")] if seconds > 250e9 else new("jobs/a"))


def test_scratch_objects_of_a_preflight_are_no_leases(store, made):
    look = Teller(prefix="jobs/")
    assert look() == []
    store.put("jobs/a.preflight-5f2f2b0f6d1f4f5a.reads", somebody_elses(**HELD))
    assert look() == []


def test_a_store_that_fails_is_told_once_and_a_new_connection_is_made(store, wire, made):
    store.put("jobs/a", somebody_elses(**HELD))
    look = Teller(key="jobs/a")
    assert look() == []
    wire.faults.append(lambda request: error(503, "SlowDown"))
    assert look() == [("store_error", "jobs/a")]
    assert look() == []
    wire.faults.clear()
    assert look() == [("store_recovered", "jobs/a")]
    assert len(made) == 3


def test_a_failure_is_logged_when_it_begins_and_whenever_it_changes_and_told_once(store, wire, made, caplog):
    def logged():
        told = [(one.levelname, one.getMessage()) for one in caplog.records]
        caplog.clear()
        return told

    look = Teller(key="jobs/a")
    wire.faults.append(lambda request: error(503, "SlowDown"))
    assert look() == [("store_error", "jobs/a")]
    assert look() == []
    assert logged() == [("WARNING", "s3://bucket/jobs/a: http://127.0.0.1:9000 answered 503 SlowDown")]
    wire.faults[:] = [lambda request: error(403, "AccessDenied")]
    assert look() == look() == []
    ((level, text),) = logged()
    assert (level, text.split(".")[0]) == ("WARNING", "s3://bucket/jobs/a: http://127")
    assert "answered 403 AccessDenied" in text
    again = Teller(key="jobs/a")
    again.state = look.state
    assert again() == []  # the state file has the failure, but this log has not
    assert logged() == [(level, text)]
    wire.faults.clear()
    assert again() == [("store_recovered", "jobs/a")]
    assert logged() == []
    wire.faults[:] = [lambda request: error(403, "AccessDenied")]
    assert again() == [("store_error", "jobs/a")]
    assert logged() == [(level, text)]


def test_a_failure_whose_seconds_alone_change_is_logged_once(made, monkeypatch, caplog):
    texts = iter(["no answer within 5 s", "no answer within 2.87 s", "no answer within 1e-05 s", "no thread"])

    def fail(*_arguments):
        raise StoreError(next(texts))

    monkeypatch.setattr(_event_watch, "drive", fail)
    look = Teller(key="jobs/a")
    for _number in range(4):
        look()
    assert [one.getMessage() for one in caplog.records] == [
        "s3://bucket/jobs/a: no answer within 5 s",
        "s3://bucket/jobs/a: no thread",
    ]


def test_a_failure_is_logged_in_one_line(made, monkeypatch, caplog):
    def fail(*_arguments):
        raise StoreError("it says\n\x1b[31mno")

    monkeypatch.setattr(_event_watch, "drive", fail)
    Teller(key="jobs/a")()
    assert [one.getMessage() for one in caplog.records] == ["s3://bucket/jobs/a: it says??[31mno"]


def test_another_store_that_the_configuration_names_meanwhile_is_not_compared_with_this_one(store, wire, made):
    store.put("jobs/a", somebody_elses(**HELD))
    look = Teller(key="jobs/a")
    assert look() == []
    wire.faults.append(lambda request: error(503, "SlowDown"))
    assert look() == [("store_error", "jobs/a")]
    wire.faults.clear()
    ours, wire.bucket_url = wire.bucket_url, "https://elsewhere.example.com/bucket"
    store.put("jobs/a", somebody_elses(**HELD, term=42, holderId="web-2"))
    assert look() == []
    wire.bucket_url = ours
    assert look()[0] == ("store_recovered", "jobs/a")


@pytest.mark.parametrize(
    "refusal", [CannotSend("botocore cannot use its configuration"), BadOption("profile", "p", "x")]
)
def test_credentials_that_become_unusable_are_an_error_of_the_store(store, wire, made, monkeypatch, refusal):
    look = Teller(key="jobs/a")
    wire.faults.append(lambda request: error(403, "AccessDenied"))
    assert look() == [("store_error", "jobs/a")]

    def refuse(*_args):
        raise refusal

    monkeypatch.setattr(_event_watch, "Connection", refuse)
    assert look() == []


def test_without_botocore_the_source_does_not_start(made, monkeypatch):
    monkeypatch.setattr(_event_watch, "MISSING_LIBRARY", ImportError("No module named 'botocore'"))
    with pytest.raises(CannotSend, match="Install boto3 for the Python that runs ansible-rulebook"):
        Teller(key="jobs/a")
