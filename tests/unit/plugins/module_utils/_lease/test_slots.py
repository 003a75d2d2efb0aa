# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease with slots (rule 30), on objects that are changed by one request after the other."""

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import slots
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Proof, Record, Unreadable, decode
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Answer,
    Claimant,
    Held,
    Pause,
    Read,
    Seen,
    StoreRefused,
    Unchanged,
    Unknown,
    Want,
    Why,
    Written,
)
from support.dialogue import nonces

ME = Claimant("app-1", "my-session", "https://s3/leases")
NOW = 1795409376.0
PROOF = Proof(ME.store, NOW)
REQUEST = 0.1
"""Seconds that a request takes."""


def record(**fields):
    values = dict(
        holder="app-9",
        session="other-session",
        term=7,
        sequence=1,
        nonce="theirs",
        lease_duration=30.0,
        acquired_at=NOW,
        renewed_at=NOW,
        lease_until=NOW + 32,
        metadata={},
        proof=PROOF,
        slots=3,
    )
    return Record(**{**values, **fields})


def held(**fields):
    return record(**fields)


def mine(**fields):
    return record(**{"holder": ME.holder, "session": ME.session, "nonce": "mine", **fields})


def free(**fields):
    return record(holder="", **fields)


class Store:
    """The objects of the slots, and what else happens to them: before the request of a number, as counted from 1."""

    def __init__(self, *records, **happens):
        self.time = 1000.0
        self.records = dict(enumerate(records, 1))
        self.versions = dict.fromkeys(self.records, 1)
        self.modified = dict.fromkeys(self.records, NOW)
        self.requests = []
        self.happens = happens

    def put(self, slot, value):
        self.records[slot] = value
        self.versions[slot] = self.versions.get(slot, 0) + 1
        self.modified[slot] = NOW + self.time - 1000.0

    def drive(self, steps):
        answer = None
        while True:
            try:
                step = steps.send(answer) if answer else next(steps)
            except StopIteration as end:
                return end.value
            asked = self.time
            if isinstance(step, Pause):
                self.requests.append("pause")
                self.time += step.at_least
                answer = Answer(Unknown("a pause"), asked, self.time)
                continue
            self.requests.append("%s %d" % (type(step).__name__, step.slot))
            self.happens.get("before_%d" % len(self.requests), lambda _store: None)(self)
            outcome = self._outcome(step)
            self.time += REQUEST
            answer = Answer(outcome, asked, self.time)

    def _outcome(self, step):
        now, slot = NOW + self.time - 1000.0, step.slot
        etag = "e%d" % self.versions[slot] if self.records.get(slot) else None
        if isinstance(step, Read):
            if etag is None:
                return Absent(now)
            return Unchanged(now) if step.known == etag else Seen(self.records[slot], etag, self.modified[slot], now)
        if step.replaces != etag:
            return Unknown("412", precondition_failed=True)
        self.put(slot, decode(step.body))
        return Written("e%d" % self.versions[slot], now)


def want(count=3, **fields):
    return Want(**{**dict(lease_duration=30.0, patience=15.0, slots=count, proof=PROOF), **fields})


def acquire(store, count=3, dry_run=False, **fields):
    return store.drive(slots.acquire(ME, want(count, **fields), store.time, nonces(), dry_run))


def reads(count):
    return ["Read %d" % slot for slot in range(1, count + 1)]


# -- which slot


def test_the_first_claimant_of_all_takes_slot_1_which_says_how_many_there_are():
    store = Store(None, None, None)
    verdict = acquire(store)
    assert (verdict.is_leader, verdict.why, verdict.slot, len(verdict.slots)) == (True, Why.ACQUIRED, 1, 3)
    assert store.requests == [*reads(3), "Write 1"]
    assert (store.records[1].slots, store.records[1].slots_before) == (3, 0)


def test_who_takes_another_slot_looks_at_slot_1_once_more():
    store = Store(held(), held(), None)
    verdict = acquire(store)
    assert (verdict.is_leader, verdict.slot, verdict.lease.record.slots) == (True, 3, 3)
    assert store.requests == [*reads(3), "Write 3", "Read 1"]
    assert verdict.slots[2].record.session == ME.session


def test_a_released_slot_1_says_it_too():
    store = Store(free(), free(), free())
    assert acquire(store).is_leader


