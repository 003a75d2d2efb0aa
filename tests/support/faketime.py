# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's faketime, which gives a process another time."""

from __future__ import annotations

import shutil
import subprocess

import pytest

TRIES = 5
"""It fails where an earlier faketime with the same process number has left its semaphore behind in /dev/shm."""


def library() -> str:
    """What to preload. Skips the test where there is no faketime."""
    if not shutil.which("faketime"):
        pytest.skip("no faketime command: apt-get install faketime")
    for _turn in range(TRIES):
        shown = subprocess.run(["faketime", "-f", "+0", "env"], capture_output=True, text=True, check=False)
        if shown.returncode == 0:
            return next(line.partition("=")[2] for line in shown.stdout.splitlines() if line.startswith("LD_PRELOAD="))
    raise OSError(f"faketime ended with status {shown.returncode}: {shown.stderr}")
