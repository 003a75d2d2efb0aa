# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""Converts a verdict to an Ansible result, with the same keys from every module, every time."""

from __future__ import annotations

import typing as t

from ._lease import wording
from ._lease.protocol import term_of
from ._lease.settings import Location
from ._lease.types import Absent, Found, Verdict

SEE_MSG = "the task failed: see msg"


def success(
    verdict: Verdict, location: Location, requests: int, started: float, dry_run: bool = False
) -> dict[str, t.Any]:
    """Return a module's result. The deadline is relative to ``started``."""
    lease = wording.lease(verdict.lease, location.of(verdict.slot))
    return dict(
        changed=verdict.why.changes_hands,
        is_leader=verdict.is_leader,
        lease=lease,
        term=term_of(verdict.lease) if verdict.is_leader else None,
        slot=lease["slot"] if verdict.is_leader else None,
        reason=wording.sentence(verdict, dry_run),
        requests=requests,
        # The action plugin turns it into a reading of the controller's clock.
        deadline=None if verdict.deadline is None else verdict.deadline - started,
    )


def local(status: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the result for the status of the host's daemon. What the status does not contain is None."""
    known = {name: status.get(name) for name in ("bucket", "key", "holder", "term")}
    known["history"] = status.get("history", [])
    return dict(
        changed=False,
        is_leader=status["is_leader"],
        lease={**wording.lease(Absent(0.0), Location("", "")), "state": None, "expires_in": None, **known},
        term=status["term"] if status["is_leader"] else None,
        slot=status.get("slot") if status["is_leader"] else None,
        reason=status["reason"],
        requests=0,
        deadline=None,
    )


def failure(message: str, requests: int) -> dict[str, t.Any]:
    """Return the result of a task that could not find out the lease's state."""
    return dict(
        msg=message,
        changed=False,
        is_leader=False,
        lease=None,
        term=None,
        slot=None,
        reason=SEE_MSG,
        requests=requests,
        deadline=None,
    )


def difference(verdict: Verdict, location: Location) -> dict[str, t.Any]:
    """Return the lease before and after for diff mode, without what every renewal changes.

    What others did to the lease while this task waited is not a change by this task.
    """
    ours = verdict.is_leader or verdict.why.changes_hands
    before = verdict.before if ours else verdict.lease

    def stable(found: Found) -> dict[str, t.Any]:
        shown = wording.lease(found, location)
        return {name: shown[name] for name in ("state", "holder", "term", "lease_duration", "metadata")}

    name = str(location.of(verdict.slot))
    return dict(before=stable(before), after=stable(verdict.lease), before_header=name, after_header=name)
