# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""What s3-leader writes for people: tables, and screens that are repeated."""

from __future__ import annotations

import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # loading it takes a tenth of the time of `s3-leader check`
    from typing import Callable, Iterable, Tuple

INTERVAL = 2
"""Seconds between two screens."""
_CLEAR = "\033[H\033[2J"
"""Clears the terminal."""


def write(text: str) -> None:
    """Write a line, or several. Ends the program if nobody reads it any more."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        raise SystemExit(128 + signal.SIGPIPE) from None


def show(screen: Callable[[], str], watch: bool) -> int:
    """Write the screen, and with ``watch`` a new one again and again, until somebody interrupts. Return the exit
    status.
    """
    while True:
        text = screen()
        write(_CLEAR + text if watch else text)
        if not watch:
            return 0
        time.sleep(INTERVAL)


def table(head: Tuple[str, ...], rows: Iterable[Tuple[str, ...]]) -> str:
    """Return the rows with all columns but the last one at the width of their widest cell."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines)][:-1]
    return "\n".join("  ".join([*map(str.ljust, line[:-1], widths), line[-1]]).rstrip() for line in lines)
