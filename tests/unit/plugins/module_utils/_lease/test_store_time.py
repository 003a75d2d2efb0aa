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


def test_a_request_is_dated_by_the_store_and_not_later_than_it_shows(store_time, clock):
    store_time.saw(DATE, 1000.0, 1000.0)
    clock.at = 1000.9
    assert store_time.stamp(1005.0, dated=False) == Stamp(int(DATE))
    assert store_time.stamp(1005.0, dated=True) == Stamp(int(DATE), 5 + SLACK)
    clock.at = 1000.1
    assert store_time.stamp(1005.0, dated=True).lasts == 5 + SLACK


def test_a_write_for_which_there_is_hardly_time_has_a_whole_second(store_time, clock):
    store_time.saw(DATE, 1000.0, 1000.0)
    assert store_time.stamp(999.0, dated=True).lasts == 1 + SLACK


@pytest.mark.parametrize(
    ("stamp", "off", "refuses"),
    [
        (Stamp(DATE), 59.0, False),
        (Stamp(DATE), 61.0, True),
        (Stamp(DATE), -61.0, True),
        (Stamp(DATE, 7), 6.0, False),
        (Stamp(DATE, 7), 7.0, True),  # Date is cut to the second: the store may show up to 8
    ],
)
def test_a_stamp_tells_whether_it_can_be_the_reason_of_a_refusal(stamp, off, refuses):
    assert stamp.refuses(DATE + off) is refuses
