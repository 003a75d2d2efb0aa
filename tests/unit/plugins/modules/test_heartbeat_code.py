# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib

from ansible_collections.leaderelection.s3.plugins.module_utils._lease import wording
from ansible_collections.leaderelection.s3.plugins.modules import heartbeat_code

CODE = pathlib.Path(wording.__file__).parent


def test_all_of_the_code_is_carried():
    assert heartbeat_code.carried() == {file.name: file.read_bytes() for file in CODE.glob("*.py")}
