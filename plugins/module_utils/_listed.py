# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""s3_leader_info with a prefix: every lease below it, in one result."""

from __future__ import annotations

import typing as t

from . import _results
from ._lease import wording
from ._lease.listing import Below, Listed, Listing, summary
from ._lease.settings import Location
from ._lease.types import StoreError
from ._module import Call, Result, failed, opened, told, with_actions


def carry_out(call: Call) -> Result:
    """Return the result of a task that names a prefix."""
    handle = opened(call._replace(params=dict(call.params, key=call.params["prefix"])), Below)
    if isinstance(handle, str):
        return failed(_results.failure(handle, 0))
    listing = Listing(handle.connection, handle.location, handle.endpoint, handle.clock)
    try:
        found = listing.read()
    except StoreError as error:
        text = told(error, handle, listing.requests)
        return failed(with_actions(_results.failure(text, listing.requests), call, handle))
    return with_actions(result(found, handle.location, listing.requests), call, handle)


def result(found: t.Sequence[Listed], below: Location, requests: int) -> Result:
    """Return the result. Whether this run leads is a question about one lease, so it has no answer here."""
    return dict(
        changed=False,
        is_leader=False,
        lease=None,
        leases=[wording.lease(one.found, one.location) for one in found],
        term=None,
        slot=None,
        reason=summary(found, below),
        requests=requests,
        deadline=None,
    )
