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
        "it ignores conditions while it lacks a read quorum, with several pools it checks them in one pool only, and "
        "before September 2025 If-Match creates missing keys",
        (
            "https://github.com/minio/minio/issues/21603",
            "https://github.com/pgsty/silo/issues/199",
            "https://github.com/minio/minio/issues/21550",
        ),
        server=r"MinIO",
        advice="Use a release from 2025-09-07 or newer with one pool, or Silo, which fixed the pools after 2026-09-16",
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
        "before 2026 some uploads to existing keys passed If-None-Match, and If-Match created missing keys",
        ("https://github.com/versity/versitygw/issues/1708", "https://github.com/versity/versitygw/issues/1709"),
        server=r"VERSITYGW",
        advice="Use a release from 2026",
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
        "Alibaba Cloud OSS",
        WARN,
        "it answers 501 to conditional writes",
        ("https://github.com/tobi/walgit/issues/67",),
        host="aliyuncs.com",
    ),
    Known(
        "Oracle Cloud Infrastructure",
        WARN,
        "its S3 interface ignores conditions",
        ("https://github.com/reisepass/zeropg",),
        host="oraclecloud.com",
    ),
    Known(
        "iDrive e2",
        WARN,
        "it had no conditional writes in 2025",
        ("https://github.com/Barre/ZeroFS/issues/196",),
        host="idrivee2.com",
    ),
    Known(
        "Storj",
        WARN,
        "only If-None-Match was added, not If-Match",
        ("https://github.com/storj/edge/issues/562",),
        host="storjshare.io",
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


AWS = ("amazonaws.com", "amazonaws.com.cn")


def ask(work: Workspace) -> Optional[Check]:
    """Identify the store by its host, or by what it calls itself; None if there was no answer."""
    if not work.log.answered:
        return None
    return check(work.connection.origin, server(work))


def server(work: Workspace) -> str:
    """Return the Server header of the last answer; '' if there is none."""
    return work.log.answered[-1].response.headers.get("server", "") if work.log.answered else ""


def check(origin: str, server: str) -> Check:
    """Check what is known about the store of this origin. ``server`` is its Server header, '' if it sends none.

    The header vouches for nothing: some stores call themselves AmazonS3 or MinIO, and ignore conditions.
    """
    known = next((one for one in KNOWN if _fits(one, origin, server)), None)
    if known is None:
        if not server:
            return Check("known_store", PASS, "the store does not say what it is")
        seen = "it calls itself %s, which proves nothing; no fault of a store of that name is known"
        return Check("known_store", PASS, seen % server[:100])
    name = known.name if known.host else "%s, going by what it calls itself" % known.name
    seen = "this is %s; others report: %s (%s)" % (name, known.report, ", ".join(known.sources))
    return Check("known_store", known.verdict, seen, known.advice)


def public_name(url: str) -> str:
    """Return the name of the public store at this URL; '' if it is not known as one."""
    if any(_is_below(url, domain) for domain in AWS):
        return "AWS S3"
    return next((one.name for one in KNOWN if one.host and _is_below(url, one.host)), "")


def _fits(known: Known, origin: str, server: str) -> bool:
    if known.host:
        return _is_below(origin, known.host)
    found = re.search(known.server or "", server, re.ASCII)
    if found and known.fixed_in:
        return (int(found.group(1)), int(found.group(2))) < known.fixed_in
    return bool(found)


def _is_below(url: str, domain: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == domain or host.endswith("." + domain)
