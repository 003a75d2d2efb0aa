# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Behavior of a store that leases do not depend on, but other programs or people may."""

from __future__ import annotations

import base64
import math
import zlib
from typing import Mapping, Optional, Tuple

from ..protocol import View, put
from ..record import Record, encode
from ..types import Seen, StoreError
from .report import PASS, UNKNOWN, WARN, Check
from .scratch import Scratch, Workspace

EXPECT_WAIT = 1.0
"""Seconds that SDKs wait for a 100-continue before they send the body anyway."""
NO_EXPECT = "Other programs may lose a second on each write, or fail: configure them not to send it"


def etag_form(work: Workspace) -> Check:
    """Check in which form the store sends ETags, and in which one it accepts them."""
    etags = [answer.response.headers.get("etag", "") for answer in work.log.answered]
    form = "quoted" if any(etag.startswith('"') for etag in etags) else "bare"
    takes = "quoted" if work.form.quoted else "only bare; leases adapt by themselves"
    return Check("etag_form", PASS, "ETags come %s, and If-Match takes them %s" % (form, takes))


def etag_repeats(
    work: Workspace, scratch: Scratch, first: Record, etag: str, standing: str
) -> Tuple[Check, Optional[Seen]]:
    """Write the first body again, which had this ETag. Also return the new state, if it is known."""
    try:
        result = work.drive(put(first, standing, work.until, work.form), scratch)
    except StoreError as error:
        return Check("etag_repeats", UNKNOWN, error.why, error.advice), None
    if isinstance(result, View):
        return Check("etag_repeats", UNKNOWN, "the scratch object has content that this run has not written"), None
    same = "the same body gets the same ETag again; leases never repeat a body"
    seen = same if result.seen.etag == etag else "the same body gets another ETag"
    return Check("etag_repeats", PASS, seen), result.seen


def checksums(work: Workspace) -> Check:
    """Check whether it accepts a CRC32, which leases do not send, and verifies an MD5."""
    body = encode(work.draft())
    crc32 = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode("ascii")
    checked = _create_with(work, "crc32", {"x-amz-checksum-crc32": crc32}, body)
    damaged = _create_with(work, "md5", {"Content-MD5": base64.b64encode(bytes(16)).decode("ascii")}, body)
    if checked == 400:
        return Check(
            "checksums",
            WARN,
            "a write with x-amz-checksum-crc32 is refused (400). Leases work: they send Content-MD5",
            "Set request_checksum_calculation = when_required for other programs",
        )
    if checked != 200 or damaged not in (200, 400):
        seen = "a write with a checksum %s, one with a wrong checksum %s" % (answered(checked), answered(damaged))
        return Check("checksums", UNKNOWN, seen)
    minded = "is refused" if damaged == 400 else "is accepted, so it is not checked"
    return Check("checksums", PASS, "CRC32 is understood; a wrong Content-MD5 %s" % minded)


def expect(work: Workspace) -> Check:
    """Check whether it answers Expect: 100-continue, which leases do not send."""
    seconds = work.latencies()
    usual = seconds[len(seconds) // 2] if seconds else 0.0
    status = 0
    waited = True
    for attempt in ("1", "2"):  # a single one may have been slow for another reason
        asked = work.clock.now()
        body = encode(work.draft())
        status = _create_with(work, "expect-" + attempt, {"Expect": "100-continue"}, body, EXPECT_WAIT)
        waited = work.clock.now() - asked >= usual + EXPECT_WAIT * 0.9
        if not waited:
            break
    if status == 417:
        return Check("expect", WARN, "Expect: 100-continue is refused (417). Leases do not send it", NO_EXPECT)
    if status != 200:
        return Check("expect", UNKNOWN, "a write with Expect: 100-continue %s" % answered(status))
    if waited:
        return Check("expect", WARN, "Expect: 100-continue is not answered. Leases do not send it", NO_EXPECT)
    return Check("expect", PASS, "Expect: 100-continue is answered")


def latency(work: Workspace) -> Optional[Check]:
    """Check how long requests take; None if none was answered."""
    seconds = work.latencies()
    if not seconds:
        return None
    median, highest = seconds[len(seconds) // 2], seconds[math.ceil(len(seconds) * 0.99) - 1]
    which = "99th percentile of %d" if len(seconds) >= 100 else "highest of %d"
    seen = "a request takes %.1f ms (median), %.1f ms (%s)" % (median * 1000, highest * 1000, which % len(seconds))
    if highest > work.timeout / 2:
        return Check("latency", WARN, seen, "Raise request_timeout, and lease_duration with it")
    return Check("latency", PASS, seen)


def answered(status: int) -> str:
    """Tell what became of a request; the status 0 is no answer."""
    return "is answered with %d" % status if status else "got no answer"


def _create_with(work: Workspace, name: str, headers: Mapping[str, str], body: bytes, more_time: float = 0.0) -> int:
    """Create another scratch object with these headers. Return the status; 0 for no answer."""
    wire = work.scratch("-" + name).wire
    wire.alone = False  # it takes longer than others
    create = {"Content-Type": "application/json", "If-None-Match": "*", **headers}
    # A plain body would be sent at once, whatever Expect says.
    response = work.exchange(wire, "PUT", create, body, more_time=more_time, before_last_byte=_no_hold)
    return response.status if response else 0


def _no_hold() -> None:
    """Wait for nobody."""
