# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read from a record, and what the next one is: every field."""

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Proof, Record, Unreadable
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Absent, Claimant, Seen, Want

ME = Claimant("web-1", "my-session", "https://s3.example.com/bucket")
STORE_TIME = 1795409376.5
"""The store's clock, in seconds since 1970."""

NOW = STORE_TIME + 0.25
"""The store's clock when it is written."""

PROOF = Proof(ME.store, STORE_TIME - 1000)
"""Of the caller's store."""

HELD = Record(
    holder="web-2",
    session="other-session",
    term=7,
    sequence=3,
    nonce="theirs",
    lease_duration=30.0,
    acquired_at=STORE_TIME - 60,
    renewed_at=STORE_TIME - 10,
    lease_until=STORE_TIME + 22,
    metadata={"their": "word"},
    proof=PROOF,
)
RELEASED = HELD._replace(holder="")
DOTNET = HELD._replace(session="", term=0, sequence=0, nonce="", lease_duration=0.0, acquired_at=None, proof=None)
UNREADABLE = Unreadable("it is not JSON")


def seen(record, age=0.0):
    return Seen(record, "e1", STORE_TIME - age, STORE_TIME)


def takeable_in(found, takeover, unchanged_for):
    return protocol.takeable_in(found, ME, Want(30.0, 15.0, takeover=takeover), unchanged_for)


# -- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("duration", "seconds"), [(3, 2.0), (500, 2.0), (600, 2.1), (86400, 87.9)])
def test_the_margin_is_2_s_or_for_long_leases_1_5_s_and_a_thousandth(duration, seconds):
    assert protocol.margin(duration) == pytest.approx(seconds)


@pytest.mark.parametrize("found", [Absent(STORE_TIME), seen(UNREADABLE)])
def test_where_there_is_no_record_term_and_sequence_are_0_and_nothing_is_proven(found):
    assert (protocol.term_of(found), protocol.sequence_of(found)) == (0, 0)
    assert protocol.proof_of(found, ME) is None
    assert protocol.own(found, ME) is None


def test_term_and_sequence_are_those_of_the_record():
    assert (protocol.term_of(seen(HELD)), protocol.sequence_of(seen(HELD))) == (7, 3)


def test_the_age_is_by_the_stores_clock_alone_and_0_where_there_is_nothing():
    assert protocol.age_of(seen(HELD, age=12.5)) == 12.5
    assert protocol.age_of(Absent(STORE_TIME)) == 0.0


@pytest.mark.parametrize(
    ("record", "is_mine"),
    [
        (HELD._replace(session=ME.session), True),
        (HELD._replace(holder=ME.holder), False),
        (RELEASED._replace(session=ME.session), False),
    ],
)
def test_rule_17_what_one_holds_has_ones_session_and_is_not_released(record, is_mine):
    assert (protocol.own(seen(record), ME) == record) is is_mine
    assert (protocol.own(seen(record), ME._replace(sent=["another", "theirs"])) == record) is is_mine


def test_rule_17_what_ones_clone_wrote_is_not_ones_own():
    assert protocol.own(seen(HELD._replace(session=ME.session)), ME._replace(sent=["another"])) is None
    assert protocol.own(seen(HELD._replace(session=ME.session)), ME._replace(sent=[])) is None


@pytest.mark.parametrize(
    ("proof", "counts"),
    [
        (PROOF, True),
        (PROOF._replace(at=0.0, quoted=False, dated=False), True),
        (PROOF._replace(store="https://s3.example.com/another"), False),
        (None, False),
    ],
)
def test_rule_18_a_proof_counts_for_the_store_that_was_tested(proof, counts):
    assert protocol.proof_of(seen(HELD._replace(proof=proof)), ME) == (proof if counts else None)


@pytest.mark.parametrize(
    ("seconds_ago", "is_fresh"), [(0, True), (86399, True), (86400, False), (-86399, True), (-86400, False)]
)
def test_rule_18_a_proof_is_fresh_for_a_day(seconds_ago, is_fresh):
    proof = PROOF._replace(at=NOW - seconds_ago)
    assert protocol.fresh(proof, NOW) == (proof if is_fresh else None)
    assert protocol.fresh(None, NOW) is None


def test_writes_are_sent_as_the_proof_says_and_else_in_the_usual_form():
    assert protocol.form_of(PROOF._replace(quoted=False, dated=False)) == (False, False)
    assert protocol.form_of(None) == (True, True)


def test_the_stores_time_at_the_end_of_a_read_includes_the_whole_read():
    assert protocol.View(seen(HELD), asked=100.0, at=102.5).store_time == STORE_TIME + 2.5


@pytest.mark.parametrize(
    ("found", "seconds"),
    [
        (Absent(STORE_TIME), 0.0),
        (seen(RELEASED), 0.0),
        (seen(HELD, age=12), 20.0),
        (seen(HELD, age=32), 0.0),
        (seen(HELD, age=100), 0.0),
        (seen(HELD._replace(lease_duration=1000.0), age=2), 1000.5),
        (seen(DOTNET), 24.0),
        (seen(DOTNET, age=10**6), 24.0),
        (seen(DOTNET._replace(lease_until=STORE_TIME - 2)), 0.0),
        (seen(DOTNET._replace(lease_until=STORE_TIME - 100)), 0.0),
        (seen(UNREADABLE, age=10**6), None),
    ],
)
def test_rule_15_when_a_lease_is_free_is_told_by_the_stores_clock(found, seconds):
    assert protocol.free_in(found) == seconds
    assert takeable_in(found, "store_clock", unchanged_for=10**6) == seconds