def test_sessions_begin_at_different_slots():
    begun = set()
    for number in range(20):
        store = Store(free(), free(), free())
        me = ME._replace(session="session-%d" % number)
        begun.add(store.drive(slots.acquire(me, want(), store.time, nonces())).slot)
    assert begun == {1, 2, 3}


@pytest.mark.parametrize("slot", [1, 2, 3])
def test_a_session_keeps_the_slot_that_it_has(slot):
    store = Store(*(mine() if one == slot else free() for one in (1, 2, 3)))
    verdict = acquire(store)
    assert (verdict.is_leader, verdict.why, verdict.slot) == (True, Why.RENEWED, slot)
    assert [one for one in store.requests if one.startswith("Write")] == ["Write %d" % slot]


def test_a_slot_that_somebody_takes_first_is_no_chance_any_more_and_the_next_one_is_taken():
    taken = []

    def is_faster(store):
        taken.append(int(store.requests[-1][-1]))
        store.put(taken[0], held())

    store = Store(free(), free(), free(), before_4=is_faster)
    verdict = acquire(store)
    assert verdict.is_leader
    assert verdict.slot not in taken


def test_a_slot_that_is_over_is_taken_in_a_new_term():
    store = Store(held(), held(), held())
    store.modified[2] = NOW - 33
    verdict = acquire(store)
    assert (verdict.is_leader, verdict.slot, verdict.lease.record.term) == (True, 2, 8)


def test_an_object_that_is_no_lease_counts_as_held():
    store = Store(held(), Unreadable("it is not JSON"), held())
    assert not acquire(store).is_leader
    assert store.records[2] == Unreadable("it is not JSON")


def test_a_store_that_one_slot_was_tested_with_is_not_tested_for_the_next_one():
    store = Store(held(), None, None)
    assert acquire(store, proof=None).is_leader
    assert len([one for one in store.requests if one.startswith("Write")]) == 1


def test_a_lease_without_slots_is_acquired_at_its_own_object():
    store = Store()
    verdict = acquire(store, count=0)
    assert (verdict.is_leader, verdict.slot, verdict.slots) == (True, 0, ())
    assert store.requests == ["Read 0", "Write 0"]


# -- none is free


def test_who_gets_none_is_told_of_the_first_to_be_free():
    store = Store(held(), held(), held())
    store.modified.update({1: NOW - 2, 2: NOW - 9, 3: NOW - 5})
    verdict = acquire(store)
    assert (verdict.is_leader, verdict.why, verdict.slot) == (False, Why.HELD, 2)
    assert store.requests == reads(3)


def test_who_waits_takes_what_is_free_first():
    store = Store(held(), held(), held(), before_9=lambda store: store.put(3, free()))
    verdict = acquire(store, wait_timeout=60.0)
    assert (verdict.is_leader, verdict.slot) == (True, 3)
    assert store.requests == [*2 * [*reads(3), "pause"], *reads(3), "Write 3", "Read 1"]


def test_waiting_ends_when_a_slot_is_due():
    store = Store(held(), held(), held())
    store.modified[2] = NOW - 31.5
    verdict = acquire(store, wait_timeout=60.0, poll_interval=10.0)
    assert (verdict.is_leader, verdict.slot) == (True, 2)
    assert store.time < 1000.0 + 3


def test_what_may_not_be_taken_yet_does_not_make_a_claimant_poll_faster():
    store = Store(held(slots=3, slots_before=5), None, None, None, None)
    assert not acquire(store, wait_timeout=20.0, poll_interval=10.0).is_leader
    assert store.requests.count("pause") <= 4


def test_waiting_ends_at_its_timeout():
    store = Store(*(held(lease_duration=300.0) for _slot in range(3)))
    assert not acquire(store, wait_timeout=60.0).is_leader
    assert 1060.0 <= store.time < 1063.0


def test_a_slot_is_observed_for_its_full_duration_where_the_stores_clock_does_not_count():
    store = Store(held(), held(), held())
    store.modified = dict.fromkeys(store.modified, NOW - 1000)
    assert acquire(store, takeover="observed").why is Why.NOT_WATCHED_LONG_ENOUGH
    assert acquire(store, takeover="observed", wait_timeout=60.0).is_leader
    assert store.time >= 1032.0


