# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks mean the kept lease that their modules mean, and no other: several leases, several stores, several hosts."""

from __future__ import annotations

import pytest
from support.stores.odd import Store

LASTS = dict(keepalive=True, lease_duration=60)


@pytest.fixture
def play(start_playbook, open_store):
    """Plays tasks by the names of their modules, on stores by the names A and B."""
    stores = {name: open_store(Store) for name in "AB"}

    def play(*tasks, hosts=("localhost",), defaults=None):
        common = dict(access_key="anybody", secret_key="whatever", bucket="bucket", endpoint_url=stores["A"].url)
        given = {name: value for name, value in {**common, **(defaults or {})}.items() if value is not None}
        env = dict(AWS_URL=stores["A"].url)
        return start_playbook([made(stores, *task) for task in tasks], hosts=hosts, s3=given, env=env).wait()

    return play


def made(stores, name, module, options, keywords=None):
    given = {option: stores[value].url if option == "endpoint_url" else value for option, value in options.items()}
    keywords = {"register": name, **(keywords or {})}
    if keywords.get("environment", {}).get("AWS_URL"):
        keywords = {**keywords, "environment": dict(AWS_URL=stores["B"].url)}
    if module == "held":
        return dict(
            name=name, **{"ansible.builtin.debug": dict(msg="{{ %s is leaderelection.s3.held }}" % options["of"])}
        )
    return dict(name=name, **{f"leaderelection.s3.s3_leader_{module}": given}, **keywords)


def told(run, name):
    return run[name]["lease"]["key"], run[name]["lease"]["state"]


def test_an_alias_names_another_lease_than_the_defaults(play):
    run = play(
        ("a", "acquire", dict(LASTS)),
        ("b", "acquire", dict(object_key="jobs/b", lease_duration=60)),
        ("renewed", "renew", dict(object_key="jobs/b")),
        ("released", "release", dict(object_key="jobs/b")),
        ("held", "held", dict(of="a")),
        defaults=dict(key="jobs/a"),
    ).succeeded()
    assert (run["renewed"]["lease"]["key"], run["renewed"]["requests"] > 0) == ("jobs/b", True)
    assert told(run, "released") == ("jobs/b", "released")
    assert run["held"]["msg"] is True


def test_a_lease_of_the_same_name_in_another_store_is_another_one(play):
    run = play(
        ("a", "acquire", dict(LASTS)),
        ("b", "acquire", dict(endpoint_url="B", lease_duration=60)),
        ("renewed", "renew", dict(endpoint_url="B")),
        ("released", "release", dict(endpoint_url="B")),
        ("held", "held", dict(of="a")),
        ("asked", "info", dict(endpoint_url="B")),
        defaults=dict(key="jobs/a"),
    ).succeeded()
    assert run["renewed"]["requests"] > 0
    assert told(run, "released") == told(run, "asked") == ("jobs/a", "released")
    assert run["held"]["msg"] is True
    assert "was given back at the end of the run" in run.stderr


def test_a_task_with_an_environment_of_its_own_means_the_lease_of_a_result_alone(play):
    run = play(
        ("a", "acquire", dict(LASTS)),
        ("renewed", "renew", dict(on_lost="report"), dict(environment=dict(AWS_URL="B"))),
        ("released", "release", {}, dict(environment=dict(AWS_URL="B"))),
        ("held", "held", dict(of="a")),
        ("by_result", "release", dict(lease="{{ a }}"), dict(environment=dict(ANOTHER="too"))),
        ("held_then", "held", dict(of="a")),
        defaults=dict(key="jobs/a", endpoint_url=None),
    ).succeeded()
    assert (run["renewed"]["is_leader"], run["renewed"]["lease"]["state"]) == (False, "absent")
    assert run["released"]["lease"]["state"] == "absent"
    assert run["held"]["msg"] is True
    assert told(run, "by_result") == ("jobs/a", "released")
    assert run["held_then"]["msg"] is False
    assert "was not given back" not in run.stderr


def test_hosts_of_one_session_have_one_keeper_and_none_gives_back_what_another_one_has(play):
    hosts = [f"h{number}" for number in range(5)]
    options = dict(LASTS, key="jobs/a", session="workflow 1", lease_duration=20)
    run = play(("a", "acquire", options), ("held", "held", dict(of="a")), hosts=hosts)
    assert run.returncode == 0, run.stdout
    results = [one for one in run.results if one.task == "a"]
    assert [one.result["is_leader"] for one in results] == [True] * len(hosts)
    held = {one.host for one in run.results if one.task == "held" and one.result["msg"] is True}
    latest = max(one.result["term"] for one in results)
    assert held == {one.host for one in results if one.result["term"] == latest}


def test_a_release_that_is_refused_leaves_the_lease_to_its_keeper(play):
    run = play(
        ("a", "acquire", dict(LASTS, key="jobs/a")),
        ("refused", "release", dict(key="jobs/a", force_foreign=True), dict(ignore_errors=True)),
        ("held", "held", dict(of="a")),
    ).succeeded()
    assert "it needs force=true" in run["refused"]["msg"]
    assert run["held"]["msg"] is True
    assert "was given back at the end of the run" in run.stderr


def test_a_newer_result_counts_after_its_keeper_has_ended(play):
    run = play(
        ("a", "acquire", dict(LASTS, key="jobs/a", keep_at_most=1, on_lost="report", request_timeout=20)),
        ("again", "acquire", dict(key="jobs/a", lease_duration=60)),
        ("held", "held", dict(of="again")),
        ("renewed", "renew", dict(key="jobs/a", lease="{{ again }}")),
        ("held_then", "held", dict(of="renewed")),
    ).succeeded()
    assert run["held"]["msg"] is True
    assert run["renewed"]["is_leader"] is True
    assert run["held_then"]["msg"] is True
