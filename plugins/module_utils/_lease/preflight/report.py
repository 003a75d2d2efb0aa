# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The results of the preflight's checks, and the verdict for a lease."""

from __future__ import annotations

from typing import NamedTuple, Sequence, Tuple

from ..types import with_advice

PASS, WARN, FAIL, UNKNOWN = "pass", "warn", "fail", "unknown"
SAFE, UNSAFE = "safe", "unsafe"

ESSENTIAL = (
    "create",
    "create_again",
    "replace",
    "stale_replace",
    "replace_missing",
    "create_race",
    "replace_race",
    "reads",
    "clock",
)
"""What a lease depends on: while one of these is unknown, so is the verdict. Others can only fail or inform."""


class Check(NamedTuple):
    """The result of one check."""

    name: str
    verdict: str
    """'pass'; 'warn': it does not affect who leads; 'fail': several could lead, or nobody; 'unknown'."""
    seen: str
    """A sentence without its full stop."""
    advice: str = ""
    """What to do; '' for nothing."""

    @property
    def text(self) -> str:
        return with_advice(self.seen, self.advice)


class Report(NamedTuple):
    """The whole preflight. ``seconds`` is how long it took."""

    checks: Tuple[Check, ...]
    requests: int
    seconds: float
    server: str = ""
    """What the store calls itself in the header Server; '' if it does not."""

    @property
    def verdict(self) -> str:
        """'safe', 'unsafe' or 'unknown'."""
        if self.of(FAIL):
            return UNSAFE
        known = {check.name for check in self.checks if check.verdict != UNKNOWN}
        return SAFE if known.issuperset(ESSENTIAL) else UNKNOWN

    @property
    def reason(self) -> str:
        """The verdict in words, with what to do."""
        if self.verdict == SAFE:
            return "the store can be trusted with a lease"
        if self.verdict == UNSAFE:
            return "the store cannot be trusted with a lease: " + _told(self.of(FAIL))
        why = _told(self.doubts) if self.doubts else "nothing was written, so its conditions were not tested"
        return "it is not known whether the store can be trusted with a lease: " + why

    @property
    def doubts(self) -> Tuple[Check, ...]:
        """The unknown checks that the verdict depends on."""
        return tuple(check for check in self.of(UNKNOWN) if check.name in ESSENTIAL or check.name == "access")

    def of(self, verdict: str) -> Tuple[Check, ...]:
        """Return the checks with this verdict."""
        return tuple(check for check in self.checks if check.verdict == verdict)


def _told(checks: Sequence[Check]) -> str:
    """Say everything only once: one fault often shows in several checks."""
    return "; ".join(dict.fromkeys(check.seen for check in checks)) + "".join(
        dict.fromkeys(". " + check.advice for check in checks if check.advice)
    )
