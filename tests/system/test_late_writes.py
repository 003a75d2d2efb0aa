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
from support.waiting import wait_for

from system.far import Cut, Far
from system.lab import network
from system.lab.lab import Lab

PUTS = 8


@pytest.fixture(scope="module", params=[SeaweedFS, Ceph])
def store(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Served]:
    """A real S3 server, on the other side of the link."""
    try:
        with request.param(address=network.STORE) as server:
            late.make_bucket(server)
            yield server
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize(("cut", "without"), [("cable", "kernel"), ("beyond", "kernel"), ("cable", "store")])
def test_a_link_that_is_back_after_the_use_by_date_delivers_nothing(
    store: Served, cut: Cut, without: late.Layer
) -> None:
    """The store refuses these writes, and the kernel has thrown them away: either is enough."""
    keys = late.new_keys(PUTS)
    with Far(store, keys, (without,)) as far:
        end = time.monotonic() + late.USE_BY
        with far.cut(cut):
            assert far.write() == ["unknown"] * PUTS
            wait_for(lambda: time.monotonic() >= end, "the store refuses the writes by now")
        far.wait_until_quiet()
        assert late.carried_out(store, keys) == 0


@pytest.mark.parametrize(
    ("without", "landed"), [((), 0), (("kernel",), PUTS)], ids=["with all layers", "without the kernel's"]
)
@pytest.mark.parametrize("then", ["lives on", "ends"])
def test_a_link_that_is_back_at_once_delivers_nothing(
    store: Served, then: str, without: tuple[late.Layer, ...], landed: int
) -> None:
    """The store would still take these writes, but the kernel has thrown them away. Does the process live on or end?"""
    keys = late.new_keys(PUTS)
    with Far(store, keys, without) as far:
        with far.cut("beyond"):
            assert far.write() == ["unknown"] * PUTS
            if then == "ends":
                far.end()
        far.wait_until_quiet()
        assert late.carried_out(store, keys) == landed
