# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The core with one rule broken each, by the rule's number: what the simulation must catch."""

from __future__ import annotations

import functools
import typing as t

from . import core
from .core import Change

protocol = functools.partial(Change, "protocol.py")
store = functools.partial(Change, "store.py")
claimant = functools.partial(Change, "claimant.py")
clock = functools.partial(Change, "clock.py")

MUTANTS: dict[str, tuple[Change, ...]] = {
    "rule 1: a replacement has no condition": (
        store("""headers["If-Match"] = '"%s"' % replaces if self.quoted else replaces""", "pass"),
    ),
    "rule 1: a creation has no condition": (store('''headers["If-None-Match"] = "*"''', "pass"),),
    "rule 2: a renewal keeps the nonce": (
        protocol("sequence=record.sequence + 1,\n        nonce=nonce,", "sequence=record.sequence + 1,"),
    ),
    "rule 3: the term stays": (protocol("term=term_of(found) + 1 if", "term=term_of(found) if"),),
    "rule 3: a creation begins with 1": (
        protocol("else int(now),\n        sequence=1", "else 1,\n        sequence=1"),
        protocol("term=max(draft.term, int(now))", "term=draft.term"),
    ),
    "rule 3: a creation that came late keeps its term": (
        protocol("term=max(draft.term, int(now))", "term=draft.term"),
    ),
    "rule 4: a release forgets the term": (protocol("term=term_of(found) or int(now),", "term=1,"),),
    "rule 4: a released lease is not free": (
        protocol("    if record.released:\n        return 0.0\n    if record.foreign", "    if record.foreign"),
        protocol("if record is None or record.released:", "if record is None:"),
    ),
    "rule 5: whosever lease is released": (
        protocol("if not ours and not (force and _identity(found) == aim):", "if False:"),
    ),
    "rule 6: the time counts from the last send": (
        protocol("anchor = answer.asked if anchor is None else anchor", "anchor = answer.asked"),
    ),
    "rule 6: the time counts from the answer": (
        protocol("anchor = answer.asked if anchor is None else anchor", "anchor = answer.at"),
    ),
    "rule 7: the clock stands still in suspend": (
        clock("""getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)""", "time.CLOCK_MONOTONIC"),
    ),
    "rule 8: a late renewal counts": (protocol("if result.at >= min(lapses_at, deadline):", "if False:"),),
    "rule 8: a late acquisition counts": (protocol("if result.at < min(lapses_at, deadline):", "if True:"),),
    "rule 8: an acquisition is not bounded": (
        protocol("until = at + min(want.lease_duration, max(want.patience, give_up - at))", "until = at + 1000"),
        protocol("if result.at < min(lapses_at, deadline):", "if result.at < deadline:"),
    ),
    "rule 10: an error ends it": (protocol("if answer.at + delay >= until:", "if True:"),),
    "rule 10: an error is a loss": (
        protocol(
            "            raise StoreUnreachable(outcome.why)\n        yield Pause(delay / 2",
            "            raise StoreUnreachable(outcome.why)\n"
            "        return View(Absent(0), answer.asked, answer.at)\n"
            "        yield Pause(delay / 2",
        ),
    ),
    "rule 11: a lower layer tries again": (
        store(
            "return Unknown(str(error))",
            "response = self._connection.send(method, headers, body, MAX_BODY)",
        ),
    ),
    "rule 12: no answer is taken for success": (
        protocol(
            "        doubtful = True\n", "        return Landed(Seen(draft, '', 0, 0), body, anchor, answer.at)\n"
        ),
    ),
    "rule 12: the nonce is not compared": (protocol("record.nonce == draft.nonce", "record.session == draft.session"),),
    "rule 12: no answer is taken for failure": (
        protocol("        doubtful = True\n", "        raise StoreUnreachable('no clean answer')\n"),
    ),
    "rule 12: an error tells of no doubt": (
        protocol("raise type(error)(str(error), doubtful=doubtful)", "raise type(error)(str(error))"),
    ),
    "rule 13: a lease that is gone is made anew in its term": (
        protocol(
            "        if not isinstance(found, Seen) or mine is None or (held",
            "        if isinstance(found, Absent) and held:\n"
            "            record = held.seen.record._replace(sequence=99, nonce=fresh_nonce())\n"
            "            result = yield from put(record, None, start + patience)\n"
            "            if isinstance(result, Landed):\n"
            "                return Verdict(True, Why.RENEWED, result.seen, before, result.anchor + 1)\n"
            "        if not isinstance(found, Seen) or mine is None or (held",
        ),
    ),
    "rule 14: the observer is hasty": (
        protocol("+ margin(record.lease_duration) - unchanged_for", "- 1 - unchanged_for"),
    ),
    "rule 14: the observer forgets what it watched": (
        protocol("        if _version(found) != watched:\n", "        if watched is None:\n"),
    ),
    "rule 15: no margin": (protocol("+ margin(record.lease_duration) - found.age", "- found.age"),),
    "rule 15: half the margin": (protocol("return max(MARGIN_LEAST, GRAIN", "return max(1.0, 0 * GRAIN"),),
    "rule 15: the caller's own clock": (
        store("import datetime", "import datetime\nimport time"),
        store('date = http_date(response, "date")\n        if unchanged', "date = time.time()\n        if unchanged"),
    ),
    "rule 16: what cannot be read is free": (protocol("return None  # rule 16", "return 0.0"),),
    "rule 16: a failed read means absent": (
        store(
            'if method == "GET" and status == 404 and code == "NoSuchKey":',
            'if method == "GET" and status in (404, 500, 503):',
        ),
    ),
    "rule 16: what is held is told to be free": (
        protocol(
            "    if free_in(found) != 0:\n        return Why.HELD",
            "    if free_in(found) != 0:\n        return Why.FREE",
        ),
    ),
    "rule 17: the holder's name is enough": (
        protocol("record.session == me.session and not", "record.holder == me.holder and not"),
    ),
    "rule 18: nobody asks for the conditions": (
        protocol("if isinstance(result, Landed) and not draft.proven:", "if False:"),
    ),
    "rule 18: only the creation is asked for": (
        protocol(
            'for replaces, name in ((None, "If-None-Match"), (_NO_ETAG, "If-Match")):',
            'for replaces, name in ((None, "If-None-Match"),):',
        ),
    ),
    "rule 18: a renewal leads where nobody asked": (protocol("if not mine.proven:", "if False:"),),
    "rule 19: the ETag stays quoted": (store("if requote:", "if False:"),),
    "rule 20: the same write goes again at once": (protocol("WRITES_APART = 2.0", "WRITES_APART = 0.05"),),
    "rule 22: a lapse does not end the term": (
        protocol("if view.at >= lapses_at:", "if False:"),
        protocol("yield from put(draft, found.etag, lapses_at)", "yield from put(draft, found.etag, start + patience)"),
        protocol("if result.at >= min(lapses_at, deadline):", "if result.at >= deadline:"),
    ),
    "rule 22: an acquisition leads on in a lapsed term": (
        protocol("if mine and mine.term != lapsed_term and is_live(mine, age_of(found)):", "if mine:"),
        protocol(
            "lapses_at = view.asked + mine.lease_duration - age_of(found)\n        else:\n            why",
            "lapses_at = at + want.lease_duration\n        else:\n            why",
        ),
    ),
    "rule 23: leadership is told before the write": (
        protocol(
            "result = yield from put(draft, _version(found), until)\n        if isinstance(result",
            "result = Landed(Seen(draft, '', found.store_time, at), b'', at, at)\n        if isinstance(result",
        ),
    ),
    "rule 24: an acquisition shortens": (protocol("told = mine.lease_duration if mine.proven else 0.0", "told = 0.0"),),
    "rule 24: a renewal shortens": (protocol("told = lapses_at - view.asked", "told = 0.0"),),
}
"""By its rule and what it does wrong."""


def load(name: str) -> t.Any:
    """Return the core with this mutation. Raises ValueError where the code has moved on."""
    return core.load(name, MUTANTS[name])
