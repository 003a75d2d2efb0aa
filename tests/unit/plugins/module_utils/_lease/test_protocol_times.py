# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long operations pause, when they give up, and by which of their times they judge, to the very second."""

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Proof, Record, Unreadable, from_utc
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Claimant,
    Held,
    Pause,
    Read,
    Refused,
    Seen,
    StoreRefused,
    StoreUnreachable,
    Unchanged,
    Unknown,
    Verdict,
    Want,
    Why,
    Write,
    Written,
)
from support.dialogue import Dialogue, nonces

ME = Claimant("web-1", "my-session")
STORE_TIME = 1795409376.0
START = 1000.0
"""The caller's clock when it begins."""

LOST = Unknown("no answer")
THROTTLED = Unknown("503", throttled=True)
PRECONDITION_FAILED = Unknown("412", precondition_failed=True)

PROOF = Proof(ME.store, STORE_TIME)
THEIRS = Record("web-2", "other-session", 7, 3, "theirs", 30.0, STORE_TIME, STORE_TIME, STORE_TIME + 32, {}, PROOF)
DOTNET = Record("net-1", "", 0, 0, "", 0.0, None, None, STORE_TIME + 10, {})
MINE = THEIRS._replace(holder="web-1", session="my-session", nonce="mine")


def seen(record, age=0.0, etag="e1"):
    return Seen(record, etag, STORE_TIME, STORE_TIME + age)


FREE = seen(THEIRS._replace(holder=""))


def acquiring(**want):
    wanted = Want(**{"lease_duration": 30.0, "patience": 15.0, **want})
    return Dialogue(protocol.acquire(ME, wanted, START, nonces()), START)


def renewing(lapses_at=30.0, lease_duration=None, dry_run=False):
    held = Held(seen(MINE), START + lapses_at, START)
    return Dialogue(protocol.renew(ME, held, lease_duration, START, 15.0, nonces(), dry_run), START)


def reading(dry_run=False):
    """A renewal of what is read first."""
    return Dialogue(protocol.renew(ME, None, None, START, 15.0, nonces(), dry_run), START)


def releasing(patience=15.0):
    return Dialogue(protocol.release(ME, Held(seen(MINE), START + 30, START), START, patience, nonces()), START)


def breaking(found, after=0.1, dry_run=False):
    steps = protocol.release(ME, None, START, 15.0, nonces(), force=True, dry_run=dry_run, force_foreign=True)
    return Dialogue(steps, START).answer(found, after)


def inspecting(patience=60.0):
    return Dialogue(protocol.inspect(ME, START, patience), START)


# -- reads ------------------------------------------------------------------------------------------------------------


def pauses(dialogue, outcome, count):
    """Answer each read with this outcome, and return how long the pauses after it are."""
    found = []
    for _read in range(count):
        dialogue.expect(Read)
        pause = dialogue.answer(outcome, after=0).wait()
        found.append((pause.at_least, pause.at_most))
    return found


def test_rule_20_pauses_between_failed_reads_double_from_a_quarter_of_a_second_up_to_4_s():
    tops = [0.25, 0.5, 1, 2, 4, 4, 4]
    assert pauses(inspecting(), LOST, 7) == [(top / 2, top) for top in tops]


def test_rule_20_after_a_throttled_read_the_pause_is_longer_from_the_first_one_on():
    assert pauses(inspecting(), THROTTLED, 3) == [(1, 2), (2, 4), (2, 4)]


def test_a_read_that_is_throttled_late_does_not_shorten_the_pause():
    dialogue = inspecting()
    pauses(dialogue, LOST, 4)
    assert pauses(dialogue, THROTTLED, 1) == [(2, 4)]


def test_rule_10_reads_are_tried_again_as_long_as_the_next_one_can_begin_in_time():
    inspecting(patience=10.26).answer(LOST, after=10).expect(Pause)
    with pytest.raises(StoreUnreachable, match="no answer"):
        inspecting(patience=10.25).answer(LOST, after=10)
    with pytest.raises(StoreUnreachable):
        inspecting(patience=10.25).answer(LOST, after=11)


def test_each_read_is_bounded_by_the_end_of_the_patience():
    dialogue = inspecting(patience=7)
    dialogue.expect(Read, until=START + 7, known=None)
    dialogue.answer(LOST).wait()
    dialogue.expect(Read, until=START + 7, known=None)


