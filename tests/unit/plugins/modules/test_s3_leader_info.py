# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import connection
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import runtime
from ansible_collections.leaderelection.s3.plugins.modules.s3_leader_info import main
from support.leases import OLD_TERM, somebody_elses

LOCAL = dict(source="local", name="db", key="")


@pytest.fixture
def status(monkeypatch, tmp_path):
    """Writes what the daemon of the lease db tells on this host."""
    monkeypatch.setattr(runtime, "FOLDER", str(tmp_path))
    (tmp_path / "db").mkdir()

    def write(**changed):
        known = dict(role="leader", until=Clock().now() + 30, bucket="bucket", key="hosts/db", holder="web-1", term=7)
        (tmp_path / "db" / "status.json").write_text(json.dumps({**known, "reason": "still leader", **changed}))

    return write


# -- The store


def test_nobody_holds_what_is_not_there(run, store):
    told = run(main)
    assert (told["failed"], told["is_leader"], told["changed"]) == (False, False, False)
    assert (told["lease"]["state"], told["reason"]) == ("absent", "free: no object found")
    assert [request.method for request in store.requests] == ["GET"]


@pytest.mark.parametrize(("session", "leads"), [("my-session", True), ("another-session", False)])
@pytest.mark.parametrize("check", [False, True])
def test_it_tells_who_holds_the_lease_and_whether_it_is_this_run(run, store, session, leads, check):
    before = store.put("jobs/a", somebody_elses(store.url + "/bucket", session=session, leaseDurationSeconds=300))
    told = run(main, check=check, diff=True)
    assert (told["is_leader"], told["term"]) == (leads, OLD_TERM if leads else None)
    assert (told["lease"]["holder"], told["lease"]["term"]) == ("somebody else", OLD_TERM)
    assert (told["changed"], told["deadline"], told["requests"]) == (False, None, 1)
    assert "diff" not in told
    assert store.get("jobs/a") == before


# -- The host


def test_a_status_that_is_unreadable_is_told_as_such(run, status, tmp_path):
    status(holder=["web-1"])
    told = run(main, **LOCAL)
    assert (told["failed"], told["is_leader"], told["term"]) == (False, False, None)
    assert told["reason"] == "the status of its daemon is unreadable: see systemctl status s3-leader@db"
    (tmp_path / "db" / "status.json").unlink()
    assert "no daemon of this lease runs here" in run(main, **LOCAL)["reason"]


def test_the_daemon_of_the_host_is_asked_without_a_request(run, store, status):
    status()
    told = run(main, **LOCAL)
    assert (told["failed"], told["is_leader"], told["term"], told["reason"]) == (False, True, 7, "still leader")
    assert (told["lease"]["bucket"], told["lease"]["key"], told["lease"]["holder"]) == ("bucket", "hosts/db", "web-1")
    assert (told["requests"], store.requests) == (0, [])


def test_a_host_does_not_lead_once_its_time_is_over(run, status):
    status(until=Clock().now() - 1)
    told = run(main, **LOCAL)
    assert (told["is_leader"], told["term"], told["lease"]["term"]) == (False, None, 7)
    assert "the lease was not renewed in time" in told["reason"]


def test_where_no_daemon_runs_it_says_so(run, monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "FOLDER", str(tmp_path))
    told = run(main, **LOCAL)
    assert (told["failed"], told["is_leader"]) == (False, False)
    assert told["reason"] == "no daemon of this lease runs here: see systemctl status s3-leader@db"


def test_the_host_needs_neither_botocore_nor_credentials(run, status, monkeypatch):
    monkeypatch.setattr(connection, "MISSING_LIBRARY", ImportError("no botocore"))
    status()
    told = run(main, **dict(LOCAL, access_key="", secret_key=""))
    assert (told["failed"], told["is_leader"]) == (False, True)


# -- All below a prefix


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(("prefix", "keys"), [("jobs/", ["jobs/a", "jobs/b"]), ("", ["a", "jobs/a", "jobs/b"])])
def test_with_a_prefix_it_tells_of_every_lease_below_it(run, store, prefix, keys, check):
    for key in ("jobs/b", "jobs/a", "a"):
        store.put(key, somebody_elses(store.url + "/bucket", session="my-session", leaseDurationSeconds=300))
    told = run(main, key=None, prefix=prefix, check=check, diff=True)
    assert [lease["key"] for lease in told["leases"]] == keys
    assert (told["failed"], told["is_leader"], told["changed"], told["lease"]) == (False, False, False, None)
    assert {request.method for request in store.requests} == {"GET"}


# -- What does not go together


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(key=None), "key is not set: source: store needs it"),
        (dict(key=""), 'key is "": it has 0 bytes'),
        (dict(name="db"), 'name is "db": the store does not know names on a host'),
        (dict(source="local", key=""), "name is not set: source: local needs it"),
        (dict(source="local", key="", name="../db"), 'name is "../db": use 1 to 50 lower-case letters'),
        (dict(prefix="jobs/"), 'prefix is "jobs/": key is set, too. Use key for one lease, or prefix for all below it'),
        (dict(prefix=""), 'prefix is "": key is set, too'),
        (dict(key=None, prefix="jobs/", name="db"), 'name is "db": the store does not know names on a host'),
        (dict(LOCAL, prefix="jobs/"), 'prefix is "jobs/": the host knows its leases by name'),
    ],
)
def test_a_lease_is_named_as_who_is_asked_knows_it(run, store, options, words):
    told = run(main, **options)
    assert (told["failed"], told["is_leader"], told["requests"]) == (True, False, 0)
    assert words in told["msg"]
    assert store.requests == []


def test_another_source_is_refused(run):
    assert "source must be one of: store, local" in run(main, source="cache")["msg"]
