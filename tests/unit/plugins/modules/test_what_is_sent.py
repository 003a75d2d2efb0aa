# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ast
import importlib.util
import pathlib

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils import _lease

UTILS = pathlib.Path(_lease.__file__).parent.parent
PREFIX = "ansible_collections.leaderelection.s3.plugins.module_utils"
LIGHT = 181_000


def imported(path, package):
    """Yield the files of module_utils that a file imports, anywhere in it, as Ansible finds them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            name = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            if name.startswith(PREFIX):
                below = UTILS.joinpath(*name[len(PREFIX) :].split(".")[1:])
                candidates = [below, *(below / alias.name for alias in node.names)]
                yield from (one for each in candidates for one in (each.with_suffix(".py"), each / "__init__.py"))


def sent(module):
    """Return the files of module_utils that go to a host with a module."""
    found = set()
    todo = [UTILS.parent / "modules" / f"{module}.py"]
    while todo:
        path = todo.pop()
        relative = path.relative_to(UTILS.parent).parent
        package = ".".join(["ansible_collections.leaderelection.s3.plugins", *relative.parts])
        new = {one for one in imported(path, package) if one.is_file() and UTILS in one.parents} - found
        found |= new
        todo += new
    return found


@pytest.mark.parametrize("module", ["s3_leader_acquire", "s3_leader_renew", "s3_leader_release"])
def test_what_changes_a_lease_is_light(module):
    files = sent(module)
    assert {path.name for path in files} >= {"_module.py", "protocol.py", "store.py", "connection.py"}
    assert not [path for path in files if path.parent.name in ("host", "preflight")]
    assert sum(path.stat().st_size for path in files) <= LIGHT


def test_the_code_of_the_daemon_is_all_of_the_core():
    assert set((UTILS / "_lease").rglob("*.py")) <= sent("heartbeat_code")
