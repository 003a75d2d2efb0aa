# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: the daemon as a process, and a second real S3 server."""

from __future__ import annotations

import contextlib
import json
import typing as t
from collections.abc import Callable, Iterator, Mapping

import pytest
from support.daemon import TIMES, Daemon

if t.TYPE_CHECKING:
    from support.stores.ceph import Ceph

Make = Callable[..., Daemon]


@pytest.fixture(autouse=True)
def _nothing_remembered(tmp_path_factory, monkeypatch):
    """What a test finds out about a store is no other's: the next store may get the same port."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def make(seaweedfs, bucket, key, proxy, tmp_path) -> Iterator[Make]:
    """Makes the daemon of a host; it reaches the store through the proxy, and is killed when the test ends."""
    configuration = dict(TIMES, bucket=bucket, key=key, endpoint_url=proxy.url, region=seaweedfs.region)
    keys = f"[default]\naws_access_key_id={seaweedfs.access_key}\naws_secret_access_key={seaweedfs.secret_key}\n"
    with contextlib.ExitStack() as stack:

        def make(holder: str, environment: Mapping[str, str] | None = None, **changes: t.Any) -> Daemon:
            daemon = Daemon(tmp_path / holder, {**configuration, "holder": holder, **changes}, keys, environment)
            stack.callback(daemon.close)
            daemon.start()
            return daemon

        yield make


@pytest.fixture
def stored(seaweedfs, bucket, key) -> Callable[[], dict[str, t.Any]]:
    """What really stands in the store."""
    s3 = seaweedfs.client()
    return lambda: json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


@pytest.fixture(scope="session")
def ceph() -> Iterator[Ceph]:
    """Ceph's S3 server, for the whole session (with pytest-xdist: for each worker that needs it)."""
    from support.stores.ceph import Ceph, check

    try:
        check()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    with Ceph() as server:
        yield server
