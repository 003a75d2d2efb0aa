# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard, as far as it can be seen without Grafana; tests/system/test_metrics.py asks its queries."""

from __future__ import annotations

import itertools
import json
import pathlib
import re

from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.metrics import FAMILIES

ROOT = pathlib.Path(__file__).resolve().parents[3]
DASHBOARD = json.loads((ROOT / "extensions" / "prometheus" / "dashboard.json").read_text())
PANELS = DASHBOARD["panels"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]


def test_prometheus_can_parse_every_query(promtool, tmp_path):
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "1m")}
        for number, query in enumerate(QUERIES)
    ]
    (tmp_path / "queries.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(QUERIES)} rules found" in promtool("check", "rules", tmp_path / "queries.yml")


def test_queries_ask_for_metrics_that_exist_of_the_leases_that_were_chosen():
    known = {name for name, _type, _help in FAMILIES}
    for query in QUERIES:
        asked = re.findall(r"(s3_leader_\w+)(\{[^}]*\})?", query)
        assert {re.sub("_bucket$", "", name) for name, _labels in asked} <= known
        for name, labels in asked:
            assert name == "s3_leader_info" or 'bucket=~"$bucket",key=~"$key"' in labels, query


def test_panels_and_variables_take_the_data_source_that_was_chosen():
    sources = [panel["datasource"]["uid"] for panel in PANELS]
    sources += [target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]]
    variables = DASHBOARD["templating"]["list"]
    sources += [variable["datasource"]["uid"] for variable in variables if variable["type"] == "query"]
    assert {*sources} == {"${datasource}"}
    assert [variable["name"] for variable in variables] == ["datasource", "bucket", "key"]


def test_panels_have_ids_of_their_own_and_do_not_overlap():
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for one, other in itertools.combinations((panel["gridPos"] for panel in PANELS), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


def test_every_panel_says_what_it_shows():
    assert [panel["title"] for panel in PANELS if not (panel["description"] and panel["targets"])] == []
