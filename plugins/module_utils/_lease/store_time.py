# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The store's clock, as its answers tell it: requests are dated by it, whatever the host's own clock says (rule 25)."""

from __future__ import annotations

import math
import time
from typing import NamedTuple, Optional

from .clock import Clock
from .protocol import GRAIN

SLACK = 2
"""Seconds that a write stays valid after its caller has turned away: what is known of the store's clock may be off."""


EXPIRED = 30
"""Seconds since the date of a request that is to be refused for its use-by date, but for nothing else (SKEWED)."""


class Stamp(NamedTuple):
    """When a request was signed, and how long the store carries it out."""

    at: float
    """Seconds since 1970."""
    lasts: Optional[int] = None
    """Seconds, for a signature in the query. None for a signature in headers: that lasts for a quarter of an hour."""

    def refuses(self, store_time: float) -> bool:
        """Tell whether the store can have refused the request for its date alone."""
        off = store_time - self.at
        return abs(off) > SKEWED or (self.lasts is not None and off >= self.lasts)


SKEWED = 60.0
"""Seconds that a request's date may be off without being refused: S3 allows 15 minutes."""


class StoreTime:
    """The store's clock, as the latest that its answers prove it to show."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead: Optional[float] = None
        """Seconds by which it is ahead of the caller's clock, at least."""

    def saw(self, date: float, asked: float, at: float) -> None:
        """Learn from the Date of a request that was sent and answered at these readings of the caller's clock."""
        least, most = date - at, date + GRAIN - asked
        if self._ahead is None or self._ahead > most:  # nothing is known, or a clock was set, or has drifted
            self._ahead = least
        self._ahead = max(self._ahead, least)

    def now(self) -> Optional[float]:
        """Return the store's time in seconds since 1970, late by less than a second and the way of an answer. None if
        nothing is known."""
        return None if self._ahead is None else self._clock.now() + self._ahead

    def stamp(self, until: float, dated: bool, expired: bool = False) -> Stamp:
        """Date a request whose caller turns away at this reading of its clock. Until the first answer has told the
        store's time, the host's own clock has to do.
        """
        known = self.now()
        at = math.floor(time.time() if known is None else known)
        if not dated:
            return Stamp(at)
        if expired:
            return Stamp(at - EXPIRED, 1)
        passed = 0.0 if known is None else known - at
        return Stamp(at, max(1, math.ceil(round(passed + until - self._clock.now(), 3))) + SLACK)
