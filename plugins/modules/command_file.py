#!/usr/bin/python
# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: command_file
short_description: Install the command s3-leader as one file
version_added: 1.0.0
description:
  - Writes the command C(s3-leader) as one file that can be run, with all of the code in it that the modules of this
    collection share. Where it runs, it needs Python 3.8 or newer and botocore.
  - C(s3-leader exec) runs a command as long as a lease is held. C(s3-leader list) shows who holds which lease.
  - The playbook C(leaderelection.s3.command) uses it.
extends_documentation_fragment:
  - ansible.builtin.files
author:
  - the leaderelection.s3 authors (@leaderelection)
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return a hash of the file, when in diff mode.
    support: full
options:
  path:
    description:
      - The file. Folders above it that are missing are created.
    type: path
    required: true
  python:
    description:
      - The Python that runs it, as a path, or as a name that is looked up in C(PATH) each time.
    type: str
    default: python3
  mode:
    description:
      - The permissions of the file, as in M(ansible.builtin.copy).
    default: "0755"
"""

EXAMPLES = r"""
- name: Install s3-leader for this user
  leaderelection.s3.command_file:
    path: ~/.local/bin/s3-leader
"""

RETURN = r"""
path:
  description: The file.
  returned: always
  type: str
  sample: /home/deploy/.local/bin/s3-leader
"""

import hashlib
import io
import os
import zipfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.leaderelection.s3.plugins.module_utils import _files
from ansible_collections.leaderelection.s3.plugins.module_utils._code import NAME, carried

HEARTBEATS = b"role leaderelection.s3.heartbeat"
"""What the command says that the role has installed."""
MAIN = """\
from %s.host.command import main

raise SystemExit(main())
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            path=dict(type="path", required=True),
            python=dict(type="str", default="python3"),
            mode=dict(type="raw", default="0755"),
        ),
        add_file_common_args=True,
        supports_check_mode=True,
    )
    path, python = module.params["path"], module.params["python"]
    if os.path.isdir(path):
        module.fail_json(
            msg=f"path is {path}: it is a folder. Name the file in it, like {os.path.join(path, 's3-leader')}"
        )
    if not python or python != python.strip() or "\n" in python:
        module.fail_json(msg=f"python is {python!r}: use a path, or a name like python3")
    if not os.path.isabs(path):
        module.fail_json(msg=f"path is {path}: use an absolute path, or one that begins with ~")
    before, wanted = content(path), command(python)
    if HEARTBEATS in before:
        module.fail_json(msg=f"path is {path}: the role heartbeat has installed the command there. Use that one")
    changed = before != wanted
    if changed and not module.check_mode:
        try:
            _files.replace(module, os.path.abspath(path), wanted)
        except OSError as error:
            module.fail_json(msg=f"path is {path}: {error.strerror} ({error.filename})")
    if os.path.exists(path):
        changed = module.set_fs_attributes_if_different(module.load_file_common_arguments(module.params, path), changed)
    diff = dict(before_header=path, after_header=path, before=summary(before), after=summary(wanted))
    module.exit_json(changed=changed, path=path, diff=diff)


def command(python: str) -> bytes:
    """Return the command as a file that Python runs: the same for the same code, whenever it is made."""
    start = python if os.path.isabs(python) else "/usr/bin/env " + python
    archive = io.BytesIO()
    files = {f"{NAME}/{name}": text for name, text in carried().items()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as into:
        for name, text in sorted({**files, "__main__.py": (MAIN % NAME).encode()}.items()):
            into.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return f"#!{start}\n".encode() + archive.getvalue()


def content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def summary(file: bytes) -> str:
    return f"sha256 {hashlib.sha256(file).hexdigest()}\n" if file else ""


if __name__ == "__main__":
    main()
