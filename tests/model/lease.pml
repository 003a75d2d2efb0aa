/*
 * Copyright (c) 2026 the leaderelection.s3 authors
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The lease protocol (plugins/module_utils/_lease/protocol.py) as a model that spin searches completely: `make model`.
 *
 * What must hold, in every state that can be reached:
 *
 * P1: at any instant at most one claimant leads: has been told so, and its deadline has not come.
 * P2: the term rises with every acquisition, and nobody but who acquired it writes it.
 * P3: a release frees nobody else's lease, and keeps the term.
 * P4: nobody is told that it leads but by a write that landed, on a lease whose store was asked for its conditions.
 * P5: a lease that was over is not prolonged.
 * P6: nobody is told that it lost while its write stands.
 * L1: once the faults have stopped, somebody leads again.
 *
 * What the words of protocol.py are here:
 *
 * ETag. All that a condition asks is whether the ETag is the present one. A version that was replaced never comes back
 *   (rule 2; its mutants let it), so a request says CURRENT until the next write lands. From then on it can only be
 *   refused: it is forgotten, and its sender is idle, since put() returns what stands there instead, and to decide anew
 *   by that is what whoever is idle may do.
 * look(). Reading and deciding are one step. The write that follows is sent at any later time, so the answer to the
 *   read may have been late. A read that fails is no step (rule 16).
 * put(). A request that was sent lands at any later time, or never. Its sender hears of that at any later time, from
 *   the answer or by looking for its nonce (rule 12: one step, `landed`), or gives up at any time. Then the request may
 *   still be under way, even after its sender's end: one such at a time, beside those that their senders wait for.
 *   Sending the same bytes again changes nothing: they are under way anyway. What was replaced is gone: a request that
 *   is doubled lands twice only if it creates.
 * Time. One tick bounds what the store's grain of 1 s and the clocks' rates can be off by in the life of a lease. It is
 *   added where it does harm: whoever leads believes so for a tick too long, and whoever takes over comes a tick early.
 *   Counters run up to where nothing depends on them any more.
 * Term. Only the distance to the highest term acquired so far counts. The store's time in seconds, by which a new lease
 *   starts (rule 3), is higher than every term before it, as no lease changes hands more than once a second: NEW. Later
 *   acquisitions take that away from it.
 * Session. A claimant that crashes is born again at once with a new session; its old one is among the DEAD.
 */

/* Variants: with OBSERVED claimants take over by rule 14, else by rule 15; with OPERATOR the object is deleted at any
   time; with CALM the faults stop at any time, for L1; with DURATIONS each acquisition and renewal asks for a duration
   of its own. BASE has none of these. */

#ifndef CLAIMANTS
#define CLAIMANTS 3
#endif
#ifndef DURATION
#define DURATION 2 /* of a lease, in ticks; the longest one with DURATIONS */
#endif
#ifndef MUTANT
#define MUTANT 0
#endif
#define broken(rule) (MUTANT == rule)

/* Mutants: the number, the variant and the property that refute it, and what is broken. */

