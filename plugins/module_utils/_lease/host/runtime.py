# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What the daemons of this host tell about their leases, in /run: no store is asked."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os

from ..clock import Clock
from . import leases

TYPE_CHECKING = False
if TYPE_CHECKING:  # loading it takes a tenth of the time of `s3-leader check`
    from typing import Any, Dict, List, Optional

FOLDER = "/run/s3-leader"


def path_of(name: str, file: str = "") -> str:
    """Return the folder of a lease, or a file in it. systemd makes it, and removes it when the daemon ends."""
    return os.path.join(FOLDER, name, file)


def serving_path_of(name: str, file: str = "") -> str:
    """Return the folder that is there while services may run, or a file in it. All of it is root's.

    A unit makes it before the first service starts, and the fence removes it when all were seen to be gone. In it, the
    file "started" is there while services may start, and "waiting" while the fence waits for the end of some.
    """
    return os.path.join(FOLDER + "-serving", name, file)


def waiting(name: str) -> str:
    """Return what the fence waits for, for people; '' where it does not."""
    try:
        with open(serving_path_of(name, "waiting"), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def away_path_of(name: str) -> str:
    """Return the file that says until when this host does not compete: a reading of the clock."""
    return os.path.join(FOLDER, name + ".away")


def names() -> List[str]:
    """Return the leases of which a daemon runs here, and those that one is configured for."""
    try:
        running = [name for name in os.listdir(FOLDER) if os.path.exists(path_of(name, "status.json"))]
    except OSError:
        running = []
    return sorted({*running, *leases.names()})


def status(name: str) -> Optional[Dict[str, Any]]:
    """Return what the daemon of this lease told last, or None where there is none.

    ``is_leader`` is true while this host leads by its own clock, whatever became of the daemon, and nobody stops its
    services.
    """
    try:
        with open(path_of(name, "status.json"), encoding="utf-8") as file:
            found: Dict[str, Any] = json.load(file)
        until = found.pop("until")
        found["is_leader"] = (
            found["role"] == "leader" and until is not None and Clock().now() < until and not waiting(name)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # what cannot be read says nothing, least of all that this host leads
    return found


def describe(name: str) -> Dict[str, Any]:
    """Return how the lease stands for this host, also where no daemon tells. Raises BadOption for what is no name."""
    leases.check_name(name)
    no_daemon = "no daemon of it runs here: systemctl status s3-leader@%s" % name
    stopped = dict(name=name, role="stopped", is_leader=False, holder=None, term=None, reason=no_daemon)
    now = dict(stopped, **status(name) or {}, source="local")
    if now["role"] == "leader" and not now["is_leader"]:
        now.update(role="stopping", reason=waiting(name) or "it was not renewed in time, so its services are stopped")
    return now


def away_until(name: str) -> float:
    """Return until when this host does not compete, by the clock; 0 where nobody asked for that."""
    try:
        with open(away_path_of(name), encoding="ascii") as file:
            until = float(file.read())
    except (OSError, ValueError):
        return 0.0
    return until if until < float("inf") else 0.0  # nor is NaN a time


def keep_others_out(name: str, since: float) -> int:
    """Let nobody else be the daemon of this lease, for as long as the descriptor that is returned is open.

    The time of the file, since, in seconds since 1970, tells who sets the host up which code and configuration this
    daemon goes by: what is newer, it has not read. Only the one that systemd watches may lead by these files. Raises
    OSError: BlockingIOError for a second daemon.
    """
    flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW
    lock = os.open(path_of(name, "lock"), flags, 0o600)  # what others may open, they could lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.utime(lock, (since, since))
    except OSError:
        os.close(lock)
        raise
    return lock


def write(path: str, text: str) -> None:
    """Put a file there as a whole, readable by all. Raises OSError; then it is as it was."""
    unfinished = path + ".new"
    with open(unfinished, "w", encoding="utf-8", opener=_no_link) as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)
    os.rename(unfinished, path)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)  # root writes here, too


def remove(path: str) -> None:
    """Remove the file, if it is there. Raises OSError where that fails."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
