# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `make model` reads in the model, and when it calls an outcome a failure. The searches themselves need spin."""

from __future__ import annotations

import re

import pytest

from .search import MODEL, VARIANTS, Mutant, Search, complaint, mutants, properties

TEXT = MODEL.read_text(encoding="utf-8")
ASSERTIONS = [line for line in TEXT.splitlines() if "assert(" in line]
MUTANT = Mutant("BASE", "P1", "what is broken")


def outcome(refuted: str = "", errors: int = 0, complete: bool = True) -> Search:
    return Search(errors, complete, 0, 0, 0, 0.0, 0.0, refuted, [], "")


def test_every_mutant_names_a_variant_and_a_property_that_refute_it() -> None:
    assert list(mutants(TEXT)) == re.findall(r"^#define (RULE_\w+)", TEXT, re.MULTILINE)
    assert {mutant.variant for mutant in mutants(TEXT).values()} <= set(VARIANTS)
    assert {mutant.refuted_by for mutant in mutants(TEXT).values()} == set(properties(TEXT))


def test_no_two_mutants_have_one_number() -> None:
    numbers = re.findall(r"^#define RULE_\w+ (\d+)", TEXT, re.MULTILINE)
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("line", ASSERTIONS)
def test_every_assertion_names_its_property(line: str) -> None:
    named = re.search(r"/\* (P\d) \*/", line)
    assert named
    assert named.group(1) in properties(TEXT)


def test_a_mutant_is_refuted_by_the_property_that_it_names() -> None:
    assert complaint(outcome("P1", errors=1, complete=False), MUTANT) == ""


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (outcome("P3", errors=1), "refuted by P3, not by P1"),
        (outcome("", errors=1), "refuted by an error that is no property's, not by P1"),
        (outcome(), "survives, and P1 must refute it"),
    ],
)
def test_a_mutant_that_another_property_refutes_or_none_is_a_failure(result: Search, why: str) -> None:
    assert complaint(result, MUTANT) == why


def test_a_variant_must_hold_in_a_complete_search() -> None:
    assert complaint(outcome(), None) == ""
    assert complaint(outcome(complete=False), None) == "the search is not complete"
    assert complaint(outcome("P2", errors=1), None) == "refuted by P2"
