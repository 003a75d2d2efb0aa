# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sees when something is mounted below /srv on hosts: a mount unit has no process that the watcher could see."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from system.lab.host import Host
from system.lab.intervals import Interval
from system.lab.watcher import now

LOOK = 0.02  # seconds between two looks


class Mounts:
    """A context manager; /srv/LEASE belongs to the lease of that name."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = hosts
        self._running: dict[tuple[str, str], float] = {}
        self._ended: list[Interval] = []
        self._changed = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="mounts", daemon=True)

    def __enter__(self) -> Mounts:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def intervals(self) -> list[Interval]:
        """What has been seen so far."""
        with self._changed:
            return self._ended + [
                Interval(lease, "mount", host, 0, "", start) for (host, lease), start in self._running.items()
            ]

    def _watch(self) -> None:
        while not self._over.wait(LOOK):
            seen = {
                (host.name, place.removeprefix("/srv/"))
                for host in self._hosts
                for place in host.mounts()
                if place.startswith("/srv/")
            }
            with self._changed:
                for key in seen - self._running.keys():
                    self._running[key] = now()
                for host_name, lease in self._running.keys() - seen:
                    start = self._running.pop((host_name, lease))
                    self._ended.append(Interval(lease, "mount", host_name, 0, "", start, now()))
