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
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from .settings import Endpoint

_VARIABLES = ("AWS_S3_", "AWS_USE_", "AWS_DEFAULTS_MODE", "AWS_SIGV4A_")
"""How the environment's variables begin that only the client knows. Source: botocore.configprovider,
docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
"""
_SETTINGS = re.compile(rb"^\s*(s3|use_\w+|defaults_mode|sigv4a_\w+)\s*=", re.MULTILINE)
"""The same in the files of the AWS configuration."""
_SCOPE = re.compile(r"Credential=[^/]+/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/")


class Target(NamedTuple):
    """Where the objects of a bucket are."""

    url: str
    """Of the bucket. A slash and a key follow."""
    place: str
    """The same, however the bucket is addressed."""
    region: str
    service: str


def client_knows_more(endpoint: Endpoint) -> bool:
    """Whether environment or configuration holds anything that only botocore's client goes by."""
    if endpoint.aws_config or any(value and name.startswith(_VARIABLES) for name, value in os.environ.items()):
        return True
    return any(_SETTINGS.search(text) for text in _files(endpoint))


def of_client(session: Any, endpoint: Endpoint, endpoint_url: Optional[str], region: str, bucket: str) -> Target:
    """Return where a client sends a request for an object, which it is kept from sending. Raises botocore's errors."""
    import botocore.awsrequest
    import botocore.config

    settings: Dict[str, Any] = {**(endpoint.aws_config or {})}
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
    url = request.url[: -len("/-")]
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
