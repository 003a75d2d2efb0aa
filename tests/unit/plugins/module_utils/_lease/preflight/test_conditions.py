# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import CannotSend, NoAnswer
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.conditions import (
    accepted,
    access,
    refused,
)
from support.stores.odd import (
    CreatesOnIfMatch,
    HasNoConditions,
    HasNoDate,
    HidesMissing,
    IgnoresIfMatch,
    IgnoresIfNoneMatch,
    RefusesMissingWith412,
    Store,
    Throttles,
    WantsBareEtags,
)


def silent(_request):
    raise NoAnswer("no answer")


def answers(status, code, method="PUT"):
    """A fault: the store answers so to every request of this method, and does nothing."""
    store = Store()
    return lambda request: store.error(status, code) if request.method == method else None


def key_of(scratch):
    """Where a scratch object is in the store."""
    return scratch.wire._connection.key


@pytest.fixture
def written(workspace):
    """Makes a workspace, writes its scratch object and says what stands there."""

    def make(kind=Store, **attributes):
        work = workspace(kind, **attributes)
        scratch = work.scratch()
        _check, seen = accepted(work, "create", scratch, work.draft(), None)
        return work, scratch, seen

    return make


# -- Access


@pytest.mark.parametrize(
    ("kind", "verdict", "usable"),
    [(Store, "pass", True), (HidesMissing, "warn", True), (HasNoDate, "fail", False)],
)
def test_a_key_that_is_not_there_has_to_be_missing(workspace, kind, verdict, usable):
    check, go_on = access(workspace(kind))
    assert (check.name, check.verdict, go_on) == ("access", verdict, usable)
    assert check.advice or verdict == "pass"


def test_a_bucket_that_is_not_there_is_not_the_stores_fault(workspace):
    work = workspace()
    work.connection.faults.append(answers(404, "NoSuchBucket", "GET"))
    check, go_on = access(work)
    assert (check.verdict, go_on) == ("unknown", False)
    assert "Create the bucket" in check.advice


def test_a_store_that_does_not_answer_is_unknown_and_asked_no_more(workspace):
    work = workspace()
    work.connection.faults.append(silent)
    check, go_on = access(work)
    assert (check.verdict, go_on, work.silent) == ("unknown", False, True)


def test_an_object_that_nobody_put_there_is_suspicious(workspace):
    work = workspace()
    work.connection.store.put(key_of(work.scratch()), b"{}")
    check, _go_on = access(work)
    assert (check.verdict, check.advice) == ("unknown", "Check endpoint_url")


# -- A write whose condition holds


@pytest.mark.parametrize("kind", [Store, WantsBareEtags])
def test_a_create_and_a_replace_whose_conditions_hold_are_carried_out(written, kind):
    work, scratch, seen = written(kind)
    check, replaced = accepted(work, "replace", scratch, work.draft(), seen.etag)
    assert (check.name, check.verdict) == ("replace", "pass")
    assert work.connection.store.get(key_of(scratch)).etag.strip('"') == replaced.etag != seen.etag


def test_a_store_without_conditions_cannot_hold_a_lease(workspace):
    work = workspace(HasNoConditions)
    check, seen = accepted(work, "create", work.scratch(), work.draft(), None)
    assert (check.verdict, seen) == ("fail", None)
    assert check.advice


def test_a_write_that_is_refused_though_its_condition_holds_fails_the_store(workspace):
    work = workspace()
    work.connection.faults.append(answers(412, "PreconditionFailed"))
    check, seen = accepted(work, "create", work.scratch(), work.draft(), None)
    assert (check.verdict, seen) == ("fail", None)
    assert "conditional writes" in check.advice


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (500, "InternalError")])
def test_a_write_that_may_not_be_made_or_fails_tells_nothing_about_the_store(workspace, status, code):
    work = workspace()
    work.connection.faults.append(answers(status, code))
    check, seen = accepted(work, "create", work.scratch(), work.draft(), None)
    assert (check.verdict, seen) == ("unknown", None)


def test_something_that_stands_there_already_is_suspicious(written):
    work, scratch, _seen = written()
    check, seen = accepted(work, "create", scratch, work.draft(), None)
    assert (check.verdict, check.advice, seen) == ("unknown", "Check endpoint_url", None)


