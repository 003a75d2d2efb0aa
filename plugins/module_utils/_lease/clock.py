# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The clock for all deadlines: it keeps running during suspend (rule 7) and does not know the date."""

from __future__ import annotations

import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # loading it takes a tenth of the time of `s3-leader check`
    from typing import Callable, List, TypeVar

    T = TypeVar("T")

# macOS has no CLOCK_BOOTTIME, and its CLOCK_MONOTONIC keeps running while the machine sleeps (clock_gettime(3)).
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_SLICE = 1.0
"""Longest wait in seconds: the system's waits pause during suspend, so this clock is read in between."""


class Overdue(Exception):
    """A call did not end in time. It may still be running, and may still take effect."""


class NotStarted(Exception):
    """A call was not made, because there was no thread for it."""


class GivenUp(Exception):
    """The caller has turned away before all of the request was sent, so it was not carried out."""


class Clock:
    """Real time, in seconds since the machine started."""

    def now(self) -> float:
        return time.clock_gettime(_CLOCK)

    def sleep(self, seconds: float) -> None:
        end = self.now() + seconds
        while True:
            left = end - self.now()
            if left <= 0:
                return
            time.sleep(min(left, _SLICE))

    def bounded(self, call: Callable[[float], T], seconds: float) -> T:
        """Return what the call returns, or raise what it raises; raise Overdue after this many seconds. The call is
        given the reading of this clock at which that happens. Raises NotStarted, too.

        An HTTP client's own timeouts apply to each packet and each address, so only this one bounds the whole call.
        """
        end = self.now() + seconds
        done = threading.Event()
        returned: List[T] = []
        raised: List[BaseException] = []

        def work() -> None:
            try:
                returned.append(call(end))
            except BaseException as error:  # pylint: disable=broad-exception-caught
                raised.append(error)
            done.set()

        try:
            threading.Thread(target=work, daemon=True).start()
        except RuntimeError:  # too many threads hang
            raise NotStarted() from None
        while not done.wait(min(max(end - self.now(), 0), _SLICE)):
            if self.now() >= end:
                raise Overdue()
        if raised:
            raise raised[0]
        return returned[0]
