# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: a daemon that leads or stands by, and somebody who meddles with its lease.

A daemon ends up right, and says in words what happened, once at the beginning and once at the end. What needs systemd
or a full disk is in tests/system/test_hardships.py.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterator

import pytest
from support.daemon import Daemon, eventually
from support.leases import somebody_elses

DAY = 86400


@pytest.fixture(autouse=True)
def words(make: t.Any, tmp_path: t.Any, seaweedfs: t.Any) -> Iterator[None]:
    """No daemon of a test says anything but lines about its lease, and none of them a secret."""
    yield
    for said in tmp_path.glob("*/stderr"):
        lines = said.read_text().splitlines()
        assert [line for line in lines if not line.startswith(("db: ", "s3-leader: "))] == []
        assert seaweedfs.secret_key not in said.read_text()


@pytest.fixture
def put(seaweedfs, bucket, key) -> Callable[[bytes], None]:
    """Overwrites the lease, whoever holds it."""
    return lambda body: seaweedfs.client().put_object(Bucket=bucket, Key=key, Body=body)


@pytest.fixture
def remove(seaweedfs, bucket, key) -> Callable[[], None]:
    """Deletes the lease, whoever holds it."""
    return lambda: seaweedfs.client().delete_object(Bucket=bucket, Key=key)


@pytest.fixture
def leader(make) -> Daemon:
    daemon = make("web-1")
    eventually(daemon.leader)
    return daemon


@pytest.fixture
def standby(make, put) -> Daemon:
    """It stands by for a lease that is held for a day."""
    put(somebody_elses(leaseDurationSeconds=DAY))
    daemon = make("web-1", poll_interval=5)
    eventually(lambda: daemon.says("the lease is held by somebody else"))
    return daemon
