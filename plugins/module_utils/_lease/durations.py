# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Durations as people write them: 90, 90s, 10m, 1h30m."""

from __future__ import annotations

import re

from .bad_option import BadOption

_UNITS = dict(s=1, m=60, h=3600, d=86400)
_PART = r"([0-9]+(?:\.[0-9]+)?) *([smhd]) *"
WAY_OUT = "use a number of seconds, or a duration like 90s, 10m or 1h30m"


def seconds(option: str, value: object) -> float:
    """Return the number of seconds. Raises BadOption for what is no duration; the option's range is for others."""
    try:
        return parsed(value)
    except ValueError:
        raise BadOption(option, value, WAY_OUT) from None


def parsed(value: object) -> float:
    """Return the number of seconds, an integer where it is one. Raises ValueError for what is no duration."""
    text = str(value).strip()
    if re.fullmatch("(?:%s)+" % _PART, text):
        found = sum((float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text)), 0.0)
    elif re.fullmatch("-?[0-9.]+", text):
        found = float(text)
    else:
        raise ValueError
    return int(found) if found.is_integer() else found
