# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Writes at the same instant: if a store checks the condition first and writes later, two of them win.

All send all but the last byte, wait for one another, and then send the last byte. So the writes complete together
however far away the store is, and a store that checks before it has the body is caught, too. One that comes too late
is not completed: its refusal would tell nothing.
"""

from __future__ import annotations

import threading
from typing import Callable, List, Sequence, Set

from .clock import Clock, GivenUp
from .types import Outcome, Unknown

Write = Callable[[Callable[[], None]], Outcome]
"""Sends a write, and calls its argument before it sends the last byte."""


def at_once(writes: Sequence[Write], seconds: float, clock: Clock) -> List[Outcome]:
    """Send all writes at the same instant. The outcome of one that takes longer, or is refused before, is Unknown."""
    start = _Start(len(writes))
    silent = Unknown("no answer within %.3g s" % seconds)
    outcomes: List[Outcome] = [silent for _write in writes]
    end = clock.now() + seconds

    def contend(number: int) -> None:
        try:
            outcome = writes[number](lambda: start.wait(number, seconds / 2))
        except Exception as error:  # pylint: disable=broad-exception-caught
            outcome = Unknown("the request failed (%s)" % type(error).__name__)
        if start.do_without(number) and isinstance(outcome, Unknown):
            outcome = outcome._replace(precondition_failed=False, conflict=False)
        outcomes[number] = outcome

    threads = [threading.Thread(target=contend, args=(number,), daemon=True) for number in range(len(writes))]
    started = []
    for number, thread in enumerate(threads):
        try:
            thread.start()
            started.append(thread)
        except RuntimeError:  # too many hang
            outcomes[number] = Unknown("there was no thread for it", sent=False)
            start.do_without(number)
    for thread in started:
        thread.join(max(0.0, end - clock.now()))
    late = start.close()
    return [
        outcome._replace(sent=False) if outcome is silent and number in late else outcome
        for number, outcome in enumerate(outcomes)
    ]


class _Start:
    """When all send the last byte."""

    def __init__(self, contenders: int) -> None:
        self._awaited = set(range(contenders))
        self._lock = threading.Lock()
        self._given = threading.Event()

    def wait(self, number: int, seconds: float) -> None:
        """Wait for the others, at most this long. Raises GivenUp if they have started."""
        with self._lock:
            if self._given.is_set():
                raise GivenUp()
            self._come(number)
        self._given.wait(seconds)
        self._given.set()

    def do_without(self, number: int) -> bool:
        """Await this one no longer. Return whether it was still awaited."""
        with self._lock:
            was = number in self._awaited
            self._come(number)
            return was

    def close(self) -> Set[int]:
        """Let nobody start any more. Return who has not."""
        with self._lock:
            self._given.set()
            return set(self._awaited)

    def _come(self, number: int) -> None:
        self._awaited.discard(number)
        if not self._awaited:
            self._given.set()
