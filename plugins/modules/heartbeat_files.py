#!/usr/bin/python
# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: heartbeat_files
short_description: Write the units, drop-ins and configurations of the heartbeat daemon (internal)
version_added: 1.0.0
description:
  - Writes any number of files, and the folders that they are in, in one task. One task for each file takes minutes on a
    host with many leases.
  - Before it writes any of them, the module has what is new verified, units by systemd. In check mode it does not,
    because the programs that the units run may be missing.
  - It is for the role P(leaderelection.s3.heartbeat#role), and can have breaking changes at any time.
extends_documentation_fragment:
  - ansible.builtin.files
author:
  - the leaderelection.s3 authors (@leaderelection)
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return what the files contain before and after, when in diff mode.
    support: full
options:
  files:
    description:
      - The texts of the files, by their paths.
    type: dict
    required: true
  validate:
    description:
      - A command that verifies a file whose name ends in C(.json). The path of a file with the new text and the name
        without its ending are added to it. If it fails, no file is written.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Write a unit
  leaderelection.s3.heartbeat_files:
    files:
      /etc/systemd/system/app.service: |
        [Service]
        ExecStart=/usr/bin/app
    owner: root
    group: root
    mode: "0644"
"""

RETURN = r"""
written:
  description: The files that were written, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: ["/etc/systemd/system/app.service"]
"""

import contextlib
import os
import tempfile
from typing import Any, Dict, List, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.leaderelection.s3.plugins.module_utils import _files

UNVERIFIED = (".conf", ".credentials", ".fact", ".sh", "")
"""Endings of what nobody can verify before it is there: drop-ins, and what is no unit."""


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            files=dict(type="dict", required=True), validate=dict(type="list", elements="str", default=[])
        ),
        add_file_common_args=True,
        supports_check_mode=True,
        no_log=True,  # no invocation in the journal: the texts may have the environment of the daemon
    )
    os.umask(0o077)  # until a file has its mode, it is for root alone
    files: Dict[str, str] = module.params["files"]
    before = {path: read(path) for path in files}
    written = [path for path in files if before[path] != files[path]]
    if not module.check_mode:  # what they run may not be installed yet
        verify(module, {os.path.basename(path): files[path] for path in written})
    changed = bool(written)
    for path in files:
        if path in written:
            if module.check_mode:
                continue
            _files.replace(module, path, files[path].encode("utf-8"))
        changed = module.set_fs_attributes_if_different(module.load_file_common_arguments(module.params, path), changed)
    for folder in sorted({os.path.dirname(path) for path in files if path.endswith(".conf")}):
        if os.path.isdir(folder):
            changed = module.set_mode_if_different(folder, 0o755, changed)
    result: Dict[str, Any] = dict(changed=changed, written=written)
    if module._diff:
        result["diff"] = [
            dict(before_header=path, after_header=path, before=before[path] or "", after=files[path])
            for path in written
        ]
    module.params["files"] = sorted(files)  # results repeat the parameters, and the texts are no part of it
    module.exit_json(**result)


def read(path: str) -> Optional[str]:
    """Return the text of a file, or None if there is none."""
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
    return None


def verify(module: AnsibleModule, texts: Dict[str, str]) -> None:
    """Have new files verified, by their names; fail with what is wrong. They need not be where they will be."""
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as folder:
        units: List[str] = []
        for name, text in texts.items():
            path = os.path.join(folder, name)
            stem, ending = os.path.splitext(name)
            if ending in UNVERIFIED:
                continue
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            if ending != ".json":
                units.append(path)
            elif module.params["validate"]:
                run(module, [*module.params["validate"], path, stem], "%s is refused" % name)
        if units:
            run(module, ["systemd-analyze", "verify", "--man=no", *units], "systemd does not accept the units")


def run(module: AnsibleModule, command: List[str], failed: str) -> None:
    status, output, errors = module.run_command(command)
    if status:
        module.fail_json(msg="%s: %s" % (failed, (output + errors).strip()))


if __name__ == "__main__":
    main()
