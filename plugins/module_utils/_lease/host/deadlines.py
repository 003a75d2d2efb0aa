# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The last resort: what still runs when the time of a lease is over is killed. systemd is not asked, and may hang.

The fence kills it, too, but counts from when systemd saw the daemon end. On a host that was paused, or is short of
processor time, that is later than when the daemon could lead no more. Here the time counts that the daemon itself has
published.
"""

from __future__ import annotations

import contextlib
from fnmatch import fnmatchcase
from typing import Any, Dict, List, Optional, Set, Tuple

from ..bad_option import BadOption
from ..clock import Clock
from ..settings import REACTION
from . import fence, runtime, units
from .config import Config

LONGEST, SHORTEST, LEAST = 2.0, 0.3, 0.01
"""Seconds between two looks: while all have time, while something is overdue, and until something is, at the least."""
DISPROVED = 33
"""Looks, ten seconds. A leader that is seen to live so often after the time that it has published has renewed, and
cannot write that down: its /run is read-only."""


class Deadlines:
    """When what runs under each lease of this host has to be gone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: Dict[str, float] = {}
        """When the services of each lease that are marked have to begin to stop, as published last."""
        self._lived: Dict[str, int] = {}
        """How often a leader of each lease was seen to live after that."""
        self._disproved: Dict[str, float] = {}
        self._told: Dict[str, Set[int]] = {}
        """Processes of each lease that were reported."""

    def look(self) -> float:
        """Kill what is overdue. Return the seconds until the next look."""
        marked = runtime.marked()
        self._forget_all_but(marked)
        wait, overdue = LONGEST, []
        for name in marked:
            left, config = self._left(name)
            if config is None or left > 0:
                wait = min(wait, max(left, LEAST))
                self._lived[name] = 0
            elif not _renews(name):
                overdue.append(config)
            elif self._lived.get(name, 0) < DISPROVED:
                self._lived[name] = self._lived.get(name, 0) + 1
                wait = min(wait, SHORTEST)
            else:
                self._disproved[name] = self._until.pop(name)
        if not overdue:
            return wait
        self._kill(overdue)
        return min(wait, SHORTEST)

    def _forget_all_but(self, marked: List[str]) -> None:
        known: Tuple[Dict[str, Any], ...] = (self._until, self._lived, self._disproved, self._told)
        for by_name in known:
            for name in by_name.keys() - {*marked}:
                del by_name[name]

    def _left(self, name: str) -> Tuple[float, Optional[Config]]:
        """Return the seconds until all has to be gone, and what that is; or fewer, and None, as long as that does."""
        published = runtime.leads_until(name)
        if published is not None and published != self._disproved.get(name):
            self._until[name] = published
        until, now = self._until.get(name, float("inf")), self._clock.now()
        if now < until:
            return until - now, None
        try:
            config = fence.config_at_start(name)
        except BadOption:
            return float("inf"), None  # nobody knows what runs
        return until + config.stop_grace - REACTION - now, config

    def _kill(self, overdue: List[Config]) -> None:
        for config in overdue:
            with contextlib.suppress(OSError):  # then the fence says so
                fence.close(config.name)
        owners = {name: config for config in overdue for name in fence.units_of(config)}
        for unit in sorted(units.guess(list(owners)), key=lambda unit: bool(unit.place)):
            owner = owners.get(unit.name) or next(owners[one] for one in owners if fnmatchcase(unit.name, one))
            if unit.place and self._left(owner.name)[0] > 0:
                continue  # who uses a mount takes time to find, and a new term may have begun
            told = self._told.setdefault(owner.name, set())
            fence.tell_killed(owner, unit, units.kill(unit), fence.OVER, told)


def _renews(name: str) -> bool:
    """Tell whether a leader lives that may renew."""
    return fence.has_leader(name) and not fence.has_no_process(fence.DAEMON % name)
