# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A write that was sent into a cut link does not land when the link is back, and its caller has long turned away."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from support import late
from support.stores.ceph import Ceph
from support.stores.seaweedfs import SeaweedFS
from support.stores.served import Served

from system.far import Cut, Far
from system.lab import network
from system.lab.lab import Lab

PUTS = 8
SETTLE = 1.0  # seconds in which a store has surely carried out what has arrived


@pytest.fixture(scope="module", params=[SeaweedFS, Ceph])
def store(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Served]:
    """A real S3 server, on the other side of the link."""
    try:
        with request.param(address=network.STORE) as server:
            server.create_bucket(late.BUCKET)
            yield server
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("cut", ["cable", "beyond"])
def test_a_link_that_is_back_after_the_use_by_date_delivers_nothing(store: Served, cut: Cut) -> None:
    keys = late.new_keys(PUTS)
    with Far(store, keys) as far:
        began = time.monotonic()
        with far.cut(cut):
            assert far.write() == {"unknown"}
            time.sleep(max(0.0, began + late.USE_BY - time.monotonic()))
        far.wait_until_quiet()
        time.sleep(SETTLE)
        assert late.carried_out(store, keys) == 0


@pytest.mark.parametrize("then", ["the process lives on", "the process ends"])
def test_a_link_that_is_back_at_once_delivers_nothing(store: Served, then: str) -> None:
    """The store would still take these writes: the kernel has thrown them away."""
    keys = late.new_keys(PUTS)
    with Far(store, keys) as far:
        with far.cut("beyond"):
            assert far.write() == {"unknown"}
            if then == "the process ends":
                far.end()
        far.wait_until_quiet()
        time.sleep(SETTLE)
        assert late.carried_out(store, keys) == 0
