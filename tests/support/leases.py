# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lease objects as somebody else has left them in the store."""

from __future__ import annotations

import json
import typing as t
import uuid

OLD_TERM = 41


def somebody_elses(**changes: t.Any) -> bytes:
    """The lease of somebody who had it for a second; the times in it say nothing, only the store's count."""
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
        "conditionsProven": True,
    }
    return json.dumps({**values, **changes}).encode()
