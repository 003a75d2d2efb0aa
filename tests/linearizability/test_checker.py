# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Histories written by hand, of which it is plain whether a lease can have them."""

from __future__ import annotations

import contextlib
import random

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Why

from .checker import Illegal, Lease, NotLinearizable, carry_out, check, timeline
from .history import ABSENT, NEVER, Look, Operation, Version, Write

DURATION = 4.0


def write(
    session: str,
    term: int,
    sequence: int,
    invoked: float,
    answered: float = NEVER,
    told: str = "",
    released: bool = False,
    forced: bool = False,
    proven: bool = True,
) -> Write:
    """A write whose nonce is its session, term and number."""
    nonce = f"{session}{term}.{sequence}"
    version = Version(nonce, session, term, sequence, released, proven, DURATION)
    deadline = invoked + DURATION if told in ("acquired", "renewed") else None
    return Write(session, version, invoked, answered, told, deadline, forced)


def acquired(session: str, term: int, invoked: float, answered: float) -> Write:
    return write(session, term, 1, invoked, answered, "acquired")


def renewed(session: str, term: int, sequence: int, invoked: float, answered: float) -> Write:
    return write(session, term, sequence, invoked, answered, "renewed")


def released(session: str, term: int, sequence: int, invoked: float, answered: float) -> Write:
    return write(session, term, sequence, invoked, answered, "released", released=True)


def broken(session: str, term: int, sequence: int, invoked: float, answered: float) -> Write:
    return write(session, term, sequence, invoked, answered, "broken", released=True, forced=True)


def look(session: str, told: str, seen: str, invoked: float, answered: float, **more: object) -> Look:
    return Look(session, seen, invoked, answered, told)._replace(**more)


ORDINARY: list[Operation] = [
    look("b", "free", ABSENT, 0, 0.1),
    acquired("a", 7, 1, 1.1),
    look("b", "held", "a7.1", 2, 2.1),
    renewed("a", 7, 2, 3, 3.1),
    look("a", "found", "a7.2", 3.2, 3.3, is_leader=True),
    released("a", 7, 3, 4, 4.1),
    look("a", "free", "a7.3", 4.2, 4.3),
    acquired("b", 8, 5, 5.1),
    look("a", "taken", "b8.1", 6, 6.1, term=7),
    acquired("c", 9, 12, 12.1),
    look("b", "taken", "c9.1", 13, 13.1, term=8),
    broken("b", 9, 2, 14, 14.1),
    acquired("b", 10, 14.2, 14.3),
]
UNTOLD_RENEWAL = write("a", 7, 2, 2)
TOLD_TO_LEAD = acquired("a", 7, 1, 1.1)

POSSIBLE: dict[str, list[Operation]] = {
    "an ordinary life": ORDINARY,
    "nothing": [],
    "a write without an answer took effect": [TOLD_TO_LEAD, UNTOLD_RENEWAL, renewed("a", 7, 3, 3, 3.1)],
    "a write without an answer had no effect": [TOLD_TO_LEAD, UNTOLD_RENEWAL, acquired("b", 8, 6, 6.1)],
    "a write took effect long after its sender had given up": [
        TOLD_TO_LEAD,
        UNTOLD_RENEWAL,
        look("b", "held", "a7.1", 5, 5.1),
        look("b", "held", "a7.2", 6, 6.1),
        acquired("b", 8, 13, 13.1),
    ],
    "one of two that never heard of their claims": [
        write("a", 7, 1, 1),
        write("b", 7, 1, 1),
        acquired("c", 8, 6, 6.1),
        look("d", "held", "c8.1", 6, 6.2),
        look("d", "held", "b7.1", 1, 6),
    ],
    "answers that overtake each other": [
        acquired("a", 7, 1, 3),
        look("b", "held", "a7.1", 1, 1.5),
        look("c", "free", ABSENT, 1.2, 5),
    ],
    "a takeover during a long call": [TOLD_TO_LEAD, acquired("b", 8, 2, 8)],
    "a claim that was confirmed too late, and a second one": [
        write("a", 7, 1, 1),
        look("b", "held", "a7.1", 2, 2.1),
        acquired("a", 8, 6, 6.1),
    ],
    "a creation whose term rises while the store is asked": [
        write("a", 7, 1, 1, proven=False),
        write("a", 9, 2, 1.5, 2, "acquired"),
    ],
    "a renewal after an acquisition that failed midway": [
        write("a", 7, 1, 1, proven=False),
        look("a", "unfinished", "a7.1", 2, 2.1),
    ],
    "the leader asks again, in a new term": [TOLD_TO_LEAD, acquired("a", 8, 2, 2.1)],
    "a renewal after a break that came to nothing": [
        TOLD_TO_LEAD,
        write("b", 7, 2, 1.5, released=True, forced=True),
        renewed("a", 7, 2, 2, 2.1),
    ],
}

