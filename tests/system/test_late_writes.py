# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A write that was sent into a cut link does not land when the link is back, and its caller has long turned away."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

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


@pytest.mark.parametrize(
    ("cut", "without"),
    [
        pytest.param("cable", late.KERNEL, id="cable, the store alone"),
        pytest.param("beyond", late.KERNEL, id="beyond, the store alone"),
        pytest.param("cable", ["store"], id="cable, the kernel alone"),
    ],
)
def test_a_link_that_is_back_after_the_use_by_date_delivers_nothing(
    store: Served, cut: Cut, without: Sequence[late.Layer]
) -> None:
    """The store refuses these writes, and the kernel has thrown them away: either is enough."""
    keys = late.new_keys(PUTS)
    with Far(store, keys, without) as far:
        end = time.monotonic() + late.USE_BY
        with far.cut(cut):
            far.send()
            assert far.told() == ["unknown"] * PUTS
            wait_for(lambda: time.monotonic() >= end, "the store refuses the writes by now")
        far.wait_until_quiet()
        assert late.carried_out(store, keys) == 0


@pytest.mark.parametrize(
    ("without", "landed"),
    [(["store", "user timeout"], 0), (["store", *late.KERNEL], PUTS)],
    ids=["with SO_LINGER", "without"],
)
@pytest.mark.parametrize("then", ["lives on", "ends"])
def test_a_socket_that_is_closed_delivers_nothing(
    store: Served, then: str, without: Sequence[late.Layer], landed: int
) -> None:
    """The link is back at once, and the store takes these writes at any time. Does the process live on or end?"""
    keys = late.new_keys(PUTS)
    with Far(store, keys, without) as far:
        with far.cut("beyond"):
            far.send()
            assert far.told() == ["unknown"] * PUTS
            if then == "ends":
                far.end()
        far.wait_until_quiet()
        assert late.carried_out(store, keys) == landed


@pytest.mark.parametrize(
    ("without", "landed"),
    [(["store"], 0), (["store", "user timeout"], PUTS)],
    ids=["with TCP_USER_TIMEOUT", "without"],
)
def test_a_process_that_is_stopped_delivers_nothing(store: Served, without: Sequence[late.Layer], landed: int) -> None:
    """Nobody closes its sockets."""
    keys = late.new_keys(PUTS)
    with Far(store, keys, without) as far:
        end = time.monotonic() + late.USE_BY
        with far.cut("beyond"):
            far.send()
            far.stop()
            wait_for(lambda: time.monotonic() >= end, "the store would refuse the writes by now")
        far.wait_until_quiet()
        assert late.carried_out(store, keys) == landed
        far.go_on()
        far.told()