def test_what_was_observed_survives_an_error():
    store, watches = Store(held(), held(), held()), slots.Watches()
    observed = want(takeover="observed")
    store.drive(slots.acquire(ME, observed, store.time, nonces(), watches=watches))
    store.time += 32.5
    assert store.drive(slots.acquire(ME, observed, store.time, nonces(), watches=watches)).is_leader


def test_in_check_mode_it_only_reads():
    store = Store(held(), None, held())
    verdict = acquire(store, dry_run=True, wait_timeout=600.0)
    assert (verdict.is_leader, verdict.why, verdict.slot, verdict.deadline) == (True, Why.ACQUIRED, 2, None)
    assert store.requests == reads(3)


# -- all have to name the same number


@pytest.mark.parametrize("slot", [1, 2, 3])
def test_while_somebody_holds_one_of_another_number_a_claim_is_refused_and_says_who(slot):
    store = Store(*(held(slots=5) if one == slot else free(slots=3) for one in (1, 2, 3)))
    with pytest.raises(StoreRefused, match=r"app-9 holds slot %d as one of 5, and this is a claim to one of 3" % slot):
        acquire(store)
    assert not any(one.startswith("Write") for one in store.requests)


def test_who_watches_does_not_take_one_of_another_number_for_free_by_the_store_s_clock():
    store = Store(free(), held(slots=5), None)
    store.modified[2] = NOW - 60
    with pytest.raises(StoreRefused, match="slot 2 as one of 5"):
        acquire(store, takeover="observed")


def test_who_watches_watches_all_of_another_number_at_once():
    store, watches = Store(free(), held(slots=5), held(slots=5)), slots.Watches()

    def claim():
        return store.drive(slots.acquire(ME, want(takeover="observed"), store.time, nonces(), watches=watches))

    with pytest.raises(StoreRefused, match="as one of 5"):
        claim()
    store.time += 40
    assert claim().is_leader


def test_what_was_released_as_one_of_another_number_refuses_nobody():
    assert acquire(Store(held(), free(slots=5), held())).slot == 2


def test_so_is_one_that_meets_a_lease_without_slots():
    store = Store(held(slots=0), None, None)
    with pytest.raises(StoreRefused, match="app-9 holds slot 1 as a lease without slots"):
        acquire(store)


def test_slots_that_only_the_others_have_are_looked_at_too():
    store = Store(free(slots=5), None, None, None, held(slots=5))
    with pytest.raises(StoreRefused, match="slot 5 as one of 5"):
        acquire(store)


def test_when_nobody_holds_one_the_number_is_changed_in_slot_1_after_a_look_at_all_others():
    store = Store(free(slots=5), None, free(slots=5), None, free(slots=5))
    verdict = acquire(store)
    assert (verdict.is_leader, verdict.slot, verdict.why, verdict.before.record.slots) == (True, 1, Why.ACQUIRED, 5)
    assert store.requests == [*reads(5), "Write 1", *reads(5)[1:], "Write 1"]
    assert (store.records[1].slots, store.records[1].slots_before) == (3, 0)


def test_while_the_number_is_being_changed_slot_1_says_so():
    noted = []
    store = Store(free(slots=5), None, None, before_7=lambda store: noted.append(store.records[1]))
    acquire(store)
    assert (noted[0].slots, noted[0].slots_before) == (3, 5)


def test_who_changes_the_number_gives_slot_1_back_if_somebody_holds_one_of_the_number_before():
    store = Store(free(slots=5), None, None, before_7=lambda store: store.put(4, held(slots=5)))
    with pytest.raises(StoreRefused, match="slot 4 as one of 5"):
        acquire(store, hold_at_least=600.0)
    given_back = store.records[1]
    assert (given_back.released, given_back.slots, given_back.slots_before) == (True, 5, 0)  # as it was before
    assert (given_back.hold_at_least, given_back.history) == (0, ())  # nobody has led


def test_who_takes_another_slot_gives_it_back_if_the_number_was_changed_meanwhile():
    store = Store(free(), held(), None, before_5=lambda store: store.put(1, held(slots=5, slots_before=3)))
    store.put(1, held())
    with pytest.raises(StoreRefused, match="slot 1 as one of 5"):
        acquire(store)
    assert store.requests[:6] == [*reads(3), "Write 3", "Read 1", "Write 3"]
    assert store.records[3].released


