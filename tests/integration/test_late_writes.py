# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A write that its caller has given up does not land, whatever held it back.

Three layers see to that, and each test names the one that it cannot do without: there the writes land.
tests/system/test_late_writes.py cuts the network. `make bench ARGS=late` does all of it two hundred times.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection

import pytest
from support import late
from support.proxy import FaultProxy, late_request
from support.stores.served import Served
from support.waiting import wait_for

PUTS = 8


@pytest.fixture(params=["seaweedfs", "ceph"])
def store(request) -> Served:
    server: Served = request.getfixturevalue(request.param)
    late.make_bucket(server)
    return server


@pytest.fixture
def keys() -> list[str]:
    return late.new_keys(PUTS)


def with_and_without(layer: late.Layer) -> pytest.MarkDecorator:
    """Run the test twice: no write lands, and without this layer all of them do."""
    cases = [pytest.param((), 0, id="with all layers"), pytest.param((layer,), PUTS, id=f"without the {layer}'s")]
    return pytest.mark.parametrize(("without", "landed"), cases)


def test_a_write_in_time_lands(store, keys):
    writer = late.Writer(store.options, keys)
    writer.prepare()
    assert late.carried_out(store, keys) == 0
    assert writer.write() == ["written"] * PUTS
    assert late.carried_out(store, keys) == PUTS


@with_and_without("store")
def test_the_store_refuses_what_a_proxy_hands_on_too_late(store, keys, without, landed):
    with FaultProxy(store.endpoint_url) as proxy:
        writer = late.Writer({**store.options, "endpoint_url": proxy.url}, keys, without)
        writer.prepare()
        proxy.forget()
        proxy.on("PUT", late_request(late.USE_BY, hang=True), nth=None)
        assert writer.write() == ["unknown"] * PUTS
        proxy.wait_for(lambda: all(put.store_status for put in proxy.select("PUT")), timeout=30)
        assert [put.store_status for put in proxy.select("PUT")] == [200 if landed else 403] * PUTS
    assert late.carried_out(store, keys) == landed


@with_and_without("caller")
@pytest.mark.parametrize("function", ["getaddrinfo", "connect"])
def test_a_thread_that_hung_until_its_caller_has_turned_away_sends_nothing(store, keys, function, without, landed):
    """The store would still take these writes."""
    assert hang(store, keys, function, without, seconds=0) == landed


def test_the_store_refuses_what_a_thread_that_hung_for_long_sends(store, keys):
    assert hang(store, keys, "getaddrinfo", ("caller",), late.USE_BY) == 0


def hang(
    store: Served, keys: list[str], function: late.Hanging, without: Collection[late.Layer], seconds: float
) -> int:
    """Let the threads of all writes hang for these seconds, and until the callers have turned away. What landed?"""
    writer = late.Writer(store.options, keys, without)
    writer.prepare()
    writer.disconnect()
    released = threading.Event()
    end = time.monotonic() + seconds
    with late.hung(function, released):
        assert writer.write() == ["unknown"] * PUTS
        wait_for(lambda: time.monotonic() >= end, "the threads have hung for long enough")
        released.set()
    return late.carried_out(store, keys)
