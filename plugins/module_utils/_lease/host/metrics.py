# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""What a process that takes part in a lease tells Prometheus, in the text format of its exposition.

Processes of several leases write a file each, and node_exporter refuses a metric whose type or help differs between two
files. So these texts depend on nothing.
"""

from __future__ import annotations

import math
from typing import Dict, Iterator, List, Optional, Tuple

from ..protocol import free_in, term_of
from ..settings import Location
from ..types import Answer, Found, Outcome, Pause, Race, Raced, Read, Refused, Step, Unknown, Write

LAST_RENEWAL = "s3_leader_last_renewal_timestamp_seconds"
HELD_UNTIL = "s3_leader_held_until_timestamp_seconds"
FAMILIES = (
    ("s3_leader_info", "gauge", "The process that takes part in the lease, and the name under which it does."),
    ("s3_leader_is_leader", "gauge", "1 if it leads: only until s3_leader_deadline_timestamp_seconds."),
    (
        "s3_leader_deadline_timestamp_seconds",
        "gauge",
        "Until when it leads unless it renews the lease; 0 if it does not.",
    ),
    (LAST_RENEWAL, "gauge", "When it last acquired or renewed the lease; 0 if never."),
    (
        HELD_UNTIL,
        "gauge",
        "Until when the lease is held unless it is renewed, as last seen, by slot; 0 if it was not seen held.",
    ),
    ("s3_leader_updated_timestamp_seconds", "gauge", "When it wrote these metrics."),
    ("s3_leader_term", "gauge", "The term of the lease as last seen, by slot, which is 0 for a lease without slots."),
    ("s3_leader_slot", "gauge", "The slot that it holds or held last; 0 for a lease without slots."),
    ("s3_leader_slots", "gauge", "How many may hold the lease at the same time."),
    ("s3_leader_takeover_seconds", "gauge", "How long after the lease has become free it takes it, at the latest."),
    ("s3_leader_transitions_total", "counter", "Terms of the lease that it has seen begin."),
    ("s3_leader_late_renewals_total", "counter", "Renewals when less than a third of the time to lead was left."),
    ("s3_leader_requests_total", "counter", "Requests to the store."),
    ("s3_leader_request_duration_seconds", "histogram", "How long requests to the store took, or were waited for."),
)
"""The name, the type and the help of each metric."""
OPERATIONS = ("read", "write")
OUTCOMES = ("ok", "conflict", "throttled", "unknown", "refused")
"""Of a request: it did what it should; another write to the object was faster; the store asked for fewer requests; no
clean answer came; the store would refuse it again, so something has to be fixed."""
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram's buckets, in seconds."""
APART = 1.0
"""Seconds between two writes, unless leadership changes or is renewed."""
LATE = 1 / 3
"""A renewal is late that comes when less than this part of the time to lead is left."""
_NEVER = -math.inf


