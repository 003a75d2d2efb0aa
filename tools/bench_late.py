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
from support.child_process import die_with_parent
from support.proxy import FaultProxy, late_request
from support.stores.ceph import Ceph
from support.stores.seaweedfs import SeaweedFS
from support.stores.served import Served
from system.far import Cut, Far
from system.lab import namespaces, network

AT_ONCE = 100
STORES: Mapping[str, type[Ceph] | type[SeaweedFS]] = {"SeaweedFS": SeaweedFS, "Ceph RGW": Ceph}

Told = t.Iterable[str]
Without = t.Collection[late.Layer]
HoldBack = Callable[[Served, list[str], Without], Told]


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


def by_cut(cut: Cut, seconds: float) -> HoldBack:
    """A link is cut just before the PUTs, and back after so many seconds and when all callers have turned away."""

    def hold_back(store: Served, keys: list[str], without: Without) -> Told:
        with Far(store, keys, without) as far:
            end = time.monotonic() + seconds
            with far.cut(cut):
                far.send()
                told = far.told()
                time.sleep(max(0.0, end - time.monotonic()))
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


WAYS: Mapping[str, HoldBack] = {
    "a proxy": by_proxy,
    "a cut cable": by_cut("cable", late.USE_BY),
    "a link cut further on": by_cut("beyond", late.USE_BY),
    "the same, back at once": by_cut("beyond", 0),
    "a hung thread": by_thread,
}
KINDS: Mapping[str, Without] = {
    "all layers": (),
    "store alone": ("caller", *late.KERNEL),
    "caller alone": ("store", *late.KERNEL),
    "kernel alone": ("store", "caller"),
    "no layer": late.LAYERS,
}


def bench_late(puts: int) -> None:
    """Do it in namespaces of its own, as root. Raises CannotRun where there can be none."""
    namespaces.check()
    command = [*namespaces.TOGETHER, *namespaces.APART, *namespaces.PRIVATE_RUN, sys.executable, __file__, str(puts)]
    subprocess.run(command, env={**os.environ, "TMPDIR": "/run/tmp"}, check=True, preexec_fn=die_with_parent())


def main(puts: int) -> None:
    network.set_up()
    print(f"{puts} PUTs, carried out:{'':16}", *(f"{kind:>13}" for kind in KINDS), flush=True)
    with contextlib.ExitStack() as stack:
        for name, server in STORES.items():
            store = stack.enter_context(server(address=network.STORE))
            late.make_bucket(store)
            for way, hold_back in WAYS.items():
                print(f"{name:10} {way:24}", end=" ", flush=True)
                for without in KINDS.values():
                    print(f"{count(store, hold_back, puts, without):13}", end=" ", flush=True)
                print(flush=True)


def count(store: Served, hold_back: HoldBack, puts: int, without: Without) -> int:
    """Hold so many PUTs back; how many landed. Raises RuntimeError where a caller was told that its PUT did."""
    landed = 0
    for first in range(0, puts, AT_ONCE):
        keys = late.new_keys(min(AT_ONCE, puts - first))
        if (told := set(hold_back(store, keys, without))) != {"unknown"}:
            raise RuntimeError(f"callers were told: {told}")
        landed += late.carried_out(store, keys)
    return landed


if __name__ == "__main__":
    main(int(sys.argv[1]))
