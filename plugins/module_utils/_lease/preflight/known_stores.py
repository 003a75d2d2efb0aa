# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Stores with reported faults that no check can prove, or that help to understand the result of one."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from .report import FAIL, PASS, WARN, Check
from .scratch import Workspace


class Known(NamedTuple):
    """One store, and what is reported about it."""

    name: str
    verdict: str
    """'fail' if several win whatever the other checks saw; 'warn' if the other checks decide."""
    report: str
    sources: Tuple[str, ...]
    server: Optional[str] = None
    """A pattern for the Server header. Its two groups, if any, are the version."""
    host: Optional[str] = None
    """The domain of the endpoint."""
    fixed_in: Optional[Tuple[int, int]] = None
    """The first version to which the report no longer applies."""
    advice: str = ""


KNOWN: Sequence[Known] = (
    Known(
        "SeaweedFS before 4.18",
        FAIL,
        "concurrent creates all succeed",
        ("https://github.com/seaweedfs/seaweedfs/issues/8800",),
        server=r"SeaweedFS\b.*\s(\d+)\.(\d+)",
        fixed_in=(4, 18),
        advice="Upgrade it to 4.18 or newer",
    ),
    Known(
        "moto",
        FAIL,
        "it is a mock for tests, and checks conditions without a lock",
        ("https://github.com/getmoto/moto/blob/master/moto/s3/responses.py",),
        server=r"Werkzeug/",
        advice="Use it only for tests, never in production",
    ),
    Known(
        "MinIO",
        WARN,
        "it ignores conditions while it lacks a read quorum, and before September 2025 If-Match creates missing keys",
        ("https://github.com/minio/minio/issues/21603", "https://github.com/minio/minio/issues/21550"),
        server=r"MinIO",
        advice="Use a release from 2025-09-07 or newer",
    ),
    Known(
        "Ceph RGW",
        WARN,
        "it misjudges conditions where versioning is suspended, and older releases also do so where it is on",
        ("https://tracker.ceph.com/issues/71584", "https://github.com/ceph/ceph/pull/63348"),
        server=r"Ceph Object Gateway",
        advice="Use a bucket that never had versioning",
    ),
    Known(
        "Versity S3 Gateway",
        WARN,
        "some uploads to existing keys pass If-None-Match",
        ("https://github.com/versity/versitygw/issues/1708",),
        server=r"VERSITYGW",
    ),
    Known(
        "Cloudflare R2",
        WARN,
        "it accepts one write per second to a key, so races can hardly be tested",
        ("https://github.com/cloudflare/cloudflare-docs/issues/33295",),
        host="r2.cloudflarestorage.com",
    ),
    Known(
        "Google Cloud Storage",
        WARN,
        "its XML API ignores If-None-Match",
        ("https://github.com/gordonmurray/firnflow/issues/29",),
        host="storage.googleapis.com",
    ),
    Known(
        "Backblaze B2",
        WARN,
        "it answers 501 to conditional writes",
        ("https://github.com/lance-format/lance/issues/5614",),
        host="backblazeb2.com",
    ),
    Known(
        "DigitalOcean Spaces",
        WARN,
        "it wants ETags unquoted",
        ("https://github.com/gordonmurray/firnflow/issues/30", "https://github.com/slatedb/slatedb/issues/1818"),
        host="digitaloceanspaces.com",
    ),
    Known(
        "Tigris",
        WARN,
        "buckets of its location type Global are only eventually consistent between regions",
        ("https://tigrisdata.com/docs/concepts/consistency",),
        server=r"Tigris OS",
        advice="Use a bucket of another location type",
    ),
)


def ask(work: Workspace) -> Optional[Check]:
    """Identify the store by its last answer; None if there was none."""
    if not work.log.answered:
        return None
    return check(work.connection.origin, work.log.answered[-1].response.headers.get("server", ""))


def check(origin: str, server: str) -> Check:
    """Check what is known about the store of this origin. ``server`` is its Server header, '' if it sends none."""
    known = next((one for one in KNOWN if _fits(one, origin, server)), None)
    if known is None:
        seen = "no fault of %s is known" % server[:100] if server else "the store does not identify itself"
        return Check("known_store", PASS, seen)
    seen = "this is %s; others report: %s (%s)" % (known.name, known.report, ", ".join(known.sources))
    return Check("known_store", known.verdict, seen, known.advice)


def _fits(known: Known, origin: str, server: str) -> bool:
    host = urlsplit(origin).hostname or ""
    if known.host:
        return host == known.host or host.endswith("." + known.host)
    found = re.search(known.server or "", server, re.ASCII)
    if found and known.fixed_in:
        return (int(found.group(1)), int(found.group(2))) < known.fixed_in
    return bool(found)
