# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The core with one rule broken each, by the rule's number: what the simulation must catch, and by which claim."""

from __future__ import annotations

import functools
import typing as t

from . import core
from .core import Change

protocol = functools.partial(Change, "protocol.py")
slots = functools.partial(Change, "slots.py")
types = functools.partial(Change, "types.py")
store = functools.partial(Change, "store.py")
driver = functools.partial(Change, "driver.py")
clock = functools.partial(Change, "clock.py")
at_once = functools.partial(Change, "at_once.py")
heartbeat = functools.partial(Change, "host/heartbeat.py")

TWO_LEADERS = "still does"
TWO_NUMBERS = "still does (rule 30)"
NOBODY_LEADS = "of peace that"
UNTRUE = "(rule 16)"
"""Said of the lease, and never so."""
NOT_WRITTEN = "(rule 23)"
"""Leadership without a write that landed."""
TOO_LONG = "(rule 6)"
"""Leadership for longer than the record says."""


class Mutant:
    """Some changes to the core, and the violation that comes of them: by default one that names the mutant's rule."""

    def __init__(self, *changes: Change, shows: str = "") -> None:
        self.changes = changes
        self.shows = shows


ASKS_FOR_A_CREATION = """    yield from _ask(encode(record), None, "If-None-Match", until)
"""
ASKS_FOR_A_REPLACEMENT = """    form, at = yield from _ask(encode(record), _NO_ETAG, "If-Match", until)
"""
LETS_ONE_EXPIRE = """    if form.dated:
        form, at = yield from _expire(encode(record), form, until)
"""
RACES = """    result = yield from _race(view._replace(at=at), renewed, form, until)
"""
DOES_NOT_RACE = """    result = Landed(view.found, view.asked, at, form)
"""
OBSERVED_OR_BY_THE_STORE = 'age = unchanged_for if takeover == "observed" else found.age'
NOBODY_ASKS = protocol(
    ASKS_FOR_A_CREATION + ASKS_FOR_A_REPLACEMENT + LETS_ONE_EXPIRE + RACES,
    "    form, at = Form(), view.at\n" + DOES_NOT_RACE,
)
"""Or rule 18 keeps everybody from leading."""

KEEPS_ITS_SLOT = """        if self.own_slot == 1 or (self.own_slot and self.is_settled):
            return [self.own_slot]
"""
KEEPS_ITS_SLOT_IN_ANY_CASE = """        if self.own_slot:
            return [self.own_slot]
"""
LOOKS_AT_SLOT_1 = """            yield from self.look(1, self._until)
"""
LOOKS_AT_THE_OTHERS = """        for slot in range(2, max(self._slots, slots_before) + 1):
            yield from self.look(slot, self._until)
"""
REFUSES_WHO_MEANS_ANOTHER_NUMBER = """        try:
            self._refuse_others()
        except StoreRefused:
            yield from self._give_back(1, held, verdict.before)
            raise
"""
SAYS_HOW_MANY_THERE_ARE = """        want = self._want
        renewing = protocol.renew(
            self._me, held, want.lease_duration, self.now, want.patience, self._fresh_nonce, settles=True
        )
        renewed = yield from self.of(1, renewing)
"""

