# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to find out that a store enforces conditions, who pays for it, and what is known afterwards."""

from __future__ import annotations

import json
import typing as t

import pytest
from support import proxy as faults
from support.leases import OLD_TERM, proven, somebody_elses
from support.stores.odd import NeverExpires, RefusesQuerySignatures, Store, WantsBareEtags

DAY = 86400
FAST = {"ANSIBLE_PIPELINING": "true"}
"""For playbooks of many tasks."""


def task(module: str, name: str, **options: t.Any) -> dict[str, t.Any]:
    return {"name": name, f"leaderelection.s3.s3_leader_{module}": options, "register": "result"}


def seen(server: t.Any) -> list[tuple[str, str, int | None]]:
    """The requests that a server saw, and what their clients were told. Writes that raced come in any order."""
    return [(one.method, one.condition, one.status) for one in server.requests]


def in_query(request: t.Any) -> bool:
    return "X-Amz-Expires=" in request.path


@pytest.fixture
def to() -> t.Callable[..., dict[str, str]]:
    """Options that reach a server."""
    return lambda server: dict(
        endpoint_url=named(server.url), access_key="anybody", secret_key="whatever", bucket="bucket"
    )


def named(url: str) -> str:
    """A URL of a store on this machine that does not look like one: nothing would be remembered of it."""
    return url.replace("127.0.0.1", "0.0.0.0")


READ, CREATE, CLASH = ("GET", "none", 404), ("PUT", "create", 200), ("PUT", "create", 412)
REPLACE, MISMATCH, EXPIRED = (("PUT", "replace", status) for status in (200, 412, 403))


def test_the_first_lease_of_a_bucket_pays_for_the_proof_and_the_next_ones_take_two_requests(
    run_playbook, seaweedfs, bucket, key, proxy, tmp_path
):
    another_user = {"environment": {"XDG_CACHE_HOME": str(tmp_path / "another")}}
    run = run_playbook(
        [
            task("acquire", "first", key=f"{key}-1"),
            task("acquire", "next", key=f"{key}-2"),
            task("release", "release", key=f"{key}-2"),
            {**task("acquire", "another user", key=f"{key}-2", session="another-user"), **another_user},
            {**task("acquire", "another user's next", key=f"{key}-3"), **another_user},
        ],
        s3=dict(seaweedfs.options, endpoint_url=named(proxy.url), bucket=bucket),
        env=FAST,
    ).succeeded()
    names = ("first", "next", "another user", "another user's next")
    assert [run[name]["is_leader"] for name in names] == [True] * 4
    assert [run[name]["requests"] for name in names] == [8, 2, 2, 2]  # who reads of a proof remembers it, too
    requests = seen(proxy)
    assert requests[:5] == [READ, CREATE, CLASH, MISMATCH, EXPIRED]
    assert sorted(requests[5:7]) == [REPLACE, MISMATCH]  # they raced
    assert requests[7] == REPLACE
    assert requests[8:10] == [READ, CREATE]
    assert requests[12:14] == [("GET", "none", 200), REPLACE]
    proof = run["first"]["lease"]["conditions_proven"]
    assert (proof["store"], proof["quoted_etags"], proof["use_by_dates"]) == (
        f"{named(proxy.url)}/{bucket}",
        True,
        True,
    )
    assert run["next"]["lease"]["conditions_proven"] == proof
    assert run["another user"]["lease"]["conditions_proven"] == proof
    assert all(in_query(one) == (one.method == "PUT") for one in proxy.requests)


def test_a_store_that_wants_bare_etags_is_asked_in_that_form(run_playbook, open_store, key, to):
    store = open_store(WantsBareEtags)
    run = run_playbook(
        [
            task("acquire", "first", key=key),
            task("renew", "renew", key=key, lease="{{ result }}"),
            task("acquire", "next", key=f"{key}-2"),
        ],
        s3=to(store),
        env=FAST,
    ).succeeded()
    assert run["first"]["lease"]["conditions_proven"]["quoted_etags"] is False
    requests = seen(store)
    assert requests[:5] == [READ, CREATE, CLASH, MISMATCH, EXPIRED]
    assert requests[5:7] == [MISMATCH] * 2  # they raced with quotes
    assert requests[7:9] == [("GET", "none", 200), MISMATCH]  # without quotes the condition counts, too
    assert sorted(requests[9:11]) == [REPLACE, MISMATCH]  # they raced without
    assert requests[11:] == [REPLACE, REPLACE, READ, CREATE]


