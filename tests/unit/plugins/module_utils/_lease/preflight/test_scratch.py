# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Overdue
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import CannotSend, NoAnswer
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.scratch import is_of, scratch_name
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.protocol import WRITES_APART
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import encode
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Absent, Seen, StoreUnreachable
from support.stores.odd import Store


def raises(error):
    def fault(_request):
        raise error

    return fault


def write(work, name=""):
    """Write a scratch object. Return its key."""
    work.scratch(name).store.write(encode(work.draft()), None, work.until)
    return work.connection.store.requests[-1].key


def answers(status, *keys_end):
    """A fault: deletes of keys with such an end are answered so."""
    return lambda request: (
        Store().error(status, "Code") if request.method == "DELETE" and request.key.endswith(keys_end or "") else None
    )


# -- Names


def test_scratch_objects_stand_beside_the_lease_under_a_name_that_nobody_else_has():
    assert re.fullmatch(r"jobs/a\.preflight-[0-9a-f]{16}", scratch_name("jobs/a"))
    assert scratch_name("jobs/a") != scratch_name("jobs/a")


@pytest.mark.parametrize(
    "key", ["x" * 1024, "é" * 512, "p/" * 500 + "ü" * 12, "a/" + "b" * 255, "a/" + "ü" * 127, "a/b" + "ü" * 126]
)
def test_a_name_stays_within_what_stores_and_file_systems_take(key):
    longest = scratch_name(key) + "-expect-2"  # no other scratch object has a longer end
    assert len(longest.encode()) <= 1024
    assert len(longest.rpartition("/")[2].encode()) <= 255
    assert longest.isprintable()
    assert key.startswith(longest.partition(".preflight-")[0])


# -- The workspace


def test_every_scratch_object_is_written_where_it_is_named(workspace):
    work = workspace()
    first, second = write(work), write(work, "-1")
    assert second == first + "-1"
    assert work.log.written == ["", "-1"]


@pytest.mark.parametrize(("quoted", "sent"), [(True, '"e1"'), (False, "e1")])
def test_an_etag_goes_in_the_form_that_the_store_was_found_to_take(workspace, quoted, sent):
    work = workspace()
    work.scratch().store.write(b"body", "e1", work.until, quoted=quoted)
    assert work.connection.store.requests[-1].if_match == sent


def test_a_draft_is_no_lease_of_anybody_and_says_what_it_is(workspace):
    work = workspace()
    one, other = work.draft(), work.draft()
    assert one.nonce != other.nonce
    assert "remove it" in one.metadata["note"]
    assert (one.holder, one.proof) == ("preflight", None)


def test_a_draft_is_known_by_its_nonce(workspace):
    work = workspace()
    draft = work.draft()
    assert is_of(draft, Seen(draft, "e", 0.0, 0.0))
    assert not is_of(draft, Seen(work.draft(), "e", 0.0, 0.0))
    assert not is_of(draft, Absent(0.0))


def test_a_store_that_never_answered_is_silent_and_asked_no_more(workspace):
    work = workspace()
    work.connection.faults.append(raises(NoAnswer("no answer")))
    with pytest.raises(StoreUnreachable, match="Check endpoint_url and the network, or raise request_timeout"):
        work.look(work.scratch())
    assert work.silent is True


def test_a_store_that_answers_nonsense_is_not_silent(workspace):
    work = workspace()
    work.connection.faults.append(lambda request: Store().error(500, "InternalError"))
    with pytest.raises(StoreUnreachable):
        work.look(work.scratch())
    assert work.silent is False


@pytest.mark.parametrize("error", [NoAnswer("no"), CannotSend("no"), Overdue()])
def test_one_request_has_an_answer_or_none(workspace, error):
    work = workspace()
    assert work.exchange(work.scratch().wire, "GET", {}).status == 404
    work.connection.faults.append(raises(error))
    assert work.exchange(work.scratch().wire, "GET", {}) is None


def test_a_setting_is_asked_of_the_bucket(workspace):
    work = workspace()
    assert work.ask_bucket("versioning", 100).status == 200
    assert work.connection.store.requests[-1].path == "/bucket/?versioning"