MUTANTS: dict[str, Mutant] = {
    "rule 1: a replacement has no condition": Mutant(
        store("""headers["If-Match"] = '"%s"' % replaces if quoted else replaces""", "pass"),
        NOBODY_ASKS,
        shows=TWO_LEADERS,
    ),
    "rule 1: a creation has no condition": Mutant(
        store('''headers["If-None-Match"] = "*"''', "pass"), NOBODY_ASKS, shows=TWO_LEADERS
    ),
    "rule 2: a renewal keeps the nonce": Mutant(
        protocol("sequence=record.sequence + 1,\n        nonce=nonce,", "sequence=record.sequence + 1,"), shows=TOO_LONG
    ),
    "rule 3: the term stays": Mutant(
        protocol("term = term_of(found) + 1", "term = term_of(found)"),
    ),
    "rule 3: a creation begins with 1": Mutant(
        protocol("term = max(term, int(found.store_time))", "pass"),
        protocol(
            "term = max(draft.term, int(view.found.store_time)) if _came_late(found, result) else draft.term",
            "term = draft.term",
        ),
    ),
    "rule 4: a release forgets the term": Mutant(
        protocol("term=term_of(found) or int(now),", "term=1,"),
    ),
    "rule 4: a released lease is not free": Mutant(
        protocol("        return -age\n    # The age counts", "        return 1e6\n    # The age counts"),
        shows=NOBODY_LEADS,
    ),
    "rule 5: any lease is released": Mutant(
        protocol("if not ours and not breakable:", "if False:"),
    ),
    "rule 5: any lease is broken, even if it changes hands meanwhile": Mutant(
        protocol("(record is not None or force_foreign) and _identity(found) == aim", "True"),
    ),
    "rule 6: the time counts from the last send": Mutant(
        protocol("anchor = answer.asked if anchor is None else anchor", "anchor = answer.asked"),
    ),
    "rule 6: the time counts from the answer": Mutant(
        protocol("anchor = answer.asked if anchor is None else anchor", "anchor = answer.at"),
    ),
    "rule 7: the clock stands still in suspend": Mutant(
        clock("""getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)""", "time.CLOCK_MONOTONIC"), shows=TWO_LEADERS
    ),
    "rule 8: a late renewal counts": Mutant(
        protocol("if result.at >= min(lapses_at, deadline):", "if False:"),
    ),
    "rule 8: a late acquisition counts": Mutant(
        protocol("if result.at < min(lapses_at, deadline):", "if True:"),
    ),
    "rule 8: an acquisition is not bounded": Mutant(
        protocol("until = at + min(want.lease_duration, max(want.patience, give_up - at))", "until = at + 1000"),
        protocol("if result.at < min(lapses_at, deadline):", "if result.at < deadline:"),
        shows="(rule 22)",
    ),
    "rule 10: an error ends it": Mutant(
        protocol("if answer.at + delay >= until:", "if True:"),
    ),
    "rule 10: an error is a loss": Mutant(
        protocol(
            "            raise StoreUnreachable(outcome.why)\n        yield Pause(delay / 2",
            "            raise StoreUnreachable(outcome.why)\n"
            "        return View(Absent(0), answer.asked, answer.at)\n"
            "        yield Pause(delay / 2",
        ),
        shows=UNTRUE,
    ),
    "rule 11: a lower layer tries again": Mutant(
        store(
            "return Unknown(str(error), sent=error.sent)",
            "response = self._connection.send(method, headers, body, MAX_BODY, stamp, before_last_byte)",
        ),
        shows="(rule 20)",
    ),
    "rule 12: no answer is taken for success": Mutant(
        protocol(
            "        doubtful = True\n", "        return Landed(Seen(draft, '', 0, 0), anchor, answer.at, form)\n"
        ),
        shows=NOT_WRITTEN,
    ),
    "rule 12: the nonce is not compared": Mutant(
        protocol("record.nonce == draft.nonce", "record.session == draft.session"), shows=TOO_LONG
    ),
    "rule 12: no answer is taken for failure": Mutant(
        protocol("        doubtful = True\n", "        raise StoreUnreachable('no clean answer')\n"), shows="(rule 10)"
    ),
    "rule 12: an error tells of no doubt": Mutant(
        protocol("error.doubtful = doubtful", "error.doubtful = False"),
    ),
    "rule 12: every error tells of doubt": Mutant(
        protocol("error.doubtful = doubtful", "error.doubtful = True"),
    ),
    "rule 13: a lease that is gone is made anew in its term": Mutant(
        protocol(
            "        if not isinstance(found, Seen) or mine is None or (held",
            "        if isinstance(found, Absent) and held:\n"
            "            record = held.seen.record._replace(sequence=99, nonce=fresh_nonce())\n"
            "            result = yield from put(record, None, start + patience, Form())\n"
            "            if isinstance(result, Landed):\n"
            "                return Verdict(True, Why.RENEWED, result.seen, before, result.anchor + 1)\n"
            "        if not isinstance(found, Seen) or mine is None or (held",
        ),
    ),
    "rule 14: the observer is hasty": Mutant(
        protocol(
            "    age = unchanged_for if takeover",
            "    age = unchanged_for + margin(record.lease_duration) + 1 if takeover",
        ),
        shows=TWO_LEADERS,
    ),
    "rule 14: the observer forgets what it watched": Mutant(
        types("if version != self._version or self._since > at:", "if self._version is None:"), shows=TWO_LEADERS
    ),
    "rule 15: no margin": Mutant(
        protocol(OBSERVED_OR_BY_THE_STORE, OBSERVED_OR_BY_THE_STORE + " + margin(record.lease_duration)"),
        shows=TWO_LEADERS,
    ),
    "rule 15: half the margin": Mutant(
        protocol("return max(MARGIN_LEAST, GRAIN", "return max(1.0, 0 * GRAIN"), shows=TWO_LEADERS
    ),
    "rule 15: the caller's own clock": Mutant(
        store("import datetime", "import datetime\nimport time"),
        store(
            "return self._outcome(method, headers, response, date)",
            "return self._outcome(method, headers, response, time.time())",
        ),
        shows=TWO_LEADERS,
    ),
    "rule 16: what cannot be read is free": Mutant(
        protocol("return None  # rule 16", "return 0.0"),
    ),
    "rule 16: a failed read means absent": Mutant(
        store(
            'if method == "GET" and status == 404 and code == "NoSuchKey":',
            'if method == "GET" and status in (404, 500, 503):',
        ),
    ),
    "rule 16: what is held is told to be free": Mutant(
        protocol(
            "    if free_in(found) != 0:\n        return Why.HELD",
            "    if free_in(found) != 0:\n        return Why.FREE",
        ),
    ),
    "rule 17: the holder's name is enough": Mutant(
        protocol("record.session != me.session or", "record.holder != me.holder or"), shows=NOT_WRITTEN
    ),
    "rule 18: nobody asks for the conditions": Mutant(
        protocol(
            "if isinstance(result, Landed) and (_came_late(found, result) or proof_of(result.seen, me) is None):",
            "if False:",
        ),
    ),
    "rule 18: only the creation is asked for": Mutant(
        protocol(ASKS_FOR_A_REPLACEMENT + LETS_ONE_EXPIRE + RACES, "    form, at = Form(), view.at\n" + DOES_NOT_RACE),
    ),
    "rule 18: nobody races": Mutant(
        protocol(RACES, DOES_NOT_RACE),
    ),
    "rule 18: who comes late races, too": Mutant(
        at_once("                raise GivenUp()\n", "                pass\n"),
    ),
    "rule 18: a proof counts for any store": Mutant(
        protocol("proof if proof and proof.store == me.store else None", "proof"),
    ),
    "rule 18: a renewal leads where nobody asked": Mutant(
        protocol("if mine.proof is None:", "if False:"),
        protocol("        if proof_of(found, me):\n", "        if True:\n"),
    ),
    "rule 19: the ETag stays quoted": Mutant(
        protocol("other = form._replace(quoted=not form.quoted)", "other = form"),
        shows=NOBODY_LEADS,
    ),
    "rule 20: the same write goes again at once": Mutant(
        protocol("WRITES_APART = 2.0", "WRITES_APART = 0.05"),
    ),
    "rule 22: a lapse does not end the term": Mutant(
        protocol("if view.at >= lapses_at:", "if False:"),
        protocol("lapses_at, form_of(mine.proof)", "start + patience, form_of(mine.proof)"),
        protocol("if result.at >= min(lapses_at, deadline):", "if result.at >= deadline:"),
    ),
    "rule 22: what was held in an earlier term is renewed": Mutant(
        protocol(" or (held and mine.term != term_of(held.seen))", ""),
    ),
    "rule 22: what is held ends when an older record does": Mutant(
        protocol("mine.sequence <= sequence_of(held.seen)", "mine.sequence == sequence_of(held.seen)"),
        shows="(rule 10)",
    ),
    "rule 22: what was held in an earlier term is released": Mutant(
        protocol(" and (held is None or term_of(found) == term_of(held.seen))", ""),
    ),
    "rule 22: an acquisition leads on in a lapsed term": Mutant(
        protocol(
            "if mine and mine.proof and mine.term != lapsed_term and is_live(mine, age_of(found)):",
            "if mine and mine.proof:",
        ),
        protocol(
            "lapses_at = view.asked + mine.lease_duration - age_of(found)\n        else:\n            why",
            "lapses_at = at + want.lease_duration\n        else:\n            why",
        ),
    ),
    "rule 23: leadership is told before the write": Mutant(
        protocol(
            "result = yield from put(draft, _version(found), until, form_of(known))",
            "yield Write(encode(draft), _version(found), until)\n"
            "        return Verdict(True, why, found, found, at + want.lease_duration)\n"
            "        result = view",
        ),
    ),
    "rule 24: a renewal shortens": Mutant(
        protocol("promised = lapses_at - view.at", "promised = 0.0"), shows=TWO_LEADERS
    ),
    "rule 26: a lease is not held back": Mutant(
        protocol("return record.hold_at_least + GRAIN - max(store_time - record.acquired_at, age)", "return -age"),
    ),
    "rule 27: a lease is reserved for nobody": Mutant(
        protocol("reserved = 0.0 if chosen or not record.successor else", "reserved = 0.0 if True else"),
    ),
    "rule 27: the successor waits, too": Mutant(
        protocol("chosen = record is not None and", "chosen = False and"), shows=NOBODY_LEADS
    ),
    "rule 28: nobody waits longer": Mutant(
        protocol("delay = 0.0 if chosen else want.takeover_delay", "delay = 0.0"),
    ),
    "rule 29: nobody looks again after a slow read": Mutant(
        protocol("if pause and not (mine", "if False and not (mine"),
    ),
    "rule 30: who took another slot does not look at slot 1 afterwards": Mutant(
        slots(LOOKS_AT_SLOT_1, ""),
        shows=TWO_NUMBERS,
    ),
    "rule 30: who takes another slot need not find its number in slot 1": Mutant(
        slots(
            "            if not self.is_settled:\n                if own",
            "            if False:\n                if own",
        ),
        shows=TWO_NUMBERS,
    ),
    "rule 30: who changes the number does not look at the others afterwards": Mutant(
        slots(LOOKS_AT_THE_OTHERS, ""),
        shows=TWO_NUMBERS,
    ),
    "rule 30: who changes the number looks only at the slots that it means": Mutant(
        slots("range(2, max(self._slots, slots_before) + 1)", "range(2, self._slots + 1)"),
        slots("max(self._slots, said.slots, said.slots_before)", "self._slots"),
        shows=TWO_NUMBERS,
    ),
    "rule 30: who changes the number does not note it": Mutant(
        protocol("slots_before=_slots_before(record, want.slots),", "slots_before=0,"),
        shows=TWO_NUMBERS,
    ),
    "rule 30: who goes on with a change forgets what there was before it": Mutant(
        protocol("return max(record.slots, record.slots_before)", "return record.slots"),
        slots("max(self._slots, said.slots, said.slots_before)", "max(self._slots, said.slots)"),
        shows=TWO_NUMBERS,
    ),
    "rule 30: a change is over before the others are looked at": Mutant(
        slots(
            LOOKS_AT_THE_OTHERS + REFUSES_WHO_MEANS_ANOTHER_NUMBER + SAYS_HOW_MANY_THERE_ARE,
            SAYS_HOW_MANY_THERE_ARE + LOOKS_AT_THE_OTHERS + REFUSES_WHO_MEANS_ANOTHER_NUMBER,
        ),
        shows=TWO_NUMBERS,
    ),
    "rule 30: nobody who means another number is refused": Mutant(
        slots("and due[slot] != 0", "and False"),
        shows=TWO_NUMBERS,
    ),
    "rule 30: a lease that has expired refuses, too": Mutant(
        slots("and due[slot] != 0", "and True"), shows=NOBODY_LEADS
    ),
    "rule 30: another slot is tried before slot 1 says how many there are": Mutant(
        slots("if self.is_settled else [1]", "if True else [1]"), shows=NOBODY_LEADS
    ),
    "rule 30: the own slot is not kept": Mutant(
        slots(KEEPS_ITS_SLOT, ""),
    ),
    "rule 30: a claim that was not completed is renewed": Mutant(
        slots("    if not reader.is_claimed(slot):\n        return reader.none(Why.UNFINISHED, slot)\n", ""),
    ),
    "rule 8: slot 1 is looked at, however long that takes": Mutant(
        slots("return verdict if self.now < held.lapses_at else None", "return verdict"),
    ),
    "rule 30: who looks leads by a claim that was not completed": Mutant(
        slots("is_leader = leads() and reader.is_claimed(slot)", "is_leader = leads()"),
    ),
    "rule 30: who paused while it looked leads": Mutant(
        slots("view.age_at(reader.now)", "view.age_at(view.at)"),
    ),
    "rule 30: another slot is renewed, and then refused": Mutant(
        slots("            self._refuse_to_renew()\n", ""),
        slots(KEEPS_ITS_SLOT, KEEPS_ITS_SLOT_IN_ANY_CASE),
        shows=NOBODY_LEADS,
    ),
    "rule 30: who may lead in another slot takes slot 1": Mutant(
        slots("            self._refuse_to_renew()\n", ""),
    ),
    "rule 14: a slot that was lost was observed before": Mutant(
        slots("= View(verdict.lease, self.now, self.now)", "= self.views[slot]._replace(found=verdict.lease)"),
        shows=TWO_LEADERS,
    ),
    "heartbeat: the services get no time to stop": Mutant(
        heartbeat("return held.lapses_at - self._timing.stop_grace", "return held.lapses_at"),
    ),
    "heartbeat: it leads on when its time is up": Mutant(
        heartbeat("left = self._until - self.now()", 'left = float("inf")'),
    ),
    "heartbeat: the lease is given back while services run": Mutant(
        heartbeat("if self._host.serving():", "if False:"), shows=TWO_LEADERS
    ),
}
"""By its rule and what it does wrong."""


def load(name: str) -> t.Any:
    """Return the core with this mutation. Raises ValueError where the code has moved on."""
    return core.load(name, MUTANTS[name].changes)


def shown(name: str, violation: str) -> bool:
    """Tell whether the violation is what the mutation leads to, and no accident on the way."""
    return (MUTANTS[name].shows or f"({name.partition(':')[0]})") in violation
