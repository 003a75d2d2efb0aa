# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decisions, spoken through step by step. What stands after "rule" in a name is the rule's number."""

from __future__ import annotations

import json

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Proof, Record, Unreadable, from_utc
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
    Unchanged,
    Unknown,
    Want,
    Watch,
    Why,
    Write,
    Written,
)
from support.dialogue import Dialogue, nonces

ME = Claimant("web-1", "my-session")
STORE_TIME = 1795409376.0
"""The store's clock, in seconds since 1970."""

PROOF = Proof(ME.store, STORE_TIME)
LOST = Unknown("no answer")
PRECONDITION_FAILED = Unknown("412", precondition_failed=True)
WON = Raced((Written("e2", STORE_TIME), PRECONDITION_FAILED))
"""The outcome of a race at a store that enforces conditions."""
THROTTLED = Unknown("503", throttled=True)


def record(**fields):
    values = dict(
        holder="web-2",
        session="other-session",
        term=7,
        sequence=3,
        nonce="theirs",
        lease_duration=30.0,
        acquired_at=STORE_TIME,
        renewed_at=STORE_TIME,
        lease_until=STORE_TIME + 32,
        metadata={},
        proof=PROOF,
    )
    return Record(**{**values, **fields})


def mine(**fields):
    return record(**{"holder": "web-1", "session": "my-session", "nonce": "mine", **fields})


def seen(a_record, age=0.0, etag="e1"):
    return Seen(a_record, etag, STORE_TIME, STORE_TIME + age)


def dotnet(ends_in, holder="net-1"):
    ends = STORE_TIME + ends_in
    return record(holder=holder, session="", term=0, nonce="", lease_duration=0.0, lease_until=ends, proof=None)


RELEASED = seen(record(holder="", session="other-session"), age=100)
GARBAGE = seen(Unreadable("it is not JSON"), age=10**6)


def acquiring(start=0.0, dry_run=False, **want):
    wanted = Want(**{"lease_duration": 30.0, "patience": 15.0, **want})
    return Dialogue(protocol.acquire(ME, wanted, start, nonces(), dry_run), start)


def holding(a_record=None, lapses_at=30.0, etag="e1"):
    return Held(seen(a_record or mine(), etag=etag), lapses_at, 0.0)


def renewing(held=None, lease_duration=None, start=0.0, **options):
    return Dialogue(protocol.renew(ME, held, lease_duration, start, 15.0, nonces(), **options), start)


def releasing(held=None, **options):
    return Dialogue(protocol.release(ME, held, 0.0, 15.0, nonces(), **options))


def outage(dialogue):
    """Answer no read any more, until the operation gives up with an error."""
    while True:
        dialogue.answer(LOST, after=5).wait()


# -- acquire: what is free --------------------------------------------------------------------------------------------


def created(dialogue):
    """Answer up to the confirmed creation, the store's refusal of what it must refuse, and the write that says so."""
    dialogue.expect(Read)
    dialogue.answer(Absent(STORE_TIME)).expect(Write, replaces=None)
    dialogue.answer(Written("e1", STORE_TIME))
    asked(dialogue).expect(Race, replaces="e1")
    assert dialogue.written()["conditionsProven"] is None
    dialogue.answer(WON).expect(Write, replaces="e2")
    assert dialogue.written()["conditionsProven"]["store"] == ME.store
    return dialogue.answer(Written("e3", STORE_TIME)).verdict


def asked(dialogue):
    """Refuse the three writes that a store has to refuse."""
    for _condition in range(2):
        dialogue.expect(Write, expired=False)
        dialogue.answer(PRECONDITION_FAILED)
    dialogue.expect(Write, expired=True)
    return dialogue.answer(Refused("403 AccessDenied"))


def test_an_absent_lease_is_created_under_the_condition_that_there_is_none():
    verdict = created(acquiring())
    assert (verdict.is_leader, verdict.why) == (True, Why.ACQUIRED)


def test_rule_3_a_created_lease_starts_its_term_at_the_stores_clock():
    assert protocol.term_of(created(acquiring()).lease) == int(STORE_TIME)


def test_rule_3_a_creation_that_landed_late_starts_its_term_when_it_landed():
    """Another lease may have come, with higher terms, and been deleted meanwhile."""
    dialogue = acquiring().answer(Absent(STORE_TIME)).answer(Written("e1", STORE_TIME + 20))
    assert asked(dialogue).answer(WON).written()["term"] == int(STORE_TIME) + 20


@pytest.mark.parametrize(
    "free",
    [
        RELEASED,
        seen(record(), age=32),
        seen(record(lease_duration=10000.0), age=10011.5),
        seen(mine(), age=31),
    ],
    ids=["released", "expired", "long and expired", "my own and lapsed"],
)
def test_rule_3_a_free_lease_is_replaced_at_its_etag_with_the_next_term(free):
    dialogue = acquiring().answer(free)
    dialogue.expect(Write, replaces="e1")
    assert dialogue.written()["term"] == 8
    verdict = dialogue.answer(Written("e2", STORE_TIME)).verdict
    assert (verdict.is_leader, verdict.why, verdict.lease.etag) == (True, Why.ACQUIRED, "e2")


