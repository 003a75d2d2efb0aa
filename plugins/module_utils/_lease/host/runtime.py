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
import stat

from ..clock import Clock
from . import leases

TYPE_CHECKING = False
if TYPE_CHECKING:  # loading it takes a tenth of the time of `s3-leader check`
    from typing import Any, Callable, Dict, List, Optional

FOLDER = "/run/s3-leader"
METRICS = "metrics.prom"
"""The file of a lease with what its daemon tells Prometheus."""
UNFINISHED = ".new"
"""The end of the name of a file that is being written."""
MOST = 65536
"""Bytes of a status that are read."""
MOST_METRICS = 1 << 20
"""Bytes of metrics that are read: each line has the key, which may be long."""
_EXACT = 2**53
"""Below it, JSON readers keep integers exact."""


def path_of(name: str, file: str = "") -> str:
    """Return the folder of a lease, or a file in it. systemd creates it, and removes it when the daemon ends."""
    return os.path.join(FOLDER, name, file)


def serving_path_of(name: str, file: str = "") -> str:
    """Return the folder that exists while services may run, or a file in it. Root owns all of it.

    A unit creates it before the first service starts, and the fence removes it once it has seen that all are gone. In
    it, the file "started" exists while services may start, and "waiting" while the fence waits for some to end.
    """
    return os.path.join(FOLDER + "-serving", name, file)


def marked() -> List[str]:
    """Return the leases whose services may run on this host."""
    try:
        return sorted(os.listdir(serving_path_of("")))
    except OSError:
        return []


