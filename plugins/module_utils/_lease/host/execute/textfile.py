# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The file in which s3-leader exec, or a run of Ansible, tells Prometheus of its lease, written by whoever renews it.

A thread writes it, since the disk may not answer for longer than the lease lasts.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from typing import Optional

from ...settings import TEXTFILE_SUFFIX
from .. import runtime
from ..metrics import LAST_RENEWAL

PATIENCE = 0.2
"""Seconds for which a write is waited for."""


def name_of(path: str) -> str:
    """Return what tells the file from others of its folder, and so its metrics from theirs."""
    return os.path.basename(path)[: -len(TEXTFILE_SUFFIX)]


def renewed_before(path: str) -> float:
    """Return when the lease was last renewed, as the file says that an earlier process has left; 0 if it does not."""
    with contextlib.suppress(OSError, ValueError):
        for line in runtime.read(path, runtime.MOST_METRICS).splitlines():
            if line.startswith(LAST_RENEWAL + "{"):
                at = float(line.rpartition(" ")[2])
                return at if math.isfinite(at) else 0.0
    return 0.0


class Textfile:
    """Replaces a file again and again. What cannot be written now is left out: the next text is newer."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._writer: Optional[threading.Thread] = None
        self.trouble = ""
        """Why the last text that was tried could not be written."""
        self._told = False

    def write_and_tell(self, text: str) -> str:
        """Write this text, and return what is wrong if that is to be told: it is told once."""
        self.write(text)
        if not self.trouble or self._told:
            return ""
        self._told = True
        return "the metrics cannot be written: %s" % self.trouble

    def write(self, text: str) -> None:
        """Write this text, unless an earlier one is still being written."""
        if self._writer is not None and self._writer.is_alive():
            self.trouble = "the disk of %s does not answer" % self._path
            return
        self._writer = threading.Thread(target=self._replace, args=(text,), daemon=True)
        try:
            self._writer.start()
        except RuntimeError:  # too many threads hang
            self._writer = None
            return
        self._writer.join(PATIENCE)

    def _replace(self, text: str) -> None:
        try:
            runtime.write(self._path, text)
            self.trouble = ""
        except OSError as error:
            self.trouble = str(error)
