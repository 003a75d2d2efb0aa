# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import connection
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import command, list_command, output
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import MAX_BODY
from support.leases import LEASE_KEYS, somebody_elses

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture
def store(open_store):
    from support.stores.odd import Store  # pytest loads this file before tests/ can be imported

    return open_store(Store)


@pytest.fixture
def say(store, monkeypatch, capsys):
    """Runs s3-leader list on that store: its status, and what it says and complains."""
    monkeypatch.setenv("AWS_URL", store.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "whatever")

    def say(*words):
        status = command.main(["list", "--bucket=bucket", *words])
        output = capsys.readouterr()
        return status, output.out, output.err

    return say


EVIL = "a/\u202ez\n"


def fill(store):
    """One lease in each state, and what is none. All but the one that is held were written an hour ago."""
    now = 1795413000.0
    store.now = lambda: now
    since = "2026-11-23T04:49:36.000Z"
    store.put("a/held", somebody_elses(holderId="web-1", acquiredAt=since, leaseDurationSeconds=300.5, term=1795))
    store.put("a/expired", somebody_elses(holderId="web-2 \x1b[2J", acquiredAt=since))
    store.put("a/free", somebody_elses(holderId="", acquiredAt=since))
    store.put("a/dotnet", b'{"holderId": "app-1", "leaseUntilUtc": "2020-01-01T00:00:00Z"}')
    store.put("a/large", b" " * (MAX_BODY + 7))
    store.put(EVIL, b"{}")
    for key in ("a/expired", "a/free", "a/dotnet", "a/large", EVIL):
        store.age(key, 3600)
    store.age("a/held", 4)


TABLE = r"""
KEY          STATE       HOLDER         TERM  SINCE                 LEFT
a/dotnet     expired     app-1          -     -                     -
a/expired    expired     web-2 \x1b[2J  41    2026-11-23T04:49:36Z  -
a/free       released    -              41    2026-11-23T04:50:00Z  -
a/held       held        web-1          1795  2026-11-23T04:49:36Z  299s
a/large      unreadable  -              -     2026-11-23T04:50:00Z  -     it is larger than 65536 bytes (65543 bytes)
a/\u202ez\n  unreadable  -              -     2026-11-23T04:50:00Z  -     no lease can have this key (2 bytes)

6 objects below a/: 1 held, 1 free, 2 expired, 2 not a lease
"""


def test_the_leases_are_a_table_and_a_line_with_counts(store, say):
    fill(store)
    assert say("--prefix", "a/") == (0, TABLE.lstrip("\n"), "")


def test_where_there_is_nothing_it_says_so(say):
    assert say() == (0, "no objects in the bucket bucket\n", "")


def test_as_json_it_has_what_results_have(store, say):
    fill(store)
    status, out, err = say("--prefix", "a/", "--json")
    told = json.loads(out)
    assert (status, err, out.isascii()) == (0, "", True)
    assert (told["bucket"], told["prefix"], set(told)) == ("bucket", "a/", {"bucket", "prefix", "leases"})
    assert [lease["state"] for lease in told["leases"]] == [
        "expired",
        "expired",
        "released",
        "held",
        *2 * ["unreadable"],
    ]
    assert {frozenset(lease) for lease in told["leases"]} == {frozenset(LEASE_KEYS)}
    assert told["leases"][5]["key"] == EVIL
    assert json.loads(say("--json", "--prefix=none")[1])["leases"] == []


def test_it_is_watched_until_somebody_interrupts(store, say, monkeypatch):
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        store.put(f"jobs/{len(pauses)}", somebody_elses())
        if len(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(output.time, "sleep", sleep)
    status, out, err = say("--watch")
    assert (status, err, pauses) == (130, "", [2, 2])
    assert [screen.count("jobs/") for screen in out.split("\033[H\033[2J")] == [0, 0, 1]


def test_nothing_is_written(store, say):
    fill(store)
    say()
    assert {request.method for request in store.requests} == {"GET"}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--prefix", "s3://bucket/jobs"), 'prefix is "s3://bucket/jobs": it is a URL'),
        (("--bucket", "a b"), 'bucket is "a b"'),
        (("--request-timeout", "61"), "--request-timeout is 61: use 1 to 60 seconds"),
        (("--profile", "nobody"), 'profile is "nobody": neither ~/.aws/config nor'),
    ],
)
def test_an_option_that_cannot_be_used_is_told_on_one_line(store, say, words, text):
    status, out, err = say(*words)
    assert (status, out, err.count("\n"), store.requests) == (2, "", 1, [])
    assert err.startswith(f"s3-leader: {text}")


def test_an_option_that_there_is_not_is_refused(say, capsys):
    with pytest.raises(SystemExit) as ended:
        say("jobs/")
    assert ended.value.code == command.UNUSABLE
    assert "unrecognized arguments: jobs/" in capsys.readouterr().err


def test_a_store_that_refuses_is_told_on_one_line(store, say, monkeypatch):
    monkeypatch.setattr(store, "on_list", lambda query: store.error(403, "AccessDenied"))
    answered = f"{store.url} answered 403 AccessDenied. Grant s3:ListBucket on the bucket bucket"
    assert say() == (2, "", f"s3-leader: s3://bucket/ cannot be listed: {answered}\n")


def test_without_botocore_it_says_what_to_install(say, monkeypatch):
    monkeypatch.setattr(connection, "MISSING_LIBRARY", ImportError("No module named 'botocore'"))
    status, out, err = say()
    assert (status, out) == (2, "")
    assert "install python3-boto3 (No module named 'botocore')" in err


def test_help_is_about_leases_and_the_store(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["list", "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert "--prefix" in told
    assert "--endpoint-url" in told


@pytest.mark.parametrize(
    ("text", "shown"), [("jobs/a ü🗝", "jobs/a ü🗝"), ("\x1b]0;\x07", r"\x1b]0;\x07"), ("a\u2028b", r"a\u2028b")]
)
def test_what_could_do_something_to_a_terminal_is_shown_as_an_escape(text, shown):
    assert list_command.visible(text) == shown
