# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rule 18 step by step: how a store is asked for its conditions, for how long, and what of it stands in the record."""

from __future__ import annotations

import json

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import (
    Proof,
    Record,
    decode,
    encode,
    from_utc,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Claimant,
    Held,
    Pause,
    Race,
    Raced,
    Read,
    Refused,
    Seen,
    StoreRefused,
    StoreUnreachable,
    Unknown,
    Want,
    Why,
    Write,
    Written,
)
from support.dialogue import Dialogue, nonces

ME = Claimant("web-1", "my-session", "https://s3.example.com/bucket")
STORE_TIME = 1795409376.0
START = 1000.0
"""The caller's clock when it begins."""
NO_ETAG = "0" * 32

LOST = Unknown("no answer")
PRECONDITION_FAILED = Unknown("412", precondition_failed=True)
CONFLICT = Unknown("409", conflict=True)
REFUSED = Refused("403 AccessDenied", "grant it")
BOTH_REFUSED = Raced((PRECONDITION_FAILED, PRECONDITION_FAILED))
BOTH_LOST = Raced((LOST, LOST))
WON = Raced((PRECONDITION_FAILED, Written("e2", STORE_TIME + 1)))

UNPROVEN = Record("web-1", "my-session", 7, 3, "mine", 30.0, STORE_TIME, STORE_TIME, STORE_TIME + 32, {})
DRAFT = Seen(UNPROVEN, "e1", STORE_TIME, STORE_TIME)
"""What stands in the store until the race is won."""


def acquiring(patience=15.0, **want):
    """An acquisition whose first write has just landed, at START."""
    wanted = Want(30.0, patience, **want)
    dialogue = Dialogue(protocol.acquire(ME, wanted, START, nonces()), START)
    dialogue.answer(Absent(STORE_TIME), after=0)
    dialogue.expect(Write, replaces=None, until=START + patience, quoted=True, dated=True)
    return dialogue.answer(Written("e1", STORE_TIME), after=0)


def racing(patience=15.0, create=PRECONDITION_FAILED, replace=PRECONDITION_FAILED):
    dialogue = acquiring(patience).answer(create, after=0).answer(replace, after=0).answer(REFUSED, after=0)
    dialogue.expect(Race, replaces="e1", until=START + patience, quoted=True, dated=True)
    return dialogue


# -- the two questions ------------------------------------------------------------------------------------------------


def test_a_creation_is_asked_for_first_and_then_a_replacement():
    dialogue = acquiring()
    body = dialogue.expect(Write, replaces=None, until=START + 15, quoted=True, dated=True).body
    dialogue.answer(PRECONDITION_FAILED)
    assert dialogue.expect(Write, replaces=NO_ETAG, until=START + 15, quoted=True, dated=True).body == body


@pytest.mark.parametrize("refusal", [PRECONDITION_FAILED, CONFLICT])
def test_a_412_or_a_409_is_a_clear_refusal(refusal):
    racing(create=refusal, replace=refusal)


@pytest.mark.parametrize(("refused_before", "condition"), [(0, "If-None-Match"), (1, "If-Match")])
def test_the_condition_that_is_ignored_is_named_and_what_to_do(refused_before, condition):
    dialogue = acquiring()
    for _condition in range(refused_before):
        dialogue.answer(PRECONDITION_FAILED)
    with pytest.raises(StoreRefused) as error:
        dialogue.answer(Written("e1", STORE_TIME))
    why = f"the store accepted a write whose {condition} condition does not hold, so several could lead at once"
    assert (error.value.why, error.value.advice) == (why, "Use a store that enforces conditional writes")


def test_an_answer_that_refuses_in_both_forms_ends_it_with_what_to_do():
    dialogue = acquiring().answer(REFUSED)
    dialogue.expect(Write, replaces=None, dated=False)
    with pytest.raises(StoreRefused) as error:
        dialogue.answer(REFUSED)
    assert (error.value.why, error.value.advice) == REFUSED


@pytest.mark.parametrize(("again", "dated", "then"), [(CONFLICT, True, Write), (REFUSED, False, Race)])
def test_rule_25_that_signatures_in_the_query_are_not_taken_counts_only_if_they_are_refused_twice(again, dated, then):
    dialogue = acquiring().answer(PRECONDITION_FAILED)
    dialogue.expect(Write, replaces=NO_ETAG, dated=True)
    dialogue.answer(REFUSED).expect(Write, replaces=NO_ETAG, dated=False)
    dialogue.answer(PRECONDITION_FAILED).expect(Write, replaces=NO_ETAG, dated=True)
    dialogue.answer(again).expect(then, dated=dated)


def test_without_an_answer_the_question_is_put_again_after_2_to_3_s():
    dialogue = acquiring().answer(LOST)
    pause = dialogue.wait()
    assert (pause.at_least, pause.at_most) == (2, 3)
    dialogue.expect(Write, replaces=None, quoted=True, dated=True)


