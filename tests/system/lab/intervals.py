# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When services ran, and whether two hosts ran them at the same time. All times are seconds of CLOCK_BOOTTIME."""

from __future__ import annotations

import itertools
import math
import typing as t
from collections.abc import Iterable


class Interval(t.NamedTuple):
    """The life of a service's process. It ends at infinity while it runs."""

    lease: str
    service: str
    host: str
    pid: int  # as its host counts
    term: str  # as the daemon told the service; empty without one
    start: float
    end: float = math.inf

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self.end == math.inf


class Overlap(t.NamedTuple):
    """Two hosts ran services of one lease at the same time, for so many seconds."""

    seconds: float
    first: Interval
    second: Interval


class Gap(t.NamedTuple):
    """For so many seconds, from one host's last process to the next host's first one, nobody ran a lease's services."""

    seconds: float
    before: Interval
    after: Interval


def overlaps(intervals: Iterable[Interval]) -> list[Overlap]:
    """What must not be."""
    found = []
    for first, second in itertools.combinations(sorted(intervals, key=lambda one: one.start), 2):
        if first.lease == second.lease and first.host != second.host and second.start < first.end:
            found.append(Overlap(min(first.end, second.end) - second.start, first, second))
    return found


def gaps(intervals: Iterable[Interval]) -> list[Gap]:
    """The handovers from host to host, where nothing overlaps."""
    found = []
    ordered = sorted(intervals, key=lambda one: (one.lease, one.start))
    for _lease, group in itertools.groupby(ordered, key=lambda one: one.lease):
        last: Interval | None = None  # to end
        for one in group:
            if last and last.host != one.host and last.end <= one.start:
                found.append(Gap(one.start - last.end, last, one))
            if last is None or one.end >= last.end:
                last = one
    return found
