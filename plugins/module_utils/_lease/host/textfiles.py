# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Brings the metrics of this host's daemons to the folder in which node_exporter looks for text files.

No daemon writes there itself: the folder may belong to somebody else, and its disk may be full, or not answer for
longer than a leader has time. And a daemon that was killed cannot remove its file.
"""

from __future__ import annotations

import errno
import os
import time
from typing import Dict, Iterator, List, Set, Tuple

from . import runtime, systemd

INTERVAL = 1.0
"""Seconds between two rounds."""
_PREFIX, _SUFFIX = "s3-leader@", ".prom"
_OF_ALL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)
"""Errors at a file that concern the whole folder."""


def bring(folder: str) -> None:
    """Keep the files in this folder like those of the daemons, until the process is ended."""
    bringing = Textfiles(folder)
    while True:
        bringing.look()
        time.sleep(INTERVAL)


def remove(folder: str) -> None:
    """Remove the files of all leases, unfinished ones among them. Raises OSError."""
    for file in os.listdir(folder):
        if file.startswith(_PREFIX) and file.endswith((_SUFFIX, _SUFFIX + runtime.UNFINISHED)):
            runtime.remove(os.path.join(folder, file))


class Textfiles:
    """The files of the leases in a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._brought: Dict[str, str] = {}
        """What was written, by lease."""
        self._troubles: Dict[str, str] = {}
        """What was reported and has not ended, by the path of a file or of the folder."""

    def look(self) -> None:
        """Bring what has changed, and remove the files of daemons that have ended."""
        told = dict(self._told())
        known: Set[str] = set()
        troubles: Dict[str, str] = {}
        try:
            known = {*_there(self._folder), *self._brought, *told}
        except OSError as error:
            troubles[self._folder] = str(error.strerror)
        for name in sorted(known):
            try:
                self._bring(name, told.get(name, ""))
            except OSError as error:  # others may be luckier
                concerns_all = error.errno in _OF_ALL
                troubles[self._folder if concerns_all else _path(self._folder, name)] = str(error.strerror)
        self._report(troubles)

    def _report(self, troubles: Dict[str, str]) -> None:
        """Tell of each trouble when it begins, changes and ends."""
        if self._folder in troubles:  # it hides whether that of a file has ended
            troubles = {**self._troubles, **troubles}
        for path, trouble in troubles.items():
            if trouble != self._troubles.get(path):
                systemd.journal(systemd.WARNING, "the metrics cannot be brought to %s: %s" % (path, trouble))
        for path in sorted(self._troubles.keys() - troubles.keys()):
            systemd.journal(systemd.INFO, "the metrics can be brought to %s again" % path)
        self._troubles = troubles

    def _bring(self, name: str, text: str) -> None:
        """Write the file of a lease, if it has changed; without a text, remove it. Raises OSError."""
        if not text:
            runtime.remove(_path(self._folder, name))
            self._brought.pop(name, None)
        elif text != self._brought.get(name):
            _replace(_path(self._folder, name), text)
            self._brought[name] = text

    @staticmethod
    def _told() -> Iterator[Tuple[str, str]]:
        """Yield the metrics of each daemon that runs here."""
        for name in runtime.names():
            try:
                text = runtime.metrics(name)
            except (OSError, ValueError):
                continue
            if text:
                yield name, text


def _path(folder: str, name: str) -> str:
    return os.path.join(folder, _PREFIX + name + _SUFFIX)


def _there(folder: str) -> List[str]:
    """Return the leases that have a file in this folder. Raises OSError."""
    files = [file for file in os.listdir(folder) if file.startswith(_PREFIX) and file.endswith(_SUFFIX)]
    return [file[len(_PREFIX) : -len(_SUFFIX)] for file in files]


def _replace(path: str, text: str) -> None:
    """Replace a file atomically. Nobody else who may write to the folder has prepared what it is written to."""
    runtime.remove(path + runtime.UNFINISHED)
    runtime.write(path, text)