#define RULE_1_UNCONDITIONAL 1 /* BASE P3: writes are not conditional */
#define RULE_2_ETAG_RETURNS 2 /* BASE P1: a renewal has the bytes of what it replaces, and so its ETag */
#define RULE_2_ETAG_RETURNS_OBSERVED 3 /* OBSERVED P1: the same, where others watch the ETag */
#define RULE_2_NONCE_REPEATS 4 /* BASE P4: a renewal has the nonce of what it replaces */
#define RULE_3_TERM_STAYS 5 /* BASE P2: an acquisition keeps the term */
#define RULE_3_STARTS_AT_ONE 6 /* OPERATOR P2: a new lease starts at term 1 */
#define RULE_3_LATE_CREATION 7 /* OPERATOR P2: a creation that landed late keeps the term that it was drafted with */
#define RULE_4_DELETE 8 /* BASE P3: a release is a DELETE, which minds no condition */
#define RULE_4_TERM_FORGOTTEN 9 /* BASE P3: a release forgets the term */
#define RULE_5_ANYBODYS 10 /* BASE P3: any lease is released */
#define RULE_6_FROM_ANSWER 11 /* BASE P1: the holder's time counts from the answer */
#define RULE_6_FROM_RESEND 12 /* BASE P1: the holder's time counts from the last send */
#define RULE_7_STANDS_STILL 13 /* BASE P5: the clock of claimant 0 stands still, as in a suspend */
#define RULE_8_LATE_ANSWER 14 /* BASE P5: an answer after the deadline brings leadership */
#define RULE_10_ERROR_IS_LOSS 15 /* BASE P6: no answer is taken for a loss */
#define RULE_11_RETRIED 16 /* BASE P6: the SDK sends again, and the 412 for one's own write is taken for a loss */
#define RULE_12_NO_ANSWER_IS_SUCCESS 17 /* BASE P4: no answer is taken for success */
#define RULE_13_RECREATED 18 /* OPERATOR P2: a renewal that finds nothing creates the lease anew, in its term */
#define RULE_14_NO_MARGIN 19 /* OBSERVED P1: the observer adds no margin */
#define RULE_14_HALF_MARGIN 20 /* OBSERVED P1: the observer adds half the margin */
#define RULE_15_NO_MARGIN 21 /* BASE P1: who takes over by the store's clock adds no margin */
#define RULE_15_HALF_MARGIN 22 /* BASE P1: who takes over by the store's clock adds half the margin */
#define RULE_15_OWN_DURATION 23 /* DURATIONS P1: who takes over waits for as long as it asks for itself */
#define RULE_15_NEVER 24 /* CALM L1: an expired lease is not taken over */
#define RULE_16_UNREADABLE_IS_FREE 25 /* BASE P1: what cannot be read is taken for free */
#define RULE_17_HOLDER 26 /* BASE P3: all have one name, and the holder's name is enough */
#define RULE_18_NOT_ASKED 27 /* BASE P4: acquire leads without asking the store for its conditions */
#define RULE_18_RENEWED_UNASKED 28 /* BASE P4: renew leads by a record whose store was not asked */
#define RULE_22_LAPSE_FORGOTTEN 29 /* BASE P5: a lease that is over is renewed in its term */
#define RULE_23_EARLY 30 /* BASE P4: leadership is told when the write is sent */
#define RULE_23_LEADS_ON 31 /* BASE P1: who releases leads until the answer */
#define RULE_24_RENEWAL_SHORTENS 32 /* DURATIONS P1: a renewal lasts as long as is asked for, whatever was told */
#define RULE_24_ACQUISITION_SHORTENS 33 /* DURATIONS P1: so does an acquisition that finds its own */
#define RULE_24_BY_STORE_CLOCK 34 /* DURATIONS P1: what was told is reckoned by the store's clock */

/* Not here: 9 and 20 (how the options add up and requests are spaced: requests take any time here), 19 (the form of an
   ETag), 21 (the resource's). A store that ignores the conditions (18) is the mutant of rule 1. */

#ifdef OPERATOR
#define EXISTS_FOREVER false
#else
#define EXISTS_FOREVER true
#endif

#define SLIP 1
#if MUTANT == RULE_14_NO_MARGIN || MUTANT == RULE_15_NO_MARGIN
#define MARGIN 0
#elif MUTANT == RULE_14_HALF_MARGIN || MUTANT == RULE_15_HALF_MARGIN
#define MARGIN SLIP
#else
#define MARGIN (2 * SLIP)
#endif
#define led_for(duration) (duration + SLIP)
#define taken_at(duration) (duration + MARGIN - SLIP)

/* Spin does not mind a value that is wider than its field, and would search something else. */
#if DURATION < 1 || led_for(DURATION) > 7 || taken_at(DURATION) + 1 > 7
#error "counters of time have three bits: DURATION can be 1 to 5"
#endif
#if CLAIMANTS < 1 || CLAIMANTS > 7
#error "a session has three bits, and DEAD is one, too: CLAIMANTS can be 1 to 7"
#endif
#if defined(CALM) && (CLAIMANTS < 2 || CLAIMANTS > 3)
#error "the calm waits for claimants 0, 1 and the last one: with CALM, CLAIMANTS can be 2 or 3"
#endif

#define DEAD CLAIMANTS
#define ORPHAN CLAIMANTS
#define REQUESTS (CLAIMANTS + 1)
#define TOP 2 /* the highest term acquired so far; below are the ones before it */
#define NEW 3

