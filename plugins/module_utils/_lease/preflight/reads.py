# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Do reads see the preceding write, and do Date and Last-Modified agree?"""

from __future__ import annotations

from typing import List

from ..protocol import View, look, put
from ..types import Seen, StoreError
from . import store_clock
from .report import FAIL, PASS, UNKNOWN, Check
from .scratch import Scratch, Workspace, is_of

READS = 10
"""How many writes are each followed by reads that must see them."""


def reads_and_clock(work: Workspace, scratch: Scratch, standing: Seen) -> List[Check]:
    """Write and read in turn. ``standing`` is the scratch object as it is now."""
    samples: List[store_clock.Sample] = []
    reads = stale = foreign = 0
    trouble = ("", "")
    started = work.clock.now()
    try:
        for number in range(1, READS + 1):
            # Date and Last-Modified have whole seconds, so spread the reads over all parts of a second.
            work.clock.sleep((started + number / READS - work.clock.now()) % 1)
            draft = work.draft()
            result = work.drive(put(draft, standing.etag, work.until, work.form), scratch)
            if isinstance(result, View):
                raise StoreError("a write was not carried out, because the object had other content")
            before, standing = standing, result.seen
            other = work.scratch()
            other.wire.forget()
            view = work.look(other)
            found = view.found
            reads += 1
            if not is_of(draft, found):
                stale += 1
            elif isinstance(found, Seen):
                foreign += found.etag != standing.etag
                if scratch.wire.landed is not None:
                    samples.append(
                        store_clock.Sample(
                            scratch.wire.landed, result.at, view.asked, view.at, found.modified, found.store_time
                        )
                    )
            view = work.drive(look(work.until, before), other)
            reads += 1
            stale += not is_of(draft, view.found)
    except StoreError as error:
        trouble = (error.why, error.advice)
    return [_reads(reads, stale, foreign, *trouble), store_clock.check(samples)]


def _reads(reads: int, stale: int, foreign: int, trouble: str, advice: str) -> Check:
    if stale:
        return Check(
            "reads",
            FAIL,
            "%d of %d reads right after a write do not see it" % (stale, reads),
            "Check for a cache in between, or use a store with strong consistency",
        )
    if foreign:
        return Check(
            "reads",
            FAIL,
            "%d reads come with another ETag than the write before them, so nobody could replace what was read"
            % foreign,
            "Check for a proxy that changes ETags, as Apache does when it compresses (SetEnv no-gzip 1)",
        )
    if trouble:
        return Check("reads", UNKNOWN, trouble, advice)
    return Check("reads", PASS, "%d reads right after a write see it, over new connections" % reads)