@pytest.mark.parametrize(
    "held",
    [
        seen(record(), age=0),
        seen(record(), age=31.9),
        seen(record(lease_duration=10000.0), age=10011.4),
        seen(dotnet(ends_in=0), age=1.9),
        GARBAGE,
    ],
    ids=[
        "fresh",
        "within the margin",
        "within a thousandth, the grain and the skew",
        "dotnet within the margin",
        "garbage",
    ],
)
def test_rules_15_and_16_a_held_lease_is_left_alone(held):
    verdict = acquiring().answer(held).verdict
    assert verdict.is_leader is False
    assert verdict.lease == held


def test_the_dotnet_librarys_lease_is_taken_after_its_own_end_with_the_stores_clock_as_term():
    dialogue = acquiring().answer(seen(dotnet(ends_in=0), age=2))
    assert dialogue.written()["term"] == int(STORE_TIME) + 2


def test_never_takes_over_only_what_was_released():
    verdict = acquiring(takeover="never").answer(seen(record(), age=10**6)).verdict
    assert verdict.why is Why.NEVER_TAKEN_OVER
    acquiring(takeover="never").answer(RELEASED).expect(Write)


def test_rule_17_another_session_of_the_same_holder_is_somebody_else():
    assert not acquiring().answer(seen(record(holder=ME.holder))).verdict.is_leader


def test_a_renewal_that_comes_too_late_for_the_old_term_is_no_error_but_a_new_term():
    dialogue = acquiring(wait_timeout=600).answer(seen(mine(), age=29), after=0.5)
    dialogue.answer(LOST, after=1).answer(seen(mine(nonce="nonce-1", sequence=4), etag="e2"))
    assert dialogue.written()["term"] == 8
    assert dialogue.answer(Written("e3", STORE_TIME)).verdict.is_leader


def test_an_observer_that_could_not_watch_long_enough_is_told_so():
    dialogue = acquiring(wait_timeout=5, poll_interval=10, takeover="observed").answer(seen(record(), age=100))
    dialogue.wait(5)
    assert dialogue.answer(Unchanged(STORE_TIME + 105)).verdict.why is Why.NOT_WATCHED_LONG_ENOUGH


def test_a_session_stays_leader_with_its_term_by_acquiring_again():
    dialogue = acquiring().answer(seen(mine(), age=10))
    assert (dialogue.written()["term"], dialogue.written()["sequence"]) == (7, 4)
    verdict = dialogue.answer(Written("e2", STORE_TIME)).verdict
    assert (verdict.is_leader, verdict.why) == (True, Why.RENEWED)


def acquiring_after_slow_reads():
    dialogue = acquiring().answer(RELEASED, after=4)
    dialogue.wait()
    return dialogue.answer(Unchanged(STORE_TIME + 100), after=8)


def test_the_dotnet_library_is_told_an_end_that_has_the_margin_in_it():
    body = acquiring().answer(RELEASED).written()
    assert body["leaseUntilUtc"] == "2026-11-23T04:51:48.100Z"  # 04:51:16 + 0.1 s of the request + 30 s + 2 s


@pytest.mark.parametrize(
    ("operation", "latest"),
    [
        (acquiring_after_slow_reads, 100 + 8),
        (lambda: renewing(holding(mine(lease_duration=100.0), lapses_at=130.0), start=100.0), 100 - 30),
        (lambda: renewing().answer(seen(mine()), after=8), 8),
    ],
    ids=["acquired after a slow read", "renewed long after the last write", "renewed after a slow read"],
)
def test_the_dotnet_library_is_told_no_end_before_the_leaders_own(operation, latest):
    """The leader's time begins with the send. By then, ``latest`` seconds of the store's clock may have passed."""
    body = operation().written()
    assert from_utc(body["leaseUntilUtc"]) >= STORE_TIME + latest + body["leaseDurationSeconds"] + protocol.GRAIN


# -- acquire: time ----------------------------------------------------------------------------------------------------


def test_rule_6_the_deadline_counts_from_before_the_first_send():
    dialogue = acquiring(start=100.0).answer(RELEASED, after=0.125)
    dialogue.answer(LOST, after=5).answer(RELEASED, after=1).wait()
    verdict = dialogue.answer(Written("e2", STORE_TIME), after=1).verdict
    assert verdict.deadline == 130.125


def test_rule_8_what_is_confirmed_after_its_deadline_is_taken_anew_with_the_next_term():
    dialogue = acquiring().answer(RELEASED)
    dialogue.answer(Written("e2", STORE_TIME), after=31)
    dialogue.expect(Write, replaces="e2")
    assert dialogue.written()["term"] == 9
    assert dialogue.answer(Written("e3", STORE_TIME)).verdict.is_leader


def test_rule_22_a_renewal_confirmed_after_the_lapse_starts_a_new_term():
    dialogue = acquiring().answer(seen(mine(), age=28))
    dialogue.answer(Written("e2", STORE_TIME), after=5)
    assert dialogue.written()["term"] == 8


# -- acquire: lost answers --------------------------------------------------------------------------------------------


def test_rule_12_a_write_that_landed_without_an_answer_makes_a_leader():
    dialogue = acquiring().answer(RELEASED)
    ours = seen(record(nonce="nonce-1"), etag="e2")
    verdict = dialogue.answer(LOST).answer(ours).verdict
    assert (verdict.is_leader, verdict.lease.etag) == (True, "e2")


