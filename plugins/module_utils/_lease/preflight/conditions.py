# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Does the store accept a write whose condition holds, and refuse one whose condition does not?"""

from __future__ import annotations

from typing import Container, Optional, Tuple

from ..protocol import FIRST_RETRY, WRITES_APART, View, put
from ..record import Record, encode
from ..store import element
from ..types import (
    Found,
    Outcome,
    Refused,
    Seen,
    Step,
    Steps,
    StoreError,
    StoreRefused,
    Unknown,
    Write,
    Written,
)
from .report import FAIL, PASS, UNKNOWN, WARN, Check
from .scratch import Scratch, Workspace, is_of

ENFORCE = "Use a store that enforces conditional writes"
TRIES = 3
"""How often a write that has to be refused is sent until the store clearly accepts or refuses it."""


def access(work: Workspace) -> Tuple[Check, bool]:
    """Read a key that does not exist. Also return whether further checks make sense."""
    scratch = work.scratch()
    try:
        found = work.look(scratch).found
    except StoreError as error:
        denied = scratch.wire.last is not None and element(scratch.wire.last, "Code") == "AccessDenied"
        return Check("access", WARN if denied else verdict_of(error, scratch), error.why, error.advice), denied
    if isinstance(found, Seen):
        seen = "the store returned an object that nobody has written"
        return Check("access", UNKNOWN, seen, "Check endpoint_url"), True
    return Check("access", PASS, "a key that does not exist is reported as missing"), True


def accepted(
    work: Workspace, name: str, scratch: Scratch, draft: Record, replaces: Optional[str]
) -> Tuple[Check, Optional[Seen]]:
    """Make a write whose condition holds, as a lease would. If it was carried out, also return the new state."""
    try:
        result = work.drive(put(draft, replaces, work.until, work.form), scratch)
    except StoreError as error:
        verdict = verdict_of(error, scratch)
        return Check(name, verdict, error.why, error.advice or (ENFORCE if verdict == FAIL else "")), None
    if isinstance(result, View):
        seen = "the scratch object has content that this run has not written"
        return Check(name, UNKNOWN, seen, "Check endpoint_url"), None
    work.form = result.form
    return Check(name, PASS, "a %s whose condition holds is carried out" % name), result.seen


def refused(
    work: Workspace,
    name: str,
    scratch: Scratch,
    replaces: Optional[str],
    what: str,
    exists: bool = True,
    hidden: bool = False,
) -> Tuple[Check, Optional[str]]:
    """Make a write whose condition does not hold. If it was carried out, also return the new ETag.

    ``hidden``: without s3:ListBucket, reading a missing key gives 403, and replacing it may do so, too.
    """
    draft = work.draft()
    hidden = hidden and not exists
    refusals = (409, 412) if exists else (404, 409, 412, 403) if hidden else (404, 409, 412)
    outcome = _unless_refused(work, scratch, Write(encode(draft), replaces, work.until, *work.form), refusals)
    status = scratch.wire.status
    if isinstance(outcome, Written):
        return Check(name, FAIL, what + " is carried out, so several could lead at once", ENFORCE), outcome.etag
    if isinstance(outcome, Refused):
        return Check(name, FAIL if status == 501 else UNKNOWN, outcome.why, outcome.advice), None
    if outcome is not None:
        return Check(name, UNKNOWN, outcome.why if isinstance(outcome, Unknown) else "no clean answer"), None
    found: Optional[Found] = None
    try:
        found = work.look(scratch).found
    except StoreError as error:
        if not hidden:
            return Check(name, UNKNOWN, error.why, error.advice), None
    if isinstance(found, Seen) and is_of(draft, found):
        seen = "%s is refused (%d), but carried out anyway" % (what, status)
        return Check(name, FAIL, seen, ENFORCE), found.etag
    return Check(name, PASS, "%s is refused (%d)" % (what, status)), None


def verdict_of(error: StoreError, scratch: Scratch) -> str:
    """Return FAIL for a store that cannot hold a lease, UNKNOWN for one that could not be tested."""
    status = scratch.wire.status
    if status == 501:
        return FAIL
    if isinstance(error, StoreRefused):
        # A successful answer that a lease cannot use: without a Date, or with a weak ETag.
        missing = scratch.wire.last is not None and element(scratch.wire.last, "Code") == "NoSuchKey"
        return FAIL if status == 200 or missing else UNKNOWN
    return FAIL if scratch.wire.last_write == 412 else UNKNOWN  # though its condition holds, in either form of the ETag


def _unless_refused(work: Workspace, scratch: Scratch, write: Write, refusals: Container[int]) -> Optional[Outcome]:
    """Send a write until it is clearly accepted or refused. Return None if refused, else the last outcome."""
    outcome: Outcome = Unknown("no clean answer")
    for left in reversed(range(TRIES)):
        outcome = work.drive(_ask(write), scratch)
        if isinstance(outcome, Written):
            break
        if scratch.wire.status in refusals:
            return None
        if isinstance(outcome, Refused):
            break
        if left:
            work.clock.sleep(WRITES_APART if isinstance(outcome, Unknown) and outcome.throttled else FIRST_RETRY)
    return outcome


def _ask(step: Step) -> Steps[Outcome]:
    """Make one request, and return its outcome."""
    answer = yield step
    return answer.outcome
