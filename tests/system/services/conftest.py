# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: one group of hosts for all tests here, which takes part in a lease for each way of life of a service."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterator

import pytest

from system.cluster import Cluster
from system.lab.mounts import Mounts
from system.workloads import TIMES, WORKLOADS


@pytest.fixture(scope="package")
def cluster(start_cluster: Callable[..., t.ContextManager[Cluster]]) -> Iterator[Cluster]:
    """Three hosts, a lease for each workload."""
    with start_cluster({name: make(name) for name, make in WORKLOADS.items()}, times=TIMES) as started:
        yield started


@pytest.fixture(scope="package")
def mounts(cluster: Cluster) -> Iterator[Mounts]:
    """Sees mounts."""
    with Mounts(cluster.hosts) as watching:
        yield watching