def test_rule_12_a_write_that_did_not_land_goes_again_byte_for_byte():
    dialogue = acquiring().answer(RELEASED)
    first = dialogue.expect(Write).body
    dialogue.answer(LOST).answer(RELEASED).wait()
    assert dialogue.expect(Write, replaces="e1").body == first


def test_rule_12_a_create_that_did_not_land_goes_again_byte_for_byte():
    dialogue = acquiring().answer(Absent(STORE_TIME))
    first = dialogue.expect(Write).body
    dialogue.answer(LOST).answer(Absent(STORE_TIME)).wait()
    assert dialogue.expect(Write, replaces=None).body == first


def test_a_lost_race_is_told_with_the_winner():
    winner = seen(record(holder="web-3", term=8), etag="e2")
    verdict = acquiring().answer(RELEASED).answer(PRECONDITION_FAILED).answer(winner).verdict
    assert (verdict.is_leader, verdict.why, verdict.lease) == (False, Why.HELD, winner)


def test_a_late_write_of_an_earlier_try_of_ours_is_followed_by_a_new_term():
    dialogue = acquiring().answer(RELEASED).answer(LOST)
    dialogue.answer(seen(mine(term=8, nonce="of an earlier task"), age=31, etag="e2"))
    dialogue.expect(Write, replaces="e2")
    assert dialogue.written()["term"] == 9


def test_rule_16_a_failed_read_is_tried_again_and_never_taken_for_free():
    dialogue = acquiring().answer(LOST)
    dialogue.wait()
    dialogue.expect(Read)


def test_reads_that_go_on_failing_end_in_an_error_that_is_not_doubtful():
    with pytest.raises(StoreUnreachable) as error:
        outage(acquiring())
    assert not error.value.doubtful


def test_an_outcome_that_stays_unknown_ends_in_an_error_that_says_so():
    with pytest.raises(StoreUnreachable) as error:
        outage(acquiring().answer(RELEASED).answer(LOST))
    assert error.value.doubtful


def test_a_write_that_there_was_no_time_for_leaves_no_doubt():
    with pytest.raises(StoreUnreachable) as error:
        outage(acquiring().answer(RELEASED).answer(Unknown("no time left", sent=False)))
    assert not error.value.doubtful


def test_a_write_that_never_lands_ends_in_an_error_that_leaves_it_doubtful():
    dialogue = acquiring().answer(RELEASED)

    def swallow_every_write():
        while True:
            dialogue.answer(LOST, after=5).answer(RELEASED).wait()

    with pytest.raises(StoreUnreachable) as error:
        swallow_every_write()
    assert error.value.doubtful


def test_a_refusal_is_not_tried_again():
    with pytest.raises(StoreRefused, match="no such bucket") as error:
        acquiring().answer(RELEASED).answer(Refused("no such bucket")).answer(Refused("no such bucket"))
    assert not error.value.doubtful


def test_a_refusal_after_an_unknown_outcome_leaves_it_doubtful():
    dialogue = acquiring().answer(RELEASED).answer(LOST).answer(RELEASED)
    dialogue.wait()
    dialogue.answer(Refused("the credentials have expired")).answer(Refused("the credentials have expired"))
    with pytest.raises(StoreRefused) as error:
        dialogue.answer(Refused("the credentials have expired"))
    assert error.value.doubtful


# -- acquire: odd stores ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refused_before", [0, 1])
def test_rule_18_a_store_that_ignores_a_condition_makes_nobody_leader(refused_before):
    dialogue = acquiring().answer(Absent(STORE_TIME)).answer(Written("e1", STORE_TIME))
    for _condition in range(refused_before):
        dialogue.answer(PRECONDITION_FAILED)
    with pytest.raises(StoreRefused, match="condition does not hold"):
        dialogue.answer(Written("e1", STORE_TIME))


@pytest.mark.parametrize(
    "unproven",
    [seen(record(proof=None), age=32), seen(mine(proof=None), age=1), seen(dotnet(ends_in=0), age=2)],
    ids=["of one who was refused or crashed", "of this run, refused before", "by the dotnet library"],
)
def test_rule_18_a_lease_whose_store_nobody_asked_is_led_by_nobody_before_it_is_asked(unproven):
    dialogue = acquiring().answer(unproven)
    dialogue.answer(Written("e2", STORE_TIME)).expect(Write, replaces=None)
    with pytest.raises(StoreRefused, match="condition does not hold"):
        dialogue.answer(Written("e2", STORE_TIME))


@pytest.mark.parametrize("held", [None, holding(mine(proof=None))], ids=["read", "handed over"])
def test_rule_18_who_did_not_finish_to_acquire_does_not_lead_by_renewing(held):
    dialogue = renewing(held).answer(seen(mine(proof=None), age=1))
    assert (dialogue.verdict.is_leader, dialogue.verdict.why) == (False, Why.UNFINISHED)


def test_rule_18_who_did_not_finish_to_acquire_is_not_shown_as_leader():
    dialogue = Dialogue(protocol.inspect(ME, 0.0, 15.0)).answer(seen(mine(proof=None), age=1))
    assert not dialogue.verdict.is_leader