IMPOSSIBLE: dict[str, list[Operation]] = {
    "two leaders of one term": [acquired("a", 7, 1, 1.1), acquired("b", 7, 2, 2.1)],
    "two leaders, a term apart": [acquired("a", 7, 1, 1.1), acquired("b", 8, 2, 2.1)],
    "a takeover just before the end": [acquired("a", 7, 1, 1.1), acquired("b", 8, 4, 4.99)],
    "a takeover before the end of what may have been renewed, and was": [
        TOLD_TO_LEAD,
        UNTOLD_RENEWAL,
        look("b", "held", "a7.2", 3, 3.1),
        acquired("b", 8, 5.1, 5.2),
    ],
    "a takeover after a renewal for less that its leader was not told of": [
        TOLD_TO_LEAD,
        UNTOLD_RENEWAL._replace(version=UNTOLD_RENEWAL.version._replace(duration=1)),
        look("b", "held", "a7.2", 3, 3.1),
        acquired("b", 8, 4, 4.1),
    ],
    "the term falls": [TOLD_TO_LEAD, released("a", 7, 2, 2, 2.1), acquired("b", 6, 3, 3.1)],
    "the term stays": [TOLD_TO_LEAD, released("a", 7, 2, 2, 2.1), acquired("b", 7, 3, 3.1)],
    "the term leaps": [TOLD_TO_LEAD, released("a", 7, 2, 2, 2.1), acquired("b", 9, 3, 3.1)],
    "the term rises in a renewal": [TOLD_TO_LEAD, renewed("a", 8, 2, 2, 2.1)],
    "a release is lost": [TOLD_TO_LEAD, released("a", 7, 2, 2, 2.1), look("b", "held", "a7.1", 3, 3.1)],
    "a release is overwritten by the leader": [
        TOLD_TO_LEAD,
        released("a", 7, 2, 2, 2.1),
        renewed("a", 7, 2, 3, 3.1),
    ],
    "a renewal is lost": [TOLD_TO_LEAD, renewed("a", 7, 2, 2, 2.1), renewed("a", 7, 2, 3, 3.1)],
    "a renewal after the loss": [
        TOLD_TO_LEAD,
        released("a", 7, 2, 2, 2.1),
        acquired("b", 8, 3, 3.1),
        renewed("a", 7, 2, 4, 4.1),
    ],
    "a renewal after the end": [TOLD_TO_LEAD, renewed("a", 7, 2, 7, 7.1)],
    "a stranger frees the lease": [TOLD_TO_LEAD, released("b", 7, 2, 2, 2.1)],
    "a stranger renews the lease": [TOLD_TO_LEAD, renewed("b", 7, 2, 2, 2.1)],
    "a stranger renews the lease in its holder's name": [
        TOLD_TO_LEAD,
        renewed("a", 7, 2, 2, 2.1)._replace(session="b", deadline=None),
    ],
    "a stale read": [TOLD_TO_LEAD, renewed("a", 7, 2, 2, 2.1), look("b", "held", "a7.1", 3, 3.1)],
    "a read of the future": [look("b", "held", "a7.1", 0, 0.5), TOLD_TO_LEAD],
    "a read of what nobody wrote": [TOLD_TO_LEAD, look("b", "held", "z9.9", 2, 2.1)],
    "two who see two writes in different orders": [
        TOLD_TO_LEAD,
        renewed("a", 7, 2, 2, 5),
        look("b", "found", "a7.2", 3, 3.1),
        look("c", "found", "a7.1", 3.2, 3.3),
    ],
    "refused for a lease that was released": [
        TOLD_TO_LEAD,
        released("a", 7, 2, 2, 2.1),
        look("b", "held", "a7.2", 3, 3.1),
    ],
    "refused for a lease that was over long ago": [TOLD_TO_LEAD, look("b", "held", "a7.1", 9, 9.1)],
    "refused for one's own lease": [TOLD_TO_LEAD, look("a", "held", "a7.1", 2, 2.1)],
    "told free of what is held": [TOLD_TO_LEAD, look("a", "free", "a7.1", 2, 2.1)],
    "told taken of what one holds": [TOLD_TO_LEAD, look("a", "taken", "a7.1", 2, 2.1, term=7)],
    "told that an acquisition failed which did not": [TOLD_TO_LEAD, look("a", "unfinished", "a7.1", 2, 2.1)],
    "told that one's acquisition failed by another's lease": [
        write("b", 7, 1, 1, proven=False),
        look("a", "unfinished", "b7.1", 2, 2.1),
    ],
    "told that one leads by another's lease": [TOLD_TO_LEAD, look("b", "found", "a7.1", 2, 2.1, is_leader=True)],
    "a lease that is gone": [TOLD_TO_LEAD, look("a", "gone", ABSENT, 2, 2.1)],
    "a lease that is created twice": [acquired("a", 7, 1, 1.1), acquired("b", 90, 9, 9.1)],
    "a break that the leader survives": [TOLD_TO_LEAD, broken("b", 7, 2, 2, 2.1), renewed("a", 7, 2, 3, 3.1)],
    "a term that rises though its lease was told": [TOLD_TO_LEAD, write("a", 9, 2, 2, 2.1, "acquired")],
}


