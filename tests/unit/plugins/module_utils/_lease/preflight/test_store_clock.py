# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.store_clock import Sample, check


def sample(date, modified, took=0.01, at=1000.0):
    """A write and a read right after it, each of which took so many seconds."""
    return Sample(at, at + took, at + took, at + 2 * took, float(modified), float(date))


@pytest.mark.parametrize(
    ("samples", "verdict"),
    [
        ([sample(100, 100)], "pass"),
        ([sample(101, 100)], "pass"),  # the second turned in between
        ([sample(99, 100)], "pass"),  # a Date that is made once a second
        ([sample(102, 100)], "fail"),
        ([sample(100, 100), sample(102, 100)], "fail"),
        ([sample(103, 100), sample(98, 100)], "fail"),
        ([sample(102, 100, took=1)], "unknown"),  # it may be 2 s ahead, or right
        ([sample(101, 100, took=1)], "unknown"),
        ([sample(101, 100, took=0.3)], "unknown"),
        ([sample(101, 100, took=0.2)], "pass"),
        ([sample(100, 100, took=1)], "pass"),  # within one second of the store's: it is not far ahead
        ([sample(101, 100, took=1), sample(100, 100)], "pass"),
        ([sample(97, 100, took=0.3)], "warn"),
        ([sample(105, 100, took=1)], "fail"),
        ([sample(97, 100)], "warn"),
        ([sample(100, 100), sample(97, 100)], "warn"),
        ([sample(3700, 100)], "fail"),
        ([sample(0, 3600)], "warn"),
        ([], "unknown"),
    ],
)
def test_the_difference_is_judged_by_what_is_certain(samples, verdict):
    assert check(samples).verdict == verdict


@pytest.mark.parametrize("tenths", range(10))
@pytest.mark.parametrize("skew", [0.0, 0.4, -0.4, -0.9])
def test_a_clock_that_is_right_enough_is_never_blamed(tenths, skew):
    """The times are cut to whole seconds, whatever the part of the second."""
    now = 1000 + tenths / 10
    date, modified = int(now + 0.01 + skew), int(now)
    assert check([sample(date, modified, at=now)]).verdict == "pass"


@pytest.mark.parametrize("skew", [1.1, 2.0, 10.0])
def test_a_clock_that_is_ahead_is_found_in_reads_over_a_second(skew):
    reads = [1000 + tenths / 10 for tenths in range(10)]
    assert check([sample(int(now + skew), int(now), at=now) for now in reads]).verdict == "fail"


def test_what_is_too_slow_to_tell_says_what_to_do():
    found = check([sample(102, 100, took=1)])
    assert "too slow to tell" in found.seen
    assert found.advice


def test_what_it_means_and_what_to_do_is_told():
    ahead, behind = check([sample(110, 100)]), check([sample(90, 100)])
    assert "taken over too early" in ahead.seen
    assert "takeover: observed" in ahead.advice
    assert "late" in behind.seen
    assert "proxy" in behind.advice
