# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets processes ask for one lease, or for a slot of it, at the same instant, thousands of times."""

from __future__ import annotations

import collections
import time

from support import races
from support.stores.served import Served

CHUNK = 100
"""Rounds after which the objects of the races are removed."""


def stress_races(count: int, server: Served, bucket: str, contenders: int = races.PROCESSES, slots: int = 0) -> bool:
    """Race so many rounds, a third of them over each of races.BEFORE, and return whether nothing was wrong."""
    s3, options = server.client(), dict(server.options, bucket=bucket, slots=slots or None)
    leaders: collections.Counter[int] = collections.Counter()
    wrong = 0
    began = time.monotonic()
    for number, first in enumerate(range(0, count, CHUNK)):
        before = races.BEFORE[number % len(races.BEFORE)]
        keys = [f"races/{turn}" for turn in range(first, min(first + CHUNK, count))]
        races.prepare(s3, bucket, keys, before, slots)
        rounds = races.race(keys, options, contenders)
        leaders.update(sum(claim.leads for claim in claims) for claims in rounds.values())
        faults = races.faults(s3, bucket, keys, before, rounds, contenders, slots)
        wrong += len(faults)
        for key in keys:
            for name in races.objects(key, slots):
                s3.delete_object(Bucket=bucket, Key=name)
        so_far = f"{first + len(keys):6} rounds, {time.monotonic() - began:6.0f} s"
        print(f"{so_far}, {len(faults)} faults over {before}", *faults, sep="\n  ", flush=True)
    told = ", ".join(f"{leading} leaders in {times}" for leading, times in sorted(leaders.items()))
    of_what = f"{contenders} processes, {slots or 'no'} slots"
    print(f"\n{of_what}, {count} rounds in {time.monotonic() - began:.0f} s: {told}; {wrong} faults.")
    return not wrong
