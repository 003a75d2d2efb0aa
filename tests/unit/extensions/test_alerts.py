# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alerts, as Prometheus reads them: alerts.test.yml has what promtool plays."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess

import pytest
import yaml
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.metrics import FAMILIES

ROOT = pathlib.Path(__file__).resolve().parents[3]
ALERTS = ROOT / "extensions" / "prometheus" / "alerts.yml"
TESTS = pathlib.Path(__file__).parent / "alerts.test.yml"


@pytest.fixture
def promtool():
    """Runs it, and returns what it prints. Skips the test where there is none."""
    if not shutil.which("promtool"):
        pytest.skip("no promtool command: apt-get install prometheus")

    def run(*arguments):
        ran = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    return run


def test_prometheus_can_load_the_alerts(promtool):
    assert "SUCCESS" in promtool("check", "rules", ALERTS)


def test_every_alert_fires_when_it_should_and_only_then(promtool):
    assert "SUCCESS" in promtool("test", "rules", TESTS)


def test_every_alert_has_a_test_that_names_it():
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    played = TESTS.read_text()
    assert [rule["alert"] for rule in rules if f"{rule['alert']}" not in played] == []


def test_alerts_ask_for_metrics_that_exist():
    known = {name for name, _type, _help in FAMILIES}
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"s3_leader_\w+", rule["expr"])}
    assert {re.sub("_bucket$", "", name) for name in asked} <= known
