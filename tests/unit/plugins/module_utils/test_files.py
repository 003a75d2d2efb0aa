# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils import _files


@pytest.fixture(autouse=True)
def _private():
    """Nobody else can read what is created without further ado."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_folders_are_created_for_all_to_read(tmp_path):
    _files.create(str(tmp_path / "far" / "away"))
    assert [folder.stat().st_mode & 0o777 for folder in (tmp_path / "far", tmp_path / "far" / "away")] == [0o755] * 2


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path):
    (tmp_path / "mine").mkdir(mode=0o700)
    _files.create(str(tmp_path / "mine"))
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o700
