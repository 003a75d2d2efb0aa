# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which kind of schedule follows from a seed."""

from __future__ import annotations

import random
import typing as t

from .schedule import Schedule
from .slots import SlotSchedule

WITH_SLOTS = 0.1
"""The share of leases with slots."""


def schedule(seed: int, trace: bool = False, core: t.Any = None) -> Schedule:
    """``core`` is what is put to the test: the core that ships, or a mutant of it."""
    fleet = random.Random(f"{seed} fleet")  # a chance of its own, so that other schedules stay what they were
    kind = SlotSchedule if fleet.random() < WITH_SLOTS else Schedule
    return kind(seed, trace, core)


def caught(seed: int, core: t.Any = None) -> str:
    """Return what the schedule finds wrong with the core, or ''."""
    return schedule(seed, core=core).verdict()