mtype:kind = { CLAIM, PROOF, RENEWAL, TOMBSTONE }
mtype:condition = { NOTHING, CURRENT } /* If-None-Match: *, If-Match */
mtype:fate = { DRAFTED, SENT, STANDS, BURIED } /* BURIED: it landed, and was replaced since */

typedef Object {
    bool exists, released, proven;
    unsigned session : 3, term : 2, lasts : 3, age : 3
}
typedef Request { /* a Write, with what counts of its body */
    mtype:kind kind;
    mtype:condition replaces;
    mtype:fate fate;
    unsigned session : 3, term : 2, lasts : 3;
    bool proven, overdue /* overdue: it prolonged what was over */
}
typedef Claimant {
    unsigned leads : 3; /* until the deadline */
    unsigned anchor : 3; /* since the first send (rule 6) */
    unsigned lapses : 3; /* until the answer is too late (rule 8) */
    unsigned watched : 3; /* 0, or 1 + how long this ETag was seen (rule 14) */
    bool polled
}

Object store;
Claimant c[CLAIMANTS];
Request r[REQUESTS]; /* of each claimant, and one whose sender has given up or is dead */
unsigned leader : 3 = DEAD; /* who acquired the term TOP */
unsigned wanted : 3 = DURATION; /* the duration that whoever acquires or renews next asks for */
bool calm; /* the faults have stopped */
byte i; /* 0 between steps */

#define idle(n) (r[n].kind == 0)
#define landed(n) (r[n].fate == STANDS || r[n].fate == BURIED)
#define unconditional(x) (broken(RULE_1_UNCONDITIONAL) || broken(RULE_4_DELETE) && r[x].kind == TOMBSTONE)
#define in_vain(x) ((r[x].fate == SENT || r[x].fate == DRAFTED) && (r[x].replaces == CURRENT || EXISTS_FOREVER))
#define meets(x) (r[x].fate == SENT \
    && (r[x].replaces == CURRENT || r[x].replaces == NOTHING && !store.exists || unconditional(x)))
#define decides(n) (idle(n) && !(calm && c[n].polled))

/* own(), takeable_in() and the conditions of acquire() and renew() */
#define own(n) (store.exists && !store.released && (store.session == n || broken(RULE_17_HOLDER)))
#ifdef OBSERVED
#define expired(n) (c[n].watched > taken_at(store.lasts))
#define has_looked(n) (c[n].watched > 0)
#else
#define has_looked(n) true
#define waited_for (broken(RULE_15_OWN_DURATION) -> wanted : store.lasts)
#define expired(n) (store.age >= taken_at(waited_for) && !broken(RULE_15_NEVER))
#endif
#define claimable(n) (!store.exists || store.released || expired(n) \
    || own(n) && store.age + SLIP >= store.lasts /* rule 22 */ || broken(RULE_16_UNREADABLE_IS_FREE))
#define prolongs(n) (own(n) && (store.age < led_for(store.lasts) || broken(RULE_22_LAPSE_FORGOTTEN)))
#define time_left (led_for(store.lasts) - store.age + (store.age >= led_for(store.lasts)))
/* Rule 24, for acquire() that finds its own, and for renew() by what it was told: `leads` has a tick more than that. */
#define told_at_most ((store.lasts - (store.age + SLIP) * broken(RULE_24_BY_STORE_CLOCK)) \
    * store.proven * !broken(RULE_24_ACQUISITION_SHORTENS))
#define told(n) ((c[n].leads - SLIP) * !broken(RULE_24_RENEWAL_SHORTENS))
#define keeps_term (broken(RULE_3_LATE_CREATION) || broken(RULE_3_STARTS_AT_ONE) || broken(RULE_3_TERM_STAYS))
#define unasked(n) (r[n].kind == RENEWAL && broken(RULE_18_RENEWED_UNASKED) \
    || r[n].kind == CLAIM && broken(RULE_18_NOT_ASKED))
#define in_time(n) (c[n].lapses && c[n].anchor < led_for(r[n].lasts) || broken(RULE_8_LATE_ANSWER))

inline forget(x) {
    r[x].kind = 0; r[x].replaces = 0; r[x].fate = 0; r[x].session = 0; r[x].term = 0; r[x].lasts = 0;
    r[x].proven = 0; r[x].overdue = 0
}
inline end(n) { forget(n); c[n].anchor = 0; c[n].lapses = 0 }