def test_a_slot_that_is_given_back_because_nobody_has_led_in_it_is_not_held_back():
    store = Store(free(), held(), None, before_5=lambda store: store.put(1, free(slots=5, slots_before=3)))
    store.put(1, held())
    verdict = acquire(store, hold_at_least=600.0)
    assert (verdict.is_leader, verdict.slot, store.records[3].released) == (True, 1, True)
    assert (store.records[3].hold_at_least, store.records[3].history) == (0, ())


def test_where_slot_1_does_not_say_how_many_there_were_all_that_there_may_have_been_are_looked_at():
    store = Store(free(slots=0), None, None, *[None] * 96, held(slots=100))
    with pytest.raises(StoreRefused, match="slot 100 as one of 100"):
        acquire(store)


def test_a_slot_that_would_not_count_any_more_must_be_readable():
    store = Store(free(slots=3), None, Unreadable("schema 9"))
    with pytest.raises(StoreRefused, match="slot 3 is unreadable"):
        acquire(store, 2)


def test_while_somebody_else_changes_the_number_to_the_same_one_nobody_takes_another_slot():
    store = Store(held(slots=3, slots_before=5), None, None)
    assert not acquire(store).is_leader
    assert not any(one.startswith("Write") for one in store.requests)


def test_a_change_that_was_not_completed_is_completed_by_the_next_one():
    store = Store(free(slots=3, slots_before=5), None, None)
    assert acquire(store).slot == 1
    assert store.requests == [*reads(5), "Write 1", *reads(5)[1:], "Write 1"]
    assert store.records[1].slots_before == 0


def test_a_slot_that_is_kept_is_not_led_by_when_slot_1_says_another_number():
    store = Store(free(slots=5), mine(), None)
    with pytest.raises(StoreRefused, match="slot 1 does not say any more that there are 3 slots"):
        acquire(store)
    assert not store.records[2].released


JUST_OVER = 30.5
"""Seconds since a write by which its lease has lapsed, and is not free for others yet: who wrote it may still lead."""


def test_nor_is_it_given_back_while_the_session_may_still_lead_in_it():
    store = Store(free(slots=5), mine(), None)
    store.modified[2] = NOW - JUST_OVER
    with pytest.raises(StoreRefused, match="slot 1 does not say any more that there are 3 slots"):
        acquire(store)
    assert store.requests == reads(5)
    assert not store.records[2].released


def test_nor_if_the_number_is_changed_just_when_it_is_claimed_anew():
    store = Store(free(), mine(), None, before_5=lambda store: store.put(1, free(slots=5)))
    store.modified[2] = NOW - JUST_OVER
    with pytest.raises(StoreRefused, match="slot 1 does not say any more that there are 3 slots"):
        acquire(store)
    assert store.requests == [*reads(3), "Write 2", "Read 1"]
    assert not store.records[2].released


def test_when_nobody_can_lead_in_it_any_more_the_session_takes_slot_1_and_says_how_many_there_are():
    store = Store(free(slots=5), mine(), None)
    store.modified[2] = NOW - 33
    verdict = acquire(store)
    assert (verdict.is_leader, verdict.slot, store.records[1].slots, store.records[1].slots_before) == (True, 1, 3, 0)


# -- without an earlier result


def renew(store, count=3, duration=None):
    return store.drive(slots.renew(ME, count, duration, store.time, 15.0, nonces()))


def test_the_slot_that_the_session_has_is_found_and_renewed():
    store = Store(held(), mine(), free())
    verdict = renew(store)
    assert (verdict.is_leader, verdict.why, verdict.slot) == (True, Why.RENEWED, 2)
    assert store.records[2].sequence == 2


def test_who_has_none_renews_none():
    store = Store(held(), free(), free())
    verdict = renew(store)
    assert (verdict.is_leader, verdict.why) == (False, Why.NO_SLOT)
    assert store.requests == reads(3)


def test_a_slot_is_not_renewed_unless_slot_1_says_how_many_there_are():
    store = Store(free(slots=5), mine(), None)
    assert (renew(store).is_leader, renew(store).why) == (False, Why.UNFINISHED)


def test_a_slot_is_not_renewed_that_was_claimed_as_one_of_another_number():
    store = Store(held(), mine(slots=5), None)
    assert (renew(store).is_leader, renew(store).why) == (False, Why.UNFINISHED)


