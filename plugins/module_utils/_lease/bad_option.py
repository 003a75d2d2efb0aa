# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The error for an option with an unusable value."""

from __future__ import annotations

import json

HIDDEN = "***"
"""Stands in messages for a value that may be secret."""


class BadOption(ValueError):
    """An option has an unusable value. The text has its name, the value, and the way out."""

    def __init__(self, name: str, value: object, way_out: str) -> None:
        super().__init__("%s is %s: %s" % (name, value if value is HIDDEN else _shown(value), way_out))


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 100 else text[:97] + "..."
