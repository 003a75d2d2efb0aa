# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The protocol that ships, among faults that no real store will produce on demand."""

from __future__ import annotations

import random

import pytest

from simulation.mutants import MUTANTS, mutant
from simulation.schedule import Schedule, Violation

SCHEDULES = 400
MOST = 2000
"""Schedules within which a mutant must be caught; most need fewer than ten."""


def test_no_schedule_violates_the_protocol():
    first = random.SystemRandom().randrange(2**32)
    for seed in range(first, first + SCHEDULES):
        schedule = Schedule(seed)
        try:
            schedule.run()
        except Violation as violation:
            replay = Schedule(seed, trace=True)
            with pytest.raises(Violation):
                replay.run()
            pytest.fail(f"seed {seed}: {violation}\n" + "\n".join(replay.world.timeline or []))


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_caught(name):
    core = mutant(name)
    for seed in range(MOST):
        try:
            Schedule(seed, core=core).run()
        except Violation:
            return
    pytest.fail(f"{MOST} schedules did not catch it")
