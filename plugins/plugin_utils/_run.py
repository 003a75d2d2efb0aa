# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""One run of a playbook: its session on each host, and the clock of its deadlines.

If an action plugin has the name of its module, Ansible imports it, and this file along with it, in the controller's
main process before it forks its workers. So RUN is the same throughout one process of ansible-playbook, and different
in the next. Several playbooks in one process share one session.
"""

from __future__ import annotations

import datetime
import getpass
import hashlib
import math
import os
import secrets
import socket
import typing as t

from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import check_session

RUN = secrets.token_hex(16)
"""Identifies this run: 128 random bits."""

PID = os.getpid()
STARTED = f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
"""When this run started, by the controller's clock. For people."""

_LOCALHOST = ("localhost", "127.0.0.1", "::1")


def now() -> float:
    """Return the controller's clock in seconds. Its readings are comparable within one run."""
    return Clock().now()


def session(host: str) -> str:
    """Return the session of this run on a host."""
    return hashlib.sha256(f"{RUN}/{host}".encode("utf-8", "surrogateescape")).hexdigest()[:32]


def session_of(text: t.Any) -> str:
    """Return the session that a user names: the text, or its hash if that is too short, too long or unprintable."""
    try:
        check_session(str(text))
    except BadOption:
        return hashlib.sha256(f"named {text}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return str(text)


def holder(host: str) -> str:
    """Return the default holder: the host, or for localhost the user at the controller."""
    return f"{user()}@{socket.gethostname()}" if host in _LOCALHOST else host


def user() -> str:
    """Return who runs the playbook. In a container the user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def is_held(result: t.Mapping[str, t.Any]) -> bool:
    """Tell whether a registered result of this run is still before its deadline (rule 8)."""
    left = time_left(result)
    return bool(result.get("is_leader")) and left is not None and left > 0


def time_left(result: t.Mapping[str, t.Any]) -> float | None:
    """Return the seconds until the deadline of a registered result; None if it has none, or is from another run."""
    deadline = result.get("deadline")
    if not isinstance(deadline, t.Mapping) or deadline.get("run") != RUN:
        return None
    try:
        left = float(deadline["at"]) - now()
    except (KeyError, TypeError, ValueError):
        return None
    return left if math.isfinite(left) else None
