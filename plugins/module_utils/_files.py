# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""Files of the role on a host: replaced as a whole, in folders that all can read."""

from __future__ import annotations

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule


def replace(module: AnsibleModule, path: str, content: bytes) -> None:
    """Replace a file as a whole, and create the folders above it that are missing. The file's mode is the caller's."""
    create(os.path.dirname(path))
    with tempfile.NamedTemporaryFile(dir=module.tmpdir, delete=False) as file:
        file.write(content)
    module.atomic_move(file.name, path, unsafe_writes=module.params["unsafe_writes"])


def create(folder: str) -> None:
    """Create the folder and those above it, for all to read whatever the umask is."""
    if not os.path.isdir(folder):
        create(os.path.dirname(folder))
        os.mkdir(folder)
        os.chmod(folder, 0o755)
