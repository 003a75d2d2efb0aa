# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib

import yaml
from ansible_collections.leaderelection.s3.plugins.module_utils._version import VERSION

COLLECTION = pathlib.Path(__file__).resolve().parents[4]


def test_it_is_the_version_of_the_collection():
    assert yaml.safe_load((COLLECTION / "galaxy.yml").read_text())["version"] == VERSION
