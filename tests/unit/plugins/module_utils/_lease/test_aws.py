# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import types

import boto3
import botocore.config
import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import CannotSend, Connection
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Endpoint, Location
from support.wire import stamp

KEYS = {"access_key": "AKIA-somebody", "secret_key": "whatever"}
SERVICES = "[services mine]\ns3 =\n  endpoint_url = http://service"

pytestmark = pytest.mark.usefixtures("aws")


def url(**options):
    return Connection(Endpoint(**{**KEYS, **options}), Location("bucket", "jobs/a")).url


MINE = "arn:aws:s3:eu-central-1:123456789012:accesspoint/mine"
CONFIGURATIONS = [
    ({}, "", {}),
    ({}, "region = eu-central-1", {}),
    ({"AWS_DEFAULT_REGION": "cn-north-1"}, "", {}),
    ({}, "", {"region": "us-gov-west-1"}),
    ({}, "", {"bucket": "with.dots", "region": "eu-central-1"}),
    ({"AWS_USE_FIPS_ENDPOINT": "true"}, "", {}),
    ({}, "use_fips_endpoint = true", {"region": "us-gov-west-1"}),
    ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "region = eu-central-1", {}),
    ({}, "use_dualstack_endpoint = true", {}),
    ({}, "s3 =\n  use_dualstack_endpoint = true", {"region": "eu-west-1"}),
    ({}, "s3 =\n  use_accelerate_endpoint = true", {"region": "eu-west-1"}),
    ({}, "s3 =\n  addressing_style = path", {"region": "eu-west-1"}),
    ({}, "s3 =\n  addressing_style = virtual", {"bucket": "with.dots", "region": "eu-west-1"}),
    ({}, "s3 =\n  addressing_style = virtual", {"endpoint_url": "https://store"}),
    ({}, "s3 =\n  us_east_1_regional_endpoint = regional", {"region": "us-east-1"}),
    ({"AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "regional"}, "", {"region": "us-east-1"}),
    ({}, "defaults_mode = standard", {"region": "us-east-1"}),
    ({"AWS_DEFAULTS_MODE": "in-region"}, "", {"region": "us-east-1"}),
    ({}, "", {"bucket": MINE, "region": "eu-central-1"}),
    ({}, "", {"bucket": MINE, "region": "us-west-2"}),
    ({"AWS_S3_USE_ARN_REGION": "true"}, "", {"bucket": MINE, "region": "us-west-2"}),
    ({}, "", {"bucket": MINE.replace("aws:", "aws-cn:").replace("eu-central-1", "cn-north-1"), "region": "cn-north-1"}),
    (
        {},
        "",
        {
            "bucket": "arn:aws:s3-outposts:us-west-2:123456789012:outpost:op-01ac5d28a6a232904:accesspoint:mine",
            "region": "us-west-2",
        },
    ),
    ({}, "use_dualstack_endpoint: true", {"region": "us-east-2"}),
    ({}, "USE_FIPS_ENDPOINT = true", {"region": "us-east-2"}),
    ({}, "s3:\n  addressing_style = path", {"region": "us-east-2"}),
    ({}, "s3 =\n  max_concurrent_requests = 20", {"region": "us-east-1"}),
    ({}, "[profile other]\nuse_fips_endpoint = true", {"region": "us-east-1"}),
    ({}, "", {"region": "aws-global"}),
    ({}, "", {"region": "fips-us-gov-west-1"}),
    ({}, "", {"bucket": "mine-1234567890123456789012345678901234--op-s3", "region": "us-west-2"}),
    ({}, "", {"endpoint_url": "https://s3-accelerate.amazonaws.com", "region": "us-west-2"}),
    ({}, f"services = mine\n{SERVICES}", {}),
    ({}, f"services = mine\n{SERVICES}\n  addressing_style = path", {}),
]


@pytest.mark.parametrize(("variables", "config", "options"), CONFIGURATIONS)
@pytest.mark.parametrize("key", ["jobs/a", "ü b+c%?~"])
def test_a_request_goes_where_that_of_boto3_goes(monkeypatch, aws, variables, config, options, key):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    aws(f"[default]\n{config}\n")
    bucket, *given = (options.get(name) for name in ("bucket", "region", "endpoint_url"))
    theirs = sent_by_boto3(bucket or "bucket", key, *given)
    ours = sent_by_us(monkeypatch, Endpoint(**KEYS, region=given[0], endpoint_url=given[1]), bucket or "bucket", key)
    assert ours == theirs


def sent_by_boto3(bucket, key, region=None, endpoint_url=None, **config):
    """URL, region and service of its request."""
    client = boto3.session.Session().client(
        "s3",
        region_name=region,
        endpoint_url=endpoint_url,
        aws_access_key_id="somebody",
        aws_secret_access_key="whatever",
        config=botocore.config.Config(**config),
    )
    sent = []
    client.meta.events.register("before-send.s3", lambda request, **_: sent.append(request) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        client.get_object(Bucket=bucket, Key=key)
    return (regional(sent[0].url), *scope_of(sent[0].headers))


def sent_by_us(monkeypatch, endpoint, bucket, key):
    sent = []
    connection = Connection(endpoint, Location(bucket, key))
    wire = types.SimpleNamespace(send=lambda request: sent.append(request) or 1 / 0)
    monkeypatch.setattr(connection, "_connected", lambda: wire)
    with pytest.raises(ZeroDivisionError):
        connection.send("GET", {}, b"", 10, stamp())
    return (regional(sent[0].url), *scope_of(sent[0].headers))


def regional(url):
    """botocore's versions differ in the name of us-east-1, and both are right."""
    return url.replace("s3.us-east-1.amazonaws.com", "s3.amazonaws.com")


def scope_of(headers):
    text = headers["Authorization"]
    _access_key, _date, region, service, _end = (
        re.search(r"Credential=([^,]+)", text.decode() if isinstance(text, bytes) else text).group(1).split("/")
    )
    return region, service


@pytest.mark.parametrize(
    "config",
    [
        {"s3": {"addressing_style": "path"}},
        {"s3": {"use_accelerate_endpoint": True}},
        {"use_fips_endpoint": True},
        {"use_dualstack_endpoint": True},
    ],
)
def test_a_given_configuration_counts_as_it_does_for_boto3(monkeypatch, config):
    ours = sent_by_us(monkeypatch, Endpoint(**KEYS, region="eu-west-1", aws_config=config), "bucket", "a")
    assert ours == sent_by_boto3("bucket", "a", "eu-west-1", **config)


def test_an_addressing_style_that_is_given_wins(aws):
    aws("[default]\ns3 =\n  addressing_style = virtual\n")
    assert url(region="eu-west-1", addressing_style="path") == "https://s3.eu-west-1.amazonaws.com/bucket/jobs/a"


@pytest.mark.parametrize(
    "config",
    ["s3 = foo", "s3 =", "services = m\n[services m]\ns3 = http://x", "[profile other]\ns3 =\n  use_arn_region = true"],
)
def test_odd_settings_of_which_nothing_follows_do_no_harm(aws, config):
    aws(f"[default]\n{config}\n")
    assert url(endpoint_url="http://my_store:9000") == "http://my_store:9000/bucket/jobs/a"


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ("s3 =\n  addressing_style = path", {"endpoint_url": "http://my_store:9000"}),
        ("s3 =\n  addressing_style = sideways", {}),
        ("max_attempts = x\nuse_fips_endpoint = false", {}),
        ("api_versions = 3\nuse_fips_endpoint = false", {}),
        ("defaults_mode =\n  a = b", {}),
        ("endpoint_url =\n  a = b", {}),
        ("region =\n  a = b", {"region": None}),
        ("", {"aws_config": {"s3": {"addressing_style": "sideways"}}}),
    ],
)
def test_settings_that_botocore_cannot_use_are_told(aws, config, options):
    aws(f"[default]\n{config}\n")
    with pytest.raises(CannotSend, match=r"botocore cannot use its configuration: .*aws_config.*~/.aws/config"):
        url(**{"region": "us-east-2", **options})


