# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alerts, as Prometheus reads them: alerts.test.yml has what promtool plays."""

from __future__ import annotations

import pathlib
import re

import yaml
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.metrics import FAMILIES, OUTCOMES

ROOT = pathlib.Path(__file__).resolve().parents[3]
ALERTS = ROOT / "extensions" / "prometheus" / "alerts.yml"
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
PAGE = (ROOT / "docs" / "monitoring.md").read_text()
TESTS = pathlib.Path(__file__).parent / "alerts.test.yml"


def test_prometheus_can_load_the_alerts(promtool):
    assert "SUCCESS" in promtool("check", "rules", ALERTS)


def test_every_alert_fires_when_it_should_and_only_then(promtool):
    assert "SUCCESS" in promtool("test", "rules", TESTS)


def test_every_alert_has_a_test_that_names_it():
    played = TESTS.read_text()
    assert [rule["alert"] for rule in RULES if rule["alert"] not in played] == []


def test_alerts_ask_for_metrics_that_exist():
    known = {name for name, _type, _help in FAMILIES}
    asked = {name for rule in RULES for name in re.findall(r"s3_leader_\w+", rule["expr"])}
    assert {re.sub("_bucket$", "", name) for name in asked} <= known


def test_the_page_has_every_metric_with_its_type_and_every_alert():
    rows = re.findall(r"^\| `(s3_leader_\w+)` \| (\w+) \|", PAGE, re.MULTILINE)
    assert rows == [(name, kind) for name, kind, _help in FAMILIES]
    assert re.findall(r"^\| `(S3Leader\w+)` \|", PAGE, re.MULTILINE) == [rule["alert"] for rule in RULES]


def test_the_page_has_every_outcome_of_a_request():
    assert [outcome for outcome in OUTCOMES if f"`{outcome}`" not in PAGE] == []
