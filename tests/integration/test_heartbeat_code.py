# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The code of the daemon goes to a host as a whole, and what is there is what the modules are made of."""

from __future__ import annotations

import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def files(folder: pathlib.Path) -> dict[str, str]:
    """The text of each file of code, by its path below the folder."""
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*.py")}


CODE = files(ROOT / "plugins/module_utils/_lease")


@pytest.fixture
def copy(run_playbook, tmp_path):
    """Copies the code with more options, and returns the task's result."""

    def copy(*args, **options):
        task = {"path": str(tmp_path / "code"), "mode": "0644", **options}
        play = [{"name": "copy", "leaderelection.s3.heartbeat_code": task}]
        return run_playbook(play, args=args).succeeded()["copy"]

    return copy


@pytest.fixture
def folder(tmp_path):
    """An empty folder for the code."""
    (tmp_path / "code").mkdir()
    return tmp_path / "code"


def test_the_folder_holds_the_code_and_a_second_time_nothing_changes(copy, folder):
    assert copy()["written"] == sorted(CODE)
    assert files(folder) == CODE
    (folder / "wording.py").write_text("old")
    (folder / "host" / "clock.py").write_text("of an earlier version")
    (folder / "clock.py").chmod(0o600)
    repaired = copy()
    assert (repaired["written"], repaired["removed"]) == (["wording.py"], [])
    assert files(folder) == {**CODE, "host/clock.py": "of an earlier version"}
    assert {file.stat().st_mode & 0o777 for file in folder.rglob("*.py")} == {0o644}
    assert copy()["changed"] is False


def test_the_code_is_compiled(copy, folder):
    copy()
    compiled = {file.parents[1] / f"{file.name.split('.')[0]}.py" for file in folder.rglob("*.pyc")}
    assert compiled == set(folder.rglob("*.py"))


def test_with_prune_the_folder_keeps_the_code_and_nothing_else(copy, folder):
    copy()
    (folder / "gone.py").write_text("old")
    (folder / "gone").mkdir()
    (folder / "gone" / "too.py").write_text("old")
    assert copy("--check", prune=True)["removed"] == ["gone.py", "gone/too.py"]
    pruned = copy(prune=True)
    assert (pruned["written"], pruned["removed"]) == ([], ["gone.py", "gone/too.py"])
    assert files(folder) == CODE
    assert copy(prune=True)["changed"] is False


def test_check_mode_tells_what_it_would_do_and_does_nothing(copy, folder):
    (folder / "gone.py").write_text("old")
    foreseen = copy("--check", "--diff")
    assert (foreseen["changed"], foreseen["written"], foreseen["removed"]) == (True, sorted(CODE), [])
    assert "wording.py" in foreseen["diff"]["after"]
    assert list(files(folder)) == ["gone.py"]


def test_check_mode_of_the_pruning_foresees_nothing_where_there_is_no_code(copy):
    assert copy("--check", prune=True)["changed"] is False


def test_check_mode_needs_no_folder(copy):
    assert copy("--check")["written"] == sorted(CODE)
