# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets forty processes ask for one of three slots at the same instant, thousands of times: never do four get one."""

from __future__ import annotations

import collections
import time

from support import races
from support.stores.served import Served

CONTENDERS = 40
SLOTS = 3
CHUNK = 100
"""Rounds after which the objects of the races are removed."""


def stress_slots(count: int, server: Served, bucket: str) -> bool:
    """Race so many rounds, a third of them over each of races.BEFORE, and return whether nothing was wrong."""
    s3, options = server.client(), dict(server.options, bucket=bucket, slots=SLOTS)
    leaders: collections.Counter[int] = collections.Counter()
    wrong: list[str] = []
    began = time.monotonic()
    for number, first in enumerate(range(0, count, CHUNK)):
        before = races.BEFORE[number % len(races.BEFORE)]
        keys = [f"slots/{turn}" for turn in range(first, min(first + CHUNK, count))]
        objects = [f"{key}/slot-{slot}" for key in keys for slot in range(1, SLOTS + 1)]
        races.prepare(s3, bucket, objects, before)
        rounds = races.race(keys, options, CONTENDERS)
        leaders.update(sum(claim.leads for claim in claims) for claims in rounds.values())
        found = [f"over {before}, {fault}" for fault in faults(rounds)]
        wrong += found
        for name in objects:
            s3.delete_object(Bucket=bucket, Key=name)
        passed = time.monotonic() - began
        print(f"{first + len(keys):6} rounds, {passed:6.0f} s, {len(found)} faults over {before}", flush=True)
    for fault in wrong:
        print(f"WRONG {fault}")
    told = ", ".join(f"{leading} leaders in {times}" for leading, times in sorted(leaders.items()))
    print(f"\n{CONTENDERS} processes, {SLOTS} slots, {count} rounds in {time.monotonic() - began:.0f} s: ", end="")
    print(f"{told}; {len(wrong)} faults.")
    return not wrong


def faults(rounds: races.Rounds) -> list[str]:
    """What is wrong with how these rounds ended, one line for each fault."""
    wrong = []
    for turn, claims in rounds.items():
        held = sorted(claim.slot for claim in claims if claim.leads)
        if len(claims) != CONTENDERS:
            wrong.append(f"round {turn}: {len(claims)} of {CONTENDERS} were told anything")
        if held != [*range(1, SLOTS + 1)]:
            wrong.append(f"round {turn}: the slots {held} are held")
    return wrong