def test_us_east_1_has_one_name_whatever_else_is_set(aws):
    places = set()
    for config in ("", "[default]\ns3 =\n  use_arn_region = true\n"):
        aws(config)
        places.add((url(region="us-east-1"), url(region="us-east-1", addressing_style="path")))
    [(virtual, path)] = places
    assert virtual == "https://bucket.s3.us-east-1.amazonaws.com/jobs/a"
    assert path == "https://s3.us-east-1.amazonaws.com/bucket/jobs/a"


def test_the_client_is_loaded_only_where_it_knows_more(monkeypatch, aws):
    aws("[default]\nregion = eu-west-1\nendpoint_url = http://file\n[profile s3]\nrole_arn = arn:s3\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "")
    monkeypatch.setattr("botocore.session.Session.create_client", lambda *_, **__: 1 / 0)
    assert url() == "http://all/bucket/jobs/a"
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    with pytest.raises(ZeroDivisionError):
        url()


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("options", [{}, {"aws_config": {"use_dualstack_endpoint": False}}])
def test_a_bucket_is_the_same_however_it_is_addressed(style, options):
    endpoint = Endpoint(**KEYS, region="eu-west-1", addressing_style=style, **options)
    assert Connection(endpoint, Location("bucket", "a")).bucket_url == "https://s3.eu-west-1.amazonaws.com/bucket"