@pytest.mark.parametrize(
    "proof",
    [
        PROOF._replace(store="https://elsewhere/bucket"),
        PROOF._replace(at=STORE_TIME - protocol.PROOF_LASTS),
        PROOF._replace(at=STORE_TIME + protocol.PROOF_LASTS + 1),
    ],
    ids=["of another store", "a day old", "from tomorrow"],
)
def test_rule_18_an_acquisition_relies_on_no_proof_but_one_of_today_for_its_own_store(proof):
    dialogue = acquiring().answer(seen(record(holder="", proof=proof))).answer(Written("e2", STORE_TIME))
    dialogue.expect(Write, replaces=None)
    acquiring().answer(seen(record(holder="", proof=PROOF._replace(at=STORE_TIME - 86000)))).expect(Write)


def test_rule_18_what_is_known_of_the_store_spares_a_new_lease_the_questions():
    dialogue = acquiring(proof=PROOF).answer(Absent(STORE_TIME + 100))
    assert dialogue.written()["conditionsProven"]["at"] == "2026-11-23T04:49:36.000Z"
    assert dialogue.answer(Written("e1", STORE_TIME + 101)).verdict.is_leader


def test_rule_3_a_creation_that_landed_late_at_a_known_store_is_written_again_with_the_term_of_its_landing():
    dialogue = acquiring(proof=PROOF).answer(Absent(STORE_TIME)).answer(Written("e1", STORE_TIME + 2))
    dialogue.expect(Write, replaces="e1")
    assert dialogue.written()["term"] == int(STORE_TIME) + 2
    assert dialogue.answer(Written("e2", STORE_TIME + 2)).verdict.is_leader


def test_rule_3_who_replaces_an_acquisition_that_was_not_completed_begins_at_the_stores_clock():
    dialogue = acquiring(proof=PROOF).answer(seen(record(proof=None), age=32))
    assert dialogue.written()["term"] == int(STORE_TIME) + 32


def test_rule_18_a_lease_that_was_copied_to_another_store_is_renewed_there_only_once_that_was_asked():
    elsewhere = mine(proof=PROOF._replace(store="https://elsewhere/bucket"))
    dialogue = renewing(holding(elsewhere))
    dialogue.expect(Read)
    asked(dialogue.answer(seen(elsewhere, age=1))).expect(Race, replaces="e1")
    dialogue.answer(WON).expect(Write, replaces="e2")
    assert (dialogue.written()["term"], dialogue.written()["conditionsProven"]["store"]) == (7, ME.store)
    assert dialogue.answer(Written("e3", STORE_TIME)).verdict.is_leader


def test_rule_18_a_session_is_no_leader_by_a_copy_in_another_store():
    elsewhere = mine(proof=PROOF._replace(store="https://elsewhere/bucket"))
    assert not Dialogue(protocol.inspect(ME, 0.0, 15.0)).answer(seen(elsewhere, age=1)).verdict.is_leader


def in_the_race(**want):
    dialogue = acquiring(**want).answer(Absent(STORE_TIME)).answer(Written("e1", STORE_TIME))
    asked(dialogue).expect(Race)
    return dialogue


def test_rule_18_a_store_that_lets_two_replace_one_version_makes_nobody_leader():
    with pytest.raises(StoreRefused, match="two writes that replace one version"):
        in_the_race().answer(Raced((Written("e2", STORE_TIME), Written("e3", STORE_TIME))))


def test_rule_18_who_races_against_itself_does_so_with_two_bodies():
    bodies = in_the_race().expect(Race).bodies
    assert bodies[0] != bodies[1]


@pytest.mark.parametrize("turn", [0, 1])
def test_rule_18_either_of_the_two_may_win(turn):
    dialogue = in_the_race()
    nonce = json.loads(dialogue.expect(Race).bodies[turn])["nonce"]
    outcomes = [PRECONDITION_FAILED, PRECONDITION_FAILED]
    outcomes[turn] = Written("e2", STORE_TIME)
    dialogue.answer(Raced(tuple(outcomes))).expect(Write, replaces="e2")
    assert dialogue.written()["sequence"] == 3
    assert dialogue.written()["nonce"] != nonce
    assert dialogue.answer(Written("e3", STORE_TIME)).verdict.is_leader


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize(
    "outcomes",
    [(Written("e2", STORE_TIME), LOST), (LOST, LOST), (LOST, PRECONDITION_FAILED)],
    ids=["the other's answer is lost", "both answers are lost", "the winner's answer is lost"],
)
def test_rule_18_a_race_without_a_clear_loser_proves_nothing_and_is_run_again(turn, outcomes):
    dialogue = in_the_race()
    nonce = json.loads(dialogue.expect(Race).bodies[turn])["nonce"]
    dialogue.answer(Raced(outcomes)).answer(seen(mine(nonce=nonce, sequence=2, proof=None), etag="e2"))
    assert dialogue.wait().at_least >= 2
    dialogue.expect(Race, replaces="e2")
    assert dialogue.written()["sequence"] == 3


def test_rule_19_where_both_are_refused_the_other_quoting_is_asked_for_and_raced_with():
    dialogue = in_the_race().answer(Raced((PRECONDITION_FAILED, PRECONDITION_FAILED)))
    dialogue.answer(seen(mine(proof=None), etag="e1")).expect(Write, quoted=False)
    dialogue.answer(PRECONDITION_FAILED).expect(Race, quoted=False)
    dialogue.answer(WON).expect(Write, quoted=False)
    assert dialogue.written()["conditionsProven"]["quotedEtags"] is False
    assert dialogue.answer(Written("e3", STORE_TIME)).verdict.is_leader


