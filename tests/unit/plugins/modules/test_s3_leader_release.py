# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.leaderelection.s3.plugins.modules.s3_leader_acquire import main as acquire
from ansible_collections.leaderelection.s3.plugins.modules.s3_leader_release import main
from support.leases import OLD_TERM, somebody_elses


@pytest.fixture
def acquired(run, store):
    """The result of an acquisition, as the action plugin hands it over at once; the store begins to count anew."""
    told = run(acquire)
    store.forget()
    return dict(is_leader=told["is_leader"], lease=told["lease"], elapsed=0.0, heard=0.0)


def stored(store):
    return json.loads(store.get("jobs/a").body)


def test_with_the_lease_handed_over_it_is_a_single_put_that_keeps_the_term(run, store, acquired):
    told = run(main, lease=acquired, reason="done", session="another-session")
    assert (told["failed"], told["is_leader"], told["changed"], told["requests"]) == (False, False, True, 1)
    assert told["lease"]["state"] == "released"
    assert [request.method for request in store.requests] == ["PUT"]
    assert (stored(store)["holderId"], stored(store)["term"]) == ("", acquired["lease"]["term"])
    assert stored(store)["metadata"]["reason"] == "done"


def test_without_it_the_lease_is_read_first(run, store, acquired):
    assert run(main)["changed"] is True
    assert [request.method for request in store.requests] == ["GET", "PUT"]


def test_released_again_nothing_changes(run, store, acquired):
    run(main)
    told = run(main)
    assert (told["failed"], told["changed"], store.count("PUT")) == (False, False, 1)


def test_somebody_elses_lease_is_left_alone_and_that_is_no_failure(run, store):
    before = store.put("jobs/a", somebody_elses(leaseDurationSeconds=300))
    told = run(main)
    assert (told["failed"], told["changed"], told["is_leader"]) == (False, False, False)
    assert store.get("jobs/a") == before


@pytest.mark.parametrize(
    ("body", "foreign"), [(somebody_elses(leaseDurationSeconds=300), False), (b"not a lease", True)]
)
def test_force_breaks_it_and_with_a_second_word_also_what_cannot_be_read(run, store, body, foreign):
    store.put("jobs/a", body)
    told = run(main, force=True, force_foreign=foreign, reason="web-9 burnt down")
    assert (told["failed"], told["changed"], told["is_leader"]) == (False, True, False)
    assert told["reason"].startswith("replaced by force" if foreign else "broken by force")
    assert (stored(store)["holderId"], stored(store)["metadata"]["reason"]) == ("", "web-9 burnt down")
    assert stored(store)["term"] >= OLD_TERM


@pytest.mark.parametrize(("force", "warns"), [(True, True), (False, False)])
def test_who_wants_to_break_what_is_not_there_may_have_mistyped_the_key(run, monkeypatch, force, warns):
    warnings = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, text: warnings.append(text))
    told = run(main, force=force)
    assert (told["failed"], told["changed"]) == (False, False)
    assert ["is it the right one?" in text for text in warnings] == [True] * warns


def test_force_alone_leaves_what_cannot_be_read_alone_and_fails(run, store):
    before = store.put("jobs/a", b"<html>")
    told = run(main, force=True)
    assert (told["failed"], told["changed"], told["is_leader"]) == (True, False, False)
    assert told["msg"].startswith("force is true: ")
    assert "force_foreign=true" in told["msg"]
    assert store.get("jobs/a") == before


@pytest.mark.parametrize("force", [False, True])
def test_check_mode_predicts_and_writes_nothing(run, store, acquired, force):
    told = run(main, check=True, lease=acquired, force=force)
    assert (told["changed"], told["lease"]["state"]) == (True, "released")
    assert [request.method for request in store.requests] == ["GET"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(reason="r" * 1001), "use at most 1000 printable characters"),
        (dict(reason="two\nlines"), "use at most 1000 printable characters"),
        (dict(lease=dict(rc=0)), "pass the whole registered result"),
        (dict(force="perhaps"), "force"),
        (dict(force_foreign=True), "force_foreign is true: it needs force=true"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(run, store, options, words):
    told = run(main, **options)
    assert told["failed"] is True
    assert words in told["msg"]
    assert store.requests == []
