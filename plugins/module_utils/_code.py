# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""The code of the command s3-leader, as a module brings it to a host."""

from __future__ import annotations

import pkgutil
import typing as t

from . import _lease

# Ansible sends everything that a module imports, and the command imports all of the code.
from ._lease.host import command  # noqa: F401  # pylint: disable=unused-import

NAME = "s3_leader"
"""Its package's name on a host."""


def carried() -> t.Dict[str, bytes]:
    """Return the shared core that came with this module: the content of each file by its path in the package."""
    names = ["__init__.py"]
    start = _lease.__name__ + "."
    for found in pkgutil.walk_packages(_lease.__path__, start):
        path = found.name[len(start) :].replace(".", "/")
        names.append(path + "/__init__.py" if found.ispkg else path + ".py")
    return {name: pkgutil.get_data(_lease.__name__, name) or b"" for name in names}
