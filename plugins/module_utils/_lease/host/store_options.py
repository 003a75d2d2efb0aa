# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The options of commands that reach a store without a configuration file."""

from __future__ import annotations

import argparse
import os
import re
from typing import Any, Callable

from .. import settings
from ..settings import Endpoint
from .arguments import duration
from .config import ENDPOINT


def add_bucket(option: Callable[..., Any]) -> None:
    """Add the option that names the bucket. ``option`` adds one: the add_argument of a parser, or of a group."""
    default = os.environ.get("S3_LEADER_BUCKET", settings.DEFAULT_BUCKET)
    option("--bucket", default=default, help="default: S3_LEADER_BUCKET, or else " + settings.DEFAULT_BUCKET)


def add_endpoint(parser: argparse.ArgumentParser) -> None:
    """Add a group of options, one for each field of config.ENDPOINT."""
    store = parser.add_argument_group(
        "how to reach the store; its keys come from the environment, a profile or the machine's role, as for aws"
    )
    option = store.add_argument
    option("--endpoint-url", default=os.environ.get("AWS_URL"), help="like https://s3.example.com:9000")
    option("--region")
    option("--profile")
    option("--credentials-file", help="instead of ~/.aws/credentials")
    option("--aws-ca-bundle", default=os.environ.get("AWS_CA_BUNDLE"), help="a file of certificates to trust")
    option("--no-validate-certs", dest="validate_certs", action="store_false", help="trust any certificate")
    option("--addressing-style", choices=settings.ADDRESSING_STYLES, default=Endpoint.addressing_style)
    option("--expected-bucket-owner", metavar="ACCOUNT", help="the AWS account that the bucket has to belong to")
    option("--request-timeout", type=duration, default=Endpoint.request_timeout, help="default: %(default)ds")


def endpoint(given: argparse.Namespace) -> Endpoint:
    """Return what the options tell of the store. Raises BadOption."""
    return Endpoint(**{name: getattr(given, name) for name in ENDPOINT})


def in_flags(text: str) -> str:
    """Return a text of the core with the names that its options have on the command line."""
    return _NAME.sub(lambda match: _KEYS.get(match.group()) or flag(match.group()), text)


def flag(name: str) -> str:
    """Return an option as the command line has it."""
    return "--no-validate-certs" if name == "validate_certs" else "--" + name.replace("_", "-")


_KEYS = {
    "access_key": "AWS_ACCESS_KEY_ID",
    "secret_key": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
}
_WORDS = {"region", "profile"}
"""Options whose names are words of the language, too."""
_NAMES = {*_KEYS, *ENDPOINT, "lease_duration", "stop_grace", "hold_at_least"} - _WORDS
_NAME = re.compile(r"(?<![^\s(])(%s)(?=[\s,.;:)]|$)" % "|".join(_NAMES))
"""Not in a key, a bucket or a URL."""
