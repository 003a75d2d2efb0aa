# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib

from ansible_collections.leaderelection.s3.plugins.module_utils._code import carried
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import wording

CODE = pathlib.Path(wording.__file__).parent


def test_all_of_the_code_is_carried():
    code = {str(file.relative_to(CODE)): file.read_bytes() for file in CODE.rglob("*.py")}
    assert carried() == code
    assert {"protocol.py", "host/__init__.py", "host/daemon.py", "host/execute/run.py", "preflight/run.py"} <= set(code)
