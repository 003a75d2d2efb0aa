# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets eight processes ask for one lease at the same instant, thousands of times: one of them gets it."""

from __future__ import annotations

import collections
import time

from support import races
from support.stores.served import Served

CHUNK = 300
"""Rounds after which the objects of the races are removed."""


def stress_races(count: int, server: Served, bucket: str) -> bool:
    """Race so many rounds, a third of them over each of races.BEFORE, and return whether each had one leader."""
    s3, options = server.client(), dict(server.options, bucket=bucket)
    leaders: collections.Counter[int] = collections.Counter()
    wrong: list[str] = []
    began = time.monotonic()
    for number, first in enumerate(range(0, count, CHUNK)):
        before = races.BEFORE[number % len(races.BEFORE)]
        keys = [f"race/{turn}" for turn in range(first, min(first + CHUNK, count))]
        races.prepare(s3, bucket, keys, before)
        rounds = races.race(keys, options)
        leaders.update(sum(claim.leads for claim in claims) for claims in rounds.values())
        found = [f"over {before}, {fault}" for fault in races.faults(s3, bucket, keys, before, rounds)]
        wrong += found
        for key in keys:
            s3.delete_object(Bucket=bucket, Key=key)
        passed = time.monotonic() - began
        print(f"{first + len(keys):6} rounds, {passed:6.0f} s, {len(found)} faults over {before}", flush=True)
    for fault in wrong:
        print(f"WRONG {fault}")
    several = sum(times for winners, times in leaders.items() if winners > 1)
    print(f"\n{races.PROCESSES} processes, {count} rounds in {time.monotonic() - began:.0f} s: ", end="")
    print(f"one leader in {leaders[1]}, several in {several}, none in {leaders[0]}; {len(wrong)} faults.")
    return not wrong