@pytest.mark.parametrize(
    ("found", "unchanged_for", "seconds"),
    [
        (seen(HELD, age=10**6), 0, 32.0),
        (seen(HELD), 12, 20.0),
        (seen(HELD), 32, 0.0),
        (seen(HELD), 100, 0.0),
        (seen(HELD._replace(lease_duration=1000.0)), 2, 1000.5),
        (seen(DOTNET), 10**6, 24.0),
        (seen(RELEASED), 0, 0.0),
        (Absent(STORE_TIME), 0, 0.0),
        (seen(UNREADABLE), 10**6, None),
    ],
)
def test_rule_14_an_observer_goes_by_its_own_clock_except_for_the_dotnet_librarys_records(
    found, unchanged_for, seconds
):
    assert takeable_in(found, "observed", unchanged_for) == seconds


@pytest.mark.parametrize(
    ("found", "seconds"),
    [
        (seen(HELD, age=10**6), None),
        (seen(DOTNET._replace(lease_until=0.0)), None),
        (seen(RELEASED), 0.0),
        (Absent(STORE_TIME), 0.0),
        (seen(UNREADABLE), None),
    ],
)
def test_never_takes_what_is_free_and_nothing_else(found, seconds):
    assert takeable_in(found, "never", unchanged_for=10**6) == seconds


# -- what is written --------------------------------------------------------------------------------------------------


OLD = PROOF._replace(at=NOW - 86400)
OTHERS = PROOF._replace(store="https://s3.example.com/another")
LATER = PROOF._replace(at=NOW - 10)
UNDATED = LATER._replace(dated=False)


@pytest.mark.parametrize(
    ("found", "learnt", "term", "proof"),
    [
        (Absent(STORE_TIME), None, int(STORE_TIME), None),
        (Absent(STORE_TIME), LATER, int(STORE_TIME), LATER),
        (Absent(STORE_TIME), OLD, int(STORE_TIME), None),
        (Absent(STORE_TIME), UNDATED, int(STORE_TIME), None),  # it may land late
        (seen(RELEASED), None, 8, PROOF),
        (seen(HELD), None, 8, PROOF),
        (seen(HELD), LATER, 8, PROOF),
        (seen(HELD._replace(proof=OLD)), None, 8, None),
        (seen(HELD._replace(proof=OLD)), LATER, 8, LATER),
        (seen(HELD._replace(proof=OTHERS)), None, 8, None),
        (seen(HELD._replace(proof=None)), None, int(STORE_TIME), None),
        (seen(HELD._replace(proof=None, term=int(STORE_TIME) + 1)), None, int(STORE_TIME) + 2, None),
        (seen(DOTNET), LATER, int(STORE_TIME), LATER),
        (seen(DOTNET), UNDATED, int(STORE_TIME), UNDATED),
        (seen(DOTNET), None, int(STORE_TIME), None),
    ],
)
def test_rules_2_and_3_and_18_a_claim_is_the_first_record_of_the_next_term(found, learnt, term, proof):
    want = Want(600.0, 15.0, metadata={"my": "word"}, proof=learnt)
    assert protocol.claim(ME, found, want, NOW, "fresh")._replace(history=()) == Record(
        holder="web-1",
        session="my-session",
        term=term,
        sequence=1,
        nonce="fresh",
        lease_duration=600.0,
        acquired_at=NOW,
        renewed_at=NOW,
        lease_until=NOW + 602.1,
        metadata={"my": "word"},
        proof=proof,
    )


@pytest.mark.parametrize(
    ("wanted", "promised", "duration"),
    [(600.0, 0.0, 600.0), (600.0, 599.0, 600.0), (0.5, 0.0, 0.5), (3.0, 24.5, 24.5), (3.0, 24.5001, 24.501)],
)
def test_rule_24_a_renewal_is_the_next_record_of_the_term_and_shortens_nothing_that_was_promised(
    wanted, promised, duration
):
    renewed = protocol.renewal(HELD, NOW, wanted, "fresh", promised)
    assert renewed == HELD._replace(
        sequence=4,
        nonce="fresh",
        lease_duration=duration,
        renewed_at=NOW,
        lease_until=NOW + duration + protocol.margin(duration),
    )
    if not promised:
        assert protocol.renewal(HELD, NOW, wanted, "fresh") == renewed


LATE = STORE_TIME + 5
"""The store's clock, some time after the lease was read."""

TOMBSTONE = Record(
    holder="",
    session="my-session",
    term=7,
    sequence=4,
    nonce="fresh",
    lease_duration=30.0,
    acquired_at=STORE_TIME - 60,
    renewed_at=LATE,
    lease_until=LATE - 1,
    metadata={"released_by": "web-1", "held_by": "web-2"},
    proof=PROOF,
)


@pytest.mark.parametrize(
    ("found", "written"),
    [
        (HELD, TOMBSTONE),
        (HELD._replace(proof=None), TOMBSTONE._replace(proof=None)),
        (
            DOTNET,
            TOMBSTONE._replace(term=int(LATE), sequence=1, lease_duration=2.0, acquired_at=LATE, proof=None),
        ),
        (
            UNREADABLE,
            TOMBSTONE._replace(
                term=int(LATE),
                sequence=1,
                lease_duration=2.0,
                acquired_at=LATE,
                metadata={"released_by": "web-1"},
                proof=None,
            ),
        ),
    ],
    ids=["held", "not proven", "dotnet", "unreadable"],
)
def test_rule_4_a_tombstone_keeps_the_term_and_names_who_released_whose_lease(found, written):
    assert protocol.tombstone(ME, seen(found), LATE, "", "fresh", False)._replace(history=()) == written
    explained = written._replace(metadata={**written.metadata, "reason": "web-2 burnt down"})
    broken = protocol.tombstone(ME, seen(found), LATE, "web-2 burnt down", "fresh", True)
    assert broken._replace(history=()) == explained