def test_rule_20_a_store_that_refuses_every_race_is_not_hammered():
    both = Raced((PRECONDITION_FAILED, PRECONDITION_FAILED))
    dialogue = in_the_race().answer(both).answer(seen(mine(), etag="e1")).answer(PRECONDITION_FAILED)
    dialogue.answer(both).answer(seen(mine(), etag="e1")).answer(PRECONDITION_FAILED)
    assert dialogue.wait().at_least >= 2


def test_rule_12_a_race_of_which_nothing_landed_is_run_again_after_a_pause():
    dialogue = in_the_race().answer(Raced((LOST, LOST))).answer(seen(mine(nonce="before", proof=None), etag="e1"))
    assert dialogue.wait().at_least >= 2
    dialogue.expect(Race, replaces="e1")


def test_a_race_that_another_claimant_has_won_is_lost():
    winner = seen(record(term=2**40), etag="e9")
    dialogue = in_the_race().answer(Raced((PRECONDITION_FAILED, PRECONDITION_FAILED))).answer(winner)
    assert (dialogue.verdict.is_leader, dialogue.verdict.lease) == (False, winner)


def test_an_error_after_a_race_is_doubtful():
    with pytest.raises(StoreUnreachable) as error:
        outage(in_the_race().answer(Raced((LOST, LOST))))
    assert error.value.doubtful


# -- use-by dates -----------------------------------------------------------------------------------------------------


def test_rule_25_a_store_that_refuses_signatures_in_the_query_gets_them_in_headers():
    dialogue = acquiring().answer(RELEASED)
    dialogue.expect(Write, dated=True)
    first = dialogue.expect(Write).body
    dialogue.answer(Refused("403 AccessDenied")).expect(Write, dated=False)
    assert dialogue.expect(Write).body == first
    assert dialogue.answer(Written("e2", STORE_TIME)).verdict.is_leader


def test_rule_25_whether_it_takes_them_is_found_out_with_the_conditions_and_kept_in_the_record():
    dialogue = acquiring().answer(Absent(STORE_TIME)).answer(Refused("403")).answer(Written("e1", STORE_TIME))
    for _condition in range(2):
        dialogue.expect(Write, dated=True)
        dialogue.answer(Refused("403")).expect(Write, dated=False)
        dialogue.answer(PRECONDITION_FAILED).expect(Write, dated=True)
        dialogue.answer(Refused("403"))
    dialogue.expect(Race, dated=False)
    assert dialogue.answer(WON).written()["conditionsProven"]["useByDates"] is False
    renewing(holding(mine(proof=PROOF._replace(dated=False)))).expect(Write, dated=False)


def test_rule_25_a_single_refusal_is_not_kept():
    dialogue = acquiring().answer(Absent(STORE_TIME)).answer(Written("e1", STORE_TIME))
    for _condition in range(2):
        dialogue.answer(Refused("403")).answer(PRECONDITION_FAILED).answer(PRECONDITION_FAILED)
    dialogue.answer(Refused("403")).answer(WON)
    assert dialogue.written()["conditionsProven"]["useByDates"] is True


def test_rule_18_no_answer_to_the_question_is_no_answer():
    dialogue = acquiring().answer(Absent(STORE_TIME)).answer(Written("e1", STORE_TIME))
    with pytest.raises(StoreUnreachable) as error:
        outage(dialogue)
    assert error.value.doubtful


def test_rule_18_the_question_puts_nothing_but_what_stands_there():
    dialogue = acquiring().answer(Absent(STORE_TIME))
    first = dialogue.expect(Write).body
    dialogue.answer(Written("e1", STORE_TIME))
    assert dialogue.expect(Write).body == first


@pytest.mark.parametrize("left", [24.5, 2.0])
def test_rule_24_a_renewal_for_less_does_not_end_before_the_time_that_was_told(left):
    dialogue = renewing(holding(lapses_at=left), lease_duration=3.0)
    assert dialogue.written()["leaseDurationSeconds"] == max(left, 3.0)
    assert dialogue.answer(Written("e2", STORE_TIME)).verdict.deadline == max(left, 3.0)


@pytest.mark.parametrize(
    "operation", [lambda: acquiring(lease_duration=3.0), lambda: renewing(lease_duration=3.0)], ids=["acquire", "renew"]
)
def test_rule_24_what_is_left_by_the_stores_clock_is_too_rough_to_go_by(operation):
    dialogue = operation().answer(seen(mine(), age=6))
    assert dialogue.written()["leaseDurationSeconds"] == 30


def test_rule_19_a_store_that_wants_the_other_quoting_is_asked_for_its_conditions_in_it_and_gets_it_at_once():
    dialogue = acquiring().answer(RELEASED).answer(PRECONDITION_FAILED).answer(RELEASED)
    assert dialogue.expect(Write, quoted=False).replaces != "e1"
    dialogue.answer(PRECONDITION_FAILED).expect(Write, quoted=False, replaces="e1")
    assert dialogue.answer(Written("e2", STORE_TIME)).verdict.is_leader


