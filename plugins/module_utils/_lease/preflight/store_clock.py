# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Do Date and Last-Modified come from one clock? Takeovers depend on their difference (rule 15).

They do not if a proxy sets its own Date, or if the nodes of a store disagree.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

from ..protocol import GRAIN, MARGIN_LEAST, SKEW
from .report import FAIL, PASS, UNKNOWN, WARN, Check

AHEAD_HARMLESS = MARGIN_LEAST - GRAIN
"""Seconds ahead that the margin still absorbs for short leases. To pass, the check must rule out more than this."""
BEHIND_MOST = 1.0
"""Seconds that Date may be behind, as with servers that update it once a second."""


class Sample(NamedTuple):
    """A read right after a write. All but the last two fields are readings of the caller's clock.

    If the write was retried, only the try that landed counts.
    """

    write_sent: float
    write_done: float
    read_sent: float
    read_done: float
    modified: float
    date: float

    @property
    def ahead_at_least(self) -> float:
        """Seconds; below 0 if Date may be behind. Both times may be up to a second older than they say."""
        return self.date - self.modified - self.took - 1

    @property
    def ahead_at_most(self) -> float:
        return self.date - self.modified - max(0.0, self.read_sent - self.write_done) + 1

    @property
    def took(self) -> float:
        return self.read_done - self.write_sent

    @property
    def tells(self) -> bool:
        """Whether a Date that is too far ahead would have shown, apart from the resolution."""
        return SKEW + self.took <= AHEAD_HARMLESS or self.ahead_at_most <= AHEAD_HARMLESS


def check(samples: Sequence[Sample]) -> Check:
    """Judge by the worst sample: each may come from another node."""
    if not samples:
        return Check("clock", UNKNOWN, "no read returned Date and Last-Modified")
    ahead = max(sample.ahead_at_least for sample in samples)
    behind = -min(sample.ahead_at_most for sample in samples)
    if ahead > SKEW:
        return Check(
            "clock",
            FAIL,
            "Date is at least %.1f s ahead of Last-Modified, so a lease would be taken over too early" % ahead,
            "Check for a proxy that sets its own Date (nginx does without proxy_pass_header Date), or set the clocks "
            "of the store's nodes right. With takeover: observed it would not matter",
        )
    if not any(sample.tells for sample in samples):
        return Check(
            "clock",
            UNKNOWN,
            "requests are too slow to tell whether Date is ahead of Last-Modified: a write and a read took %.1f s"
            % min(sample.took for sample in samples),
            "Run the preflight closer to the store, or when it is less busy",
        )
    if behind > BEHIND_MOST:
        return Check(
            "clock",
            WARN,
            "Date is at least %.1f s behind Last-Modified: takeovers will be late by as much" % behind,
            "Check for a proxy that sets its own Date (nginx does without proxy_pass_header Date), or set the clocks "
            "of the store's nodes right",
        )
    return Check("clock", PASS, "Date and Last-Modified agree (reads: %d, each over a new connection)" % len(samples))
