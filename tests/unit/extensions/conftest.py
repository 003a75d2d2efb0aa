# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for what Prometheus and Grafana are given."""

from __future__ import annotations

import subprocess

import pytest
from support import prometheus


@pytest.fixture
def promtool():
    """Runs it, and returns what it prints. Skips the test where there is none."""
    path = prometheus.command("promtool")

    def run(*arguments):
        ran = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    return run