def test_a_refused_read_ends_it_with_what_to_do():
    with pytest.raises(StoreRefused) as error:
        inspecting().answer(Refused("no such bucket", "create it"))
    assert (error.value.why, error.value.advice) == ("no such bucket", "create it")


def test_no_other_outcome_is_an_answer_to_a_read():
    with pytest.raises(TypeError):
        inspecting().answer(Written("e1", STORE_TIME))
    with pytest.raises(TypeError):
        inspecting().answer(Unchanged(STORE_TIME))  # of what, if nothing was known?


# -- writes -----------------------------------------------------------------------------------------------------------


def test_rule_20_the_same_write_goes_again_after_2_to_3_s():
    dialogue = releasing()
    dialogue.expect(Write, replaces="e1", quoted=True, dated=True)
    pause = dialogue.answer(LOST, after=0).answer(seen(MINE), after=0).wait()
    assert (pause.at_least, pause.at_most) == (2, 3)
    dialogue.expect(Write, replaces="e1", quoted=True, dated=True)


def test_a_write_is_tried_again_as_long_as_there_is_time_after_the_other_form_was_asked_for():
    dialogue = releasing(patience=10.01).answer(PRECONDITION_FAILED, after=2).answer(seen(MINE), after=2)
    dialogue.answer(LOST, after=4).expect(Pause)
    dialogue = releasing(patience=10).answer(PRECONDITION_FAILED, after=2).answer(seen(MINE), after=2)
    with pytest.raises(StoreUnreachable, match="412"):
        dialogue.answer(LOST, after=4)


def test_the_pause_before_a_write_ends_in_time():
    pause = releasing(patience=10.5).answer(LOST, after=4).answer(seen(MINE), after=4).expect(Pause)
    assert (pause.at_least, pause.at_most) == (2, 2.5)


def test_a_write_is_tried_again_as_long_as_the_next_one_can_begin_in_time():
    releasing(patience=10.01).answer(LOST, after=4).answer(seen(MINE), after=4).expect(Pause)
    with pytest.raises(StoreUnreachable, match="no answer"):
        releasing(patience=10).answer(LOST, after=4).answer(seen(MINE), after=4)


def test_an_unreachable_store_is_told_with_its_last_answer_and_what_to_do():
    dialogue = releasing(patience=6).answer(LOST, after=1).answer(seen(MINE), after=1)
    dialogue.wait(2)
    dialogue.answer(Refused("expired", "log in"), after=1).expect(Write, dated=False)
    with pytest.raises(StoreUnreachable) as error:
        dialogue.answer(Refused("expired", "log in"), after=0).answer(seen(MINE), after=1)
    assert (error.value.why, error.value.advice) == ("expired", "log in")


def test_rule_12_a_refusal_of_a_write_that_may_have_landed_before_does_not_end_it():
    dialogue = acquiring().answer(FREE).answer(LOST).answer(FREE)
    dialogue.wait()
    dialogue.answer(Refused("the credentials have expired")).expect(Write)
    dialogue.answer(Refused("the credentials have expired")).expect(Read)
    landed = dialogue.answer(seen(MINE._replace(term=8, nonce="nonce-1"), etag="e2")).verdict
    assert (landed.is_leader, landed.why) == (True, Why.ACQUIRED)


def test_rule_12_every_later_refusal_is_looked_into_as_well():
    dialogue = releasing().answer(LOST).answer(seen(MINE))
    dialogue.wait()
    dialogue.answer(Refused("no signatures in the query")).answer(LOST).answer(seen(MINE))
    for _refusal in range(2):
        dialogue.wait()
        dialogue.answer(Refused("expired")).expect(Read)
        dialogue.answer(seen(MINE))


def test_rule_8_a_write_that_is_found_landed_counts_from_when_it_was_found():
    dialogue = renewing(lapses_at=10).answer(LOST, after=4)
    landed = seen(MINE._replace(sequence=4, nonce="nonce-1"), etag="e2")
    assert dialogue.answer(landed, after=6).verdict.why is Why.LAPSED
    dialogue = renewing(lapses_at=10).answer(LOST, after=4)
    assert dialogue.answer(landed, after=5.9).verdict.deadline == START + 30