def waiting(name: str) -> str:
    """Return what the fence waits for, for people; '' if it does not wait."""
    try:
        with open(serving_path_of(name, "waiting"), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def away_path_of(name: str) -> str:
    """Return the file that holds until when this host does not compete, by the clock, and who is to lead then."""
    return os.path.join(FOLDER, name + ".away")


def names() -> List[str]:
    """Return the leases whose daemon runs here, and those that are configured."""
    try:
        running = [name for name in os.listdir(FOLDER) if has_status(name)]
    except OSError:
        running = []
    return sorted({*running, *leases.names()})


def has_status(name: str) -> bool:
    """Tell whether a daemon of this lease has written its status, which may be unreadable."""
    return os.path.lexists(path_of(name, "status.json"))


def status(name: str) -> Optional[Dict[str, Any]]:
    """Return the last status of this lease's daemon, or None if there is none that can be read.

    All of its texts are printable. ``is_leader`` is true while this host leads by its own clock and nobody stops its
    services, even if the daemon has died.
    """
    found = _published(name)
    if found is None:
        return None
    until = found.pop("until")
    leads = found["role"] == "leader" and until is not None and Clock().now() < until and not waiting(name)
    return dict(found, is_leader=leads)


def leads_until(name: str) -> Optional[float]:
    """Return when the services have to begin to stop, by the clock; None if the daemon publishes no such time."""
    found = _published(name)
    return None if found is None else found["until"]


def metrics(name: str) -> str:
    """Return the metrics of this lease's daemon. Raises OSError or ValueError."""
    return read(path_of(name, METRICS), MOST_METRICS)


def _published(name: str) -> Optional[Dict[str, Any]]:
    try:
        return _checked(json.loads(read(path_of(name, "status.json"))))
    except (OSError, ValueError, RecursionError):
        return None  # an unreadable status tells nothing, least of all that this host leads


def read(path: str, most: int = MOST) -> str:
    """Return the text of a file in the folder of the daemon's user, up to so many bytes; '' if it is no regular file.

    This waits for nothing and follows no link, because root reads it, too. Raises OSError or ValueError.
    """
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        content = os.read(file, most) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    finally:
        os.close(file)
    return content.decode("utf-8")


def _checked(found: Any) -> Dict[str, Any]:
    """Return the known fields of a status. Raises ValueError if the daemon would not write such a status."""
    if not isinstance(found, dict) or not {"role", "until"} <= found.keys():
        raise ValueError("it has no role or no time")
    known = {field: found[field] for field in _FIELDS if field in found}
    for field, value in known.items():
        if not (_FIELDS[field](value) or (value is None and field in _MAY_BE_NONE)):
            raise ValueError("its field %s is malformed" % field)
    history = found.get("history")
    ended = history if isinstance(history, list) else ()
    return dict(known, history=[one for one in ended if _is_ended(one)])  # for people only, so it refuses nothing


def _is_text(value: object) -> bool:
    # The daemon writes no others, and others could do something to a terminal.
    return isinstance(value, str) and value.isprintable()


def _is_number(value: float) -> bool:
    return not isinstance(value, bool) and 0 <= value < _EXACT  # refuses NaN, too


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and _is_number(value)


def _is_ended(one: object) -> bool:
    texts = ("holder", "session", "ended_at", "how", "by", "reason")
    return (
        isinstance(one, dict)
        and one.keys() == {"term", "acquired_at", *texts}
        and all(_is_text(one[name]) for name in texts)
        and (one["acquired_at"] is None or _is_text(one["acquired_at"]))
        and isinstance(one["term"], int)
    )


_FIELDS: Dict[str, Callable[[Any], bool]] = dict(
    dict.fromkeys(("name", "role", "bucket", "key", "holder", "reason"), _is_text),
    term=_is_integer,  # 0: the .NET library has no terms
    slot=_is_integer,
    until=lambda value: isinstance(value, (int, float)) and _is_number(value),
)
_MAY_BE_NONE = ("holder", "term", "slot", "until")


def describe(name: str) -> Dict[str, Any]:
    """Return the lease's state on this host, even without a daemon. Raises BadOption for an invalid name."""
    leases.check_name(name)
    no_daemon = "no daemon of this lease runs here: see systemctl status s3-leader@%s" % name
    stopped: Dict[str, Any] = dict(name=name, role="stopped", is_leader=False, reason=no_daemon, history=[])
    stopped.update(dict.fromkeys(("holder", "term", "slot")))
    found = status(name)
    if found is None and has_status(name):
        stopped["reason"] = "the status of its daemon is unreadable: see systemctl status s3-leader@%s" % name
    now = {**stopped, **(found or {}), "name": name, "source": "local"}
    if now["role"] == "leader" and not now["is_leader"]:
        not_renewed = "the lease was not renewed in time, so its services are stopped"
        now.update(role="stopping", reason=waiting(name) or not_renewed)
    return now


class SteppedDown:
    """A step-down that somebody has asked for. Times are readings of the clock."""

    def __init__(self, at: float = 0.0, until: float = 0.0, successor: str = "") -> None:
        self.at = at
        """When it was asked for; 0 if it was not."""
        self.until = until
        """Until when this host does not compete."""
        self.successor = successor
        """The holder for which a lease is reserved that is given back; '' for none."""


def step_down(name: str, noted: SteppedDown) -> None:
    """Note a step-down. Raises OSError."""
    write(away_path_of(name), "%.3f\n%.3f\n%s\n" % (noted.until, noted.at, noted.successor))


def forget_step_down(name: str) -> None:
    """Let a step-down that was not carried out have no effect later, as far as that is possible."""
    with contextlib.suppress(OSError):
        remove(away_path_of(name))


def stepped_down(name: str) -> SteppedDown:
    """Return the step-down that was noted last."""
    try:
        with open(away_path_of(name), encoding="utf-8") as file:
            first, second, successor = file.read().split("\n", 2)
        until, at = float(first), float(second)
    except (OSError, ValueError):
        return SteppedDown()
    if not (at < float("inf") and until < float("inf")):  # refuses NaN, too
        return SteppedDown()
    return SteppedDown(at, until, successor[:-1])


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
    unfinished = path + UNFINISHED
    with open(unfinished, "w", encoding="utf-8", opener=_no_link) as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)
    os.rename(unfinished, path)


def touch(path: str) -> None:
    """Have those who wait for a change of the file look at it, if it exists."""
    with contextlib.suppress(OSError):
        os.utime(path, follow_symlinks=False)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)  # root writes here, too


def remove(path: str) -> None:
    """Remove the file, if it exists. Raises OSError if that fails."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
