# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import wording
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Ended, Record, Unreadable
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Absent, Seen, Verdict, Why

NOW = 1795409376.0
ABSENT = Absent(NOW)


def seen(age=4.0, **fields):
    """A lease of web-2, written so many seconds ago."""
    given = dict(
        holder="web-2",
        session="5f2f2b0f",
        term=7,
        sequence=1,
        nonce="n",
        lease_duration=30.0,
        acquired_at=NOW,
        renewed_at=NOW,
        lease_until=NOW,
        metadata={},
    )
    return Seen(Record(**{**given, **fields}), "e", NOW - age, NOW)


HELD = seen()
EXPIRED = seen(age=3600)
FREED = seen(holder="")
RESERVED = seen(holder="", successor="web-3")
RESERVED_BEFORE = seen(age=3600, holder="", successor="web-3")
HELD_BACK = seen(holder="", acquired_at=NOW - 10, hold_at_least=30.0)
BROKEN = Ended(7, "web-2", "5f2f2b0f", NOW - 90, NOW - 4, "broken", "operator", "web-2 burnt down")
BROKEN_BY = seen(holder="", metadata={"released_by": "operator", "reason": "web-2 burnt down"}, history=(BROKEN,))
BROKEN_BEFORE = seen(holder="", term=8, metadata={"released_by": "web-3"}, history=(BROKEN,))
TAKEN_AFTER = seen(holder="web-3", session="third", term=8, history=(BROKEN,))
FREED_BY = seen(holder="", metadata={"released_by": "operator"})
UNREADABLE = Seen(Unreadable("it is not JSON"), "e", NOW - 4, NOW)
FOREIGN = seen(session="", acquired_at=None, term=0, lease_duration=0.0, lease_until=NOW + 60)
FOREIGN_OVER = seen(session="", term=0, lease_duration=0.0, lease_until=NOW - 60)
FOREIGN_FREED = seen(holder="", session="", term=0, lease_duration=0.0, lease_until=NOW - 60)


@pytest.mark.parametrize(
    ("found", "state", "standing"),
    [
        (ABSENT, "absent", "free: no object found"),
        (HELD, "held", "held by web-2 (term 7) since 2026-11-23T04:49:36Z, renewed 4 s ago, free in at most 28 s"),
        (
            seen(age=0.0),
            "held",
            "held by web-2 (term 7) since 2026-11-23T04:49:36Z, renewed 0 s ago, free in at most 32 s",
        ),
        (
            seen(age=31.9),
            "held",
            "held by web-2 (term 7) since 2026-11-23T04:49:36Z, renewed 31.9 s ago, free in at most 0.1 s",
        ),
        (seen(age=32.0), "expired", "expired: web-2 (term 7) has not renewed it for 32 s"),
        (EXPIRED, "expired", "expired: web-2 (term 7) has not renewed it for 3600 s"),
        (HELD_BACK, "released", "held back for another 21 s: released 4 s ago (term 7)"),
        (RESERVED, "released", "reserved for web-3 for another 27 s: released 4 s ago (term 7)"),
        (RESERVED_BEFORE, "released", "free: released 3600 s ago (term 7)"),
        (FREED, "released", "free: released 4 s ago (term 7)"),
        (FREED_BY, "released", "free: released by operator 4 s ago (term 7)"),
        (BROKEN_BY, "released", "free: broken by operator 4 s ago (term 7): web-2 burnt down"),
        (BROKEN_BEFORE, "released", "free: released by web-3 4 s ago (term 8)"),
        (
            UNREADABLE,
            "unreadable",
            (
                "unreadable, so treated as held: it is not JSON. Inspect the object, and if nobody needs it, let "
                "s3_leader_release replace it, with force=true and force_foreign=true"
            ),
        ),
        (
            FOREIGN,
            "held",
            "held by web-2 (by the .NET library, which has no terms), renewed 4 s ago, free in at most 62 s",
        ),
        (
            FOREIGN_OVER,
            "expired",
            "expired: web-2 (by the .NET library, which has no terms) has not renewed it for 4 s",
        ),
    ],
)
def test_each_state_has_its_sentence(found, state, standing):
    assert wording.state(found) == state
    assert wording.standing(found) == standing


def test_a_lease_that_the_dotnet_library_released_has_no_term_to_tell():
    assert wording.state(FOREIGN_FREED) == "released"
    assert "free: released" in wording.standing(FOREIGN_FREED)
    assert "term" not in wording.standing(FOREIGN_FREED)


def test_all_states_are_documented_ones():
    found = (ABSENT, HELD, EXPIRED, FREED, UNREADABLE)
    assert tuple(map(wording.state, found)) == ("absent", "held", "expired", "released", "unreadable")


