# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Drives the protocol's steps with a real store, a real clock and real random numbers."""

from __future__ import annotations

import random
import secrets
from typing import TYPE_CHECKING, Optional, TypeVar

from .clock import Clock, Overdue
from .types import Answer, Outcome, Pause, Read, Steps, Unknown, Write

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
            outcome = _request(step, store, min(request_timeout, step.until - asked), clock)
        answer = Answer(outcome, asked, clock.now())


def _request(step: Read | Write, store: Store, seconds: float, clock: Clock) -> Outcome:
    if seconds <= 0:
        return Unknown("there was no time left for a request", sent=False)
    try:
        if isinstance(step, Read):
            known = step.known
            return clock.bounded(lambda: store.read(known), seconds)
        body, replaces, requote = step.body, step.replaces, step.requote
        return clock.bounded(lambda: store.write(body, replaces, requote), seconds)
    except Overdue:
        store.forget_connection()
        return Unknown("no answer within %.3g s" % seconds)