inline gain(n) { /* Verdict(True, ...) */
    printf("claimant %d is told that it leads\n", n);
    assert(landed(n)); /* P4 */
    assert(r[n].proven); /* P4 */
    assert(!r[n].overdue); /* P5 */
    for (i : 0 .. CLAIMANTS - 1) {
        assert(i == n || c[i].leads == 0) /* P1 */
    }
    i = 0;
    c[n].leads = led_for(r[n].lasts) - c[n].anchor * !broken(RULE_6_FROM_ANSWER);
    c[n].leads = c[n].leads + (c[n].leads == 0); /* of a mutant of rule 8 only */
    end(n)
}
inline lose(n) { /* Verdict(False, ...) */
    printf("claimant %d is told that it lost\n", n);
    assert(r[n].fate != STANDS); /* P6 */
    c[n].leads = 0; end(n)
}

inline write(n, what, instead, number, duration, asked, remaining) {
    r[n].kind = what; r[n].replaces = instead; r[n].fate = DRAFTED; r[n].session = n; r[n].term = number;
    r[n].lasts = duration; r[n].proven = asked; r[n].overdue = 0;
    c[n].lapses = remaining; c[n].anchor = 0; c[n].watched = 0; c[n].polled = calm;
    if
    :: broken(RULE_23_EARLY) && what != TOMBSTONE -> gain(n)
    :: else
    fi
}

inline at_least(n, duration) { /* rule 24 */
    if
    :: r[n].lasts < duration -> r[n].lasts = duration
    :: else
    fi
}

/* Another version stands now. */
inline outdate() {
    for (i : 0 .. CLAIMANTS - 1) { c[i].watched = 0 }
    for (i : 0 .. REQUESTS - 1) {
        if
        :: in_vain(i) && !unconditional(i) ->
            forget(i);
            if
            :: i < CLAIMANTS -> c[i].anchor = 0; c[i].lapses = 0
            :: else
            fi
        :: r[i].fate == STANDS -> r[i].fate = BURIED
        :: else
        fi
    }
    i = 0
}
inline remove() {
    store.exists = 0; store.released = 0; store.proven = 0; store.session = 0; store.term = 0; store.lasts = 0;
    store.age = 0
}

inline commit(x) {
    if
    :: r[x].kind == TOMBSTONE ->
        printf("the store takes a release by session %d\n", r[x].session);
        assert(store.released || !store.exists || store.session == r[x].session); /* P3 */
        assert(r[x].term >= store.term) /* P3 */
    :: r[x].kind != TOMBSTONE && r[x].proven && r[x].term == NEW ->
        printf("the store takes a write by session %d: the term rises\n", r[x].session);
        for (i : 0 .. REQUESTS - 1) { r[i].term = r[i].term - (r[i].term > 0) }
        leader = r[x].session
    :: r[x].kind != TOMBSTONE && r[x].proven && r[x].term < NEW ->
        printf("the store takes a write by session %d\n", r[x].session);
        assert(r[x].term == TOP && r[x].session == leader) /* P2 */
    :: else -> /* nobody leads by it */
        printf("the store takes a write by session %d, unproven yet\n", r[x].session)
    fi;
    r[x].overdue = (r[x].kind == RENEWAL && store.age >= led_for(store.lasts));
    store.exists = 1; store.released = (r[x].kind == TOMBSTONE); store.proven = r[x].proven;
    store.session = r[x].session; store.term = r[x].term; store.lasts = r[x].lasts; store.age = 0;
    r[x].fate = 0;
    if
    :: (broken(RULE_2_ETAG_RETURNS) || broken(RULE_2_ETAG_RETURNS_OBSERVED)) && r[x].kind == RENEWAL
    :: else -> outdate()
    fi;
    if
    :: r[x].kind == TOMBSTONE && broken(RULE_4_DELETE) -> remove()
    :: else
    fi;
    if
    :: x < CLAIMANTS && r[x].kind != TOMBSTONE -> r[x].fate = STANDS
    :: x < CLAIMANTS && r[x].kind == TOMBSTONE -> forget(x) /* whether its sender hears of it makes no difference */
    :: x == ORPHAN && r[x].replaces == NOTHING && !EXISTS_FOREVER -> r[x].fate = SENT /* doubled */
    :: else -> forget(x)
    fi
}

