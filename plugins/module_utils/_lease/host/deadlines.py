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
from typing import Dict, List, Optional, Set, Tuple

from ..bad_option import BadOption
from ..clock import Clock
from ..settings import REACTION
from . import fence, runtime, units
from .config import Config

LONGEST, SHORTEST = 2.0, 0.3
"""Seconds between two looks: while all have time, and while something is overdue."""
DISPROVED = 10.0
"""Seconds. A leader that lives for so long beyond the time that it has published has renewed, and cannot write that
down: its /run is read-only."""


class Deadlines:
    """When what runs under each lease of this host has to be gone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: Dict[str, float] = {}
        """When the services of each lease that are marked have to begin to stop, as published last."""
        self._disproved: Dict[str, float] = {}
        self._told: Set[Tuple[str, int]] = set()
        """Leases and their processes that were reported."""

    def look(self) -> float:
        """Kill what is overdue. Return the seconds until the next look."""
        marked = runtime.marked()
        self._forget_all_but(marked)
        wait, overdue = LONGEST, []
        for name in marked:
            left, config = self._left(name)
            if config is None or left > 0:
                wait = min(wait, max(left, SHORTEST))
            elif not _renews(name):
                overdue.append(config)
            elif left < -DISPROVED:
                self._disproved[name] = self._until.pop(name)
            else:
                wait = SHORTEST
        if not overdue:
            return wait
        self._kill(overdue)
        return SHORTEST

    def _forget_all_but(self, marked: List[str]) -> None:
        for known in (self._until, self._disproved):
            for name in known.keys() - {*marked}:
                del known[name]
        self._told = {one for one in self._told if one[0] in marked}

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
        found = units.guess([name for config in overdue for name in fence.units_of(config)])
        for unit in sorted(found, key=lambda unit: bool(unit.place)):  # who uses a mount takes time to find
            [owner, *_others] = [config for config in overdue if _owns(config, unit.name)]
            for pid, described in units.kill(unit).items():
                if (owner.name, pid) not in self._told:
                    self._told.add((owner.name, pid))
                    fence.tell_killed(owner, unit.name, described, fence.OVER)


def _renews(name: str) -> bool:
    """Tell whether a leader lives that may renew."""
    return fence.has_leader(name) and not (units.sees_groups() and not units.busy([fence.DAEMON % name]))


def _owns(config: Config, unit: str) -> bool:
    return any(fnmatchcase(unit, pattern) for pattern in fence.units_of(config))
