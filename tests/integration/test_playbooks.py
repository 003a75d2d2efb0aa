# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example playbooks; tests/system/test_status.py plays them on hosts."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest
from support.playbook import Run

PLAYBOOKS = sorted((pathlib.Path(__file__).resolve().parents[2] / "playbooks").glob("*.yml"))


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)
def test_ansible_understands_an_example(run_playbook: Callable[..., Run], playbook: pathlib.Path) -> None:
    run_playbook(playbook.read_text(), args=["--syntax-check"]).succeeded()


def test_there_are_examples() -> None:
    assert PLAYBOOKS
