#!/usr/bin/python
# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: heartbeat_code
short_description: Install the code of the heartbeat daemon on a host (internal)
version_added: 1.0.0
description:
  - Writes the code that the modules of this collection share into a folder, where the daemon of the role
    P(leaderelection.s3.heartbeat#role) runs it, and compiles it there.
  - All files are sent to the host at once, like a module's own code. Copying them one by one takes minutes on many
    hosts.
  - It is only for that role, and can have breaking changes at any time.
extends_documentation_fragment:
  - ansible.builtin.files
author:
  - the leaderelection.s3 authors (@leaderelection)
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return the names of the files, when in diff mode.
    support: full
options:
  path:
    description:
      - The folder. It must exist, except in check mode.
    type: path
    required: true
  prune:
    description:
      - Write nothing, and remove the files that are not part of the code, like those of an earlier version. Do so only
        when nothing runs them any more.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Copy the code
  leaderelection.s3.heartbeat_code:
    path: /usr/local/lib/s3-leader/code/s3_leader
    owner: root
    group: root
    mode: "0644"
"""

RETURN = r"""
written:
  description: The files that were missing or different.
  returned: always
  type: list
  elements: str
  sample: [protocol.py, host/daemon.py]
removed:
  description: The files that were removed because they are not part of the code.
  returned: always
  type: list
  elements: str
  sample: []
"""

import compileall
import hashlib
import os
from typing import Dict, List, NamedTuple

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.leaderelection.s3.plugins.module_utils import _files
from ansible_collections.leaderelection.s3.plugins.module_utils._code import carried


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(path=dict(type="path", required=True), prune=dict(type="bool", default=False)),
        add_file_common_args=True,
        supports_check_mode=True,
    )
    folder = module.params["path"]
    before, code = read(folder), carried()
    if module.params["prune"]:
        result = prune(folder, before, code, module.check_mode)
    else:
        result = install(module, folder, before, code)
    diff = dict(before_header=folder, after_header=folder, before=listing(before), after=listing(result.after))
    module.exit_json(changed=result.changed, written=result.written, removed=result.removed, diff=diff)


class Result(NamedTuple):
    """What was done, or would be; and the files that are there then."""

    changed: bool
    written: List[str]
    removed: List[str]
    after: Dict[str, bytes]


def install(module: AnsibleModule, folder: str, before: Dict[str, bytes], code: Dict[str, bytes]) -> Result:
    """Write what is missing or other than it should be."""
    written = sorted(name for name in code if before.get(name) != code[name])
    changed = bool(written)
    if not module.check_mode:
        for name in written:
            _files.replace(module, os.path.join(folder, name), code[name])
    for name in sorted(set(code) - set(written) if module.check_mode else code):
        attributes = module.load_file_common_arguments(module.params, os.path.join(folder, name))
        changed = module.set_fs_attributes_if_different(attributes, changed)
    for package in sorted({os.path.dirname(name) for name in code}):
        if os.path.isdir(os.path.join(folder, package)):
            changed = module.set_mode_if_different(os.path.join(folder, package), 0o755, changed)
    if not module.check_mode:
        compile_all(folder)
    return Result(changed, written, [], {**before, **code})


def prune(folder: str, before: Dict[str, bytes], code: Dict[str, bytes], check_mode: bool) -> Result:
    """Remove what is not part of the code."""
    removed = sorted(set(before) - set(code))
    if not check_mode:
        for name in removed:
            os.unlink(os.path.join(folder, name))
    kept = {name: text for name, text in before.items() if name in code}
    return Result(bool(removed), [], removed, kept)


def read(folder: str) -> Dict[str, bytes]:
    """Return the content of each source file below a folder by its path; nothing if there is no folder."""
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for path in filter(os.path.isfile, [os.path.join(place, name) for name in files]):
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def compile_all(folder: str) -> None:
    """Compile the code: units run `s3-leader check` often, as users who could not write the compiled files."""
    umask = os.umask(0o022)
    try:
        compileall.compile_dir(folder, quiet=2)
    finally:
        os.umask(umask)


def listing(files: Dict[str, bytes]) -> str:
    """Return a line for each file, with a hash of its content."""
    return "".join(f"{name} {hashlib.sha256(text).hexdigest()[:12]}\n" for name, text in sorted(files.items()))


if __name__ == "__main__":
    main()
