# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib.util
import os
import pathlib

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._code import carried
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import wording
from ansible_collections.leaderelection.s3.plugins.modules import heartbeat_code
from support import module

CODE = pathlib.Path(wording.__file__).parent


def test_what_is_in_a_folder_is_found_by_its_path_but_not_what_python_has_compiled(tmp_path):
    (tmp_path / "host" / "__pycache__").mkdir(parents=True)
    for name in ("a.py", "host/b.py", "host/__pycache__/b.cpython-311.pyc"):
        (tmp_path / name).write_text(name)
    assert heartbeat_code.read(str(tmp_path)) == {"a.py": b"a.py", "host/b.py": b"host/b.py"}
    assert heartbeat_code.read(str(tmp_path / "nowhere")) == {}


# -- The module


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "code").mkdir()
    return tmp_path / "code"


@pytest.fixture
def install(tmp_path):
    """Runs the module on that folder, with a temporary folder of the test's."""

    def run(**options):
        given = dict(path=str(tmp_path / "code"), mode="0644", _ansible_tmpdir=str(tmp_path))
        return module.run(heartbeat_code.main, **dict(given, **options))

    return run


def there(folder):
    """What is in the folder, but for what Python has compiled."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.parent.name != "__pycache__"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_the_folder_holds_the_code_and_a_second_time_nothing_changes(install, folder):
    told = install()
    assert (told["changed"], told["written"], told["removed"]) == (True, sorted(carried()), [])
    assert there(folder) == carried()
    assert {file.stat().st_mode & 0o777 for file in folder.rglob("*.py")} == {0o644}
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir() if file.is_dir()} == {0o755}
    again = install()
    assert (again["changed"], again["written"], again["removed"]) == (False, [], [])
    assert again["diff"]["before"] == again["diff"]["after"]


def test_only_what_is_another_one_is_written(install, folder):
    install()
    (folder / "host" / "daemon.py").write_text("old")
    (folder / "wording.py").unlink()
    told = install()
    assert (told["changed"], told["written"]) == (True, ["host/daemon.py", "wording.py"])
    assert there(folder) == carried()


def test_a_mode_that_is_another_one_is_set_right(install, folder):
    install()
    (folder / "clock.py").chmod(0o600)
    told = install()
    assert (told["changed"], told["written"]) == (True, [])
    assert (folder / "clock.py").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_others_cannot_read_is_set_right(install, folder):
    install()
    (folder / "host").chmod(0o700)
    assert install()["changed"] is True
    assert (folder / "host").stat().st_mode & 0o777 == 0o755


def test_the_code_is_compiled_where_it_is_for_all_to_read(install, folder):
    before = os.umask(0o077)
    try:
        install()
    finally:
        os.umask(before)
    compiled = [pathlib.Path(importlib.util.cache_from_source(str(file))) for file in folder.rglob("*.py")]
    assert {file.stat().st_mode & 0o777 for file in compiled} == {0o644}
    assert {file.parent.stat().st_mode & 0o777 for file in compiled} == {0o755}


def test_what_is_no_file_is_left_alone(install, folder):
    (folder / ".#command.py").symlink_to("nowhere")
    assert install()["failed"] is False
    assert install(prune=True)["removed"] == []


def test_what_is_not_part_of_the_code_is_left_when_it_is_written(install, folder):
    (folder / "gone.py").write_text("old")
    told = install()
    assert (told["changed"], told["removed"]) == (True, [])
    assert there(folder) == {**carried(), "gone.py": b"old"}
    assert "gone.py" in told["diff"]["after"]


def test_prune_removes_what_is_not_part_of_the_code_and_writes_nothing(install, folder):
    install()
    (folder / "gone.py").write_text("old")
    (folder / "host" / "gone.py").write_text("old")
    (folder / "host" / "daemon.py").write_text("another version")
    (folder / "wording.py").unlink()
    before = there(folder)
    told = install(prune=True)
    assert (told["changed"], told["written"], told["removed"]) == (True, [], ["gone.py", "host/gone.py"])
    assert "gone.py" in told["diff"]["before"]
    assert "gone.py" not in told["diff"]["after"]
    del before["gone.py"], before["host/gone.py"]
    assert there(folder) == before
    again = install(prune=True)
    assert (again["changed"], again["written"], again["removed"]) == (False, [], [])
    assert again["diff"]["before"] == again["diff"]["after"]


def test_check_mode_tells_what_it_would_write_and_writes_nothing(install, folder):
    (folder / "gone.py").write_text("old")
    told = install(check=True)
    assert (told["changed"], told["written"]) == (True, sorted(carried()))
    assert told["removed"] == []
    assert "host/daemon.py" not in told["diff"]["before"]
    assert "host/daemon.py" in told["diff"]["after"]
    assert [file.name for file in folder.iterdir()] == ["gone.py"]


def test_check_mode_tells_what_it_would_remove_and_removes_nothing(install, folder):
    (folder / "gone.py").write_text("old")
    told = install(check=True, prune=True)
    assert (told["changed"], told["written"], told["removed"]) == (True, [], ["gone.py"])
    assert "gone.py" in told["diff"]["before"]
    assert told["diff"]["after"] == ""
    assert there(folder) == {"gone.py": b"old"}


def test_check_mode_needs_no_folder(install):
    assert install(check=True)["written"] == sorted(carried())


def test_check_mode_tells_that_a_mode_would_be_set_right(install, folder):
    install()
    (folder / "clock.py").chmod(0o600)
    assert install(check=True)["changed"] is True
    assert (folder / "clock.py").stat().st_mode & 0o777 == 0o600