def test_a_question_is_put_as_long_as_the_next_one_can_begin_in_time():
    acquiring(patience=10.01).answer(LOST, after=8).expect(Pause)
    with pytest.raises(StoreUnreachable, match="no answer"):
        acquiring(patience=10).answer(LOST, after=8)


# -- the use-by date --------------------------------------------------------------------------------------------------


def expiring(patience=15.0):
    """An acquisition whose conditions have been asked for."""
    dialogue = acquiring(patience).answer(PRECONDITION_FAILED, after=0)
    body = dialogue.expect(Write).body
    dialogue.answer(PRECONDITION_FAILED, after=0)
    assert dialogue.expect(Write, replaces=NO_ETAG, quoted=True, dated=True, expired=True).body == body
    return dialogue


@pytest.mark.parametrize(("outcome", "dated"), [(REFUSED, True), (PRECONDITION_FAILED, False), (CONFLICT, False)])
def test_rule_25_a_store_that_does_not_refuse_a_write_that_has_expired_gets_no_use_by_dates(outcome, dated):
    dialogue = expiring().answer(outcome, after=1)
    dialogue.expect(Race, quoted=True, dated=dated)
    assert from_utc(dialogue.written()["renewedAt"]) == STORE_TIME + 1
    dialogue.answer(WON, after=0).expect(Write, dated=dated)
    assert dialogue.written()["conditionsProven"]["useByDates"] is dated


def test_rule_25_without_an_answer_a_write_that_has_expired_is_sent_again_after_2_to_3_s():
    pause = expiring().answer(LOST).wait()
    assert (pause.at_least, pause.at_most) == (2, 3)


def test_rule_25_a_write_that_has_expired_is_sent_as_long_as_the_next_one_can_begin_in_time():
    expiring(patience=10.01).answer(LOST, after=8).expect(Pause)
    with pytest.raises(StoreUnreachable, match="no answer"):
        expiring(patience=10).answer(LOST, after=8)


def test_rule_18_a_store_that_carries_out_what_has_expired_under_a_condition_that_does_not_hold_is_refused():
    with pytest.raises(StoreRefused, match="whose If-Match condition does not hold"):
        expiring().answer(Written("e2", STORE_TIME))


def test_rule_25_where_signatures_in_the_query_are_refused_no_use_by_date_is_asked_for():
    dialogue = acquiring().answer(PRECONDITION_FAILED)
    dialogue.answer(REFUSED).answer(PRECONDITION_FAILED).answer(REFUSED).expect(Race, dated=False)


# -- the race, and the write that says so -----------------------------------------------------------------------------


def test_two_renewals_race_and_the_write_after_them_says_by_what_store_when_and_how_it_was_proven():
    dialogue = acquiring().answer(PRECONDITION_FAILED, after=1)
    dialogue.answer(REFUSED, after=1).answer(CONFLICT, after=1).answer(REFUSED, after=1)
    race = dialogue.expect(Race, replaces="e1", until=START + 15, quoted=True, dated=False)
    for body in map(json.loads, race.bodies):
        assert (body["sequence"], body["term"], body["conditionsProven"]) == (2, int(STORE_TIME), None)
        assert from_utc(body["renewedAt"]) == STORE_TIME + 4
    dialogue.answer(WON, after=3).expect(Write, replaces="e2", until=START + 15, quoted=True, dated=False)
    written = dialogue.written()
    at = written["conditionsProven"].pop("at")
    assert written["conditionsProven"] == {"store": ME.store, "quotedEtags": True, "useByDates": False}
    assert from_utc(at) == from_utc(written["renewedAt"]) == STORE_TIME + 1 + 3
    assert from_utc(written["leaseUntilUtc"]) == STORE_TIME + 1 + 3 + 32
    assert (written["sequence"], written["term"]) == (3, int(STORE_TIME))
    assert len({written["nonce"], *(json.loads(body)["nonce"] for body in race.bodies)}) == 3


@pytest.mark.parametrize("turn", [0, 1])
def test_rule_6_whoever_wins_leads_from_before_the_write_after_the_race(turn):
    outcomes = [PRECONDITION_FAILED, CONFLICT]
    outcomes[turn] = Written("e2", STORE_TIME)
    dialogue = racing().answer(Raced(tuple(outcomes)), after=3)
    dialogue.expect(Write, replaces="e2")
    verdict = dialogue.answer(Written("e3", STORE_TIME + 5), after=2).verdict
    assert (verdict.is_leader, verdict.why, verdict.deadline) == (True, Why.ACQUIRED, START + 3 + 30)
    assert (verdict.lease.etag, verdict.lease.record.sequence) == ("e3", 3)


