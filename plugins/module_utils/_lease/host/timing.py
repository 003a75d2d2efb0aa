# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The times of a daemon."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..protocol import WRITES_APART

ENDING = 2
"""Seconds in which a process under load ends, or a program that was just replaced gets to look for signals."""


class Timing(NamedTuple):
    """The times of a daemon in seconds; config.py has their ranges, and how they must add up."""

    lease_duration: float
    renew_interval: float
    stop_grace: float
    """How long the services have to stop."""
    poll_interval: float
    request_timeout: float
    takeover_delay: float = 0
    """How much longer than other hosts this one waits before it takes the lease."""

    @property
    def patience_to_release(self) -> float:
        """How long to try to give the lease back: two requests, and the longest pause between two writes."""
        return 2 * self.request_timeout + WRITES_APART * 1.5

    @property
    def time_to_take_over(self) -> float:
        """After how many seconds at most a standby takes a lease that has become free.

        It polls once in an interval, give or take half of it.
        """
        return self.takeover_delay + 1.5 * self.poll_interval

    @property
    def time_to_end(self) -> int:
        """Seconds from a signal until the daemon has ended: a request is under way, and then it gives the lease back.

        It is the TimeoutStopSec= of its unit. The services' time does not count: they stop before.
        """
        return math.ceil(self.request_timeout + self.patience_to_release + ENDING)
