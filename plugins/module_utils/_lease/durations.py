# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Durations as people write them: 90, 90s, 10m, 1h30m."""

from __future__ import annotations

import re

from .bad_option import BadOption

TYPE_CHECKING = False
if TYPE_CHECKING:  # loading it takes a tenth of the time of `s3-leader check`
    from typing import Any

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_PART = re.compile(r"(%s) *([smhd])" % _NUMBER)
_WHOLE = re.compile(r"(?:%s *[smhd] *)+" % _NUMBER)


WAY_OUT = "use a number of seconds, or a duration like 90s, 10m or 1h30m"


def seconds(option: str, value: Any) -> float:
    """Return the number of seconds. Raises BadOption for what is no duration; the option's range is for others."""
    try:
        return parsed(value)
    except ValueError:
        raise BadOption(option, value, WAY_OUT) from None


def parsed(value: Any) -> float:
    """Return the number of seconds, an integer where it is one. Without a unit, the number is one of seconds.

    Raises ValueError for what is no duration.
    """
    text = str(value).strip()
    if _WHOLE.fullmatch(text):
        found = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    else:
        found = float(text)  # True is none
    return int(found) if found.is_integer() else found
