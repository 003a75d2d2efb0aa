# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that only a leader may do. Each worker notes in one file, by one clock and all the time, that it is at work."""

from __future__ import annotations

import itertools
import os
import pathlib
import signal
import sys
import time

BEAT = 0.02  # seconds


def main(path: str, who: str, seconds: str, *how: str) -> None:
    """Work for so many seconds, or until it is enough. With "stubborn", SIGTERM does not end it."""
    if "stubborn" in how:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    end = now() + float(seconds)
    while now() < end and not _limit(path).exists():
        os.write(file, f"{who} {now():.6f}\n".encode())
        time.sleep(BEAT)


def enough(path: pathlib.Path) -> None:
    """Let all workers end that note their work in the file, also those that begin later."""
    _limit(path).touch()


def _limit(path: str | pathlib.Path) -> pathlib.Path:
    return pathlib.Path(f"{path}.enough")


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def shifts(path: pathlib.Path) -> dict[str, tuple[float, float]]:
    """Return from when to when each worker was seen at work."""
    found: dict[str, tuple[float, float]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        who, at = line.split()
        found[who] = found.get(who, (float(at), 0.0))[0], float(at)
    return found


def overlaps(path: pathlib.Path) -> list[tuple[str, str]]:
    """Return who began to work while another one was still at it."""
    by_time = sorted(shifts(path).items(), key=lambda shift: shift[1])
    return [(one, other) for (one, first), (other, second) in itertools.pairwise(by_time) if second[0] <= first[1]]


if __name__ == "__main__":
    main(*sys.argv[1:])
