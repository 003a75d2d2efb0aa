# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import argparse

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.config import ENDPOINT
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.store_options import (
    add_bucket,
    add_endpoint,
    endpoint,
    in_flags,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Endpoint


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("AWS_URL", "AWS_CA_BUNDLE", "S3_LEADER_BUCKET"):
        monkeypatch.delenv(name, raising=False)


def parse(*words):
    parser = argparse.ArgumentParser()
    add_bucket(parser.add_argument)
    add_endpoint(parser)
    return parser.parse_args(words)


def test_without_options_the_store_is_the_one_of_the_modules():
    assert endpoint(parse()) == Endpoint()
    assert parse().bucket == "leader-election"


def test_the_environment_names_what_the_options_do_not(monkeypatch):
    for name, value in dict(AWS_URL="https://s3", AWS_CA_BUNDLE="/ca", S3_LEADER_BUCKET="ours").items():
        monkeypatch.setenv(name, value)
    assert endpoint(parse()) == Endpoint(endpoint_url="https://s3", aws_ca_bundle="/ca")
    assert endpoint(parse("--endpoint-url=https://h", "--aws-ca-bundle=/b")).endpoint_url == "https://h"
    assert (parse().bucket, parse("--bucket=theirs").bucket) == ("ours", "theirs")


def test_there_is_an_option_for_each_field():
    words = "--endpoint-url=https://s3 --region=r --profile=p --credentials-file=/c --aws-ca-bundle=/ca"
    words += " --no-validate-certs --addressing-style=path --expected-bucket-owner=012345678901 --request-timeout=1m"
    values = dict(zip(ENDPOINT, ("https://s3", "p", "/c", "r", False, "/ca", "path", "012345678901", 60)))
    assert endpoint(parse(*words.split())) == Endpoint(**values)


def test_a_value_that_cannot_be_used_is_refused():
    with pytest.raises(BadOption, match="request_timeout is 61: use 1 to 60 seconds"):
        endpoint(parse("--request-timeout=61"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Check endpoint_url and the network", "Check --endpoint-url and the network"),
        (
            "Set access_key and secret_key, profile, or AWS_PROFILE",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, profile, or AWS_PROFILE",
        ),
        ("lease_duration is 4: use 5 or more", "--lease-duration is 4: use 5 or more"),
        ("the store is in another region", "the store is in another region"),
        ('key is "jobs/secret_key//x"', 'key is "jobs/secret_key//x"'),
        ("s3://stop_grace/jobs/stop_grace/ cannot be read", "s3://stop_grace/jobs/stop_grace/ cannot be read"),
        ("http://request_timeout:9 could not be reached", "http://request_timeout:9 could not be reached"),
        ("to rule it out (expected_bucket_owner)", "to rule it out (--expected-bucket-owner)"),
        ("--stop-grace is 0: use 1 to 3600", "--stop-grace is 0: use 1 to 3600"),
    ],
)
def test_what_the_core_says_has_the_names_of_the_command_line(text, told):
    assert in_flags(text) == told
