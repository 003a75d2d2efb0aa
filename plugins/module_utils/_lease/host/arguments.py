# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Types of arguments on the command line."""

from __future__ import annotations

import argparse

from .. import durations


def duration(text: str) -> float:
    """Return the seconds. Raises ArgumentTypeError, which argparse shows after the argument's name."""
    try:
        return durations.parsed(text)
    except ValueError:
        raise argparse.ArgumentTypeError("'%s': %s" % (text, durations.WAY_OUT)) from None
