# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The times of a daemon."""

from __future__ import annotations

from typing import NamedTuple

REACTION = 0.5
"""Seconds to react. The daemon gives up this long before systemd would kill it, and the fence kills services this
long before ``stop_grace`` ends."""


class Timing(NamedTuple):
    """The times of a daemon in seconds; config.py has their ranges, and how they must add up."""

    lease_duration: float
    renew_interval: float
    stop_grace: float
    """How long the services have to stop."""
    poll_interval: float
    request_timeout: float
