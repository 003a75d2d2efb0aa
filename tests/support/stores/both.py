# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two real S3 servers that tests and tools can choose from."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from .ceph import Ceph
from .seaweedfs import SeaweedFS

STORES: Mapping[str, type[Ceph] | type[SeaweedFS]] = {"seaweedfs": SeaweedFS, "ceph": Ceph}
"""By the names of their fixtures."""
ON_BOTH_STORES = pytest.mark.parametrize("store", list(STORES), indirect=True)
"""Run the test on each of them, by its fixture store."""