@pytest.mark.parametrize(
    ("why", "lease", "before", "sentence"),
    [
        (
            Why.ACQUIRED,
            HELD,
            FREED_BY,
            "leader now, with term 7. Before, the lease was free: released by operator 4 s ago (term 7)",
        ),
        (
            Why.ACQUIRED,
            HELD,
            ABSENT,
            "leader now, with term 7. Before, the lease was free: no object found",
        ),
        (Why.RENEWED, HELD, HELD, "still leader with term 7, renewed for 30 s"),
        (Why.RENEWED, seen(lease_duration=86400.0), HELD, "still leader with term 7, renewed for 86400 s"),
        (Why.RELEASED, FREED, HELD, "released: another session can take it at once (term 7 has ended)"),
        (Why.RELEASED, HELD_BACK, HELD, "released: held back for another 21 s (term 7 has ended)"),
        (Why.RELEASED, RESERVED, HELD, "released: reserved for web-3 for another 27 s (term 7 has ended)"),
        (
            Why.BROKEN,
            FREED,
            HELD,
            (
                "broken by force. Before, the lease was held by web-2 (term 7) since 2026-11-23T04:49:36Z, renewed 4 s "
                "ago, free in at most 28 s. Its holder may act as leader until its next renewal or its deadline"
            ),
        ),
        (Why.FOUND, HELD, HELD, wording.standing(HELD)),
        (Why.FREE, ABSENT, ABSENT, wording.standing(ABSENT)),
        (Why.HELD, HELD, HELD, wording.standing(HELD)),
        (
            Why.NEVER_TAKEN_OVER,
            EXPIRED,
            EXPIRED,
            wording.standing(EXPIRED) + ", and takeover is 'never'. s3_leader_release with force=true frees it",
        ),
        (
            Why.NOT_WATCHED_LONG_ENOUGH,
            EXPIRED,
            EXPIRED,
            (
                wording.standing(EXPIRED) + ", but takeover is 'observed', and this task has not watched it for its "
                "full duration. Use a longer wait_timeout"
            ),
        ),
        (Why.UNREADABLE, UNREADABLE, UNREADABLE, wording.standing(UNREADABLE)),
        (Why.BROKEN, FREED, UNREADABLE, "replaced by force. Before, the object was no lease: it is not JSON"),
        (Why.TAKEN, HELD, HELD, wording.standing(HELD)),
        (Why.GONE, ABSENT, HELD, "the lease object was removed"),
        (Why.GONE, ABSENT, ABSENT, "there is no lease: it was never acquired, or its object was removed"),
        (
            Why.UNFINISHED,
            HELD,
            HELD,
            "the acquisition failed before it was complete, so the lease has no leader. Acquire it again",
        ),
        (Why.NO_SLOT, HELD, HELD, wording.standing(HELD) + ". None of them is held by this session"),
        (
            Why.LAPSED,
            EXPIRED,
            EXPIRED,
            "the lease was not renewed in time, so its term has ended. Acquire it again",
        ),
    ],
)
def test_each_end_has_its_sentence(why, lease, before, sentence):
    assert wording.sentence(Verdict(why in (Why.ACQUIRED, Why.RENEWED), why, lease, before)) == sentence


@pytest.mark.parametrize(
    ("why", "lease", "before", "sentence"),
    [
        (Why.ACQUIRED, HELD, FREED, "would be leader, with term 7. The lease is " + wording.standing(FREED)),
        (Why.RENEWED, HELD, HELD, "would renew it, and stay leader with term 7"),
        (Why.RELEASED, FREED, HELD, "would be released. The lease is " + wording.standing(HELD)),
        (Why.BROKEN, FREED, HELD, "would be broken by force. The lease is " + wording.standing(HELD)),
        (Why.HELD, HELD, HELD, wording.standing(HELD)),
        (
            Why.NOT_WATCHED_LONG_ENOUGH,
            EXPIRED,
            EXPIRED,
            wording.standing(EXPIRED)
            + ", but takeover is 'observed', so it would be watched for its full duration first",
        ),
    ],
)
def test_a_dry_run_says_what_would_be(why, lease, before, sentence):
    assert wording.sentence(Verdict(why in (Why.ACQUIRED, Why.RENEWED), why, lease, before), dry_run=True) == sentence


@pytest.mark.parametrize(
    ("ended", "sentence"),
    [
        (
            BROKEN,
            "term 7 was broken by operator 4 s ago: web-2 burnt down. Now the lease is "
            + wording.standing(TAKEN_AFTER),
        ),
        (
            BROKEN._replace(by="", reason="", how="released"),
            "term 7 was released 4 s ago. Now the lease is " + wording.standing(TAKEN_AFTER),
        ),
        (BROKEN._replace(how="expired"), wording.standing(TAKEN_AFTER)),
    ],
)
def test_who_lost_the_lease_learns_who_ended_the_term_when_and_why(ended, sentence):
    assert wording.sentence(Verdict(False, Why.TAKEN, TAKEN_AFTER, TAKEN_AFTER, ended=ended)) == sentence


def test_a_slot_that_is_led_is_named():
    verdict = Verdict(True, Why.RENEWED, HELD, HELD, slot=2, slots=(ABSENT, HELD, HELD))
    assert wording.sentence(verdict) == "slot 2 of 3: still leader with term 7, renewed for 30 s"


def test_who_gets_no_slot_is_told_how_many_are_held_and_which_is_the_first_to_be_free():
    verdict = Verdict(False, Why.HELD, HELD, HELD, slot=2, slots=(UNREADABLE, HELD, EXPIRED))
    told = "2 of 3 slots are held. The first to be free is slot 2: "
    assert wording.sentence(verdict) == told + wording.standing(HELD)


def test_every_end_there_is_stands_in_the_table_above():
    table = test_each_end_has_its_sentence.pytestmark[0].args[1]
    assert {why for why, *_rest in table} == set(Why)


def test_a_sentence_is_one_line_whatever_the_record_says():
    """A record is anybody's to write, and the sentence goes to terminals and logs."""
    nasty = seen(holder="web\n\x1b[31m2", metadata={"released_by": "a\nb"})
    freed = seen(holder="", metadata={"released_by": "a\nb\x1b[31m"})
    for found in (nasty, freed):
        assert wording.standing(found).isprintable()