def test_only_requests_that_were_alone_tell_a_latency(workspace):
    work = workspace()
    for takes in (0.03, 0.01, 0.02):
        work.connection.takes = takes
        work.look(work.scratch())
    together = work.scratch()
    together.wire.alone = False
    together.store.write(encode(work.draft()), None, work.until)
    assert work.latencies() == pytest.approx([0.01, 0.02, 0.03])


# -- Cleaning up


def test_what_was_written_is_removed_once_each(workspace):
    work = workspace()
    keys = [write(work), write(work), write(work, "-1")]
    check = work.clean_up()
    assert (check.verdict, check.seen) == ("pass", "the scratch objects were removed")
    deleted = [request.key for request in work.connection.store.select("DELETE")]
    assert deleted == list(dict.fromkeys(keys))
    assert [work.connection.store.get(key) for key in keys] == [None] * 3


def test_where_nothing_was_written_nothing_is_removed(workspace):
    work = workspace()
    work.look(work.scratch())
    assert work.clean_up() is None
    assert work.connection.store.count("DELETE") == 0


def test_a_versioned_bucket_keeps_what_is_removed(workspace):
    work = workspace()
    date = work.connection.store.date
    work.connection.store.date = lambda: (*date(), ("x-amz-version-id", "v1"))
    write(work)
    check = work.clean_up()
    assert check.verdict == "pass"
    assert "keeps their versions at s3://bucket/jobs/a.preflight-" in check.seen


@pytest.mark.parametrize("status", [401, 403])
def test_the_permission_that_is_missing_is_named(workspace, status):
    work = workspace()
    work.connection.faults.append(answers(status))
    write(work)
    check = work.clean_up()
    assert check.verdict == "warn"
    assert check.seen.startswith("1 scratch object is left at s3://bucket/jobs/a.preflight-")
    assert check.seen.endswith(f"({status})")
    assert check.advice == "Grant s3:DeleteObject on s3://bucket/jobs/a.preflight-*, and remove what is left"


def test_how_many_are_left_is_told(workspace):
    work = workspace()
    work.connection.faults.append(answers(400, "-1", "-2"))
    for name in ("", "-1", "-2"):
        write(work, name)
    check = work.clean_up()
    assert check.seen.startswith("2 scratch objects are left")
    assert check.advice == "Remove what is left"


@pytest.mark.parametrize("status", [429, 503])
def test_a_delete_that_fails_is_tried_again_after_a_pause(workspace, status):
    work = workspace()
    write(work)
    fails = [answers(status)]
    work.connection.faults.append(lambda request: fails.pop()(request) if fails else None)
    assert work.clean_up().verdict == "pass"
    assert work.clock.pauses == [WRITES_APART]


def test_where_the_store_fails_for_good_only_the_first_delete_is_tried_twice(workspace):
    work = workspace()
    for name in ("", "-1", "-2"):
        write(work, name)
    work.connection.faults.append(answers(503))
    assert work.clean_up().verdict == "warn"
    assert work.connection.store.count("DELETE") == 4


def test_a_store_that_does_not_answer_is_told_where_something_may_be_left(workspace):
    work = workspace()
    write(work)
    write(work, "-1")
    work.connection.faults.append(raises(NoAnswer("no answer")))
    check = work.clean_up()
    assert (check.verdict, check.advice, work.silent) == ("warn", "Remove them", True)
    assert check.seen.startswith("the store did not answer, so scratch objects may be left at s3://bucket/jobs/a.pre")
    assert work.connection.store.count("DELETE") == 2, "the first one twice, and the second one not at all"


def test_a_write_without_an_answer_may_land_yet_and_is_removed_once_more(workspace):
    work = workspace()
    late = []

    def hangs(request):
        if request.method == "PUT":
            late.append(request)
            raise NoAnswer("no answer")
        if request.method == "DELETE" and late:
            work.connection.store.remove(request.key)
            work.connection.store.put(request.key, late.pop().body)
            return work.connection.store.answer(204)
        return None

    work.connection.faults.append(hangs)
    key = write(work)
    assert work.clean_up().verdict == "pass"
    assert work.connection.store.get(key) is None
    assert work.clock.pauses == [work.timeout]
