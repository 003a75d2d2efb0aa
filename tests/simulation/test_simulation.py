# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The core that ships, among faults that no real store will produce on demand. `make simulate` goes on for longer."""

from __future__ import annotations

import pathlib
import random

import pytest

from simulation import mutations
from simulation.draw import caught, schedule
from simulation.mutants import MUTANTS, load, shown

FRESH = 500


def corpus() -> list[tuple[int, str]]:
    """Return seeds that once failed, with the mutant that each catches, or ''."""
    lines = (pathlib.Path(__file__).parent / "corpus.txt").read_text(encoding="utf-8").splitlines()
    entries = (line.partition("#")[0].partition(" ") for line in lines)
    return [(int(seed), name.strip()) for seed, _blank, name in entries if seed]


CATCHES = {name: seed for seed, name in corpus() if name}


def test_the_corpus_has_a_seed_for_each_mutant():
    assert list(CATCHES) == list(MUTANTS)


def test_a_seed_is_a_schedule():
    timelines = []
    for _run in range(2):
        drawn = schedule(7, trace=True)
        assert drawn.verdict() == ""
        timelines.append(drawn.world.timeline)
    assert len(timelines[0]) > 20
    assert timelines[0] == timelines[1]


@pytest.mark.parametrize("seed", sorted({seed for seed, _name in corpus()}))
def test_what_once_failed_does_not(seed):
    assert caught(seed) == ""


def test_no_fresh_schedule_violates_the_protocol():
    first = random.SystemRandom().randrange(2**32)
    violations = {seed: caught(seed) for seed in range(first, first + FRESH)}
    assert {seed: found for seed, found in violations.items() if found} == {}, "make simulate SEED=... replays it"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_caught(name):
    found = caught(CATCHES[name], load(name))
    assert shown(name, found), "make simulate ARGS=--mutants prints the seeds that catch it now"


def test_what_survives_is_a_mutant_and_has_a_reason():
    reasons = mutations.survivors()
    assert set(reasons) <= {mutant.name for mutant in mutations.mutants()}
    assert all(reasons.values())


def test_no_two_mutants_are_alike():
    made = mutations.mutants()
    assert len({mutant.name for mutant in made}) == len(made) == len({mutant.source for mutant in made})


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("if a < 1:", {"if True:", "if False:", "if a <= 1:", "if a >= 1:", "if a < 2:", "if a < 0:"}),
        ("if a and not b:", {"if True:", "if False:", "if (a or not b):", "if (a):", "if (not b):", "if a and (b):"}),
        ("f(a, b, c=d)", {"pass", "f(b, a, c=d)", "f(a, c=d)", "f(a, b)"}),
        ("a = min(b, '')", {"pass", "a = max(b, '')", "a = min(b, 'mutant')"}),
        ("a = b * c + d.at", {"pass", "a = (b * c - d.at)", "a = (b / c) + d.at", "a = b * c + d.asked"}),
        ("raise a", {"pass"}),
        ("return a", {"return None"}),
    ],
)
def test_mutations_are_of_every_kind(source, changes):
    colon = "\n        pass" if source.startswith("if") else ""
    made = mutations.mutants_of("file", f"def function():\n    {source}{colon}\n")
    assert {mutant.name.partition(" => ")[2] for mutant in made} == changes
    assert all(mutant.name.startswith(f"file.py function: {source} => ") for mutant in made)
