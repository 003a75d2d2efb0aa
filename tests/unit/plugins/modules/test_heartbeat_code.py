# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib

from ansible_collections.leaderelection.s3.plugins.module_utils._lease import wording
from ansible_collections.leaderelection.s3.plugins.modules import heartbeat_code

CODE = pathlib.Path(wording.__file__).parent


def test_all_of_the_code_is_carried():
    code = {str(file.relative_to(CODE)): file.read_bytes() for file in CODE.rglob("*.py")}
    assert heartbeat_code.carried() == code
    assert {"protocol.py", "host/__init__.py", "host/daemon.py", "preflight/run.py"} <= set(code)


def test_what_is_in_a_folder_is_found_by_its_path_but_not_what_python_has_compiled(tmp_path):
    (tmp_path / "host" / "__pycache__").mkdir(parents=True)
    for name in ("a.py", "host/b.py", "host/__pycache__/b.cpython-311.pyc"):
        (tmp_path / name).write_text(name)
    assert heartbeat_code.read(str(tmp_path)) == {"a.py": b"a.py", "host/b.py": b"host/b.py"}
    assert heartbeat_code.read(str(tmp_path / "nowhere")) == {}
