# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Drives the protocol's steps with a real store, a real clock and real random numbers."""

from __future__ import annotations

import random
import secrets
from typing import TYPE_CHECKING, Optional, TypeVar

from .clock import Clock, NotStarted, Overdue
from .types import Answer, Outcome, Pause, Race, Read, Steps, Unknown, Write

if TYPE_CHECKING:  # it loads botocore, which the fence does not need
    from .store import Store

T = TypeVar("T")


def fresh_nonce() -> str:
    """Return 128 random bits (rule 2). Sessions are made in the same way."""
    return secrets.token_hex(16)


def drive(steps: Steps[T], store: Store, request_timeout: float, clock: Clock) -> T:
    """Run an operation, and return its verdict. Raises StoreError. Times are in seconds."""
    answer: Optional[Answer] = None
    while True:
        try:
            step = steps.send(answer) if answer else next(steps)
        except StopIteration as end:
            verdict: T = end.value
            return verdict
        asked = clock.now()
        if isinstance(step, Pause):
            clock.sleep(random.uniform(step.at_least, step.at_most))
            outcome: Outcome = Unknown("a pause")
        else:
            outcome = _request(step, store.of(step.slot), min(request_timeout, step.until - asked), clock)
        answer = Answer(outcome, asked, clock.now())


def _request(step: Read | Write | Race, store: Store, seconds: float, clock: Clock) -> Outcome:
    if seconds <= 0:
        return Unknown("there was no time left for a request", sent=False)
    try:
        return clock.bounded(lambda until: _send(step, store, until), seconds)
    except NotStarted:
        return Unknown("there was no thread for a request", sent=False)
    except Overdue:
        store.forget_connection()
        return Unknown("no answer within %.3g s" % seconds)


def _send(step: Read | Write | Race, store: Store, until: float) -> Outcome:
    if isinstance(step, Read):
        return store.read(until, step.known)
    if isinstance(step, Race):
        return store.race(step.bodies, step.replaces, until, step.quoted, step.dated)
    return store.write(step.body, step.replaces, until, step.quoted, step.dated, step.expired)
