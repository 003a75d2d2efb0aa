# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wall clock that steps."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
from support.daemon import eventually
from support.faketime import library
from support.leases import somebody_elses

DAY = 86400
CALM = 45
"""Seconds after which a standby calls a series of errors over, and some more."""


class Wall:
    """A wall clock that steps; other clocks are right. faketime reads the file each time that it is asked."""

    def __init__(self, file: pathlib.Path) -> None:
        self._file = file
        self.environment = {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.step(0)

    def step(self, seconds: int) -> None:
        """Let it be so many seconds ahead from now on."""
        unfinished = self._file.with_suffix(".unfinished")
        unfinished.write_text(f"{seconds:+d}\n")
        unfinished.rename(self._file)


@pytest.fixture
def wall(tmp_path) -> Iterator[Wall]:
    return Wall(tmp_path / "wall")


@pytest.mark.parametrize("seconds", [600, -600])
def test_a_leader_leads_on_where_the_clock_steps_by_what_the_store_accepts(make, wall, stored, seconds):
    daemon = make("web-1", wall.environment)
    eventually(daemon.leader)
    wall.step(seconds)
    assert daemon.renews(stored)
    wall.step(0)
    assert daemon.renews(stored)
    assert daemon.says("clock") == 0


@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_a_leader_whose_clock_steps_by_a_day_ends_in_time_and_leads_again_when_it_is_right(make, wall, stored, seconds):
    daemon = make("web-1", wall.environment)
    term = eventually(daemon.term)
    wall.step(seconds)
    assert daemon.ended() == 75
    assert daemon.leader() == {}
    assert daemon.says("The clock of the host") == 1
    daemon.start()
    eventually(lambda: daemon.says("The clock of the host") == 2)
    daemon.let_pass(CALM)
    assert daemon.leader() == {}
    wall.step(0)
    assert eventually(daemon.term) == term + 1
    assert daemon.renews(stored)
    assert daemon.says("The clock of the host") == 2
    assert daemon.says("the store answers again") == 1


@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_a_standby_whose_clock_steps_by_a_day_takes_nothing_over(make, wall, put, seconds):
    put(somebody_elses(leaseDurationSeconds=DAY))
    daemon = make("web-1", wall.environment)
    eventually(lambda: daemon.says("the lease is held by somebody else"))
    wall.step(seconds)
    eventually(lambda: daemon.says("The clock of the host"))
    daemon.let_pass(CALM)
    wall.step(0)
    daemon.let_pass(CALM)
    assert daemon.leader() == {}
    assert len(daemon.lines()) == 4
    assert daemon.says("the store answers again") == 1
