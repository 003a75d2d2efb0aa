# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The leases of this host, by name: status lines need no more of the configuration than this."""

from __future__ import annotations

import os
import re

from ..bad_option import BadOption

TYPE_CHECKING = False
if TYPE_CHECKING:  # loading it takes a tenth of the time of `s3-leader check`
    from typing import List

FOLDER = "/etc/s3-leader"
"""Where the configurations are."""
MAX_NAME = 50
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,%d}" % (MAX_NAME - 1), re.ASCII)


def check_name(name: str) -> None:
    """Raise BadOption for a name that cannot be part of the names of units and files."""
    if not _NAME.fullmatch(name):
        way_out = "use 1 to %d lower-case letters, digits, - and _, with a letter or digit first" % MAX_NAME
        raise BadOption("name", name, way_out)


def path_of(name: str) -> str:
    """Return where the configuration of a lease is."""
    return os.path.join(FOLDER, name + ".json")


def names() -> List[str]:
    """Return the leases that are configured on this host."""
    try:
        files = os.listdir(FOLDER)
    except OSError:
        return []
    return [name for name, end in map(os.path.splitext, files) if end == ".json" and _NAME.fullmatch(name)]