def test_rules_18_and_19_a_store_that_ignores_conditions_in_the_other_quoting_is_refused():
    dialogue = acquiring().answer(RELEASED).answer(PRECONDITION_FAILED).answer(RELEASED)
    with pytest.raises(StoreRefused, match="condition does not hold"):
        dialogue.answer(Written("e2", STORE_TIME))


@pytest.mark.parametrize("answer", [Refused("400 InvalidArgument"), LOST], ids=["refused", "lost"])
def test_rule_19_a_store_that_does_not_take_the_other_quoting_keeps_the_first(answer):
    """One 412 that nobody can explain must not cost the leader its lease."""
    dialogue = renewing(holding()).answer(PRECONDITION_FAILED).answer(seen(mine())).answer(answer)
    assert dialogue.wait().at_least >= 2
    dialogue.expect(Write, quoted=True, replaces="e1")
    assert dialogue.answer(Written("e2", STORE_TIME)).verdict.is_leader


def test_rule_19_a_second_unexplained_412_turns_the_quoting_back():
    dialogue = acquiring().answer(RELEASED).answer(PRECONDITION_FAILED).answer(RELEASED)
    dialogue.answer(PRECONDITION_FAILED)
    dialogue.answer(PRECONDITION_FAILED).answer(RELEASED).answer(PRECONDITION_FAILED)
    dialogue.wait()
    dialogue.expect(Write, quoted=True, replaces="e1")


def test_rule_19_the_record_tells_in_which_quoting_its_store_was_asked():
    """So a takeover succeeds even if no answer to a write arrives."""
    bare = PROOF._replace(quoted=False)
    acquiring().answer(seen(record(proof=bare), age=32)).expect(Write, quoted=False)
    renewing(holding(mine(proof=bare))).expect(Write, quoted=False)
    releasing(holding(mine(proof=bare))).expect(Write, quoted=False)
    stale = bare._replace(at=STORE_TIME - 10**6)
    acquiring().answer(seen(record(proof=stale), age=32)).expect(Write, quoted=False)


def test_rule_20_a_store_that_never_lets_a_write_pass_is_not_hammered():
    dialogue = acquiring().answer(RELEASED).answer(PRECONDITION_FAILED).answer(RELEASED)
    dialogue.answer(PRECONDITION_FAILED).answer(PRECONDITION_FAILED).answer(RELEASED).answer(PRECONDITION_FAILED)
    assert dialogue.wait().at_least >= 2


def test_rule_20_a_throttling_store_is_given_time():
    dialogue = acquiring().answer(THROTTLED)
    assert dialogue.wait().at_most >= 2


# -- acquire: waiting -------------------------------------------------------------------------------------------------


def test_a_waiting_follower_reads_for_changes_only():
    dialogue = acquiring(wait_timeout=60).answer(seen(record()))
    dialogue.wait()
    dialogue.expect(Read, known="e1")


def test_a_waiting_follower_takes_an_unchanged_lease_when_the_stores_clock_says_so():
    dialogue = acquiring(wait_timeout=60).answer(seen(record(), age=30))
    dialogue.wait()
    dialogue.answer(Unchanged(STORE_TIME + 31))
    dialogue.wait()
    dialogue.answer(Unchanged(STORE_TIME + 32)).expect(Write, replaces="e1")


def test_a_waiting_follower_takes_a_released_lease_at_the_next_look():
    dialogue = acquiring(wait_timeout=60).answer(seen(record()))
    dialogue.wait()
    dialogue.answer(RELEASED).expect(Write)


def test_the_wait_ends_in_time_with_the_holder_named():
    dialogue = acquiring(wait_timeout=5, poll_interval=2).answer(seen(record()))
    while dialogue.verdict is None:
        dialogue.wait(min(dialogue.expect(Pause).at_most, 5))
        dialogue.answer(Unchanged(STORE_TIME + dialogue.now))
    assert (dialogue.verdict.is_leader, dialogue.verdict.why) == (False, Why.HELD)
    assert dialogue.now <= 5 + 0.2


def test_a_lease_that_is_nearly_due_is_looked_at_when_it_is_due():
    dialogue = acquiring(wait_timeout=60, poll_interval=10).answer(seen(record(), age=31))
    assert dialogue.expect(Pause).at_least == 1
    assert dialogue.expect(Pause).at_most == 1 + 1


def test_rule_14_an_observer_takes_over_what_it_saw_unchanged_for_the_duration_in_the_record():
    dialogue = acquiring(wait_timeout=100, poll_interval=1, takeover="observed", lease_duration=60.0)
    dialogue.answer(seen(record(lease_duration=20.0), age=10**6))  # the store's clock is not asked
    first_seen = dialogue.now
    while isinstance(dialogue._step, Pause):
        dialogue.wait()
        dialogue.answer(Unchanged(STORE_TIME))
    dialogue.expect(Write, replaces="e1")
    assert 22 <= dialogue.now - first_seen < 24


def test_rule_14_an_observer_starts_anew_when_the_lease_is_renewed():
    dialogue = acquiring(wait_timeout=100, poll_interval=30, takeover="observed")
    dialogue.answer(seen(record()))
    dialogue.wait(31.9)
    dialogue.answer(seen(record(sequence=4), etag="e2"))
    dialogue.wait(31.9)
    dialogue.answer(Unchanged(STORE_TIME)).expect(Pause)


