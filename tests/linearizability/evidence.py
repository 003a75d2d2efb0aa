# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What explains a failure: the journals, kept where they survive, and the wrong history in order of time."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
from collections.abc import Iterator, Sequence

from . import history
from .checker import NotLinearizable, check, describe
from .history import Operation
from .processes import RandomFaults

KEPT = pathlib.Path(__file__).resolve().parents[2] / ".cache" / "linearizability"
REQUESTS = "requests.txt"


@contextlib.contextmanager
def kept_on_failure(folder: pathlib.Path, seed: int, proxy: RandomFaults) -> Iterator[None]:
    """Add notes to an exception: the seed, where a copy of the folder is, and what happened to the lease."""
    try:
        yield
    except Exception as error:
        place = KEPT / str(seed)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder, place)
        (place / REQUESTS).write_text("".join(f"{event}\n" for event in proxy.journal))
        error.add_note(f'Seed {seed}. Check the history again: make stress ARGS="--check {place}"')
        error.add_note(f"{place / REQUESTS} has what the proxy did with every request.")
        for key, operations in history.load(folder).operations.items():
            try:
                check(operations)
            except NotLinearizable:
                error.add_note("\n".join([f"All of {key}, in order of time:", *_in_order(key, operations, proxy)]))
        raise


def _in_order(key: str, operations: Sequence[Operation], proxy: RandomFaults) -> Iterator[str]:
    """Yield a line for each operation on the lease, and for each event of a request that met a fault."""
    lines: list[tuple[float, str]] = [(one.invoked, describe(one)) for one in operations]
    faulty = {event.number for event in proxy.journal if event.key == key and "fault" in event.what}
    lines += [(event.at, str(event)) for event in proxy.journal if event.number in faulty]
    return (f"  {line}" for _at, line in sorted(lines))