def test_a_proof_is_a_day_old_at_most_by_the_stores_clock(run_playbook, open_store, key, to):
    store = open_store(Store)
    acquire = [task("acquire", "acquire", key=key), task("release", "release", key=key)]
    assert run_playbook(acquire, s3=to(store)).succeeded()["acquire"]["requests"] == 8
    store.clock_offset = DAY - 600.0
    again = run_playbook(acquire, s3=to(store)).succeeded()["acquire"]
    assert (again["is_leader"], again["requests"]) == (True, 3)  # the first was refused, since its date was wrong
    store.clock_offset = DAY + 600.0
    later = run_playbook(acquire, s3=to(store)).succeeded()["acquire"]
    assert (later["is_leader"], later["requests"]) == (True, 9)
    assert later["lease"]["conditions_proven"]["at"] > again["lease"]["conditions_proven"]["at"]


def test_a_lease_that_was_copied_to_another_store_proves_nothing_there(run_playbook, open_store, key, to):
    here, there = open_store(Store), open_store(Store)
    acquire = [task("acquire", "acquire", key=key), task("release", "release", key=key)]
    assert run_playbook(acquire, s3=to(here)).succeeded()["acquire"]["requests"] == 8
    there.put(key, here.get(key).body)
    moved = run_playbook(acquire, s3=to(there)).succeeded()["acquire"]
    assert (moved["is_leader"], moved["requests"]) == (True, 8)
    assert moved["lease"]["conditions_proven"]["store"] == f"{named(there.url)}/bucket"


def test_a_store_on_this_machine_is_tested_for_each_new_lease(run_playbook, open_store, key):
    """Its URL may be that of another store tomorrow: the end of a tunnel."""
    store = open_store(Store)
    options = dict(endpoint_url=store.url, access_key="anybody", secret_key="whatever", bucket="bucket")
    tasks = [task("acquire", one, key=f"{key}-{one}") for one in ("first", "next")]
    run = run_playbook(tasks, s3=options, env=FAST).succeeded()
    assert [run[one]["requests"] for one in ("first", "next")] == [8, 8]


def test_a_store_that_carries_out_what_has_expired_gets_no_use_by_dates(run_playbook, open_store, key, to):
    store = open_store(NeverExpires)
    run = run_playbook(
        [task("acquire", "acquire", key=key), task("renew", "renew", key=key, lease="{{ result }}")],
        s3=to(store),
        env=FAST,
    ).succeeded()
    assert [run[name]["is_leader"] for name in ("acquire", "renew")] == [True, True]
    assert run["acquire"]["lease"]["conditions_proven"]["use_by_dates"] is False
    assert [in_query(one) for one in store.requests[4:]] == [True, False, False, False, False]  # it has expired


def test_a_bucket_that_refuses_query_signatures_gets_them_in_headers(run_playbook, open_store, key, to):
    store = open_store(RefusesQuerySignatures)
    run = run_playbook(
        [
            task("acquire", "acquire", key=key),
            task("renew", "renew", key=key, lease="{{ result }}"),
            task("renew", "renew without", key=key),
            task("release", "release", key=key),
            task("acquire", "acquire again", key=key),
            task("acquire", "next", key=f"{key}-2"),
        ],
        s3=to(store),
        env=FAST,
    ).succeeded()
    names = ("acquire", "renew", "renew without", "release", "acquire again", "next")
    assert [run[name]["is_leader"] for name in names] == [True, True, True, False, True, True]
    assert run["acquire again"]["term"] == run["acquire"]["term"] + 1
    assert run["acquire"]["lease"]["conditions_proven"]["use_by_dates"] is False
    assert json.loads(store.get(f"{key}-2").body)["conditionsProven"]["useByDates"] is False
    # Until that is known, each form of a write is tried; then no write is sent in vain. A create may have landed
    # late, so a second write completes it.
    assert [run[name]["requests"] for name in names[1:]] == [1, 2, 2, 2, 3]
    assert {in_query(one) for one in store.requests if one.status == 403} == {True}
    assert not any(in_query(one) for one in store.requests[run["acquire"]["requests"] :])


def test_where_all_answers_to_writes_are_lost_a_store_of_bare_etags_gives_leases_nevertheless(
    run_playbook, open_store, key, to
):
    store = open_store(WantsBareEtags)
    keys = [f"{key}-{number}" for number in range(5)]
    with faults.FaultProxy(store.url) as proxy:
        known = {**proven(f"{named(proxy.url)}/bucket"), "quotedEtags": False}
        for one in keys:
            store.put(one, somebody_elses(conditionsProven=known))
            store.age(one, 10)
        proxy.on("PUT", faults.drop_answer(), nth=None)
        run = run_playbook([task("acquire", one, key=one) for one in keys], s3=to(proxy), env=FAST).succeeded()
        assert [(run[one]["is_leader"], run[one]["term"]) for one in keys] == [(True, OLD_TERM + 1)] * 5
        assert {one.status for one in proxy.select("PUT")} == {None}
    for one in keys:
        assert json.loads(store.get(one).body)["session"] == run[one]["lease"]["session"]