def landed(dialogue, turn, etag="e2"):
    """What stands there once one of the two has landed."""
    body = dialogue.expect(Race).bodies[turn]
    return Seen(decode(body), etag, STORE_TIME + 1, STORE_TIME + 1)


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("outcome", [BOTH_LOST, Raced((Written("e2", STORE_TIME), LOST)), BOTH_REFUSED])
def test_a_race_whose_loser_was_not_clearly_refused_is_run_again_from_what_landed(outcome, turn):
    dialogue = racing()
    instead = landed(dialogue, turn)
    dialogue.answer(outcome).expect(Read, until=START + 15)
    pause = dialogue.answer(instead).wait()
    assert (pause.at_least, pause.at_most) == (2, 3)
    dialogue.expect(Race, replaces="e2")
    assert dialogue.written()["sequence"] == 3


def test_two_winners_are_refused_with_what_to_do():
    with pytest.raises(StoreRefused) as error:
        racing().answer(Raced((Written("e2", STORE_TIME), Written("e3", STORE_TIME))))
    why = "the store carried out two writes that replace one version"
    assert (error.value.why, error.value.advice) == (why, "Use a store that enforces conditional writes")


@pytest.mark.parametrize("outcome", [BOTH_LOST, Raced((PRECONDITION_FAILED, LOST)), Raced((LOST, CONFLICT)), LOST])
def test_a_race_that_nobody_has_won_is_run_again_after_2_to_3_s_with_new_bodies(outcome):
    dialogue = racing()
    first = set(dialogue.expect(Race).bodies)
    dialogue.answer(outcome).expect(Read, until=START + 15)
    pause = dialogue.answer(DRAFT).wait()
    assert (pause.at_least, pause.at_most) == (2, 3)
    again = set(dialogue.expect(Race, replaces="e1", quoted=True, dated=True).bodies)
    assert len(first | again) == 4


def test_a_race_is_run_as_long_as_the_next_one_can_begin_in_time():
    outcome = Raced((Unknown("this"), Unknown("that")))
    racing(patience=10.01).answer(outcome, after=4).answer(DRAFT, after=4).expect(Pause)
    with pytest.raises(StoreUnreachable, match="this"):
        racing(patience=10).answer(outcome, after=4).answer(DRAFT, after=4)


def test_what_stands_there_instead_of_the_draft_decides():
    winner = Seen(UNPROVEN._replace(session="other", term=2**40), "e9", STORE_TIME, STORE_TIME)
    assert racing().answer(BOTH_LOST).answer(winner).verdict.why is Why.HELD


# -- the form of ETags ------------------------------------------------------------------------------------------------


def refused_race(patience=15.0, after=0.0):
    return racing(patience).answer(BOTH_REFUSED, after=0).answer(DRAFT, after=after)


@pytest.mark.parametrize("refusal", [PRECONDITION_FAILED, CONFLICT])
def test_rule_19_where_a_race_is_refused_the_other_form_is_asked_for_and_raced_with_at_once(refusal):
    dialogue = racing()
    body = dialogue.expect(Race).bodies[0]
    dialogue.answer(Raced((refusal, PRECONDITION_FAILED)), after=0).answer(DRAFT, after=3)
    asked = dialogue.expect(Write, replaces=NO_ETAG, until=START + 15, quoted=False, dated=True)
    assert asked.body == body
    dialogue.answer(refusal, after=1).expect(Race, replaces="e1", quoted=False, dated=True)
    assert from_utc(dialogue.written()["renewedAt"]) == STORE_TIME + 3
    dialogue.answer(WON).expect(Write, replaces="e2", quoted=False, dated=True)
    assert dialogue.written()["conditionsProven"]["quotedEtags"] is False


def test_rule_18_a_store_that_ignores_the_other_form_is_refused():
    with pytest.raises(StoreRefused, match="whose If-Match condition does not hold"):
        refused_race().answer(Written("e1", STORE_TIME))


@pytest.mark.parametrize("outcome", [LOST, REFUSED])
def test_rule_19_a_form_that_the_store_does_not_clearly_refuse_is_not_raced_with(outcome):
    dialogue = refused_race().answer(outcome, after=0)
    pause = dialogue.wait()
    assert (pause.at_least, pause.at_most) == (2, 3)
    dialogue.expect(Race, quoted=True)


def test_rule_20_every_further_form_is_tried_after_a_pause():
    dialogue = refused_race().answer(PRECONDITION_FAILED, after=0)
    dialogue.answer(BOTH_REFUSED, after=0).answer(DRAFT, after=0)
    dialogue.expect(Write, replaces=NO_ETAG, quoted=True)
    pause = dialogue.answer(PRECONDITION_FAILED, after=0).wait()
    assert (pause.at_least, pause.at_most) == (2, 3)
    dialogue.expect(Race, quoted=True)


