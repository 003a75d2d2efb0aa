# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds of a stress test: something happens to a leader at work while another one waits. They never work at once."""

from __future__ import annotations

import collections
import concurrent.futures
import pathlib
import random
import shutil
import tempfile
import typing as t
from collections.abc import Callable, Sequence

from support import guarded_work
from support.stores.served import Served

WORK = 600
"""Seconds that the first one would work."""


class Round(t.NamedTuple):
    """What became of a leader that something happened to, and of the one that came after it."""

    fault: str
    ended: float
    """Seconds from the fault to the end of the work."""
    left: float
    """Seconds from the end of the work to the last deadline that was known; or, if none is, to the work of the next."""
    wrong: str


Play = Callable[[pathlib.Path, Served, str, float, bool], Round]
"""Plays one round: a folder, the store, the fault, when it happens, and whether SIGTERM does not end the work."""


def stress(play: Play, faults: Sequence[str], rounds: int, at_once: int, seed: int, server: Served, until: str) -> bool:
    """Play so many rounds, print what happened, and return whether all was well. ``until`` names what was left to."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rounds-"))
    chance = random.Random(seed)
    plans = [(faults[number % len(faults)], chance.uniform(0, 5), chance.random() < 0.5) for number in range(rounds)]
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        played = list(pool.map(lambda plan: play(folder, server, *plan), plans))
    by_fault = collections.defaultdict(list)
    for one in played:
        by_fault[one.fault].append(one)
    print(f"\n{'What happened':50} rounds  until the work's end, s   {until}")
    for fault, those in by_fault.items():
        ended, left = [one.ended for one in those], min(one.left for one in those)
        title = f"  {fault.replace('_', ' '):48} {len(those):6}"
        print(f"{title}   {min(ended):5.1f} to {max(ended):5.1f}         at least {left:5.1f}")
    wrong = [one for one in played if one.wrong]
    for one in wrong:
        print(f"WRONG after {one.fault}: {one.wrong}")
    print(f"\n{len(played)} rounds, {len(wrong)} of them wrong.")
    if not wrong:
        shutil.rmtree(folder, ignore_errors=True)
    return not wrong


def wrong(file: pathlib.Path, told: object) -> str:
    """Say what is wrong with the works of alice, whom something befell, and bob, who followed; '' for nothing."""
    shifts = guarded_work.shifts(file)
    if guarded_work.overlaps(file):
        return f"both worked at a time: {shifts}"
    return "" if "bob" in shifts else f"nobody got the lease any more: {told}"


def faults_of(meddler: type) -> list[str]:
    """The names of what a class does to a leader."""
    return [name for name in vars(meddler) if not name.startswith("_")]
