# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import platform

import botocore
import pytest
from ansible.module_utils.ansible_release import __version__ as ansible_version
from ansible_collections.leaderelection.s3.plugins.module_utils import _issue
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight import known_stores
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.report import ESSENTIAL, Check, Report
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Endpoint, Location
from ansible_collections.leaderelection.s3.plugins.module_utils._version import VERSION

URL = "https://s3.internal.example:9000"
GOOD = tuple(Check(name, "pass", "it is well") for name in ESSENTIAL)
ENDPOINT = Endpoint(
    URL, "AKIDEXAMPLE", "wJalrXUtnFEMI", expected_bucket_owner="123456789012", aws_ca_bundle="/etc/own.pem"
)


@pytest.fixture
def told():
    """Returns the report about a store at this URL, of these checks besides the good ones."""

    def tell(*checks, url=URL, server="SeaweedFS 30GB 4.48", bucket="our-bucket", key="shop/db", endpoint=ENDPOINT):
        found = Report((*GOOD, *checks), 244, 29.84, server)
        return _issue.text(found, endpoint, Location(bucket, key), f"{url}/{bucket}/{key}", 8, 10)

    return tell


def test_it_has_the_store_the_versions_and_every_check(told):
    lines = told(Check("latency", "warn", "it is slow", "Raise request_timeout")).splitlines()
    assert lines[0] == "### Preflight of leaderelection.s3: safe"
    assert "the store can be trusted with a lease" in lines
    assert "| store | on a host of its own, by https; it calls itself `SeaweedFS 30GB 4.48` |" in lines
    assert f"| leaderelection.s3 | {VERSION} |" in lines
    assert f"| ansible-core | {ansible_version} |" in lines
    assert f"| Python | {platform.python_version()}, {platform.system()} |" in lines
    assert f"| botocore | {botocore.__version__} |" in lines
    assert "| asked | 8 contenders, 10 rounds: 244 requests in 29.8 s |" in lines
    assert [line for line in lines if line.startswith("| `")] == [
        *(f"| `{name}` | pass | it is well |" for name in ESSENTIAL),
        "| `latency` | warn | it is slow. Raise request_timeout |",
    ]


def test_the_reason_of_a_store_that_is_refused_comes_first(told):
    text = told(Check("create_again", "fail", "a create of a key that exists is carried out", "Use another store"))
    assert text.startswith(
        "### Preflight of leaderelection.s3: unsafe\n\nthe store cannot be trusted with a lease: a create of"
    )


@pytest.mark.parametrize(
    ("url", "server", "words"),
    [
        (
            "https://0123.r2.cloudflarestorage.com",
            "cloudflare",
            "Cloudflare R2, by https; it calls itself `cloudflare`",
        ),
        ("http://127.0.0.1:9000", "", "on a host of its own, by http; it does not say what it is"),
        ("http://127.0.0.1:9000", "`a`|b", "it calls itself `'a'\\|b`"),
        ("http://127.0.0.1:9000", "weed on gw-7.corp.example:8333", "it calls itself `weed on HOST`"),
        ("http://127.0.0.1:9000", "weed 3.1 10.0.0.7:80 gw:80", "it calls itself `weed 3.1 HOST HOST`"),
        ("http://127.0.0.1:9000", "MinIO/RELEASE.2025-09-07 a/1.x", "it calls itself `MinIO/RELEASE.2025-09-07 a/1.x`"),
        ("http://127.0.0.1:9000", "x" * 1000, f"it calls itself `{'x' * 100}`"),
    ],
)
def test_the_store_is_named_as_far_as_it_is_public(told, url, server, words):
    assert words in told(url=url, server=server)


def test_the_host_on_which_a_store_says_that_it_runs_is_not_named(told):
    server = "weed on gw-7.corp.example:8333"
    assert "gw-7" not in told(known_stores.check("https://s3.example", server), server=server)


def test_no_name_and_no_secret_is_in_it(told):
    names = [URL, "s3.internal.example", "our-bucket", "shop/db", "AKIDEXAMPLE", "wJalrXUtnFEMI", "123456789012"]
    text = told(
        Check("access", "unknown", f"{URL} could not be reached: s3.internal.example is not known", "Ask s3.internal."),
        Check("create", "fail", "Grant s3:PutObject on s3://our-bucket/shop/db", "or on shop/db.preflight-0123*"),
        Check("versioning", "unknown", "the bucket our-bucket answered 403", f"{' '.join(names)} /etc/own.pem"),
    )
    assert [name for name in (*names, "own.pem", "internal.example") if name in text] == []
    assert "https://STORE could not be reached: STORE is not known" in text
    assert "s3://BUCKET/KEY. or on KEY.preflight-0123*" in text
    assert "the bucket BUCKET answered 403" in text
    assert text.endswith(f"{_issue.LEFT_OUT}\n")


def test_what_a_source_of_credentials_says_is_not_in_it(told):
    why = "the credentials cannot be used: CredentialRetrievalError: custom-process said\nhunter2"
    text = told(Check("access", "unknown", why))
    assert "the credentials cannot be used |" in text
    assert "hunter2" not in text


def test_a_name_is_no_part_of_a_word(told):
    assert "a writer writes" in told(Check("reads", "pass", "a writer writes"), key="write", bucket="rit")
    assert "a read" in told(Check("reads", "pass", "a read"), key="a"), "a name this short identifies nothing"


def test_a_table_survives_what_it_tells(told):
    text = told(Check("lifecycle", "fail", "rule 'a|b'\n\n| c | deletes"))
    assert "| `lifecycle` | fail | rule 'a\\|b' \\| c \\| deletes |" in text