def test_races_that_are_all_refused_end_when_the_next_one_cannot_begin_in_time():
    refused_race(patience=10.01, after=8).answer(LOST, after=0).expect(Pause)
    with pytest.raises(StoreUnreachable, match="412"):
        refused_race(patience=10, after=8).answer(LOST, after=0)


# -- renewals ---------------------------------------------------------------------------------------------------------


def test_a_lease_that_is_held_in_another_store_is_proven_until_its_deadline():
    proof = Proof("https://elsewhere/bucket", STORE_TIME)
    held = Held(DRAFT._replace(record=UNPROVEN._replace(proof=proof)), START + 20, START)
    dialogue = Dialogue(protocol.renew(ME, held, 3.0, START, 15.0, nonces()), START)
    dialogue.expect(Read, until=START + 15)
    dialogue.answer(held.seen, after=1).expect(Write, replaces=None, until=START + 20)
    assert dialogue.expect(Write).body == encode(held.seen.record)
    for refusal in (PRECONDITION_FAILED, PRECONDITION_FAILED, REFUSED):
        dialogue.answer(refusal, after=0)
    dialogue.expect(Race, replaces="e1", until=START + 20)
    assert dialogue.written()["leaseDurationSeconds"] == 19
    dialogue.answer(WON, after=1).expect(Write, replaces="e2", until=START + 20)
    assert dialogue.written()["conditionsProven"]["store"] == ME.store
    assert dialogue.written()["term"] == 7
    verdict = dialogue.answer(Written("e3", STORE_TIME + 3), after=1).verdict
    assert (verdict.is_leader, verdict.deadline) == (True, START + 2 + 19)


# -- the form of the first write --------------------------------------------------------------------------------------

BARE = Proof(ME.store, STORE_TIME - 86300, quoted=False, dated=False)
OLD = BARE._replace(at=STORE_TIME - 86500)
RELEASED = UNPROVEN._replace(holder="")


@pytest.mark.parametrize(
    ("stands_there", "learnt", "form"),
    [
        (BARE, None, protocol.Form(False, False)),
        (OLD, None, protocol.Form(False, False)),
        (OLD._replace(store="https://elsewhere/bucket"), None, protocol.Form()),
        (None, BARE, protocol.Form(False, False)),
        (None, OLD, protocol.Form()),
        (None, None, protocol.Form()),
        (BARE._replace(quoted=True), BARE, protocol.Form(True, False)),
    ],
)
def test_the_first_write_has_the_form_that_the_store_took_last(stands_there, learnt, form):
    dialogue = Dialogue(protocol.acquire(ME, Want(30.0, 15.0, proof=learnt), START, nonces()), START)
    dialogue.answer(Seen(RELEASED._replace(proof=stands_there), "e1", STORE_TIME, STORE_TIME), after=0)
    dialogue.expect(Write, replaces="e1", quoted=form.quoted, dated=form.dated)


# -- acquisitions of what is held already -----------------------------------------------------------------------------

ELSEWHERE = UNPROVEN._replace(proof=Proof("https://elsewhere/bucket", STORE_TIME))
"""Copied from another store, with its proof."""


def acquiring_again(**want):
    """An acquisition for 3 s of what is held for 30, whose first write took 1 s."""
    dialogue = Dialogue(protocol.acquire(ME, Want(3.0, 15.0, **want), START, nonces()), START)
    dialogue.answer(Seen(ELSEWHERE, "e1", STORE_TIME, STORE_TIME), after=0)
    dialogue.expect(Write, replaces="e1", until=START + 3)
    return dialogue.answer(Written("e2", STORE_TIME), after=1)


def test_rule_24_a_lease_that_is_proven_anew_is_held_for_as_long_as_was_promised():
    dialogue = acquiring_again()
    for refusal in (PRECONDITION_FAILED, PRECONDITION_FAILED, REFUSED):
        dialogue.answer(refusal, after=0)
    for body in map(json.loads, dialogue.expect(Race, replaces="e2").bodies):
        assert body["leaseDurationSeconds"] == 30
        assert from_utc(body["renewedAt"]) == STORE_TIME + 1
    dialogue.answer(WON, after=0).expect(Write, replaces="e2")
    assert dialogue.written()["leaseDurationSeconds"] == 30


def test_rule_24_a_lease_whose_store_is_known_is_held_for_as_long_as_was_promised():
    dialogue = acquiring_again(proof=Proof(ME.store, STORE_TIME))
    dialogue.expect(Write, replaces="e2", until=START + 3)
    written = dialogue.written()
    assert (written["leaseDurationSeconds"], written["term"]) == (30, 7)
    assert from_utc(written["renewedAt"]) == STORE_TIME + 1
    assert written["conditionsProven"]["store"] == ME.store