def test_rule_14_what_was_watched_before_an_error_counts():
    watch = Watch()
    want = Want(30.0, 15.0, 1000.0, 1.0, "observed")
    dialogue = Dialogue(protocol.acquire(ME, want, 0.0, nonces(), watch=watch))
    dialogue.answer(seen(record())).wait()
    with pytest.raises(StoreRefused):
        dialogue.answer(Refused("403"))
    dialogue = Dialogue(protocol.acquire(ME, want, 31.0, nonces(), watch=watch), start=31.0)
    dialogue.answer(seen(record()))
    assert dialogue.wait().at_least <= 1
    dialogue.answer(Unchanged(STORE_TIME)).expect(Write, replaces="e1")


def test_rule_17_who_alone_uses_its_session_takes_a_record_that_it_has_not_sent_for_that_of_a_clone():
    me = ME._replace(sent=["mine"])
    clones = seen(mine(nonce="the clone's", sequence=4), etag="e2")
    for operation in (
        protocol.renew(me, holding(), None, 0.0, 15.0, nonces()),
        protocol.release(me, holding(), 0.0, 15.0, nonces()),
    ):
        assert Dialogue(operation).answer(PRECONDITION_FAILED).answer(clones).verdict.why is Why.TAKEN
    assert Dialogue(protocol.acquire(me, Want(30.0, 15.0), 0.0, nonces())).answer(clones).verdict.why is Why.HELD


# -- renew ------------------------------------------------------------------------------------------------------------


def test_a_handed_over_lease_is_renewed_by_a_single_put():
    dialogue = renewing(holding())
    dialogue.expect(Write, replaces="e1")
    assert (dialogue.written()["term"], dialogue.written()["sequence"]) == (7, 4)
    verdict = dialogue.answer(Written("e2", STORE_TIME)).verdict
    assert (verdict.is_leader, verdict.why, verdict.deadline) == (True, Why.RENEWED, 30.0)


def test_without_one_it_is_read_first():
    dialogue = renewing().answer(seen(mine(), age=10))
    assert dialogue.answer(Written("e2", STORE_TIME)).verdict.is_leader


def test_a_renewal_can_change_the_duration():
    dialogue = renewing(holding(), lease_duration=60.0)
    assert dialogue.written()["leaseDurationSeconds"] == 60
    assert dialogue.answer(Written("e2", STORE_TIME)).verdict.deadline == 60.0


@pytest.mark.parametrize(
    ("instead", "why"),
    [
        (Absent(STORE_TIME), Why.GONE),
        (seen(record(term=8), etag="e2"), Why.TAKEN),
        (seen(record(holder="", session="op"), etag="e2"), Why.FREE),
        (seen(Unreadable("?"), etag="e2"), Why.UNREADABLE),
        (seen(mine(term=8), etag="e2"), Why.TAKEN),
    ],
    ids=["removed", "taken over", "broken", "overwritten", "acquired anew by this run"],
)
def test_rules_10_and_13_only_what_stands_there_instead_ends_a_term_early(instead, why):
    verdict = renewing(holding()).answer(PRECONDITION_FAILED).answer(instead).verdict
    assert (verdict.is_leader, verdict.why) == (False, why)


def test_a_lease_renewed_meanwhile_by_another_task_of_the_run_is_renewed_from_there():
    dialogue = renewing(holding()).answer(PRECONDITION_FAILED)
    dialogue.answer(seen(mine(sequence=9), etag="e9")).expect(Write, replaces="e9")
    assert dialogue.written()["sequence"] == 10


def test_rule_10_errors_are_retried_until_the_deadline():
    dialogue = renewing(holding(lapses_at=100.0)).answer(LOST, after=5)
    with pytest.raises(StoreUnreachable):
        outage(dialogue)
    assert 85 < dialogue.now < 105  # the last request may be under way when the deadline passes


def test_rule_8_a_renewal_confirmed_after_the_deadline_does_not_bring_leadership_back():
    verdict = renewing(holding(lapses_at=4.0)).answer(Written("e2", STORE_TIME), after=5).verdict
    assert (verdict.is_leader, verdict.why) == (False, Why.LAPSED)


def test_rule_22_a_handed_over_lease_whose_time_is_over_is_lost():
    verdict = renewing(holding(lapses_at=-0.1)).answer(seen(mine(), age=1)).verdict
    assert (verdict.is_leader, verdict.why) == (False, Why.LAPSED)


def test_a_handed_over_lease_from_before_the_last_renewal_is_not_taken_for_lapsed():
    dialogue = renewing(holding(lapses_at=-0.1)).answer(seen(mine(sequence=4), age=1, etag="e4"))
    dialogue.expect(Write, replaces="e4")
    assert dialogue.answer(Written("e5", STORE_TIME)).verdict.is_leader


def test_a_handed_over_lease_lasts_as_long_as_it_did_where_the_store_answers_with_an_older_record():
    dialogue = renewing(holding(lapses_at=25.0)).answer(LOST)
    dialogue.answer(seen(mine(sequence=2), age=29, etag="e0")).expect(Write, replaces="e0", until=25.0)


def test_rule_22_a_lease_that_the_store_shows_to_be_over_is_lost_even_if_nobody_took_it():
    assert renewing().answer(seen(mine(), age=30)).verdict.why is Why.LAPSED


