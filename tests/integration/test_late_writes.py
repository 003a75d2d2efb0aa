# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A write that its caller has given up does not land any more, whatever held it back.

tests/system/test_late_writes.py cuts the network; `make bench ARGS=late` does all of it two hundred times.
"""

from __future__ import annotations

import threading
import time
import typing as t

import pytest
from support import late
from support.proxy import FaultProxy, late_request
from support.stores.served import Served

PUTS = 8


@pytest.fixture(params=["seaweedfs", "ceph"])
def store(request) -> Served:
    server: Served = request.getfixturevalue(request.param)
    server.create_bucket(late.BUCKET)
    return server


@pytest.fixture
def keys() -> list[str]:
    return late.new_keys(PUTS)


def told(outcomes: list[t.Any]) -> set[str]:
    return {late.kind(outcome) for outcome in outcomes}


def test_a_write_in_time_lands(store, keys):
    writer = late.Writer(store.options, keys)
    writer.prepare()
    assert late.carried_out(store, keys) == 0
    assert told(writer.write()) == {"written"}
    assert late.carried_out(store, keys) == PUTS


def test_a_proxy_that_hands_a_write_on_too_late_is_refused(store, keys):
    with FaultProxy(store.endpoint_url) as proxy:
        writer = late.Writer({**store.options, "endpoint_url": proxy.url}, keys)
        writer.prepare()
        proxy.forget()
        proxy.on("PUT", late_request(late.USE_BY, hang=True), nth=None)
        assert told(writer.write()) == {"unknown"}
        proxy.wait_for(lambda: all(put.store_status for put in proxy.select("PUT")), timeout=30)
        assert proxy.count("PUT") == PUTS
        assert {put.store_status for put in proxy.select("PUT")} == {403}
    assert late.carried_out(store, keys) == 0


@pytest.mark.parametrize("function", ["getaddrinfo", "connect"])
def test_a_thread_that_hung_until_its_caller_has_turned_away_sends_nothing(store, keys, function):
    """The store would still take these writes: this is the caller's own doing."""
    writer = late.Writer(store.options, keys)
    writer.prepare()
    writer.disconnect()
    released = threading.Event()
    with late.hung(function, released):
        assert told(writer.write()) == {"unknown"}
        released.set()
    assert late.carried_out(store, keys) == 0


def test_a_thread_that_hung_for_long_sends_nothing(store, keys):
    writer = late.Writer(store.options, keys)
    writer.prepare()
    writer.disconnect()
    released = threading.Event()
    began = time.monotonic()
    with late.hung("getaddrinfo", released):
        assert told(writer.write()) == {"unknown"}
        released.wait(began + late.USE_BY - time.monotonic())
        released.set()
    assert late.carried_out(store, keys) == 0
