# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""The local processes of a run. Those that its main process has left behind are known by a mark."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.leaderelection.s3.plugins.module_utils._lease import processes
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.processes import Process

from . import _run

_VARIABLE = "S3_LEADER_RUN"
"""Marks programs that are started from now on."""


def mark(path: str) -> int:
    """Mark what the main process, which calls this, starts from now on; and let it inherit what its descendants leave
    behind. Return a descriptor that it has to keep open: of a file that all forked processes have open, too.
    """
    os.environ[_VARIABLE] = _run.RUN
    processes.adopt_orphans()
    return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)


def of_run(path: str, but: t.Iterable[int]) -> set[Process]:
    """Return the processes of this run, without its main process and these: what descends from that or from a marked
    one, and the marked ones. ``path`` is that of the mark.
    """

    def is_marked(pid: int) -> bool:
        return processes.has_word(pid, _VARIABLE, _run.RUN) or _is_fork(pid, path)

    return processes.family((MAIN,), is_marked, [processes.of(pid) for pid in but])


def _is_fork(pid: int, path: str) -> bool:
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                if os.readlink(f"/proc/{pid}/fd/{name}") in (path, f"{path} (deleted)"):
                    return True
    return False


MAIN = processes.this()
"""The main process of this run: it imports this file before it forks."""
