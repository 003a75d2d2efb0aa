# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._code import carried
from ansible_collections.leaderelection.s3.plugins.modules import command_file
from support import module


@pytest.fixture
def install(tmp_path):
    """Runs the module on a file, with a temporary folder of the test's."""

    def run(**options):
        given = dict(path=str(tmp_path / "bin" / "s3-leader"), python=sys.executable, _ansible_tmpdir=str(tmp_path))
        return module.run(command_file.main, **{**given, **options})

    return run


def test_the_file_runs_and_a_second_time_nothing_changes(install):
    told = install()
    assert told["changed"]
    assert oct(os.stat(told["path"]).st_mode)[-3:] == "755"
    done = subprocess.run([told["path"], "--help"], stdout=subprocess.PIPE, encoding="utf-8", check=True)
    assert "run a command as long as a lease is held" in done.stdout
    assert not install()["changed"]


def test_it_has_all_of_the_code(install):
    with zipfile.ZipFile(install()["path"]) as archive:
        names = {name for name in archive.namelist() if name != "__main__.py"}
    assert names == {f"s3_leader/{name}" for name in carried()}


def test_in_check_mode_nothing_is_written(install, tmp_path):
    told = install(_ansible_check_mode=True)
    assert told["changed"]
    assert not (tmp_path / "bin").exists()


def test_a_file_that_is_not_as_it_should_be_is_replaced_and_the_mode_set_right(install):
    path = install()["path"]
    with open(path, "ab") as file:
        file.write(b"more")
    assert install()["changed"]
    assert not install()["changed"]
    os.chmod(path, 0o600)
    assert install()["changed"]
    assert not install()["changed"]


@pytest.mark.parametrize(
    ("python", "first"),
    [("/opt/python3.8", b"#!/opt/python3.8\n"), ("python3", b"#!/usr/bin/env python3\n")],
)
def test_the_first_line_names_the_python(python, first):
    assert command_file.command(python).startswith(first)


@pytest.mark.parametrize("python", ["", " python3", "python3\n"])
def test_a_python_that_cannot_be_is_refused(install, python):
    assert "use a path, or a name like python3" in install(python=python)["msg"]


def test_a_folder_is_refused(install, tmp_path):
    assert f"Name the file in it, like {tmp_path / 's3-leader'}" in install(path=str(tmp_path))["msg"]


def test_the_command_of_the_role_is_not_replaced(install, tmp_path):
    path = tmp_path / "s3-leader"
    path.write_text("#!/usr/bin/python3\n# Written by Ansible, role leaderelection.s3.heartbeat.\n")
    assert "the role heartbeat has installed the command there" in install(path=str(path))["msg"]
    assert path.read_text().startswith("#!/usr/bin/python3\n# Written")


def test_a_relative_path_is_refused(install):
    assert "use an absolute path" in install(path="bin/s3-leader")["msg"]


def test_a_path_that_cannot_be_written_is_refused(install, tmp_path):
    (tmp_path / "file").touch()
    told = install(path=str(tmp_path / "file" / "s3-leader"))
    assert told["failed"]
    assert told["msg"].startswith("path is ")