def release(store, **how):
    return store.drive(slots.release(ME, 3, store.time, 15.0, nonces(), **how))


def test_the_slot_that_the_session_has_is_found_and_released():
    store = Store(held(), mine(), free())
    verdict = release(store, reason="done")
    assert (verdict.why, verdict.slot, store.records[2].released) == (Why.RELEASED, 2, True)
    assert (store.records[2].slots, store.records[2].metadata["reason"]) == (3, "done")


def test_a_slot_is_released_whatever_number_is_named():
    store = Store(held(slots=4), None, None, mine(slots=4))
    verdict = release(store)
    assert (verdict.why, verdict.slot, store.records[4].released) == (Why.RELEASED, 4, True)


def test_who_has_none_releases_none():
    store = Store(held(), free(), free())
    assert release(store).why is Why.NO_SLOT
    assert store.requests == reads(3)


def test_all_slots_are_told_and_whether_one_is_the_sessions():
    store = Store(held(), mine(), None)
    verdict = store.drive(slots.inspect(ME, 3, store.time, 15.0))
    assert (verdict.is_leader, verdict.slot, verdict.why) == (True, 2, Why.FOUND)
    assert [isinstance(one, Absent) for one in verdict.slots] == [False, False, True]


@pytest.mark.parametrize("records", [(free(slots=5), mine(), None), (held(), mine(slots=5), None)])
def test_who_has_not_completed_its_claim_is_not_told_that_it_leads(records):
    store = Store(*records)
    verdict = store.drive(slots.inspect(ME, 3, store.time, 15.0))
    assert (verdict.is_leader, verdict.slot) == (False, 2)


def test_who_has_lost_its_slot_is_not_told_that_it_leads():
    store = Store(held(), mine(), None)
    store.modified[2] = NOW - 31
    assert not store.drive(slots.inspect(ME, 3, store.time, 15.0)).is_leader


@pytest.mark.parametrize("request_number", [2, 3, 4])
def test_who_paused_while_it_looked_until_its_slot_had_lapsed_is_not_told_that_it_leads(request_number):
    def pause(store):
        store.time += 31

    store = Store(held(), mine(), None, **{"before_%d" % request_number: pause})
    if request_number == 2:  # as the read of its own slot came back, whose answer is from before
        store.modified[2] += 31
    assert not store.drive(slots.inspect(ME, 3, store.time, 60.0)).is_leader


def test_who_paused_while_it_looked_and_has_slot_1_is_not_told_that_it_leads_after_its_end():
    def pause(store):
        store.time += 31

    store = Store(mine(), None, None, before_3=pause)
    assert not store.drive(slots.inspect(ME, 3, store.time, 60.0)).is_leader


def test_who_looks_is_not_told_that_it_leads_if_the_number_was_changed_meanwhile():
    store = Store(held(), mine(), None, before_4=lambda store: store.put(1, free(slots=5)))
    assert not store.drive(slots.inspect(ME, 3, store.time, 15.0)).is_leader


def test_who_renews_does_not_lead_if_the_number_was_changed_meanwhile():
    store = Store(held(), mine(), None, before_4=lambda store: store.put(1, free(slots=5)))
    assert (renew(store).is_leader, renew(store).why) == (False, Why.UNFINISHED)


def test_who_has_none_is_told_of_the_first_to_be_free():
    store = Store(held(), held(), None)
    verdict = store.drive(slots.inspect(ME, 3, store.time, 15.0))
    assert (verdict.is_leader, verdict.slot) == (False, 3)


def test_the_deadline_is_that_of_the_write():
    store = Store(held(), None, held())
    verdict = acquire(store)
    assert verdict.deadline == pytest.approx(1000.0 + 3 * REQUEST + 30.0)


def test_who_hears_of_slot_1_only_after_the_deadline_does_not_lead():
    def hangs(store):
        store.time += 31.0

    store = Store(held(lease_duration=300.0), None, held(lease_duration=300.0), before_5=hangs)
    verdict = acquire(store)
    assert verdict.is_leader
    assert verdict.deadline > store.time
    assert verdict.lease.record.term > 1


def test_what_is_held_is_renewed_by_its_own_store():
    """What goes on with a slot goes on as with any lease."""
    verdict = acquire(Store(held(), None, held()))
    assert Held(verdict.lease, verdict.deadline, 1001.0).written_at == pytest.approx(1000.3)
