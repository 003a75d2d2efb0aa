# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Writes by several at the same instant: a store that checks the condition first and writes later lets two win.

All contenders send all but the last byte of their write, wait for one another, and then send it. So the writes are
complete together however far away the store is, and a store that checks before it has the body is caught, too.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Callable, List, NamedTuple, Optional, Sequence

from ..clock import Clock
from ..types import Absent, Found, Outcome, Refused, Unknown, Written

Write = Callable[[Callable[[], None]], Outcome]
"""Sends a write, and calls what it is given before the last byte goes."""


def at_once(writes: Sequence[Write], seconds: float, clock: Clock) -> List[Outcome]:
    """Send all writes at the same instant. The outcome of one that takes longer is Unknown."""
    start = threading.Barrier(len(writes))
    outcomes: List[Outcome] = [Unknown("no answer within %.3g s" % seconds) for _write in writes]
    end = clock.now() + seconds

    def wait_for_the_others() -> None:
        # It breaks where one of them got no connection, or had its answer before its last byte.
        with contextlib.suppress(threading.BrokenBarrierError):
            start.wait(seconds)

    def contend(number: int) -> None:
        try:
            outcomes[number] = writes[number](wait_for_the_others)
        except Exception as error:  # pylint: disable=broad-exception-caught
            outcomes[number] = Unknown("the request failed (%s)" % type(error).__name__)
        start.abort()

    threads = [threading.Thread(target=contend, args=(number,), daemon=True) for number in range(len(writes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - clock.now()))
    return list(outcomes)


class Race(NamedTuple):
    """What the contenders were told, and what stands there afterwards."""

    outcomes: Sequence[Outcome]
    found: Found
    standing: Optional[int]
    """The contender whose write it is; None for somebody else's, or none."""
    seconds: float
    """Until the last answer came."""

    @property
    def fault(self) -> str:
        """What a lease cannot stand; '' for nothing."""
        winners = [number for number, outcome in enumerate(self.outcomes) if isinstance(outcome, Written)]
        if len(winners) > 1:
            return "%d of %d contenders were told that they won" % (len(winners), len(self.outcomes))
        if winners and self.standing != winners[0]:
            what = "nothing" if isinstance(self.found, Absent) else "another write"
            return "one contender was told that it won, and %s stands there" % what
        return ""

    @property
    def decided(self) -> bool:
        """Whether there was a contest, and one write stands; its own contender may have got no clean answer.

        It is none where the store throttled more than half of them.
        """
        refused = [outcome for outcome in self.outcomes if isinstance(outcome, Unknown) and outcome.refuted]
        enough = not self.throttled or self.clean * 2 >= len(self.outcomes)
        return self.standing is not None and bool(refused) and enough

    @property
    def clean(self) -> int:
        """How many were told yes or no."""
        return sum(
            isinstance(outcome, Written) or (isinstance(outcome, Unknown) and outcome.refuted)
            for outcome in self.outcomes
        )

    @property
    def trouble(self) -> str:
        """An answer that says neither yes nor no; '' where there was none."""
        for outcome in self.outcomes:
            if isinstance(outcome, Refused) or (isinstance(outcome, Unknown) and not outcome.refuted):
                return outcome.why
        return ""

    @property
    def throttled(self) -> bool:
        return any(isinstance(outcome, Unknown) and outcome.throttled for outcome in self.outcomes)
