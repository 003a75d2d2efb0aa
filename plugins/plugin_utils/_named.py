# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""Which kept lease a task means: by the code that its module goes by, so that both always mean the same one."""

from __future__ import annotations

import typing as t

from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import CannotSend
from ansible_collections.leaderelection.s3.plugins.module_utils._module import Task
from ansible_collections.leaderelection.s3.plugins.module_utils._options import Handle, in_seconds

from . import _here, _kept
from ._kept import Kept


class Module(_here.Module, t.Protocol):
    """A module that works on a lease which may be kept."""

    def check(self, task: Task) -> None:
        """Raise BadOption for arguments that it refuses."""


class Named(t.NamedTuple):
    """A kept lease, and the task's arguments as its module has them, durations in seconds."""

    kept: Kept
    params: dict[str, t.Any]


def kept(module: Module, arguments: t.Mapping[str, t.Any], check_mode: bool, elsewhere: bool) -> Named | None:
    """Return the lease of a keeper that the task means; None if it means none, or if its module refuses the arguments.

    A task that is carried out ``elsewhere``, in another environment, may mean another store by the same arguments: it
    means a lease only by the earlier result that it hands over.
    """
    if not _kept.every():
        return None
    validated = _here.validate(module, arguments)
    if validated.error_messages:
        return None
    params: dict[str, t.Any] = validated.validated_parameters
    try:
        if elsewhere:
            params = in_seconds(params)
            found = _by_result(params, arguments)
        else:
            lease = Handle(params)
            params = lease.params
            module.check(Task(lease, params, check_mode))
            found = _by_name(lease) or _by_result(params, arguments)
    except (BadOption, CannotSend):
        return None
    handed_over = _handed_over(params)
    same_term = found is not None and handed_over.get("term") in (None, found.lease["term"])
    return Named(found, params) if found and same_term else None


def _by_name(lease: Handle) -> Kept | None:
    """Return the kept lease of this name, or that of its slots which is kept."""
    for slot in range(1, lease.slots + 1) if lease.slots else (0,):
        location = lease.location.of(slot)
        found = _kept.known(dict(bucket=location.bucket, key=location.key, session=lease.me.session), lease.me.store)
        if found:
            return found
    return None


def _by_result(params: t.Mapping[str, t.Any], arguments: t.Mapping[str, t.Any]) -> Kept | None:
    """Return the kept lease of the earlier result, if the task does not name another one."""
    handed_over = _handed_over(params)
    if not handed_over or handed_over.get("key") not in (
        params["key"],
        f"{params['key']}/slot-{handed_over.get('slot')}",
    ):
        return None
    if arguments.get("bucket") and handed_over.get("bucket") != params["bucket"]:
        return None
    return _kept.find(handed_over)


def _handed_over(params: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    """Return the lease of an earlier result that made a leader."""
    earlier = params.get("lease")
    if not isinstance(earlier, t.Mapping) or not earlier.get("is_leader"):
        return {}
    lease = earlier.get("lease")
    return lease if isinstance(lease, t.Mapping) else {}
