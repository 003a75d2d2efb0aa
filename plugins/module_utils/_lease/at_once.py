# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Writes at the same instant: if a store checks the condition first and writes later, two of them win.

All send all but the last byte, wait for one another, and then send the last byte. So the writes complete together
however far away the store is, and a store that checks before it has the body is caught, too.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Callable, List, Sequence

from .clock import Clock
from .types import Outcome, Unknown

Write = Callable[[Callable[[], None]], Outcome]
"""Sends a write, and calls its argument before it sends the last byte."""


def at_once(writes: Sequence[Write], seconds: float, clock: Clock) -> List[Outcome]:
    """Send all writes at the same instant. The outcome of one that takes longer is Unknown."""
    start = threading.Barrier(len(writes))
    outcomes: List[Outcome] = [Unknown("no answer within %.3g s" % seconds) for _write in writes]
    end = clock.now() + seconds

    def wait_for_the_others() -> None:
        # The barrier breaks if one of them got no connection, or an answer before its last byte.
        with contextlib.suppress(threading.BrokenBarrierError):
            start.wait(seconds / 2)

    def contend(number: int) -> None:
        try:
            outcomes[number] = writes[number](wait_for_the_others)
        except Exception as error:  # pylint: disable=broad-exception-caught
            outcomes[number] = Unknown("the request failed (%s)" % type(error).__name__)
        start.abort()

    threads = [threading.Thread(target=contend, args=(number,), daemon=True) for number in range(len(writes))]
    started = []
    for number, thread in enumerate(threads):
        try:
            thread.start()
            started.append(thread)
        except RuntimeError:  # too many threads hang
            outcomes[number] = Unknown("there was no thread for it", sent=False)
            start.abort()
    for thread in started:
        thread.join(max(0.0, end - clock.now()))
    return list(outcomes)
