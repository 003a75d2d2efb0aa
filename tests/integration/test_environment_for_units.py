# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What root copies of the daemon's words for units: nothing but its own variables, and from nothing but a file."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "roles" / "heartbeat" / "templates" / "environment.sh.j2"
GOOD = """\
S3_LEADER_NAME="db"
S3_LEADER_TERM="7"
S3_LEADER_SLOT="2"
S3_LEADER_HOLDER="a \\"b\\" \\$c é"
S3_LEADER_STOP_GRACE="12"
"""


def copy(tmp_path: pathlib.Path) -> int:
    command = ["sh", str(SCRIPT), str(tmp_path / "told"), str(tmp_path / "copy")]
    return subprocess.run(command, timeout=60, check=False).returncode


def test_the_lines_of_a_leader_are_copied_as_they_are(tmp_path: pathlib.Path) -> None:
    (tmp_path / "told").write_text(GOOD)
    assert copy(tmp_path) == 0
    assert (tmp_path / "copy").read_text() == GOOD


@pytest.mark.parametrize(
    "line",
    [
        'LD_PRELOAD="/tmp/x.so"',
        ' LD_PRELOAD="/tmp/x.so"',
        'BASH_ENV="/tmp/x"',
        'S3_LEADER_PATH="/tmp"',
        'S3_LEADER_NAME="a" LD_PRELOAD="/tmp/x.so"',
        'S3_LEADER_NAME="a\\',  # a line that the next one would go on with
        'S3_LEADER_NAME="a',
        "S3_LEADER_NAME=a",
    ],
)
def test_no_other_line_is_copied(tmp_path: pathlib.Path, line: str) -> None:
    (tmp_path / "told").write_text(f"{line}\n{GOOD}")
    assert copy(tmp_path) == 0
    assert (tmp_path / "copy").read_text() == GOOD


def test_no_link_is_followed_and_no_fifo_is_waited_for(tmp_path: pathlib.Path) -> None:
    (tmp_path / "elsewhere").write_text(GOOD)
    (tmp_path / "told").symlink_to(tmp_path / "elsewhere")
    assert copy(tmp_path) != 0
    (tmp_path / "told").unlink()
    os.mkfifo(tmp_path / "told")
    assert copy(tmp_path) != 0
    assert (tmp_path / "copy").read_text() == ""