/* The network keeps a request, or a copy of it, when its sender turns to something else. */
inline orphan(n) {
    r[ORPHAN].kind = r[n].kind; r[ORPHAN].replaces = r[n].replaces; r[ORPHAN].fate = SENT;
    r[ORPHAN].session = r[n].session; r[ORPHAN].term = r[n].term; r[ORPHAN].lasts = r[n].lasts;
    r[ORPHAN].proven = r[n].proven
}

inline crash(n) {
    printf("claimant %d crashes\n", n);
    end(n); c[n].leads = 0; c[n].watched = 0;
    if
    :: r[ORPHAN].kind && r[ORPHAN].session == n -> r[ORPHAN].session = DEAD
    :: else
    fi;
    if
    :: store.exists && store.session == n -> store.session = DEAD
    :: else
    fi;
    if
    :: leader == n -> leader = DEAD
    :: else
    fi
}

proctype claimant(byte n) {
    do
    /* acquire(): claim() */
    :: d_step { decides(n) && claimable(n) && !store.exists ->
        printf("claimant %d finds nothing, and sends a creation\n", n);
        write(n, CLAIM, NOTHING, NEW * !broken(RULE_3_STARTS_AT_ONE), wanted, false, led_for(wanted)) }
    :: d_step { decides(n) && claimable(n) && store.exists ->
        printf("claimant %d sends a claim\n", n);
        write(n, CLAIM, CURRENT, store.term + (store.term < NEW && !broken(RULE_3_TERM_STAYS)), wanted, store.proven,
            led_for(wanted)) }

    /* acquire() that finds its own, and renew(): renewal() */
    :: d_step { decides(n) && prolongs(n) ->
        printf("claimant %d sends a renewal\n", n);
        write(n, RENEWAL, CURRENT, store.term, wanted, store.proven, time_left);
        at_least(n, told_at_most) }
#ifdef DURATIONS /* else it is the same */
    :: d_step { decides(n) && prolongs(n) && c[n].leads ->
        printf("claimant %d, which knows until when it leads, sends a renewal\n", n);
        write(n, RENEWAL, CURRENT, store.term, wanted, store.proven, time_left);
        at_least(n, told(n)) }
#endif
    :: d_step { decides(n) && c[n].leads && !own(n) -> lose(n) }

    /* acquire() that finds it held: the next look is by another step */
#ifdef OBSERVED
    :: d_step { decides(n) && store.exists && c[n].watched == 0 ->
        printf("claimant %d begins to watch\n", n);
        c[n].watched = 1; c[n].polled = calm }
#endif
    :: d_step { calm && decides(n) && has_looked(n) && !claimable(n) && !prolongs(n) -> c[n].polled = 1 }

    /* release(): tombstone(); the work has stopped (rule 23) */
    :: d_step { !calm && idle(n) && (own(n) || broken(RULE_5_ANYBODYS) && store.exists && !store.released) ->
        printf("claimant %d sends a release\n", n);
        c[n].leads = c[n].leads * broken(RULE_23_LEADS_ON);
        write(n, TOMBSTONE, CURRENT, store.term * !broken(RULE_4_TERM_FORGOTTEN), 0, store.proven, 0) }

    :: d_step { r[n].fate == DRAFTED -> printf("claimant %d sends it\n", n); r[n].fate = SENT }

    /* put() returns Landed: after ask_for_conditions() a record that was not proven is put again */
    :: d_step { landed(n) && !r[n].proven && !unasked(n) ->
        if
        :: r[n].fate == STANDS ->
            printf("claimant %d has asked for conditions, and sends the proof\n", n);
            write(n, PROOF, CURRENT, NEW * !keeps_term + r[n].term * keeps_term, r[n].lasts, true, c[n].lapses)
        :: else -> end(n)
        fi }
    :: d_step { landed(n) && (r[n].proven || unasked(n)) && in_time(n) -> gain(n) }
    :: d_step { landed(n) && r[n].proven && !in_time(n) -> end(n) }
    :: d_step { landed(n) && r[n].proven && !in_time(n) && r[n].fate == STANDS ->
        printf("claimant %d heard too late, and sends a claim to the next term\n", n);
        write(n, CLAIM, CURRENT, r[n].term + (r[n].term < NEW), wanted, true, led_for(wanted)) }

    /* put() returns what stands there instead, or gives up: StoreUnreachable, or the task was killed */
    :: d_step { r[n].fate == SENT && !meets(n) -> end(n) }
    :: d_step { !calm && !idle(n) -> printf("claimant %d gives up\n", n); end(n) }
    :: d_step { !calm && r[n].fate == SENT ->
        printf("claimant %d gives up, and its request is under way\n", n);
        orphan(n); end(n) }
    :: d_step { !calm && landed(n) && r[n].replaces == NOTHING && !EXISTS_FOREVER ->
        printf("the creation by claimant %d is doubled\n", n);
        orphan(n) }
    :: d_step { !calm -> crash(n) }
    :: d_step { !calm && r[n].fate == SENT -> orphan(n); crash(n) }

    /* the store decides */
    :: d_step { meets(n) -> commit(n) }

    /* mutants of put() */
    :: d_step { broken(RULE_2_NONCE_REPEATS) && r[n].kind == RENEWAL && own(n) -> gain(n) }
    :: d_step { broken(RULE_6_FROM_RESEND) && !idle(n) -> printf("claimant %d sends it again\n", n); c[n].anchor = 0 }
    :: d_step { broken(RULE_10_ERROR_IS_LOSS) && !idle(n) -> lose(n) }
    :: d_step { broken(RULE_11_RETRIED) && landed(n) -> lose(n) }
    :: d_step { broken(RULE_12_NO_ANSWER_IS_SUCCESS) && !idle(n) && r[n].kind != TOMBSTONE -> gain(n) }
    od
}

