# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""What the daemons of this host publish about their leases in /run. No store is asked."""

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
    """Return the folder of a lease, or a file in it. systemd creates it, and removes it when the daemon ends."""
    return os.path.join(FOLDER, name, file)


def serving_path_of(name: str, file: str = "") -> str:
    """Return the folder that exists while services may run, or a file in it. Root owns all of it.

    A unit creates it before the first service starts, and the fence removes it once it has seen that all are gone. In
    it, the file "started" exists while services may start, and "waiting" while the fence waits for some to end.
    """
    return os.path.join(FOLDER + "-serving", name, file)


def waiting(name: str) -> str:
    """Return what the fence waits for, for people; '' if it does not wait."""
    try:
        with open(serving_path_of(name, "waiting"), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def away_path_of(name: str) -> str:
    """Return the file that holds until when this host does not compete, by the clock."""
    return os.path.join(FOLDER, name + ".away")


def names() -> List[str]:
    """Return the leases whose daemon runs here, and those that are configured."""
    try:
        running = [name for name in os.listdir(FOLDER) if os.path.exists(path_of(name, "status.json"))]
    except OSError:
        running = []
    return sorted({*running, *leases.names()})


def status(name: str) -> Optional[Dict[str, Any]]:
    """Return the last status of this lease's daemon, or None if there is none.

    ``is_leader`` is true while this host leads by its own clock and nobody stops its services, even if the daemon has
    died.
    """
    try:
        with open(path_of(name, "status.json"), encoding="utf-8") as file:
            found: Dict[str, Any] = json.load(file)
        until = found.pop("until")
        found["is_leader"] = (
            found["role"] == "leader" and until is not None and Clock().now() < until and not waiting(name)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # an unreadable status tells nothing, least of all that this host leads
    return found


def describe(name: str) -> Dict[str, Any]:
    """Return the lease's state on this host, even without a daemon. Raises BadOption for an invalid name."""
    leases.check_name(name)
    no_daemon = "no daemon of this lease runs here: see systemctl status s3-leader@%s" % name
    stopped = dict(name=name, role="stopped", is_leader=False, holder=None, term=None, reason=no_daemon)
    now = dict(stopped, **status(name) or {}, source="local")
    if now["role"] == "leader" and not now["is_leader"]:
        not_renewed = "the lease was not renewed in time, so its services are stopped"
        now.update(role="stopping", reason=waiting(name) or not_renewed)
    return now


def away_until(name: str) -> float:
    """Return until when this host does not compete, by the clock; 0 if nobody asked for that."""
    try:
        with open(away_path_of(name), encoding="ascii") as file:
            until = float(file.read())
    except (OSError, ValueError):
        return 0.0
    return until if until < float("inf") else 0.0  # refuses NaN, too


def keep_others_out(name: str, since: float) -> int:
    """Keep any other daemon of this lease from running while the returned descriptor is open.

    ``since``, in seconds since 1970, becomes the time of the lock file. It tells the role which code and configuration
    this daemon has read: nothing newer. Only the daemon that systemd watches may lead by these files. Raises OSError:
    BlockingIOError for a second daemon.
    """
    flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW
    lock = os.open(path_of(name, "lock"), flags, 0o600)  # whoever may open it could lock it
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.utime(lock, (since, since))
    except OSError:
        os.close(lock)
        raise
    return lock


def write(path: str, text: str) -> None:
    """Replace a file atomically, readable by all. Raises OSError; then the file is unchanged."""
    unfinished = path + ".new"
    with open(unfinished, "w", encoding="utf-8", opener=_no_link) as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)
    os.rename(unfinished, path)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)  # root writes here, too


def remove(path: str) -> None:
    """Remove the file, if it exists. Raises OSError if that fails."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
