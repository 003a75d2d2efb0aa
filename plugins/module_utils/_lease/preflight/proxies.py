# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Does a proxy on the way compress answers, weaken ETags, or answer from a cache?

Other checks see what else a proxy can do: ``clock`` a Date of its own, ``reads`` an old answer after a write or another
ETag, ``access`` a Date that is missing.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from ..connection import Response
from ..types import StoreError
from .report import FAIL, PASS, UNKNOWN, Check
from .scratch import Scratch, Workspace

APART = 2.2
"""Seconds between two reads whose Dates must differ: a Date has whole seconds, and some servers renew it once a second.
"""
SIGNS = ("via", "x-cache", "x-varnish", "x-squid-error")
"""Headers that no store sends, but a proxy may."""
CACHE_SAYS = ("x-cache", "x-cache-status", "x-proxy-cache", "cf-cache-status")
"""Headers in which a cache says HIT."""
_HIT = re.compile(r"(?<!refresh)(?<!refresh_)hit", re.IGNORECASE)
"""Squid and CloudFront call it a refresh hit where they have asked the store."""
NO_CACHE = (
    "Switch caching off for this bucket on the way (nginx: proxy_cache off): nobody could take over a lease before the "
    "cache forgets it"
)
NO_COMPRESSION = "Switch compression off for the store on the way (nginx: gzip off; Apache: SetEnv no-gzip 1)"


class Reading(NamedTuple):
    """An answer to a read, and the reading of the clock when it had come."""

    response: Response
    at: float


def read(work: Workspace, scratch: Scratch) -> Optional[Reading]:
    """Read an object that stays as it is until the check of caches. Return None without a clean answer."""
    try:
        work.look(scratch)
    except StoreError:
        return None
    return Reading(scratch.wire.last, work.clock.now()) if scratch.wire.last else None


def cache(work: Workspace, scratch: Scratch, first: Optional[Reading]) -> Check:
    """Read the object again: a cache that forgets what is written through it may repeat the first answer."""
    while first is not None and work.clock.now() < first.at + APART:
        work.clock.sleep(first.at + APART - work.clock.now())
    again = read(work, scratch) if first is not None else None
    if first is None or again is None:
        return Check("cache", UNKNOWN, "a read got no clean answer")
    said = _said_by_a_cache(again.response)
    if said:
        return Check("cache", FAIL, "a read is answered from a cache, which says so in %s" % said, NO_CACHE)
    if again.response.headers.get("date") == first.response.headers.get("date"):
        seen = (
            "two reads %.1f s apart have the same Date: the first answer is repeated, or the store's clock stands still"
        )
        return Check("cache", FAIL, seen % (again.at - first.at), NO_CACHE)
    return Check("cache", PASS, "a read is answered anew each time")


def ask(work: Workspace) -> Optional[Check]:
    """Look for a proxy in all answers so far; None if there was none."""
    if not work.log.answered:
        return None
    answers = [answer.response for answer in work.log.answered]
    encodings = sorted({one.headers.get("content-encoding", "identity") for one in answers} - {"identity", ""})
    if encodings:
        seen = "answers come with Content-Encoding: %s, so nobody can read a lease" % ", ".join(encodings)[:100]
        return Check("proxy", FAIL, seen, NO_COMPRESSION)
    reads = [answer.response for answer in work.log.answered if answer.method == "GET"]
    if any(one.headers.get("etag", "").startswith("W/") for one in reads):
        return Check("proxy", FAIL, "reads come with weak ETags, so no write can depend on them", NO_COMPRESSION)
    signs = [name.title() for name in SIGNS if any(name in one.headers for one in answers)]
    if not signs:
        return Check("proxy", PASS, "no proxy shows on the way")
    seen = "a proxy on the way (it sends %s) neither compresses answers nor weakens ETags"
    return Check("proxy", PASS, seen % " and ".join(signs))


def _said_by_a_cache(response: Response) -> str:
    """Return the name of the header by which a cache says that it answered; '' if there is none."""
    if response.headers.get("age", "0").strip().strip("0"):
        return "Age"
    return next((name.title() for name in CACHE_SAYS if _HIT.search(response.headers.get(name, ""))), "")
