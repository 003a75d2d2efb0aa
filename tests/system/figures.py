# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the intervals of services tell when hosts were broken: what must not be, and how long nobody was at work."""

from __future__ import annotations

import collections
import itertools
import math
import statistics
import typing as t
from collections.abc import Collection, Iterable, Sequence

from system.lab.intervals import Interval, gaps, overlaps

# What the services do: they end in order and the lease is given back; the leader is no more, or not heard any more;
# the same, but its last writes arrive; nothing.
Cause = t.Literal["planned", "broken", "answers lost", "harmless"]


class Fault(t.NamedTuple):
    """What befell a lease on a host. One that befell a whole host befell each of its leases."""

    kind: str
    cause: Cause
    host: str
    lease: str
    began: float
    ended: float
    leading: bool
    clean: bool  # the host took part in all leases before


class Spell(t.NamedTuple):
    """A time in which a host may not have taken part in its leases."""

    host: str
    began: float
    ended: float


class Stint(t.NamedTuple):
    """A term in which services were at work: from the first start to the last end."""

    lease: str
    host: str
    term: int
    start: float
    end: float


class Failover(t.NamedTuple):
    """From one stint to the next. The seconds count from the fault, after a planned stop from the services' end."""

    cause: Cause
    kind: str
    seconds: float
    fair: bool
    """All was well before, and another host was left alone until it was over."""
    before: Stint
    after: Stint


class Limits(t.NamedTuple):
    """Seconds within which another host is to have started the services."""

    duration: float
    margin: float
    renew_interval: float

    def of(self, cause: Cause) -> float:
        """Two seconds are for a look at the lease each second, two requests, and the start of a service."""
        if cause == "planned":
            return 2.5
        expiry = self.duration + self.margin + 2
        return expiry + self.renew_interval if cause == "answers lost" else expiry


def stints(intervals: Iterable[Interval]) -> list[Stint]:
    """By lease and start."""
    groups = collections.defaultdict(list)
    for one in intervals:
        groups[one.lease, one.host, int(one.term or 0)].append(one)
    found = [
        Stint(*place, min(one.start for one in group), max(one.end for one in group)) for place, group in groups.items()
    ]
    return sorted(found, key=lambda stint: (stint.lease, stint.start))


def violations(intervals: Collection[Interval]) -> list[str]:
    """What must not be, in words."""
    found = [f"two hosts for {seconds:.3f} s: {first} and {second}" for seconds, first, second in overlaps(intervals)]
    found += [f"no term: {one}" for one in intervals if not one.term]
    for before, after in _pairs(intervals):
        if before.term >= after.term:
            found.append(f"the term does not rise from {before} to {after}")
    return found


def failovers(
    intervals: Iterable[Interval], faults: Iterable[Fault], spells: Collection[Spell], hosts: Collection[str]
) -> list[Failover]:
    """The handovers that follow a fault of the leader."""
    by_place = collections.defaultdict(list)
    for fault in faults:
        if fault.cause != "harmless":
            by_place[fault.lease, fault.host].append(fault)
    found = []
    for before, after in _pairs(intervals):
        befell = [one for one in by_place[before.lease, before.host] if before.start <= one.began <= before.end]
        if befell:
            last = max(befell, key=lambda fault: fault.began)
            fair = last.clean and any(
                _left_alone(host, last.began, after.start, spells) for host in hosts if host != before.host
            )
            since = before.end if last.cause == "planned" else last.began
            found.append(Failover(last.cause, last.kind, after.start - since, fair, before, after))
    return found


def table(
    intervals: Collection[Interval], faults: Sequence[Fault], failed_over: Sequence[Failover], limits: Limits
) -> str:
    """For people: faults by kind, handovers, and failovers by cause."""
    lines = [f"{'fault':20} {'leases hit':>10} {'led':>6}"]
    for kind in sorted({fault.kind for fault in faults}):
        hit = [fault for fault in faults if fault.kind == kind]
        lines.append(f"{kind:20} {len(hit):10} {sum(fault.leading for fault in hit):6}")
    lines.append(f"{'all':20} {len(faults):10} {sum(fault.leading for fault in faults):6}")
    between = gaps(intervals)
    smallest = f", the smallest gap {min(gap.seconds for gap in between):.2f} s" if between else ""
    lines += ["", f"overlaps: {len(overlaps(intervals))}; handovers from host to host: {len(between)}{smallest}", ""]
    lines.append(
        f"{'seconds to failover':20} {'count':>6} {'median':>7} {'95th':>7} {'max':>7} {'limit':>7} {'over':>5}"
    )
    fair = [one for one in failed_over if one.fair]
    for kind in sorted({one.kind for one in fair}):
        lines.append(_row(kind, [one for one in fair if one.kind == kind], limits))
    for cause, name in (("broken", "after all crashes"), ("planned", "after planned stops")):
        if of_cause := [one for one in fair if one.cause == cause]:
            lines.append(_row(name, of_cause, limits))
    lines += [
        f"Not counted: {len(failed_over) - len(fair)} where the leader or all others had other faults, too.",
        "They count from the fault; after a planned stop, from the end of the services.",
    ]
    return "\n".join(lines)


def _row(name: str, failed_over: Sequence[Failover], limits: Limits) -> str:
    seconds = sorted(one.seconds for one in failed_over)
    limit = limits.of(failed_over[0].cause)
    high = seconds[math.ceil(0.95 * len(seconds)) - 1]
    over = sum(one > limit for one in seconds)
    median = statistics.median(seconds)
    return f"{name:20} {len(seconds):6} {median:7.2f} {high:7.2f} {seconds[-1]:7.2f} {limit:7.2f} {over:5}"


def timeline(intervals: Iterable[Interval], faults: Iterable[Fault], spells: Iterable[Spell]) -> str:
    """All that happened, by time; a journal of short-monotonic goes by the same."""
    events = [(one.start, f"{one.lease} {one.host} {one.service} starts with term {one.term}") for one in intervals]
    events += [(one.end, f"{one.lease} {one.host} {one.service} ends, of term {one.term}") for one in intervals]
    for one in faults:
        state = f"{one.lease} {one.host} {one.kind}" + (", leading" if one.leading else "")
        events += [
            (one.began, f"{state} begins{'' if one.clean else ', not recovered'}"),
            (one.ended, f"{state} is over"),
        ]
    events += [(one.ended, f"{one.host} takes part again") for one in spells]
    return "\n".join(f"{when:12.3f} {what}" for when, what in sorted(events) if when < math.inf)


def _pairs(intervals: Iterable[Interval]) -> Iterable[tuple[Stint, Stint]]:
    pairs = itertools.pairwise(stints(intervals))
    return [(before, after) for before, after in pairs if before.lease == after.lease]


def _left_alone(host: str, began: float, ended: float, spells: Iterable[Spell]) -> bool:
    return not any(one.host == host and one.began < ended and began < one.ended for one in spells)
