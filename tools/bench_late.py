# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold many PUTs back beyond their time, in every way that tests do, and count those that a store carries out."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import typing as t
from collections.abc import Callable, Mapping

from support import late
from support.proxy import FaultProxy, late_request
from support.stores.ceph import Ceph
from support.stores.seaweedfs import SeaweedFS
from support.stores.served import Served
from system.far import Cut, Far
from system.lab import namespaces, network

AT_ONCE = 50
STORES: Mapping[str, type[Ceph] | type[SeaweedFS]] = {"SeaweedFS": SeaweedFS, "Ceph RGW": Ceph}

Told = t.Iterable[str]
Without = t.Collection[late.Layer]


def by_proxy(store: Served, keys: list[str], without: Without) -> Told:
    """A proxy hands each PUT on once its time is over."""
    with FaultProxy(store.endpoint_url) as proxy:
        writer = late.Writer({**store.options, "endpoint_url": proxy.url}, keys, without)
        writer.prepare()
        proxy.forget()
        proxy.on("PUT", late_request(late.USE_BY, hang=True), nth=None)
        told = writer.write()
        proxy.wait_for(lambda: all(put.store_status for put in proxy.select("PUT")), timeout=60)
    return told


def by_cut(cut: Cut) -> Callable[[Served, list[str], Without], Told]:
    """A link is cut just before the PUTs, and back once their time is over."""

    def hold_back(store: Served, keys: list[str], without: Without) -> Told:
        with Far(store, keys, without) as far:
            began = time.monotonic()
            with far.cut(cut):
                told = far.write()
                time.sleep(max(0.0, began + late.USE_BY - time.monotonic()))
            far.wait_until_quiet()
        return told

    return hold_back


def by_thread(store: Served, keys: list[str], without: Without) -> Told:
    """The threads hang where they look the store's name up, until the callers have turned away."""
    released = threading.Event()
    writer = late.Writer(store.options, keys, without)
    writer.prepare()
    writer.disconnect()
    with late.hung("getaddrinfo", released):
        told = writer.write()
        released.set()
    return told


WAYS: Mapping[str, Callable[[Served, list[str], Without], Told]] = {
    "a proxy": by_proxy,
    "a cut cable": by_cut("cable"),
    "a link cut further on": by_cut("beyond"),
    "a hung thread": by_thread,
}


def bench_late(puts: int) -> None:
    """Do it in namespaces of its own, as root. Raises CannotRun where there can be none."""
    namespaces.check()
    command = [*namespaces.TOGETHER, *namespaces.APART, *namespaces.PRIVATE_RUN, sys.executable, __file__, str(puts)]
    subprocess.run(command, env={**os.environ, "TMPDIR": "/run/tmp"}, check=True)


def main(puts: int) -> None:
    network.set_up()
    print(f"{'store':10} {'held back by':22} {'PUTs':>5}  told unknown  carried out  without the layers", flush=True)
    with contextlib.ExitStack() as stack:
        for name, kind in STORES.items():
            store = stack.enter_context(kind(address=network.STORE))
            late.make_bucket(store)
            for way, hold_back in WAYS.items():
                unknown, landed = count(store, hold_back, puts)
                _unknown, landed_before = count(store, hold_back, puts, late.LAYERS)
                print(f"{name:10} {way:22} {puts:5}  {unknown:12}  {landed:11}  {landed_before:19}", flush=True)


def count(
    store: Served, hold_back: Callable[[Served, list[str], Without], Told], puts: int, without: Without = ()
) -> tuple[int, int]:
    """Hold so many PUTs back; how many callers were told that the outcome is unknown, and how many PUTs landed."""
    unknown = landed = 0
    for first in range(0, puts, AT_ONCE):
        keys = late.new_keys(min(AT_ONCE, puts - first))
        unknown += sum(told == "unknown" for told in hold_back(store, keys, without))
        landed += late.carried_out(store, keys)
    return unknown, landed


if __name__ == "__main__":
    main(int(sys.argv[1]))