WRITES = {Why.ACQUIRED, Why.RENEWED, Why.RELEASED, Why.BROKEN}
NOT_HERE = {Why.NEVER_TAKEN_OVER, Why.UNREADABLE, Why.NO_SLOT}
"""No session asks for the first, nobody writes the second, and these leases have no slots."""


@pytest.mark.parametrize("why", [why for why in Why if why not in WRITES | NOT_HERE], ids=lambda why: why.value)
def test_the_specification_has_every_answer_that_changes_nothing(why):
    with contextlib.suppress(Illegal):
        carry_out(Lease(), look("a", why.value, ABSENT, 1, 2), 1)


@pytest.mark.parametrize("name", POSSIBLE)
def test_a_history_that_a_lease_can_have_is_accepted(name):
    order = check(shuffled(POSSIBLE[name]))
    assert {operation for operation in POSSIBLE[name] if operation.told} <= set(order)
    lease, now = Lease(), 0.0
    for operation in order:
        lease, now = carry_out(lease, operation, now)
        assert now <= operation.answered


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_history_that_no_lease_can_have_is_refused(name):
    with pytest.raises(NotLinearizable):
        check(shuffled(IMPOSSIBLE[name]))


@pytest.mark.parametrize("name", [name for name in IMPOSSIBLE if "two leaders" in name])
def test_the_specification_rules_out_two_leaders_by_itself(name):
    first, second = IMPOSSIBLE[name]
    lease, now = carry_out(Lease(), first, 0)
    with pytest.raises(Illegal):
        carry_out(lease, second, now)


def test_a_leader_of_the_past_is_none_when_its_lease_was_broken():
    check([TOLD_TO_LEAD, broken("b", 7, 2, 2, 2.1), acquired("b", 8, 2.2, 2.3)])


@pytest.mark.parametrize("seed", range(20))
def test_a_long_history_with_many_writes_without_answers_is_decided(seed):
    rng = random.Random(seed)
    operations, lease = long_history(rng), Lease()
    for operation in check(operations):
        lease, _now = carry_out(lease, operation, 0)
    told = [place for place, one in enumerate(operations) if isinstance(one, Write) and one.told == "renewed"]
    place = rng.choice(told)
    # The same number again, by a write that comes later: a lost one.
    operations.append(operations[place]._replace(version=operations[place].version._replace(nonce="another")))
    with pytest.raises(NotLinearizable, match="What happened around it"):
        check(operations)


def long_history(rng: random.Random) -> list[Operation]:
    """A leader after the other, and claims and renewals of which nothing was heard, some of them done."""
    operations: list[Operation] = [acquired("a", 7, 0, 0.1)]
    now, term, sequence, session = 0.1, 7, 1, "a"
    for _turn in range(100):
        now += 1
        for stranger in rng.sample("bcdef", 2):
            operations.append(write(stranger, term + 1, 1, now))
        sequence += 1
        if rng.random() < 0.2:
            operations.append(released(session, term, sequence, now, now + 0.1))
            term, sequence, session = term + 1, 1, rng.choice("ghijk")
            operations.append(acquired(session, term, now + 0.2, now + 0.3))
        elif rng.random() < 0.3:
            operations.append(write(session, term, sequence, now))
            operations.append(renewed(session, term, sequence + 1, now + 0.1, now + 0.2))
            sequence += 1
        else:
            operations.append(renewed(session, term, sequence, now, now + 0.2))
        nonce = f"{session}{term}.{sequence}"
        operations.append(look("z", "found", nonce, now + 0.4, now + 0.5))
    return operations


def test_a_timeline_shows_what_was_under_way():
    lines = timeline([TOLD_TO_LEAD, UNTOLD_RENEWAL, acquired("b", 8, 6, 6.1)], 1.5, 7)
    assert len(lines) == 2
    assert "untold" in lines[0]
    assert "leads until 10.000" in lines[1]


def shuffled(operations: list[Operation]) -> list[Operation]:
    return random.Random(0).sample(operations, len(operations))
