# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Overlaps and gaps are found where they are, and nowhere else."""

from __future__ import annotations

import math

from system.lab.intervals import Interval, gaps, overlaps


def on(host: str, start: float, end: float = math.inf, lease: str = "db", service: str = "app") -> Interval:
    return Interval(lease=lease, service=service, host=host, pid=1, term="1", start=start, end=end)


def test_two_hosts_that_run_services_of_one_lease_at_the_same_time_overlap() -> None:
    first, second = on("h1", 1, 5), on("h2", 3, 9, service="other")
    assert overlaps([second, first]) == [(2, first, second)]


def test_an_interval_within_another_one_overlaps_for_all_its_life() -> None:
    outer, inner = on("h1", 1, 9), on("h2", 3, 4)
    assert overlaps([outer, inner]) == [(1, outer, inner)]


def test_every_pair_that_overlaps_is_found() -> None:
    assert len(overlaps([on("h1", 1), on("h1", 2, service="other"), on("h2", 3), on("h3", 4)])) == 5


def test_what_still_runs_overlaps_with_all_that_starts_later_elsewhere() -> None:
    first, second = on("h1", 1), on("h2", 3)
    assert overlaps([first, second]) == [(math.inf, first, second)]


def test_services_of_one_host_or_of_two_leases_do_not_overlap() -> None:
    assert overlaps([on("h1", 1, 5), on("h1", 2, 6), on("h2", 1, 5, lease="other")]) == []


def test_an_interval_may_start_when_the_other_one_ends() -> None:
    assert overlaps([on("h1", 1, 5), on("h2", 5, 9)]) == []


def test_a_gap_is_from_the_last_end_on_one_host_to_the_first_start_on_the_next() -> None:
    app, slow = on("h1", 1, 5), on("h1", 2, 8, service="slow")
    next_app, next_slow = on("h2", 10), on("h2", 11, service="slow")
    assert gaps([next_slow, app, slow, next_app]) == [(2, slow, next_app)]


def test_leases_have_gaps_of_their_own() -> None:
    first, second = on("h1", 1, 5), on("h2", 9)
    assert gaps([first, on("h3", 6, 7, lease="other"), second]) == [(4, first, second)]


def test_a_restart_on_the_same_host_and_an_overlap_are_no_gaps() -> None:
    assert gaps([on("h1", 1, 5), on("h1", 6, 9), on("h2", 8)]) == []
