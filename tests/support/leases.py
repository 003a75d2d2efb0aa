# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lease objects as somebody else has left them in the store."""

from __future__ import annotations

import json
import typing as t
import uuid
from datetime import UTC, datetime

OLD_TERM = 41
LEASE_KEYS = {
    *("bucket", "key", "state", "holder", "session", "term", "sequence", "etag", "hold_at_least", "successor"),
    *("lease_duration", "acquired_at", "renewed_at", "age", "expires_in", "metadata", "conditions_proven"),
    *("history", "slot", "slots"),
}
"""What a result tells of a lease."""


def proven(store: str) -> dict[str, t.Any]:
    """What the record says of a store that was found to enforce conditions just now, by the URL of its bucket."""
    return {"store": store, "at": f"{datetime.now(UTC):%FT%TZ}", "quotedEtags": True, "useByDates": True}


def somebody_elses(store: str = "", **changes: t.Any) -> bytes:
    """The lease of somebody who had it for a second; the times in it say nothing, only the store's count.

    ``store`` is the URL of the bucket where it was acquired.
    """
    values = {
        "schema": 1,
        "holderId": "somebody else",
        "leaseUntilUtc": "2020-01-01T00:00:00.000Z",
        "leaseDurationSeconds": 1,
        "session": "somebody-else",
        "term": OLD_TERM,
        "sequence": 7,
        "nonce": uuid.uuid4().hex,
        "acquiredAt": "2020-01-01T00:00:00.000Z",
        "renewedAt": "2020-01-01T00:00:00.000Z",
        "metadata": {},
        "conditionsProven": proven(store),
    }
    return json.dumps({**values, **changes}).encode()
