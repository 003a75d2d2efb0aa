# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease that a keeper of this run publishes, for tests of what its tasks do then."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.leaderelection.s3.plugins.plugin_utils import _kept, _run

STORE = "https://s3.example.com/bucket"
LEASE = dict(
    bucket="bucket", key="jobs/a", session="5f2f2b0f5f2f2b0f", term=7, slot=None, sequence=3, lease_duration=30.0
)


def kept_at(now: float, **changes: t.Any) -> _kept.Kept:
    """A lease with 20 s left, the keeper of which is no process."""
    lease = dict(LEASE, etag="e1", age=0.0, expires_in=32.0)
    times = dict(deadline=now + 20, until=now + 18, written_at=now - 10, heard_at=now - 9.5)
    kept = _kept.Kept(_kept.HELD, "held", lease, STORE, **times, aborts=True, patience=10.0, keeper=0)
    return kept._replace(**changes)


def publish(**changes: t.Any) -> _kept.Kept:
    """Publish it, and return it."""
    kept = kept_at(_run.now(), **changes)
    os.close(_kept.lock(kept.lease, kept.store))  # makes the folder
    _kept.publish(kept)
    return kept


def result(**changes: t.Any) -> dict[str, t.Any]:
    """The registered result of its acquisition."""
    return dict(is_leader=True, lease=dict(LEASE, **changes))