active proctype world() {
    do
    :: d_step { meets(ORPHAN) -> commit(ORPHAN) }
#ifdef CALM
    :: d_step { !calm -> printf("the faults stop\n"); calm = 1 }
#endif
#ifdef DURATIONS
    :: d_step {
        wanted = wanted % DURATION + 1;
        printf("the duration that is asked for becomes %d\n", wanted) }
#endif
#ifdef OPERATOR
    /* Who led may not have noticed, and is out of the reckoning; so is whoever has yet to hear of a write of before. */
    :: d_step { store.exists && !calm ->
        printf("an operator deletes the object\n");
        for (i : 0 .. CLAIMANTS - 1) { c[i].leads = 0 }
        for (i : 0 .. REQUESTS - 1) {
            if
            :: r[i].replaces == NOTHING && r[i].fate != DRAFTED -> r[i].fate = SENT
            :: broken(RULE_13_RECREATED) && r[i].kind == RENEWAL -> r[i].replaces = NOTHING; r[i].fate = SENT
            :: r[i].kind && r[i].replaces == CURRENT && !(broken(RULE_13_RECREATED) && r[i].kind == RENEWAL) ->
                r[i].fate = SENT
            :: else
            fi
        }
        outdate();
        remove() }
#endif
    od
}

inline down(value) { value = value - (value > 0) }
inline up(value, most) { value = value + (value < most) }
#define waits(n) (idle(n) && c[n].polled)

/* In the calm, time goes on when all that is under way has come, and everybody has tried once more. */
active proctype clock() {
    do
    :: d_step { !calm || waits(0) && waits(1) && waits(CLAIMANTS - 1) ->
        printf("tick\n");
        for (i : 0 .. CLAIMANTS - 1) {
            c[i].polled = 0;
            if
            :: broken(RULE_7_STANDS_STILL) && i == 0
            :: else ->
                down(c[i].leads); down(c[i].lapses);
                if
                :: r[i].kind && r[i].kind != TOMBSTONE && r[i].fate != DRAFTED -> up(c[i].anchor, led_for(r[i].lasts))
                :: else
                fi;
                if
                :: c[i].watched -> up(c[i].watched, taken_at(store.lasts) + 1)
                :: else
                fi
            fi
        }
        i = 0;
        if
        :: store.exists -> up(store.age, led_for(store.lasts))
        :: else
        fi }
    od
}

init {
    atomic {
        for (i : 0 .. CLAIMANTS - 1) { run claimant(i) }
        i = 0
    }
}

#ifdef CALM
ltl L1 { [] (calm -> <> (c[0].leads || c[1].leads || c[CLAIMANTS - 1].leads)) }
#endif
