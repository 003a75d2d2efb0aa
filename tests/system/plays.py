# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible is given to play on hosts: the role, by the collection as it is or by a changed copy."""

from __future__ import annotations

import json
import pathlib
import shutil
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[2]


def heartbeat(**variables: t.Any) -> str:
    """The play that runs the role on all hosts, with these variables."""
    role = dict(role="leaderelection.s3.heartbeat", vars=variables)
    return f"- hosts: all\n  gather_facts: false\n  roles: [{json.dumps(role)}]\n"


def changed_collection(folder: pathlib.Path, old: str, new: str) -> str:
    """Copy the collection into the folder, with another text in the daemon's code. Return where Ansible finds it."""
    copy = folder / "ansible_collections/leaderelection/s3"
    for part in ("meta", "plugins", "roles"):
        shutil.copytree(ROOT / part, copy / part)
    shutil.copy(ROOT / "galaxy.yml", copy)
    code = copy / "plugins/module_utils/_lease/host/daemon.py"
    text = code.read_text()
    assert old in text
    code.write_text(text.replace(old, new))
    return str(folder)
