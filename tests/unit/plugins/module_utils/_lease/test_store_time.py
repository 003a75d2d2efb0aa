# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.store_time import SLACK, Stamp, StoreTime
from support.wire import VirtualClock

DATE = 1795409376.0


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def store_time(clock):
    return StoreTime(clock)


def test_without_an_answer_nothing_is_known_and_the_hosts_own_clock_has_to_do(store_time, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 12345.9)
    assert store_time.now() is None
    assert store_time.stamp(1005.0, dated=True) == Stamp(12345, 5 + SLACK)


def test_the_date_of_an_answer_goes_on_with_the_callers_clock(store_time, clock):
    store_time.saw(DATE, 1000.0, 1000.2)
    clock.at = 1060.2
    assert store_time.now() == pytest.approx(DATE + 60)


def test_each_answer_narrows_what_is_known(store_time, clock):
    """The store shows 0.7 s more than it tells."""
    store_time.saw(DATE, 990.0, 1000.0)
    assert store_time.now() == DATE
    clock.at = 1000.35
    store_time.saw(DATE + 1, 1000.3, 1000.35)
    assert store_time.now() == DATE + 1
    clock.at = 1001.0
    store_time.saw(DATE + 1, 1000.9, 1001.0)
    assert store_time.now() == pytest.approx(DATE + 1.65)


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_clock_that_was_set_is_believed_at_once(store_time, clock, step):
    store_time.saw(DATE, 1000.0, 1000.1)
    clock.at = 1001.0
    store_time.saw(DATE + step, 1000.9, 1001.0)
    assert store_time.now() == DATE + step


@pytest.mark.parametrize(("asked", "shows"), [(1000.75, DATE + 1.5), (1001.0, DATE + 1.5), (1001.25, DATE)])
def test_a_date_is_cut_to_the_second_so_the_clock_was_set_only_if_it_shows_a_second_less(
    store_time, clock, asked, shows
):
    store_time.saw(DATE, 1000.0, 1000.0)
    clock.at = 1001.5
    store_time.saw(DATE, asked, 1001.5)
    assert store_time.now() == shows


@pytest.mark.parametrize("now", [1000.0, 1000.1, 1000.9])
def test_a_request_is_dated_by_the_store_and_not_later_than_it_shows(store_time, clock, now):
    store_time.saw(DATE, 1000.0, 1000.0)
    clock.at = now
    assert store_time.stamp(1005.0, dated=False) == Stamp(int(DATE))
    assert store_time.stamp(1005.0, dated=True) == Stamp(int(DATE), 7)


def test_a_request_that_has_expired_is_otherwise_dated_as_it_should_be(store_time, clock):
    store_time.saw(DATE, 1000.0, 1000.0)
    assert store_time.stamp(1005.0, dated=True, expired=True) == Stamp(int(DATE) - 30, 1)
    assert store_time.stamp(1005.0, dated=False, expired=True) == Stamp(int(DATE))


@pytest.mark.parametrize(
    ("until", "lasts"),
    [(1004.9, 7), (1005.0004, 7), (1005.004, 8), (1005.4, 8), (1001.0, 3), (1000.1, 3), (999.0, 3)],
)
def test_a_write_is_valid_for_whole_seconds_until_2_s_after_its_caller_turns_away(store_time, clock, until, lasts):
    store_time.saw(DATE, 1000.0, 1000.0)
    clock.at = 1000.9
    assert store_time.stamp(until, dated=True) == Stamp(int(DATE), lasts)


@pytest.mark.parametrize(
    ("stamp", "off", "refuses"),
    [
        (Stamp(DATE), 60.0, False),
        (Stamp(DATE), 61.0, True),
        (Stamp(DATE), -60.0, False),
        (Stamp(DATE), -61.0, True),
        (Stamp(DATE, 7), 6.0, False),
        (Stamp(DATE, 7), 7.0, True),  # Date is cut to the second: the store may show up to 8
    ],
)
def test_a_stamp_tells_whether_it_can_be_the_reason_of_a_refusal(stamp, off, refuses):
    assert stamp.refuses(DATE + off) is refuses
