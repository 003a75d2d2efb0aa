# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What README shows first: the quickstart, here with the collection as it is published."""

from __future__ import annotations

import os
import subprocess
import sys

from support import published


def test_the_quickstart_plays_with_what_is_published(tmp_path):
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": published.install(tmp_path)}
    command = [sys.executable, published.ROOT / "tools" / "quickstart.py"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "  NOT " not in ended.stdout
    assert ended.stdout.count("  ok ") == 7