def test_an_absent_lease_that_is_written_without_an_answer_and_still_absent_is_written_again():
    dialogue = acquiring().answer(Absent(STORE_TIME)).answer(LOST).answer(Absent(STORE_TIME))
    dialogue.wait()
    dialogue.expect(Write, replaces=None, quoted=True, dated=True)


def test_rule_19_a_creation_that_is_refuted_is_not_sent_in_another_form():
    dialogue = acquiring().answer(Absent(STORE_TIME)).answer(PRECONDITION_FAILED).answer(Absent(STORE_TIME))
    dialogue.wait()
    dialogue.expect(Write, replaces=None, quoted=True, dated=True)


# -- waiting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "poll_interval", "wait_timeout", "pause"),
    [
        (0, 10, 600, (5, 15)),
        (0, 1, 600, (0.5, 1.5)),
        (16, 10, 600, (5, 15)),
        (17, 10, 600, (15, 16)),
        (31, 10, 600, (1, 2)),
        (31, 2, 600, (1, 1.8)),
        (0, 10, 9, (5, 9)),
        (0, 10, 3, (3, 3)),
        (31, 10, 1.5, (1, 1.5)),
        (31.5, 10, 0.25, (0.25, 0.25)),
    ],
)
def test_rule_20_a_poll_comes_half_an_interval_earlier_or_later_or_when_the_lease_is_due_or_the_wait_ends(
    age, poll_interval, wait_timeout, pause
):
    dialogue = acquiring(poll_interval=poll_interval, wait_timeout=wait_timeout)
    found = dialogue.answer(seen(THEIRS, age), after=0).expect(Pause)
    assert (found.at_least, found.at_most) == pytest.approx(pause)


def test_a_lease_that_is_never_due_is_polled_at_the_interval():
    dialogue = acquiring(poll_interval=10, wait_timeout=600, takeover="never")
    found = dialogue.answer(seen(THEIRS, age=10**6), after=0).expect(Pause)
    assert (found.at_least, found.at_most) == (5, 15)


def test_the_wait_ends_with_the_answer_that_comes_after_its_end():
    dialogue = acquiring(poll_interval=4, wait_timeout=5).answer(seen(THEIRS), after=0)
    dialogue.wait(4)
    assert dialogue.answer(Unchanged(STORE_TIME + 6), after=1).verdict.why is Why.HELD


def test_without_a_wait_it_ends_with_the_first_answer():
    assert acquiring(wait_timeout=0).answer(seen(THEIRS), after=0).verdict.why is Why.HELD


@pytest.mark.parametrize(("wait_timeout", "until"), [(600, 600), (60, 60), (20, 23)])
def test_while_waiting_errors_are_tolerated_until_the_wait_ends_and_for_the_patience_at_least(wait_timeout, until):
    dialogue = acquiring(poll_interval=10, wait_timeout=wait_timeout).answer(seen(THEIRS), after=8)
    dialogue.wait()
    dialogue.expect(Read, until=START + until, known="e1")


def test_rule_14_an_observer_counts_from_the_answer_that_showed_the_lease():
    dialogue = acquiring(poll_interval=32, wait_timeout=600, takeover="observed").answer(seen(THEIRS), after=5)
    dialogue.wait(31.5)
    dialogue.answer(Unchanged(STORE_TIME + 36.9), after=0.4).expect(Pause)
    dialogue.wait(0)
    dialogue.answer(Unchanged(STORE_TIME + 37), after=0.1).expect(Write)


def test_rule_14_an_observer_counts_anew_from_the_answer_that_showed_a_renewal():
    dialogue = acquiring(poll_interval=32, wait_timeout=600, takeover="observed").answer(seen(THEIRS), after=0)
    dialogue.wait(10)
    dialogue.answer(seen(THEIRS._replace(sequence=4), etag="e2"), after=5)
    dialogue.wait(31.5)
    dialogue.answer(Unchanged(STORE_TIME + 46.9), after=0.4).expect(Pause)
    dialogue.wait(0)
    dialogue.answer(Unchanged(STORE_TIME + 47), after=0.1).expect(Write)


