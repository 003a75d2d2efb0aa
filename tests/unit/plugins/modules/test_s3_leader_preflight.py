# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.report import ESSENTIAL, Check, Report
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Location
from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_preflight as module

KEYS = {"changed", "verdict", "reason", "checks", "requests", "seconds", "report"}
GOOD = [Check(name, "pass", "seen") for name in ESSENTIAL]
SLOW = Check("latency", "warn", "it is slow", "Raise request_timeout")


def report(*checks):
    return Report((*GOOD, *checks), 9, 1.5)


SAFE = report()
WARNED = report(SLOW)
UNSAFE = report(Check("known_store", "fail", "it races", "Use another"))
DOUBTED = Report((Check("access", "unknown", "it did not answer"),), 1, 1.5)
UNTRIED = Report((Check("access", "pass", "seen"),), 1, 1.5)
"""A dry run's."""


@pytest.fixture
def found(monkeypatch, run):
    """Runs the module with a core that finds this; asked are the core's arguments."""

    def run_with(report, **options):
        def preflight(*arguments):
            found.asked = arguments
            return report

        found.asked = None
        monkeypatch.setattr(module, "preflight", preflight)
        return run(module.main, **options)

    found = run_with
    return found


def test_the_core_is_asked_for_this_lease_with_the_options(found):
    found(SAFE, contenders=3, rounds=2, request_timeout=7)
    endpoint, location, contenders, rounds, dry_run, _clock, connection = found.asked
    assert (location, contenders, rounds, dry_run) == (Location("bucket", "jobs/a"), 3, 2, False)
    assert endpoint.request_timeout == 7
    assert connection.url.endswith("/bucket/jobs/a")


def test_by_default_eight_contend_in_ten_rounds(found):
    found(SAFE)
    assert found.asked[2:4] == (8, 10)


def test_check_mode_is_a_dry_run(found):
    found(SAFE, check=True)
    assert found.asked[4] is True


@pytest.mark.parametrize(("report", "known"), [(SAFE, True), (WARNED, True), (DOUBTED, True), (UNSAFE, False)])
def test_what_was_found_out_before_about_a_store_that_is_unsafe_counts_no_more(
    found, store, monkeypatch, report, known
):
    forgotten = []
    monkeypatch.setattr(module, "forget", forgotten.append)
    found(report, report_only=True)
    assert forgotten == ([] if known else [f"{store.url}/bucket"])


@pytest.mark.parametrize(("report", "verdict"), [(SAFE, "safe"), (UNSAFE, "unsafe"), (DOUBTED, "unknown")])
def test_the_report_for_an_issue_comes_with_every_verdict_and_without_names(found, store, report, verdict):
    text = found(report, contenders=3, rounds=2)["report"]
    assert text.startswith(f"### Preflight of leaderelection.s3: {verdict}\n")
    assert "3 contenders, 2 rounds" in text
    assert all(f"| `{check.name}` | {check.verdict} |" in text for check in report.checks)
    assert not [name for name in (store.url.partition("//")[2], "jobs/a") if name in text]


def test_a_store_that_is_safe_is_told_so(found):
    told = found(SAFE)
    assert told.keys() >= KEYS
    assert (told["failed"], told["changed"], told["verdict"], told["requests"]) == (False, False, "safe", 9)
    assert [check["name"] for check in told["checks"]] == list(ESSENTIAL)


def test_a_warning_of_a_check_is_one_of_the_task(found, monkeypatch):
    warnings = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, text: warnings.append(text))
    assert found(WARNED)["failed"] is False
    assert warnings == ["latency: it is slow. Raise request_timeout"]


@pytest.mark.parametrize(
    ("report", "check", "fails"),
    [
        (SAFE, False, False),
        (UNSAFE, False, True),
        (DOUBTED, False, True),
        (UNTRIED, False, True),
        (UNSAFE, True, True),
        (DOUBTED, True, True),  # it could not even be read
        (UNTRIED, True, False),
    ],
)
def test_the_verdict_decides_whether_the_task_fails(found, report, check, fails):
    told = found(report, check=check)
    assert (told["failed"], told["verdict"]) == (fails, report.verdict)
    assert told.keys() >= KEYS
    if fails:
        assert told["msg"] == "s3://bucket/jobs/a: " + report.reason


@pytest.mark.parametrize("report", [UNSAFE, DOUBTED])
def test_with_report_only_the_task_succeeds_whatever_the_verdict(found, report):
    told = found(report, report_only=True)
    assert (told["failed"], told["verdict"]) == (False, report.verdict)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(contenders=1), "contenders is 1: use 2 to 64"),
        (dict(contenders=65), "contenders is 65: use 2 to 64"),
        (dict(rounds=0), "rounds is 0: use 1 to 1000"),
        (dict(rounds=1001), "rounds is 1001: use 1 to 1000"),
        (dict(key="jobs//a"), 'key is "jobs//a"'),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(run, store, options, words):
    told = run(module.main, report_only=True, **options)
    assert told.keys() >= KEYS
    assert (told["failed"], told["verdict"], told["checks"]) == (True, "unknown", [])
    assert words in told["msg"]
    assert store.requests == []


def test_without_credentials_nothing_is_sent_and_the_verdict_is_unknown(run, store):
    told = run(module.main, access_key="", secret_key="")
    assert (told["failed"], told["verdict"], told["requests"]) == (True, "unknown", 0)
    assert "no credentials were found" in told["msg"]
    assert store.requests == []


def test_check_mode_writes_nothing(run, store):
    told = run(module.main, check=True)
    assert (told["failed"], told["verdict"]) == (False, "unknown")
    assert {request.method for request in store.requests} == {"GET"}
    assert told["requests"] == len(store.requests)