class Metrics:
    """Counts what happens to one process and one lease, and tells it. Times are in seconds, by the process's clock."""

    def __init__(
        self, name: str, location: Location, holder: str, slots: int, takeover: Optional[float] = None
    ) -> None:
        """``name`` tells the process from others of this host. ``slots``: 0 for a lease without. ``takeover``: how
        long after the lease has become free this process takes it; None for one that does not always stand by.
        """
        names = dict(name=name, bucket=location.bucket, key=location.key)
        self._names = ",".join('%s="%s"' % (label, escaped(value)) for label, value in names.items())
        self._holder = holder
        self._slots = slots or 1
        self._takeover = takeover
        self._terms: Dict[int, int] = {}
        self._held_until = dict.fromkeys(range(1, slots + 1) if slots else (0,), _NEVER)
        """By slot, as last seen."""
        self._slot = 0
        self._until: Optional[float] = None
        self._time_to_lead = 0.0
        """From the last renewal, as the deadline was set."""
        self._renewed_at: Optional[float] = None
        self.renewed_before = 0.0
        """When an earlier process of this name renewed the lease last, in seconds since 1970; 0 if it is not known."""
        self._transitions = self._late = 0
        self._requests = {(operation, outcome): 0 for operation in OPERATIONS for outcome in OUTCOMES}
        self._durations = {operation: [0] * (len(BUCKETS) + 1) for operation in OPERATIONS}
        """How many requests each bucket has, without those of smaller ones."""
        self._waited = dict.fromkeys(OPERATIONS, 0.0)

    # -- what happens

    def requested(self, step: Step, answer: Answer) -> None:
        """Count a step of an operation, if it was a request, also one that did not reach the store; each write of a
        race is one.
        """
        outcome = answer.outcome
        if isinstance(step, Pause):
            return
        operation = "read" if isinstance(step, Read) else "write"
        for one in outcome.outcomes if isinstance(outcome, Raced) else (outcome,):
            self._requests[operation, _named(step, one)] += 1
            seconds = answer.at - answer.asked
            self._durations[operation][sum(seconds > bound for bound in BUCKETS)] += 1
            self._waited[operation] += seconds

    def found(self, lease: Found, slot: int, at: float) -> None:
        """Take note of a lease as it was read or written at that time; of the slot that it is, or 0."""
        left = free_in(lease)
        if left is None:  # it cannot be read
            return
        self._held_until[slot] = at + left if left else min(at, self._held_until.get(slot, _NEVER))
        term, before = term_of(lease), self._terms.get(slot)
        self._transitions += before is not None and term not in (0, before)
        self._terms[slot] = term

    def leads(self, lease: Found, slot: int, heard_at: float, until: float) -> None:
        """Take note that it leads: the lease was acquired or renewed at ``heard_at``, and it may lead until then."""
        if self._until is not None:
            self._late += self._until - heard_at < LATE * self._time_to_lead
        self.found(lease, slot, heard_at)
        self._slot, self._renewed_at, self._until = slot, heard_at, until
        self._time_to_lead = until - heard_at

    def ended(self) -> None:
        """Take note that it does not lead any more."""
        self._until = None

    # -- what it tells

    def text(self, now: float, wall: float) -> str:
        """Return the metrics. ``wall``, in seconds since 1970, is the time of day at ``now``, by the clock."""
        samples: Dict[str, List[str]] = {name: [] for name, _type, _help in FAMILIES}
        for name, value in self._gauges(now, wall):
            samples[name].append(self._sample(name, value))
        samples["s3_leader_info"].append(self._sample("s3_leader_info", 1, 'holder="%s"' % escaped(self._holder)))
        for slot, term in sorted(self._terms.items()):
            samples["s3_leader_term"].append(self._sample("s3_leader_term", term, 'slot="%d"' % slot))
        for slot, until in sorted(self._held_until.items()):
            at = 0 if until == _NEVER else wall + until - now
            samples[HELD_UNTIL].append(self._sample(HELD_UNTIL, at, 'slot="%d"' % slot))
        for (operation, outcome), count in self._requests.items():
            labels = 'operation="%s",outcome="%s"' % (operation, outcome)
            samples["s3_leader_requests_total"].append(self._sample("s3_leader_requests_total", count, labels))
        for operation in OPERATIONS:
            samples["s3_leader_request_duration_seconds"] += self._histogram(operation)
        lines: List[str] = []
        for name, kind, told in FAMILIES:
            lines += ["# HELP %s %s" % (name, told), "# TYPE %s %s" % (name, kind), *samples[name]]
        return "\n".join(lines) + "\n"

    def _gauges(self, now: float, wall: float) -> Iterator[Tuple[str, float]]:
        def time_of_day(at: Optional[float]) -> float:
            return 0 if at is None else wall + at - now

        yield "s3_leader_is_leader", int(self._until is not None and now < self._until)
        yield "s3_leader_deadline_timestamp_seconds", time_of_day(self._until)
        yield LAST_RENEWAL, self.renewed_before if self._renewed_at is None else time_of_day(self._renewed_at)
        yield "s3_leader_updated_timestamp_seconds", wall
        yield "s3_leader_slot", self._slot
        yield "s3_leader_slots", self._slots
        if self._takeover is not None:
            yield "s3_leader_takeover_seconds", self._takeover
        yield "s3_leader_transitions_total", self._transitions
        yield "s3_leader_late_renewals_total", self._late

    def _histogram(self, operation: str) -> Iterator[str]:
        name, labels = "s3_leader_request_duration_seconds", 'operation="%s"' % operation
        count = 0
        for bound, more in zip((*map(str, BUCKETS), "+Inf"), self._durations[operation]):
            count += more
            yield self._sample(name + "_bucket", count, '%s,le="%s"' % (labels, bound))
        yield self._sample(name + "_sum", self._waited[operation], labels)
        yield self._sample(name + "_count", count, labels)

    def _sample(self, name: str, value: float, more: str = "") -> str:
        number = "%d" % value if isinstance(value, int) else "%.3f" % value
        return "%s{%s%s} %s" % (name, self._names, "," + more if more else "", number)


def escaped(value: str) -> str:
    """Return a label's value as the format has it between quotes, which is UTF-8 whatever the value has."""
    value = value.encode("utf-8", "replace").decode("utf-8")
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _named(step: Step, outcome: Outcome) -> str:
    if isinstance(outcome, Refused):
        # A write with a use-by date that is refused is sent without one, or the store had to refuse it.
        return "ok" if isinstance(step, (Write, Race)) and step.dated else "refused"
    if isinstance(outcome, Unknown):
        return "conflict" if outcome.refuted else "throttled" if outcome.throttled else "unknown"
    return "ok"
