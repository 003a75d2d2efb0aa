# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Where botocore's own client would send a request, and what it would sign it for.

A client takes long to load, so it is asked only where something is set that it goes by and connection does not.
"""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional

from .settings import Endpoint

_VARIABLES = ("AWS_S3_", "AWS_USE_", "AWS_DEFAULTS_MODE", "AWS_SIGV4A_")
"""How the variables begin that only the client knows (docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html).
"""
_SETTINGS = re.compile(r"use_\w+|defaults_mode|sigv4a_\w+")
"""The same in the AWS configuration."""
_SETTINGS_OF_S3 = (
    "addressing_style",
    "use_accelerate_endpoint",
    "use_arn_region",
    "use_dualstack_endpoint",
    "us_east_1_regional_endpoint",
)
"""The same below s3 there."""
_MENTIONED = re.compile(rb"^\s*(s3|%b)\s*[=:]" % _SETTINGS.pattern.encode(), re.MULTILINE | re.IGNORECASE)
_RESOLVING = ("s3", "use_fips_endpoint", "use_dualstack_endpoint")
"""The same among the arguments of botocore.config.Config."""
_SCOPE = re.compile(r"Credential=[^/]+/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/")


class Target(NamedTuple):
    """Where the objects of a bucket are."""

    url: str
    """Of the bucket. A slash and a key follow."""
    place: str
    """The same, however the bucket is addressed."""
    region: str
    service: str


def client_knows_more(
    endpoint: Endpoint, endpoint_url: Optional[str], region: str, bucket: str, profile: Callable[[], Mapping[str, Any]]
) -> bool:
    """Whether options, environment or the configured profile hold anything that only botocore's client goes by."""
    if bucket.startswith("arn:") or bucket.endswith("--op-s3"):  # access points
        return True
    if "fips" in region or region == "aws-global" or "s3-accelerate" in (endpoint_url or ""):
        return True
    if any(name in _RESOLVING for name in endpoint.aws_config or {}):
        return True
    if any(value and name.startswith(_VARIABLES) for name, value in os.environ.items()):
        return True
    if not any(_MENTIONED.search(text) for text in _files(endpoint)):
        return False  # most often; to parse them takes longer
    s3 = profile().get("s3")
    below = s3 if isinstance(s3, dict) else {}
    return any(map(_SETTINGS.fullmatch, profile())) or any(name in _SETTINGS_OF_S3 for name in below)


def regional(url: str) -> str:
    """Return the URL with one of the two names that us-east-1 has: botocore's versions differ in which they use."""
    return re.sub(r"(://|\.)s3\.amazonaws\.com", r"\1s3.us-east-1.amazonaws.com", url)


def of_client(session: Any, endpoint: Endpoint, endpoint_url: Optional[str], region: str, bucket: str) -> Target:
    """Return where a client sends a request for an object, which it is kept from sending. Raises botocore's errors."""
    import botocore.awsrequest
    import botocore.config

    given = endpoint.aws_config or {}
    settings: Dict[str, Any] = {name: given[name] for name in _RESOLVING if name in given}
    if endpoint.addressing_style != "auto":
        settings["s3"] = {**settings.get("s3", {}), "addressing_style": endpoint.addressing_style}
    client = session.create_client(
        "s3",
        region_name=region,
        endpoint_url=endpoint_url,
        aws_access_key_id="nobody",  # or it would fetch real ones
        aws_secret_access_key="nothing",
        config=botocore.config.Config(**settings),
    )
    requests: List[Any] = []

    def instead(request: Any, **_rest: Any) -> Any:
        requests.append(request)
        headers: Any = {}
        return botocore.awsrequest.AWSResponse(request.url, 200, headers, _Nothing())

    client.meta.events.register("before-send.s3", instead)
    client.head_object(Bucket=bucket, Key="-")
    (request,) = requests
    url = regional(request.url[: -len("/-")])
    scheme, _separator, rest = url.partition("://")
    virtual = rest.startswith(bucket + ".") and not rest.endswith("/" + bucket)
    signature = request.headers.get("Authorization", "")
    scope = _SCOPE.search(signature.decode("ascii") if isinstance(signature, bytes) else signature)
    return Target(
        url,
        "%s://%s/%s" % (scheme, rest[len(bucket) + 1 :], bucket) if virtual else url,
        scope.group("region") if scope else client.meta.region_name,
        scope.group("service") if scope else "s3",
    )


def _files(endpoint: Endpoint) -> Iterator[bytes]:
    for path in (
        os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config",
        endpoint.credentials_file or os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials",
    ):
        try:
            with open(os.path.expanduser(os.path.expandvars(path)), "rb") as file:
                yield file.read()
        except OSError:
            continue  # botocore goes on without it, too


class _Nothing:
    """The body of an answer without one."""

    @staticmethod
    def stream(*_sizes: object, **_options: object) -> Iterator[bytes]:
        return iter(())
