# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""Time spans as systemd prints them: systemd.time(7)."""

from __future__ import annotations

import re

_SECONDS = dict(us=1e-6, ms=1e-3, s=1, min=60, h=3600, d=86400, w=604800, month=2629800, y=31557600)
_PART = re.compile(r"([0-9.]+)(us|ms|s|min|h|d|w|month|y)\b")


def seconds(span: str) -> float:
    """Return the length of a time span like "1min 30s"; 0 for an empty one."""
    if span == "infinity":
        return float("inf")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(span))
