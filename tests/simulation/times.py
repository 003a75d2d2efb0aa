# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The times of a schedule, in seconds: how long leases last, how slow requests are, when the faults stop."""

from __future__ import annotations

import random
import typing as t

GRAIN = 1.0
"""Of Date and Last-Modified."""


class Pace(t.NamedTuple):
    """The times of one process, which fit together (rule 9)."""

    lease_duration: float
    others: tuple[float | None, ...]
    """For a task, other durations than what its play began with."""
    request_timeout: float
    patience: float
    wait_timeout: float
    poll_interval: float
    renew_interval: float = 0.0
    stop_grace: float = 0.0
    takeover_delay: float = 0.0


class Times:
    """What all processes of a schedule share."""

    def __init__(self, rng: random.Random, core: t.Any, seed: int) -> None:
        self._rng = rng
        self._settings = core.settings
        drawn = rng.random()
        self.kind = "long" if drawn < 0.01 else "slow" if drawn < 0.2 else "brisk"
        """Brisk: a margin counts for much. Slow: requests take longer than the tolerances. Long: clock rates count."""
        brisk = self.kind == "brisk"
        self.poll = 10.0 if self.kind == "long" else 1.0
        self.longest = {"brisk": 8.4, "slow": 19.0, "long": 900.0}[self.kind]
        """The longest lease."""
        self.trouble = 15.0 if brisk else 1.8 * self.longest
        """How long faults happen. After it everything that is still on its way arrives, and then all is well."""
        self.slowest_timeout = 1.0 if brisk else 8.0
        self.latest = 12.0 if brisk else 25.0
        """Seconds after which a message that is late arrives at the latest."""
        holds = random.Random(f"{seed} holds")  # a chance of its own, so that other schedules stay what they were
        self.hold_at_least = holds.choice((self.longest / 2, 1.5 * self.longest)) if holds.random() < 0.1 else 0.0
        """Seconds for which tasks want their leases not to be taken again."""
        self.names = random.Random(f"{seed} names")
        self.named = self.names.random() < 0.15
        """Daemons have holders of their own: successors are named, and some take over later than others."""
        self.skew = 0.49 if self.kind == "long" else 0.9
        """What the clocks of the store's own nodes may differ by, on top of the grain."""

    @property
    def two_polls(self) -> float:
        """Two polls, with the jitter of rule 20."""
        return 2 * self.poll * 1.5

    def play(self) -> Pace:
        """Return times for a playbook. Ages are whole seconds: with the brisk durations, every margin counts."""
        rng, timeout = self._rng, self._timeout()
        if self.kind == "brisk":
            durations = [3.1, 4.3, 6.2]
        elif self.kind == "slow":
            durations = [timeout + more for more in (2.1, 4.4, 8.3)]
        else:
            durations = [505.0, 660.0]
        duration = rng.choice(durations)
        wait = rng.choice((0.0, 0.0, 8.0 if self.kind == "brisk" else self.longest))
        return self._pace(duration, (None, durations[0], self.longest), timeout, wait)

    def daemon(self) -> Pace:
        rng, timeout = self._rng, self._timeout()
        if self.kind == "brisk":
            renew, grace, duration = 1.0, 1.0, rng.choice((4.6, 5.3, 6.2))
        elif self.kind == "slow":
            renew, grace = rng.choice((1.0, 2.0)), rng.choice((1.0, 2.5))
            least = grace + 2 * renew + timeout + 0.5
            duration = rng.choice((least + 0.1, least + 3.0, self.longest))
        else:
            duration = rng.choice((505.0, 660.0, self.longest))
            renew, grace = duration / 5, duration / 10
        delay = self.names.choice((0.0, self.longest / 3, 1.2 * self.longest)) if self.named else 0.0
        pace = self._pace(duration, (None,), timeout, 0.0)
        return pace._replace(renew_interval=renew, stop_grace=grace, takeover_delay=delay)

    def _timeout(self) -> float:
        return self._rng.uniform(1, self.slowest_timeout)

    def _pace(self, duration: float, others: tuple[float | None, ...], timeout: float, wait: float) -> Pace:
        self._settings.check_durations(duration, timeout)
        patience = self._settings.PATIENCE * (timeout + 1)
        return Pace(duration, others, timeout, patience, wait, self.poll)
