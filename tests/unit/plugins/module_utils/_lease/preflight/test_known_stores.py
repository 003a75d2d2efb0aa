# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.known_stores import (
    KNOWN,
    check,
    public_name,
    server,
)

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
        (HERE, "", "pass", "does not say what it is"),
        ("https://storage.googleapis.com", "UploadServer", "warn", "Google Cloud Storage"),
        ("https://0123.r2.cloudflarestorage.com", "cloudflare", "warn", "Cloudflare R2"),
        ("https://bucket.s3.eu-central-003.backblazeb2.com", "nginx", "warn", "Backblaze B2"),
        ("https://notbackblazeb2.com", "nginx", "pass", "nginx"),
        ("https://oss-eu-central-1.aliyuncs.com", "AliyunOSS", "warn", "Alibaba Cloud OSS"),
        ("https://name.compat.objectstorage.us-ashburn-1.oraclecloud.com", "", "warn", "Oracle Cloud"),
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


def test_what_a_store_calls_itself_is_not_what_it_is():
    assert "it calls itself AmazonS3, which proves nothing" in check(HERE, "AmazonS3").seen
    assert "this is MinIO, going by what it calls itself" in check(HERE, "MinIO").seen
    assert "this is Cloudflare R2; others" in check("https://0123.r2.cloudflarestorage.com", "cloudflare").seen


def test_the_header_is_that_of_the_last_answer(workspace):
    work = workspace()
    assert server(work) == ""
    store = work.connection.store
    work.connection.faults.append(
        lambda request: store.take(request)._replace(headers=(*store.date(), ("Server", f"store {store.count()}")))
    )
    for number in (1, 2):
        work.ask_bucket("versioning", 100)
        assert server(work) == f"store {number}"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://bucket.s3.eu-central-1.amazonaws.com/key", "AWS S3"),
        ("https://s3.cn-north-1.amazonaws.com.cn/bucket/key", "AWS S3"),
        ("https://0123.r2.cloudflarestorage.com/bucket/key", "Cloudflare R2"),
        ("https://amazonaws.com.example.com/bucket/key", ""),
        ("http://127.0.0.1:9000/bucket/key", ""),
    ],
)
def test_a_public_store_is_named_by_its_host(url, name):
    assert public_name(url) == name
