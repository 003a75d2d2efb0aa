# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wall clock that steps."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator

import pytest
from support.daemon import eventually
from support.faketime import library
from support.leases import OLD_TERM, somebody_elses

DAY = 86400
CALM = 45
"""Seconds in which a standby reads several times."""


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


STEPS = pytest.mark.parametrize("seconds", [600, -600, DAY, -DAY])


@STEPS
def test_a_leader_leads_on_where_the_clock_steps(make, wall, stored, seconds):
    daemon = make("web-1", wall.environment)
    term = eventually(daemon.term)
    wall.step(seconds)
    assert daemon.renews(stored)
    wall.step(0)
    assert daemon.renews(stored)
    assert daemon.term() == term
    assert daemon.says("clock") == 0


@STEPS
def test_a_daemon_that_starts_with_a_wrong_clock_leads(make, wall, stored, seconds):
    wall.step(seconds)
    daemon = make("web-1", wall.environment)
    term = eventually(daemon.term)
    assert daemon.renews(stored)
    assert abs(term - time.time()) < 600
    assert daemon.says("clock") == 0


@STEPS
def test_a_standby_whose_clock_steps_takes_nothing_over_before_its_time(make, wall, put, seconds):
    put(somebody_elses(leaseDurationSeconds=DAY))
    daemon = make("web-1", wall.environment)
    eventually(lambda: daemon.says("the lease is held by somebody else"))
    wall.step(seconds)
    daemon.let_pass(CALM)
    assert daemon.leader() == {}
    assert daemon.says("clock") == 0
    put(somebody_elses(term=OLD_TERM + 5))
    assert eventually(daemon.term) == OLD_TERM + 6
