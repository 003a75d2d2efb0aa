# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a condition, with a limit that no healthy run comes near."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable

LIMIT = 120.0  # seconds
POLL = 0.02  # seconds

Value = t.TypeVar("Value")


def wait_for(condition: Callable[[], Value], what: str, limit: float = LIMIT) -> Value:
    """The first value of the condition that is true. Raises TimeoutError that says what was waited for."""
    deadline = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit:.0f} s: {what}")
        time.sleep(POLL)
    return value