# -- release ----------------------------------------------------------------------------------------------------------


def test_rule_4_a_release_is_a_tombstone_that_keeps_the_term():
    dialogue = releasing(holding())
    dialogue.expect(Write, replaces="e1")
    body = dialogue.written()
    assert (body["holderId"], body["term"], body["sequence"]) == ("", 7, 4)
    assert body["leaseUntilUtc"] < body["renewedAt"]
    assert dialogue.answer(Written("e2", STORE_TIME)).verdict.why is Why.RELEASED


def test_rule_2_no_two_bodies_are_alike_the_release_included():
    bodies = {releasing(holding()).expect(Write).body}
    operations = [protocol.release(ME, holding(), 0.0, 15.0, lambda n=n: f"fresh-{n}") for n in range(5)]
    bodies.update(Dialogue(operation).expect(Write).body for operation in operations)
    assert len(bodies) == 6


@pytest.mark.parametrize("found", [Absent(STORE_TIME), RELEASED])
def test_releasing_what_is_free_changes_nothing(found):
    assert releasing().answer(found).verdict.why is Why.FREE


@pytest.mark.parametrize("found", [seen(record()), seen(record(), age=10**6), seen(dotnet(5)), GARBAGE])
def test_rule_5_somebody_elses_lease_is_left_alone(found):
    verdict = releasing().answer(found).verdict
    assert not verdict.why.changes_hands


def test_rule_5_a_release_that_comes_after_a_takeover_leaves_the_successor_alone():
    verdict = releasing(holding()).answer(PRECONDITION_FAILED).answer(seen(record(term=8), etag="e2")).verdict
    assert verdict.why is Why.TAKEN


def test_rule_5_a_handed_over_lease_of_a_past_term_releases_nothing():
    verdict = releasing(holding()).answer(PRECONDITION_FAILED).answer(seen(mine(term=8), etag="e2")).verdict
    assert verdict.why is Why.TAKEN


def test_a_release_whose_answer_was_lost_is_found_out():
    tombstone = seen(record(holder="", nonce="nonce-1"), etag="e2")
    assert releasing(holding()).answer(LOST).answer(tombstone).verdict.why is Why.RELEASED


def test_force_breaks_a_live_lease_and_says_who_and_why():
    dialogue = releasing(force=True, reason="web-2 burnt down").answer(seen(record()))
    body = dialogue.written()
    assert (body["holderId"], body["term"]) == ("", 7)
    assert body["metadata"] == {"released_by": "web-1", "held_by": "web-2", "reason": "web-2 burnt down"}
    assert dialogue.answer(Written("e2", STORE_TIME)).verdict.why is Why.BROKEN


def test_force_breaks_the_lease_that_was_seen_and_not_that_of_who_took_it_over_meanwhile():
    dialogue = releasing(force=True).answer(seen(record(), age=100)).answer(PRECONDITION_FAILED)
    verdict = dialogue.answer(seen(record(holder="web-3", session="third", term=8), etag="e2")).verdict
    assert verdict.why is Why.TAKEN


def test_force_breaks_a_lease_that_its_holder_renews_meanwhile():
    dialogue = releasing(force=True).answer(seen(record())).answer(PRECONDITION_FAILED)
    dialogue.answer(seen(record(sequence=4), etag="e2")).expect(Write, replaces="e2")


def test_force_frees_what_cannot_be_read_with_the_stores_clock_as_term():
    dialogue = releasing(force=True, force_foreign=True).answer(seen(Unreadable("?"), age=5))
    assert dialogue.written()["term"] == int(STORE_TIME) + 5


@pytest.mark.parametrize("options", [dict(force=True), dict(force_foreign=True), dict(force=True, dry_run=True)])
def test_what_is_no_lease_is_replaced_only_with_both_words(options):
    assert releasing(**options).answer(seen(Unreadable("?"))).verdict.why is Why.UNREADABLE


# -- dry runs and looking ---------------------------------------------------------------------------------------------


def test_a_dry_run_reads_and_predicts():
    assert acquiring(dry_run=True).answer(RELEASED).verdict.is_leader
    assert not acquiring(dry_run=True, wait_timeout=3600).answer(seen(record())).verdict.is_leader
    assert renewing(holding(), dry_run=True).answer(seen(mine())).verdict.is_leader
    assert releasing(holding(), dry_run=True).answer(seen(mine())).verdict.why is Why.RELEASED


@pytest.mark.parametrize(
    ("found", "leads"), [(seen(mine(), age=29), True), (seen(mine(), age=30), False), (seen(record()), False)]
)
def test_whether_one_leads_is_told_by_session_and_age(found, leads):
    assert Dialogue(protocol.inspect(ME, 0.0, 15.0)).answer(found).verdict.is_leader is leads


def test_who_paused_while_it_looked_until_its_lease_had_lapsed_is_not_told_that_it_leads():
    looking = Dialogue(protocol.inspect(ME, 0.0, 60.0)).answer(seen(mine(), age=5), after=25)
    assert not looking.verdict.is_leader


def test_a_slot_is_not_claimed_as_a_lease_without_slots():
    for found in (seen(record(slots=3)), seen(record(holder="", slots=3))):
        with pytest.raises(StoreRefused, match="one of the 3 slots of another lease"):
            acquiring().answer(found)