# -- leading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("want", "seconds"),
    [
        (dict(), 15),
        (dict(wait_timeout=20.125), 20),
        (dict(wait_timeout=600), 30),
        (dict(lease_duration=10.0), 10),
        (dict(lease_duration=600.0, wait_timeout=601), 600),
        (dict(lease_duration=600.0, wait_timeout=100.125), 100),
    ],
)
def test_an_acquisition_is_tried_for_the_lease_duration_at_most_or_the_patience_or_the_rest_of_the_wait(want, seconds):
    acquiring(**want).answer(FREE, after=0.125).expect(Write, until=START + 0.125 + seconds)


@pytest.mark.parametrize("waits", [False, True])
def test_what_is_taken_over_is_dated_by_the_latest_that_the_store_can_show_when_it_is_written(waits):
    dialogue = acquiring(wait_timeout=600)
    if waits:
        dialogue.answer(seen(THEIRS, age=31), after=0).wait()
        dialogue.answer(Unchanged(STORE_TIME + 32), after=4)
    else:
        dialogue.answer(seen(THEIRS, age=32), after=4)
    dialogue.wait(0)
    dialogue.answer(Unchanged(STORE_TIME + 32), after=4)
    assert from_utc(dialogue.written()["renewedAt"]) == STORE_TIME + 36


def test_rule_22_a_lease_of_ones_own_that_was_read_lapses_as_if_the_store_had_read_it_at_once():
    for after, term in ((4.9, 7), (5, 8)):
        dialogue = acquiring(wait_timeout=600).answer(seen(MINE, age=20), after=5)
        dialogue.answer(Written("e2", STORE_TIME + 20), after=after)
        verdict = dialogue.verdict or dialogue.answer(Written("e3", STORE_TIME + 25)).verdict
        assert (verdict.is_leader, verdict.lease.record.term) == (True, term)


def test_a_term_of_1_can_be_renewed():
    dialogue = acquiring().answer(seen(MINE._replace(term=1), age=1))
    assert dialogue.written()["term"] == 1


@pytest.mark.parametrize(("proof", "duration"), [(PROOF, 30), (None, 0.5)])
def test_rule_24_only_a_lease_that_was_led_by_has_promised_anything(proof, duration):
    dialogue = acquiring(lease_duration=0.5).answer(seen(MINE._replace(proof=proof), age=1))
    assert dialogue.written()["leaseDurationSeconds"] == duration


def test_acquiring_again_puts_the_new_holder_and_metadata_into_the_record():
    dialogue = acquiring(metadata={"job": "2"}).answer(seen(MINE._replace(holder="old", metadata={"job": "1"}), age=1))
    assert (dialogue.written()["holderId"], dialogue.written()["metadata"]) == ("web-1", {"job": "2"})


def test_rule_4_a_session_that_released_the_lease_acquires_the_next_term():
    dialogue = acquiring().answer(seen(MINE._replace(holder=""), age=1))
    assert dialogue.written()["term"] == 8
    assert dialogue.answer(Written("e2", STORE_TIME)).verdict.why is Why.ACQUIRED


@pytest.mark.parametrize(
    ("dialogue", "until"), [(renewing(lapses_at=7), 7), (releasing(patience=7), 7)], ids=["renew", "release"]
)
def test_a_write_is_bounded_by_the_deadline_of_what_is_renewed_and_by_the_patience_of_a_release(dialogue, until):
    dialogue.expect(Write, until=START + until)


@pytest.mark.parametrize(("left", "first"), [(0.01, Write), (0, Read), (-1, Read)])
def test_what_was_held_is_read_first_once_its_time_is_over(left, first):
    renewing(lapses_at=left).expect(first)


def test_the_first_read_of_a_renewal_is_bounded_by_the_patience():
    reading().expect(Read, until=START + 15)


@pytest.mark.parametrize("after", [10, 11])
def test_rule_22_a_lease_that_lapses_while_it_is_read_is_not_renewed(after):
    reading().answer(seen(MINE, age=19.9), after=10).expect(Write)
    assert reading().answer(seen(MINE, age=20), after=after).verdict.why is Why.LAPSED


@pytest.mark.parametrize(("after", "why"), [(9.9, Why.RENEWED), (10, Why.LAPSED)])
def test_rule_8_a_renewal_that_is_confirmed_at_the_deadline_comes_too_late(after, why):
    assert renewing(lapses_at=10).answer(Written("e2", STORE_TIME), after=after).verdict.why is why


def test_rule_24_what_was_promised_counts_from_the_answer_that_is_replaced():
    verdict = renewing(lapses_at=25, lease_duration=3.0, dry_run=True).answer(seen(MINE), after=5).verdict
    assert verdict.lease.record.lease_duration == 20


