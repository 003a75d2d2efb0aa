# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Races of several contenders for one object, of which exactly one may win."""

from __future__ import annotations

from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from ..at_once import Write, at_once
from ..protocol import WRITES_APART, record_of
from ..record import Record, encode
from ..types import Absent, Found, Outcome, Refused, Seen, StoreError, Unknown, Written
from .conditions import ENFORCE
from .report import FAIL, PASS, UNKNOWN, Check
from .scratch import Scratch, Workspace

IN_VAIN = 3
"""Stop after this many rounds in a row without a contest."""


class Race(NamedTuple):
    """The answers to the contenders, and the object afterwards."""

    outcomes: Sequence[Outcome]
    found: Found
    standing: Optional[int]
    """The contender whose write the object holds; None for somebody else's, or no object."""
    seconds: float
    """Until the last answer came."""

    @property
    def fault(self) -> str:
        """What makes the store unfit for a lease; '' for nothing."""
        winners = [number for number, outcome in enumerate(self.outcomes) if isinstance(outcome, Written)]
        if len(winners) > 1:
            return "%d of %d contenders were told that they won" % (len(winners), len(self.outcomes))
        if winners and self.standing != winners[0]:
            what = "no object" if isinstance(self.found, Absent) else "another write"
            return "one contender was told that it won, but the store has %s" % what
        return ""

    @property
    def decided(self) -> bool:
        """Whether there was a contest and one write won, even if its contender got no clean answer.

        It was no contest if the store throttled more than half of the contenders.
        """
        refused = [outcome for outcome in self.outcomes if isinstance(outcome, Unknown) and outcome.refuted]
        enough = not self.throttled or self.clean * 2 >= len(self.outcomes)
        return self.standing is not None and bool(refused) and enough

    @property
    def clean(self) -> int:
        """How many got a clear yes or no."""
        return sum(
            isinstance(outcome, Written) or (isinstance(outcome, Unknown) and outcome.refuted)
            for outcome in self.outcomes
        )

    @property
    def trouble(self) -> Tuple[str, str]:
        """An answer that is neither yes nor no, and what to do about it; '' if there was none."""
        for outcome in self.outcomes:
            if isinstance(outcome, Refused):
                return outcome.why, outcome.advice
            if isinstance(outcome, Unknown) and not outcome.refuted:
                return outcome.why, ""
        return "", ""

    @property
    def throttled(self) -> bool:
        return any(isinstance(outcome, Unknown) and outcome.throttled for outcome in self.outcomes)


def races(work: Workspace, contenders: int, rounds: int) -> List[Check]:
    """Let several contenders create an object, and then replace it, in this many rounds."""
    creates: List[Race] = []
    replaces: List[Race] = []
    trouble = ("", "")
    for number in range(1, rounds + 1):
        scratch = work.scratch("-%d" % number)
        try:
            creates.append(_race(work, scratch, None, contenders))
            created = creates[-1].found
            if isinstance(created, Seen):
                if creates[-1].throttled:
                    work.clock.sleep(WRITES_APART)
                replaces.append(_race(work, scratch, created.etag, contenders))
        except StoreError as error:
            trouble = (error.why, error.advice)
            break
        if any(race.fault for race in (creates[-1], *replaces[-1:])):
            break  # one is enough
        if number >= IN_VAIN and not any(race.decided for race in creates[-IN_VAIN:] + replaces[-IN_VAIN:]):
            break
    return [
        _judge("create_race", creates, contenders, len(creates), trouble),
        _judge("replace_race", replaces, contenders, len(creates), trouble),
    ]


def _race(work: Workspace, scratch: Scratch, replaces: Optional[str], contenders: int) -> Race:
    drafts = [work.draft() for _number in range(contenders)]

    def write(draft: Record) -> Write:
        own = work.scratch(scratch.name)

        def send(hold: Callable[[], None]) -> Outcome:
            own.wire.alone = False
            until = work.clock.now() + work.timeout * 2
            return own.store.write(encode(draft), replaces, until, *work.form, hold=hold)

        return send

    writes = [write(draft) for draft in drafts]
    started = work.clock.now()
    outcomes = at_once(writes, work.timeout * 2, work.clock)
    seconds = work.clock.now() - started
    found = work.look(scratch).found
    record = record_of(found)
    nonces = [draft.nonce for draft in drafts]
    standing = nonces.index(record.nonce) if record and record.nonce in nonces else None
    return Race(outcomes, found, standing, seconds)


def _judge(name: str, races: List[Race], contenders: int, rounds: int, trouble: Tuple[str, str]) -> Check:
    """Judge the races, of which this many rounds began."""
    for number, race in enumerate(races, 1):
        if race.fault:
            seen = "of writes at the same instant, %s (%s, round %d)" % (race.fault, name.partition("_")[0], number)
            return Check(name, FAIL, seen, ENFORCE)
    decided = sum(race.decided for race in races)
    slowest = max([race.seconds for race in races] or [0.0])
    if decided and decided * 2 >= rounds and not trouble[0]:
        fewest = min(race.clean for race in races if race.decided)
        who = "%d" % contenders if fewest == contenders else "at least %d of %d" % (fewest, contenders)
        seen = "of %s contenders at the same instant exactly one won, in %d of %d rounds" % (who, decided, rounds)
        return Check(name, PASS, seen + "; all answers came within %.3g s" % slowest)
    if any(race.throttled for race in races):
        return Check(
            name,
            UNKNOWN,
            "the store throttles writes to one key, so only %d of %d rounds were a contest" % (decided, rounds),
            "Try fewer contenders, or rely on what its operator guarantees",
        )
    troubles = [trouble, *(race.trouble for race in races), ("nobody won", "")]
    why, advice = next(one for one in troubles if one[0])
    return Check(name, UNKNOWN, "only %d of %d rounds were decided: %s" % (decided, rounds, why), advice)
