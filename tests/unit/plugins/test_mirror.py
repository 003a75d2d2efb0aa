# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/unit/plugins mirrors plugins: each file has its tests where one looks for them, and no test lost its file."""

from __future__ import annotations

import pathlib

import pytest

TESTS = pathlib.Path(__file__).resolve().parent
PLUGINS = TESTS.parents[2] / "plugins"

WITHOUT_TESTS = {
    "doc_fragments/_attributes.py": "documentation alone, which modules/test_documentation.py checks",
    "doc_fragments/_connection.py": "documentation alone, which modules/test_documentation.py checks",
    "doc_fragments/_lease.py": "documentation alone, which modules/test_documentation.py checks",
    "module_utils/_lease/__init__.py": "one constant, the time when the program began",
    "module_utils/_lease/host/__init__.py": "a docstring alone",
    "module_utils/_lease/host/execute/__init__.py": "a docstring alone",
    "module_utils/_lease/preflight/__init__.py": "a docstring alone",
}
"""Files of plugins/ that have nothing to test, with the reason."""

WITHOUT_A_FILE = {
    "test_mirror.py": "this one",
    "modules/test_documentation.py": "the documentation of all modules and of the lookup",
    "modules/test_what_is_sent.py": "what goes to a host with each module",
}
"""Tests of more than one file of plugins/, with what they are about."""


def place_of(file):
    """Where the tests of a file are: a file that is private has them under its name without the underscore.

    Those of a large file may have more files, which add a word to that name.
    """
    return file.parent / ("test_" + file.name.lstrip("_"))


def files(root, pattern="*.py"):
    return {file.relative_to(root) for file in root.rglob(pattern)}


SOURCES = sorted(file for file in files(PLUGINS) if str(file) not in WITHOUT_TESTS)


@pytest.mark.parametrize("file", SOURCES, ids=str)
def test_every_file_has_its_tests(file):
    assert (TESTS / place_of(file)).is_file(), f"the tests of plugins/{file} belong into {place_of(file)}"


def test_every_test_is_of_a_file():
    wanted = {place_of(file) for file in SOURCES} | {pathlib.Path(name) for name in WITHOUT_A_FILE}

    def is_wanted(file):
        words = file.stem.split("_")
        names = ("_".join(words[:count]) + ".py" for count in range(2, len(words) + 1))
        return any(file.parent / name in wanted for name in names)

    lost = sorted(str(file) for file in files(TESTS, "test_*.py") if not is_wanted(file))
    assert lost == [], "no file of plugins/ has these tests"


def test_what_has_no_tests_has_nothing_to_test():
    assert [name for name in WITHOUT_TESTS if not (PLUGINS / name).is_file()] == []
    assert [name for name in WITHOUT_TESTS if (TESTS / place_of(pathlib.Path(name))).exists()] == []
    assert [name for name in WITHOUT_TESTS if "def " in (PLUGINS / name).read_text(encoding="utf-8")] == []
    assert [name for name in WITHOUT_A_FILE if not (TESTS / name).is_file()] == []
