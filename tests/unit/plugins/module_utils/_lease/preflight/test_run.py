# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import NoAnswer
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.report import ESSENTIAL
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.run import preflight
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Endpoint, Location
from support.stores.odd import (
    CreatesOnIfMatch,
    HasNoConditions,
    HasNoDate,
    HasRandomEtags,
    HidesMissing,
    IgnoresIfMatch,
    IgnoresIfNoneMatch,
    RefusesMissingWith412,
    Store,
    WantsBareEtags,
)
from support.wire import VirtualClock, Wire

SETTINGS = {"versioning", "lifecycle", "object_lock", "replication"}


@pytest.fixture
def ask(workspace):
    """Puts a store of this kind to the test in two rounds of two, and returns what was found with the store."""

    def run(kind=Store, fault=None, contenders=2, rounds=2, dry_run=False):
        clock = VirtualClock()
        wire = Wire(kind(), clock)
        wire.faults += [fault] if fault else []
        wire.store.put("jobs/a", b"somebody's lease")
        report = preflight(Endpoint(), Location("bucket", "jobs/a"), contenders, rounds, dry_run, clock, wire)
        return report, wire.store

    return run


def verdicts(report, verdict):
    return {check.name for check in report.of(verdict)}


@pytest.mark.parametrize("kind", [Store, HasRandomEtags, RefusesMissingWith412, HidesMissing, WantsBareEtags])
def test_a_store_that_keeps_the_conditions_is_safe(ask, kind):
    report, _store = ask(kind)
    assert (report.verdict, verdicts(report, "fail")) == ("safe", set())
    assert verdicts(report, "pass") >= set(ESSENTIAL)


@pytest.mark.parametrize(
    ("kind", "failed"),
    [
        (IgnoresIfNoneMatch, {"create_again", "create_race"}),
        (IgnoresIfMatch, {"stale_replace", "replace_missing", "replace_race"}),
        (CreatesOnIfMatch, {"replace_missing"}),
        (HasNoConditions, {"create"}),
        (HasNoDate, {"access"}),
    ],
)
def test_a_store_that_would_let_several_lead_is_unsafe(ask, kind, failed):
    report, _store = ask(kind)
    assert (report.verdict, verdicts(report, "fail")) == ("unsafe", failed)


def test_the_lease_itself_is_neither_read_nor_written_and_nothing_stays(ask):
    report, store = ask()
    assert store.get("jobs/a").body == b"somebody's lease"
    assert store.select(key="jobs/a") == []
    assert store.count("PUT", condition="none") == 0
    assert all(key == "" or key.startswith("jobs/a.preflight-") for key in {one.key for one in store.requests})
    assert [one.key for one in store.select("PUT") if store.get(one.key)] == []
    assert report.requests == len(store.requests)
    assert report.seconds > 0


def test_a_dry_run_writes_nothing_and_knows_nothing(ask):
    report, store = ask(dry_run=True)
    assert {request.method for request in store.requests} == {"GET"}
    assert (report.verdict, report.doubts) == ("unknown", ())
    assert verdicts(report, "pass") >= {"access"}


def test_so_many_contend_in_so_many_rounds(ask):
    report, store = ask(contenders=5, rounds=3)
    races = [request for request in store.select("PUT") if re.search("[0-9a-f]-[0-9]$", request.key)]
    assert len(races) == 5 * 3 * 2
    assert {check.name for check in report.checks} >= {"create_race", "replace_race"}


@pytest.mark.parametrize("options", [dict(contenders=1), dict(contenders=65), dict(rounds=0), dict(rounds=1001)])
def test_a_number_out_of_range_is_refused_before_anything_is_sent(ask, options):
    ((name, value),) = options.items()
    with pytest.raises(BadOption, match=f"^{name} is {value}: use "):
        preflight(Endpoint(), Location("bucket", "jobs/a"), connection=object(), **options)


def test_a_store_that_does_not_answer_is_asked_nothing_else(ask):
    def silent(_request):
        raise NoAnswer("no answer")

    report, _store = ask(fault=silent)
    assert (report.verdict, [check.name for check in report.checks][:1]) == ("unknown", ["access"])
    assert not SETTINGS & {check.name for check in report.checks}
    assert "Check endpoint_url" in report.reason


def test_after_a_write_that_fails_no_condition_is_tried(ask):
    report, _store = ask(fault=lambda request: Store().error(403, "AccessDenied") if request.method == "PUT" else None)
    assert report.verdict == "unknown"
    assert "s3:PutObject" in report.reason
    assert not {"create_again", "replace", "create_race"} & {check.name for check in report.checks}
    assert {check.name for check in report.checks} >= SETTINGS


def test_after_a_stale_write_that_was_carried_out_all_the_same_the_rest_is_still_asked(ask):
    store, stale = Store(), []

    def carries_out(request):
        there = store.get(request.key)
        if stale or request.if_match is None or there is None or store.matches(request.if_match, there):
            return None
        stale.append(request)
        store.put(request.key, request.body)
        return store.error(412, "PreconditionFailed")

    report, _store = ask(lambda: store, carries_out)
    assert "stale_replace" in verdicts(report, "fail")
    assert {"etag_repeats", "reads", "clock"} <= verdicts(report, "pass")


def test_settings_that_may_not_be_read_do_not_spoil_the_verdict(ask):
    report, _store = ask(fault=lambda request: None if request.key else Store().error(403, "AccessDenied"))
    assert report.verdict == "safe"
    assert verdicts(report, "unknown") == SETTINGS
