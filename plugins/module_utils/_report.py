# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""Converts a preflight's report to an Ansible result."""

from __future__ import annotations

import typing as t

from ._lease.preflight.report import UNKNOWN, Report
from ._results import SEE_MSG


def result(found: Report, text: str) -> dict[str, t.Any]:
    """Return the preflight's result with this text for an issue. It is never changed: a preflight removes what it
    writes.
    """
    return dict(
        changed=False,
        verdict=found.verdict,
        reason=found.reason,
        checks=[dict(check._asdict()) for check in found.checks],
        requests=found.requests,
        seconds=round(found.seconds, 3),
        report=text,
    )


def failure(message: str, requests: int) -> dict[str, t.Any]:
    """Return the result of a preflight that could not ask the store anything."""
    unknown = dict(verdict=UNKNOWN, reason=SEE_MSG, checks=[], requests=requests, seconds=0.0, report="")
    return dict(unknown, msg=message, changed=False)