# -- A write whose condition does not hold


@pytest.mark.parametrize(
    ("kind", "which", "verdict"),
    [
        (Store, "create again", "pass"),
        (Store, "stale", "pass"),
        (Store, "missing", "pass"),
        (RefusesMissingWith412, "missing", "pass"),
        (IgnoresIfNoneMatch, "create again", "fail"),
        (IgnoresIfMatch, "stale", "fail"),
        (IgnoresIfMatch, "missing", "fail"),
        (CreatesOnIfMatch, "missing", "fail"),
    ],
)
def test_a_write_whose_condition_does_not_hold_has_to_be_refused(written, kind, which, verdict):
    work, scratch, _seen = written(kind)
    where = work.scratch("-missing") if which == "missing" else scratch
    replaces = None if which == "create again" else "0" * 32
    check, left = refused(work, which, where, replaces, "a write", exists=which != "missing")
    assert (check.name, check.verdict) == (which, verdict)
    if verdict == "fail":
        assert check.seen == "a write is carried out, so several could lead at once"
        assert left == work.connection.store.get(key_of(where)).etag.strip('"')
    else:
        assert left is None


def test_a_write_that_is_refused_and_carried_out_all_the_same_is_found_out(written):
    work, scratch, _seen = written()

    def carries_out(request):
        if request.method != "PUT":
            return None
        work.connection.store.put(request.key, request.body)
        return work.connection.store.error(412, "PreconditionFailed")

    work.connection.faults.append(carries_out)
    check, left = refused(work, "create_again", scratch, None, "a write")
    assert (check.verdict, check.seen) == ("fail", "a write is refused (412), but carried out anyway")
    assert left == work.connection.store.get(key_of(scratch)).etag.strip('"')


@pytest.mark.parametrize("exists", [True, False])
def test_404_is_a_no_only_for_a_key_that_is_missing_or_was_lost_meanwhile(written, exists):
    work, scratch, _seen = written()
    work.connection.faults.append(answers(404, "NoSuchKey"))
    check, _left = refused(work, "stale", scratch, "0" * 32, "a write", exists=exists)
    assert check.verdict == ("unknown" if exists else "pass")


@pytest.mark.parametrize(("hidden", "verdict"), [(True, "pass"), (False, "unknown")])
def test_where_missing_keys_are_hidden_403_is_a_no_too(written, hidden, verdict):
    work, _scratch, _seen = written(HidesMissing)
    work.connection.faults.append(answers(403, "AccessDenied"))
    missing = work.scratch("-missing")
    check, _left = refused(work, "replace_missing", missing, "0" * 32, "a write", exists=False, hidden=hidden)
    assert check.verdict == verdict


@pytest.mark.parametrize(("throttles", "verdict"), [(2, "pass"), (3, "unknown")])
def test_an_answer_that_is_neither_yes_nor_no_is_asked_for_again(written, throttles, verdict):
    work, scratch, _seen = written(Throttles)
    work.connection.store.throttles = throttles
    check, _left = refused(work, "create_again", scratch, None, "a write")
    assert check.verdict == verdict
    assert len(work.clock.pauses) == 2


@pytest.mark.parametrize(
    ("status", "code", "verdict"), [(501, "NotImplemented", "fail"), (403, "AccessDenied", "unknown")]
)
def test_an_answer_that_nothing_will_change_is_asked_for_once(written, status, code, verdict):
    work, scratch, _seen = written()
    work.connection.store.forget()
    work.connection.faults.append(lambda _request: work.connection.store.error(status, code))
    check, _left = refused(work, "create_again", scratch, None, "a write")
    assert check.verdict == verdict
    assert check.advice
    assert work.connection.store.count("PUT") == 1


def test_what_cannot_be_sent_is_not_the_stores_fault(written):
    def cannot(_request):
        raise CannotSend("no credentials were found", "Set access_key")

    work, scratch, _seen = written()
    work.connection.faults.append(cannot)
    check, _left = refused(work, "create_again", scratch, None, "a write")
    assert (check.verdict, check.seen, check.advice) == ("unknown", "no credentials were found", "Set access_key")
