# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests ask of a real S3 server, whichever it is: where it is, and whom it takes for an administrator."""

from __future__ import annotations

import contextlib
import typing as t

POLL = 0.05  # seconds between two looks whether a server is up


class Served:
    """A server's address, and credentials that may do everything. endpoint_url is set once it listens."""

    def __init__(self, access_key: str, secret_key: str, region: str) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.region = region
        self.endpoint_url = ""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that boto3 and the collection's modules read."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_URL": self.endpoint_url,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": self.region,
        }

    @property
    def options(self) -> dict[str, str]:
        """The connection options of the collection's modules."""
        return {
            "endpoint_url": self.endpoint_url,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
            "region": self.region,
        }

    def client(self, **options: t.Any) -> t.Any:
        """A boto3 client that tries once and addresses buckets by path.

        Its options: endpoint_url, access_key, secret_key, connect_timeout, read_timeout, and those of boto3.
        """
        import boto3
        from botocore.config import Config

        config = Config(
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            connect_timeout=options.pop("connect_timeout", 5),
            read_timeout=options.pop("read_timeout", 30),
        )
        keys = (options.pop("access_key", self.access_key), options.pop("secret_key", self.secret_key))
        session = boto3.session.Session(*keys, region_name=self.region)
        return session.client("s3", **{"endpoint_url": self.endpoint_url, "config": config, **options})

    def create_bucket(self, name: str) -> None:
        """Make a bucket; that it exists already is fine. A name has 3 to 63 characters."""
        client = self.client()
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=name)
