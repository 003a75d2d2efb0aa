# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Does the store refuse a write that arrives after its use-by date (rule 25)?"""

from __future__ import annotations

from ..record import encode
from ..types import Seen, StoreError
from .habits import answered
from .report import PASS, UNKNOWN, WARN, Check
from .scratch import Workspace, is_of

HARMLESS = (
    "A write that its sender has given up may still be carried out: nobody leads by it, but failover takes longer"
)


def late_writes(work: Workspace) -> Check:
    """Write with a signature in the query that has expired."""
    if not work.form.dated:
        seen = "signatures in the query are refused, so writes have no use-by date"
        return Check(
            "late_writes",
            WARN,
            "%s. %s" % (seen, HARMLESS),
            "Allow s3:authType REST-QUERY-STRING, if a policy denies it",
        )
    if work.time.now() is None:
        return Check("late_writes", UNKNOWN, "no answer had a Date")
    scratch, draft = work.scratch("-late"), work.draft()
    create = {"Content-Type": "application/json", "If-None-Match": "*"}
    stamp = work.time.stamp(work.until, dated=True, expired=True)
    response = work.exchange(scratch.wire, "PUT", create, encode(draft), stamp=stamp)
    try:
        found = work.look(scratch).found
    except StoreError as error:
        return Check("late_writes", UNKNOWN, error.why, error.advice)
    status = response.status if response else 0
    if isinstance(found, Seen) and is_of(draft, found):
        seen = "a write that arrives after its use-by date is carried out"
        return Check("late_writes", WARN, "%s. %s" % (seen, HARMLESS), "Use a store that checks X-Amz-Expires")
    if 400 <= status < 500:
        return Check("late_writes", PASS, "a write that arrives after its use-by date is refused (%d)" % status)
    return Check("late_writes", UNKNOWN, "a write that arrives after its use-by date %s" % answered(status))
