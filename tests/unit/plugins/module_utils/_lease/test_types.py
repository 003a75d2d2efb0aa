# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Unreadable
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Answer,
    Read,
    Refused,
    Seen,
    StoreError,
    Unknown,
    Why,
    Write,
    overheard,
    with_advice,
)


@pytest.mark.parametrize(("advice", "text"), [("", "it is full"), ("Empty it", "it is full. Empty it")])
def test_advice_follows_what_happened(advice, text):
    assert with_advice("it is full", advice) == text
    assert Refused("it is full", advice).text == text
    error = StoreError("it is full", advice)
    assert (str(error), error.why, error.advice) == (text, "it is full", advice)


def test_an_error_leaves_no_doubt_unless_somebody_says_so():
    assert StoreError("it is full").doubtful is False


@pytest.mark.parametrize(("modified", "age"), [(96.0, 4.0), (100.0, 0.0), (101.0, 0.0)])
def test_an_age_is_the_stores_and_never_below_zero(modified, age):
    assert Seen(Unreadable("why"), "e1", modified, 100.0).age == age


@pytest.mark.parametrize(
    ("outcome", "refuted"),
    [
        (Unknown("412", precondition_failed=True), True),
        (Unknown("409", conflict=True), True),
        (Unknown("503", throttled=True), False),
        (Unknown("no answer", sent=False), False),
    ],
)
def test_only_a_condition_that_the_store_minded_is_refuted(outcome, refuted):
    assert outcome.refuted is refuted


def test_leadership_changes_hands_by_three_ends_only():
    assert [why for why in Why if why.changes_hands] == [Why.ACQUIRED, Why.RELEASED, Why.BROKEN]


def operation():
    """It reads, writes, and returns what came of it."""
    first = yield Read(until=1.0)
    second = yield Write(b"body", None, until=2.0)
    return first.outcome, second.outcome


def answers(steps):
    """Drive an operation: answer each step by its number. Return its steps and its verdict."""
    taken = [next(steps)]
    try:
        while True:
            taken.append(steps.send(Answer(Absent(float(len(taken))), 0.0, 0.0)))
    except StopIteration as end:
        return taken, end.value


def test_an_operation_that_is_overheard_goes_on_as_it_does():
    assert answers(overheard(operation())) == answers(operation())


def test_each_step_is_heard_before_it_is_taken_and_with_its_answer_after():
    heard = []
    steps = overheard(
        operation(),
        lambda step: heard.append(type(step)),
        lambda step, answer: heard.append((type(step), answer.outcome)),
    )
    assert heard == []
    answers(steps)
    assert heard == [Read, (Read, Absent(1.0)), Write, (Write, Absent(2.0))]


def test_what_an_operation_raises_comes_through():
    def fails():
        yield Read(until=1.0)
        raise StoreError("it is full")

    with pytest.raises(StoreError, match="it is full"):
        answers(overheard(fails()))
