# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The code of the daemon goes to a host as a whole, and what is there is what the modules are made of."""

from __future__ import annotations

import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CODE = {file.name: file.read_text() for file in (ROOT / "plugins/module_utils/_lease").glob("*.py")}
TASK = """
- name: copy
  leaderelection.s3.heartbeat_code:
    path: "{{ place }}"
    mode: "0644"
"""


@pytest.fixture
def copy(run_playbook, tmp_path):
    """Copies the code, and returns the task's result."""
    return lambda *args: run_playbook(TASK, args=args, place=str(tmp_path / "code")).succeeded()["copy"]


@pytest.fixture
def folder(tmp_path):
    """An empty folder for the code."""
    (tmp_path / "code").mkdir()
    return tmp_path / "code"


def there(folder):
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_the_folder_holds_the_code_and_nothing_else_and_a_second_time_nothing_changes(copy, folder):
    assert copy()["written"] == sorted(CODE)
    assert there(folder) == CODE
    (folder / "wording.py").write_text("old")
    (folder / "gone.py").write_text("old")
    (folder / "clock.py").chmod(0o600)
    repaired = copy()
    assert (repaired["written"], repaired["removed"]) == (["wording.py"], ["gone.py"])
    assert there(folder) == CODE
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o644}
    assert copy()["changed"] is False


def test_check_mode_tells_what_it_would_do_and_does_nothing(copy, folder):
    (folder / "gone.py").write_text("old")
    told = copy("--check", "--diff")
    assert (told["changed"], told["written"], told["removed"]) == (True, sorted(CODE), ["gone.py"])
    assert "wording.py" in told["diff"]["after"]
    assert list(there(folder)) == ["gone.py"]


def test_check_mode_needs_no_folder(copy):
    assert copy("--check")["written"] == sorted(CODE)
