# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed task owes to the person who reads it, and to the tasks that come after it."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable

if t.TYPE_CHECKING:
    from .playbook import Run

RESULT_KEYS = {"changed", "is_leader", "term", "slot", "reason", "lease", "requests", "deadline"}


def complaints_about(run: Run, name: str, words: Iterable[str]) -> str:
    """What the task's failure lacks: its result's keys, and the words in its message. Empty for nothing."""
    found = run.task(name)
    result, complaints = found.result, []
    if found.status != "ignored":
        complaints.append(f"it ended as {found.status}")
    if result.get("is_leader") is not False:
        complaints.append(f"is_leader is {result.get('is_leader')}")
    if missing := RESULT_KEYS - result.keys():
        complaints.append(f"the result lacks {', '.join(sorted(missing))}")
    message = result.get("msg", "")
    complaints += [f"{word!r} is not in: {message}" for word in words if word not in message]
    return "\n".join(f"{name}: {complaint}" for complaint in complaints)


def no_traceback(run: Run) -> bool:
    return "Traceback" not in f"{run} {[one.result for one in run.results]}"
