# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets the shared core run through schedules of faults in virtual time (tests/simulation), each by its seed.

Says how many, how fast, which faults there were, and which decisions were taken. A schedule that violates the
protocol is told by its seed, with a timeline of what happened.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import dataclasses
import gc
import itertools
import os
import pathlib
import random
import sys
import time
import typing as t

import coverage

ROOT = pathlib.Path(__file__).resolve().parent.parent

DECISIONS = ("protocol.py", "slots.py", "driver.py", "store.py")
"""Files of the core whose branches are counted: on a sample, since counting takes its time."""
SAMPLE = 1000
CHUNK = 100
ENOUGH = 100_000
"""Schedules after which a mutant has survived."""


@dataclasses.dataclass
class Tally:
    schedules: int = 0
    events: int = 0
    fewest: int = sys.maxsize
    seconds: float = 0.0
    """Of CPU time."""
    faults: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    violations: dict[int, str] = dataclasses.field(default_factory=dict)
    """By seed."""

    def add(self, other: Tally) -> None:
        self.schedules += other.schedules
        self.events += other.events
        self.fewest = min(self.fewest, other.fewest)
        self.seconds += other.seconds
        self.faults += other.faults
        self.violations |= other.violations


def run(seeds: range) -> Tally:
    from simulation.draw import schedule

    tally = Tally()
    began = time.process_time()
    gc.disable()  # faster: what a schedule leaves behind can wait
    for seed in seeds:
        drawn = schedule(seed)
        wrong = drawn.verdict()
        if wrong:
            tally.violations[seed] = wrong
        tally.schedules += 1
        tally.events += drawn.world.events
        tally.fewest = min(tally.fewest, drawn.world.events)
        tally.faults.update(drawn.world.faults)
    gc.collect()
    tally.seconds = time.process_time() - began
    return tally


def chunks(first: int, most: int, until: float) -> t.Iterator[range]:
    for begin in range(first, first + most, CHUNK):
        if time.monotonic() >= until:
            return
        yield range(begin, min(begin + CHUNK, first + most))


def run_all(work: t.Iterator[range], processes: int) -> Tally:
    """Run on all cores; stop at the first violation."""
    tally = Tally()
    told = time.monotonic()
    with concurrent.futures.ProcessPoolExecutor(processes) as pool:
        running = {pool.submit(run, chunk) for chunk in itertools.islice(work, 2 * processes)}
        while running:
            done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                tally.add(future.result())
            if not tally.violations:
                running |= {pool.submit(run, chunk) for chunk in itertools.islice(work, len(done))}
            if time.monotonic() - told > 60:
                told = time.monotonic()
                print(f"  {tally.schedules:,} schedules so far", flush=True)
    return tally


def cover(first: int) -> None:
    """Print which branches of the decisions a sample of schedules takes."""
    folder = (ROOT / "plugins" / "module_utils" / "_lease").resolve()
    counted = coverage.Coverage(
        branch=True, data_file=None, concurrency=["greenlet"], include=[str(folder / name) for name in DECISIONS]
    )
    with counted.collect():
        tally = run(range(first, first + SAMPLE))
    print(f"\nBranches taken in the first {tally.schedules:,} schedules:")
    counted.report(show_missing=True)


def replay(seed: int) -> int:
    """Print the timeline of one schedule."""
    from simulation.draw import schedule

    drawn = schedule(seed, trace=True)
    wrong = drawn.verdict()
    print("\n".join(drawn.world.timeline or []))
    print(f"Violation: {wrong}" if wrong else "No rule was violated.")
    return int(bool(wrong))


def hunt(name: str, first: int) -> str:
    """Return the seed that catches a mutant, as tests/simulation/corpus.txt has it, or a comment."""
    from simulation import mutants
    from simulation.draw import caught

    core = mutants.load(name)
    for turn, seed in enumerate(range(first, first + ENOUGH), 1):
        violation = caught(seed, core)
        if mutants.shown(name, violation):
            return f"{seed:<6} {name}  # after {turn:,} schedules: {violation}"
    return f"# {name}: not caught by {ENOUGH:,} schedules"


def hunt_all(first: int, processes: int) -> int:
    """Print for each mutant the seed that catches it."""
    from simulation.mutants import MUTANTS

    survived = 0
    with concurrent.futures.ProcessPoolExecutor(processes) as pool:
        for line in pool.map(hunt, MUTANTS, itertools.repeat(first)):
            print(line, flush=True)
            survived += line.startswith("#")
    return int(survived > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long to go on (default: 60)")
    parser.add_argument("--schedules", type=int, help="how many schedules to run, however long it takes")
    parser.add_argument("--first", type=int, help="the first seed (default: a fresh one)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="default: one for each core")
    parser.add_argument("--seed", type=int, help="replay this one and print its timeline")
    parser.add_argument("--mutants", action="store_true", help="look for the seed that catches each mutant")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return replay(arguments.seed)
    if arguments.mutants:
        return hunt_all(arguments.first or 0, arguments.processes)

    first = random.SystemRandom().randrange(2**40) if arguments.first is None else arguments.first
    cover(first)
    until = time.monotonic() + (arguments.seconds if arguments.schedules is None else float("inf"))
    tally = run_all(chunks(first, arguments.schedules or sys.maxsize - first, until), arguments.processes)
    print(f"\nFaults in {tally.schedules:,} schedules:")
    for kind, count in tally.faults.most_common():
        print(f"  {count:12,}  {kind}")
    print(
        f"\n{tally.schedules:,} schedules, seeds {first} to {first + tally.schedules - 1}: "
        f"{tally.events / tally.schedules:.0f} events each, {tally.fewest} at least; "
        f"{tally.schedules / tally.seconds:.0f} schedules a second and core.\n"
    )
    for seed, violation in sorted(tally.violations.items())[:1]:
        replay(seed)
        print(f"\nSeed {seed}: {violation}\nReplay it with: make simulate SEED={seed}")
    print("A rule was violated." if tally.violations else "No rule was violated.")
    return int(bool(tally.violations))


if __name__ == "__main__":
    sys.exit(main())
