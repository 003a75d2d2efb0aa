# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the record keeps of terms that have ended, and who is told of it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import (
    BROKEN,
    EXPIRED,
    MAX_HISTORY,
    MAX_TERM,
    RELEASED,
    Ended,
    Proof,
    Record,
    Unreadable,
    decode,
    encode,
    with_ended,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import LENGTHS
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Claimant,
    Held,
    Seen,
    Want,
    Why,
)
from support.dialogue import Dialogue, nonces

ME = Claimant("web-1", "my-session", "https://s3.example.com/bucket")
NOW = 1795409376.0
FIRST = Ended(6, "web-3", "third-session", NOW - 500, NOW - 400, RELEASED, "web-3")
HELD = Record(
    holder="web-2",
    session="other-session",
    term=7,
    sequence=3,
    nonce="theirs",
    lease_duration=30.0,
    acquired_at=NOW - 100,
    renewed_at=NOW - 50,
    lease_until=NOW - 18,
    metadata={},
    proof=Proof(ME.store, NOW - 1000),
    history=(FIRST,),
)
SEVENTH = Ended(7, "web-2", "other-session", NOW - 100, NOW - 20, EXPIRED)


def seen(record, age=50.0):
    return Seen(record, "e1", NOW - age, NOW)


def claimed(found):
    return protocol.claim(ME, found, Want(30.0, 15.0), NOW, "fresh").history


def freed(found, reason="", by_force=False):
    return protocol.tombstone(ME, found, NOW, reason, "fresh", by_force).history


def test_who_takes_a_lease_over_says_when_the_term_before_has_expired():
    assert claimed(seen(HELD)) == (SEVENTH, FIRST)


@pytest.mark.parametrize(
    "record",
    [HELD._replace(holder=""), HELD._replace(proof=None), HELD._replace(slots=3, slots_before=2)],
    ids=["released", "never led by, since its acquisition failed midway", "the number of slots was not settled"],
)
def test_what_has_ended_before_or_never_began_does_not_end_again(record):
    assert claimed(seen(record)) == freed(seen(record)) == (FIRST,)


@pytest.mark.parametrize("found", [Absent(NOW), seen(Unreadable("it is not JSON"))])
def test_without_a_record_there_is_no_history(found):
    assert claimed(found) == ()


def test_a_term_of_the_dotnet_library_ends_when_its_record_says():
    dotnet = HELD._replace(session="", term=0, acquired_at=None, proof=None, history=())
    assert claimed(seen(dotnet)) == (Ended(0, "web-2", "", None, HELD.lease_until, EXPIRED),)


@pytest.mark.parametrize(("by_force", "how"), [(False, RELEASED), (True, BROKEN)])
@pytest.mark.parametrize(("age", "ended_at"), [(10.0, NOW), (50.0, NOW - 20)], ids=["live", "expired meanwhile"])
def test_a_release_says_who_ended_the_term_when_and_why(by_force, how, age, ended_at):
    ended = SEVENTH._replace(ended_at=ended_at, how=how, by="web-1", reason="burnt down")
    assert freed(seen(HELD, age), "burnt down", by_force) == (ended, FIRST)


def test_a_renewal_keeps_the_history():
    assert protocol.renewal(HELD, NOW, 30.0, "fresh").history == (FIRST,)


def test_the_last_eight_terms_are_kept():
    history = ()
    for term in range(1, MAX_HISTORY + 3):
        history = with_ended(FIRST._replace(term=term), history)
    assert [ended.term for ended in history] == [10, 9, 8, 7, 6, 5, 4, 3]


def test_the_longest_names_and_reasons_leave_the_record_readable():
    fire = "\U0001f525"  # 12 bytes
    holder, session, reason = (fire * LENGTHS[name][1] for name in ("holder", "session", "reason"))
    worst = Ended(MAX_TERM, holder, session, NOW, NOW, BROKEN, holder, reason)
    assert with_ended(worst, (worst, FIRST)) == (worst,)
    metadata = dict(released_by=holder, held_by=holder, reason=reason)
    record = HELD._replace(holder=holder, session=session, history=(worst,), metadata=metadata)
    assert decode(encode(record)) == record


def test_what_is_written_is_read_again():
    history = (SEVENTH._replace(how=BROKEN, by="root@vm", reason="burnt down"), FIRST)
    assert decode(encode(HELD._replace(history=history))).history == history


@pytest.mark.parametrize(
    "entry", [None, 7, {}, {"term": -1}, {"term": 7, "holderId": 7}, {"term": 7, "holderId": "a", "endedAt": "soon"}]
)
def test_what_is_malformed_is_left_out_and_the_lease_stays_readable(entry):
    body = encode(HELD).replace(b'"history": [', b'"history": [%s, ' % json.dumps(entry).encode(), 1)
    assert decode(body).history == (FIRST,)


# -- Who is told

TAKEN = HELD._replace(
    session="third-session",
    term=8,
    history=(Ended(7, "web-1", "my-session", NOW - 100, NOW - 5, BROKEN, "root@vm", "burnt down"), FIRST),
)


@pytest.mark.parametrize("operation", ["renew", "release"])
def test_the_victim_is_told_who_broke_its_term(operation):
    steps = dict(
        renew=protocol.renew(ME, None, None, 0.0, 15.0, nonces()),
        release=protocol.release(ME, None, 0.0, 15.0, nonces()),
    )
    verdict = Dialogue(steps[operation]).answer(seen(TAKEN, 3.0)).verdict
    assert (verdict.why, verdict.ended) == (Why.TAKEN, TAKEN.history[0])


@pytest.mark.parametrize(("term", "ended"), [(7, TAKEN.history[0]), (5, None)])
def test_it_is_told_of_the_term_that_it_held(term, ended):
    held = Held(seen(HELD._replace(session=ME.session, term=term)), 30.0, 0.0)
    verdict = Dialogue(protocol.renew(ME, held, None, 40.0, 15.0, nonces()), 40.0).answer(seen(TAKEN, 3.0)).verdict
    assert (verdict.why, verdict.ended) == (Why.TAKEN, ended)
