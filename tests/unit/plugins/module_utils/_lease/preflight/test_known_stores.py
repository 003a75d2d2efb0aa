# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.known_stores import KNOWN, check

HERE = "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("origin", "server", "verdict", "name"),
    [
        (HERE, "SeaweedFS 8000GB 4.48", "pass", "SeaweedFS 8000GB 4.48"),
        (HERE, "SeaweedFS 30GB 4.18", "pass", "SeaweedFS"),
        (HERE, "SeaweedFS 30GB 4.17", "fail", "SeaweedFS before 4.18"),
        (HERE, "SeaweedFS 30GB 3.97", "fail", "SeaweedFS before 4.18"),
        (HERE, "SeaweedFS 30GB", "pass", "SeaweedFS"),
        (HERE, "SeaweedFS 30GB 4.17.1", "fail", "SeaweedFS before 4.18"),
        (HERE, "SeaweedFS 30GB 4.17-rc1", "fail", "SeaweedFS before 4.18"),
        (HERE, "SeaweedFS 30GB 4.18.1", "pass", "SeaweedFS"),
        (HERE, "Werkzeug/3.1.9 Python/3.11.7, amazon.com", "fail", "moto"),
        (HERE, "MinIO", "warn", "MinIO"),
        (HERE, "Ceph Object Gateway (squid)", "warn", "Ceph RGW"),
        (HERE, "nginx", "pass", "nginx"),
        (HERE, "", "pass", "does not identify itself"),
        ("https://storage.googleapis.com", "UploadServer", "warn", "Google Cloud Storage"),
        ("https://0123.r2.cloudflarestorage.com", "cloudflare", "warn", "Cloudflare R2"),
        ("https://bucket.s3.eu-central-003.backblazeb2.com", "nginx", "warn", "Backblaze B2"),
        ("https://notbackblazeb2.com", "nginx", "pass", "nginx"),
        ("https://s3.eu-central-1.amazonaws.com", "AmazonS3", "pass", "AmazonS3"),
    ],
)
def test_a_store_is_known_by_its_header_or_its_host(origin, server, verdict, name):
    found = check(origin, server)
    assert (found.verdict, name in found.seen) == (verdict, True)


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_every_report_has_a_source_and_one_way_to_recognise_the_store(known):
    assert known.sources
    assert all(source.startswith("https://") for source in known.sources)
    assert (known.server is None) != (known.host is None)
    assert known.verdict in ("warn", "fail")
    assert known.verdict == "warn" or known.advice


def test_a_report_comes_with_its_source():
    assert "https://github.com/seaweedfs/seaweedfs/issues/8800" in check(HERE, "SeaweedFS 30GB 4.17").seen