# -- what a verdict says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "etag", "term"),
    [(FREE, "e1", 8), (seen(THEIRS, age=32), "e1", 8), (Absent(STORE_TIME), "", int(STORE_TIME))],
)
def test_a_dry_run_of_acquire_shows_the_lease_as_it_would_be(found, etag, term):
    want = Want(30.0, 15.0)
    verdict = Dialogue(protocol.acquire(ME, want, START, nonces(), dry_run=True), START).answer(found).verdict
    assert (verdict.is_leader, verdict.why, verdict.before, verdict.deadline) == (True, Why.ACQUIRED, found, None)
    assert verdict.lease == Seen(verdict.lease.record, etag, found.store_time, found.store_time)
    assert (verdict.lease.record.term, verdict.lease.record.session) == (term, "my-session")


def test_looking_tells_the_lease_as_found():
    verdict = inspecting().answer(seen(THEIRS)).verdict
    assert verdict == Verdict(False, Why.FOUND, seen(THEIRS), seen(THEIRS))


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (MINE._replace(proof=None, sequence=9), Why.UNFINISHED),
        (MINE._replace(sequence=9, lease_duration=1.0), Why.LAPSED),
        (THEIRS, Why.TAKEN),
        (MINE._replace(holder=""), Why.FREE),
    ],
)
def test_a_renewal_that_fails_tells_the_lease_as_it_is_and_as_it_was(record, why):
    instead = seen(record, age=2, etag="e2")
    verdict = renewing().answer(PRECONDITION_FAILED).answer(instead).verdict
    assert verdict == Verdict(False, why, instead, seen(MINE))


def test_a_renewal_that_is_confirmed_too_late_tells_what_was_written_and_what_was_there():
    verdict = renewing(lapses_at=10).answer(Written("e2", STORE_TIME + 11), after=11).verdict
    assert (verdict.is_leader, verdict.why, verdict.deadline) == (False, Why.LAPSED, None)
    assert (verdict.lease.etag, verdict.lease.record.sequence, verdict.lease.modified) == ("e2", 4, STORE_TIME + 11)
    assert verdict.before == seen(MINE, age=20)  # 10 s are left of 30


def test_a_dry_run_of_renew_shows_the_lease_as_it_would_be():
    found = seen(MINE, age=1)
    verdict = reading(dry_run=True).answer(found, after=4).verdict
    would_be = found._replace(record=protocol.renewal(MINE, STORE_TIME + 5, 30.0, "nonce-1"))
    assert verdict == Verdict(True, Why.RENEWED, would_be, found)


@pytest.mark.parametrize(("record", "why"), [(MINE, Why.RELEASED), (THEIRS, Why.BROKEN)])
def test_a_dry_run_of_release_shows_the_lease_as_it_would_be(record, why):
    found = seen(record, age=1)
    verdict = breaking(found, after=4, dry_run=True).verdict
    would_be = found._replace(record=protocol.tombstone(ME, found, STORE_TIME + 5, "", "nonce-1", why is Why.BROKEN))
    assert verdict == Verdict(False, why, would_be, found)


def test_a_release_tells_no_reason_that_nobody_gave():
    assert "reason" not in releasing().written()["metadata"]


# -- rule 5: what is broken by force ----------------------------------------------------------------------------------


def test_a_released_lease_is_not_broken_again():
    verdict = breaking(FREE).verdict
    assert verdict == Verdict(False, Why.FREE, FREE, FREE)


@pytest.mark.parametrize(
    ("aim", "instead", "why"),
    [
        (DOTNET, DOTNET._replace(holder="net-2"), Why.TAKEN),
        (DOTNET, THEIRS, Why.TAKEN),
        (THEIRS, DOTNET, Why.TAKEN),
        (Unreadable("?"), Unreadable("!"), Why.UNREADABLE),
        (Unreadable("?"), THEIRS, Why.TAKEN),
    ],
)
def test_what_has_no_term_is_broken_only_as_it_was_seen(aim, instead, why):
    verdict = breaking(seen(aim)).answer(PRECONDITION_FAILED).answer(seen(instead, etag="e2")).verdict
    assert verdict == Verdict(False, why, seen(instead, etag="e2"), seen(aim))
