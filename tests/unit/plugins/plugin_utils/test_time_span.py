# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _time_span


@pytest.mark.parametrize(
    ("span", "seconds"),
    [
        ("0", 0),
        ("2s", 2),
        ("500ms", 0.5),
        ("250us", 0.00025),
        ("1.500s", 1.5),
        ("31min", 1860),
        ("1min 30s", 90),
        ("1h 1min 1s 1ms", 3661.001),
        ("1w 1d", 691200),
        ("1month", 2629800),
        ("1y", 31557600),
        ("infinity", float("inf")),
        ("", 0),
    ],
)
def test_a_time_span_has_so_many_seconds(span, seconds):
    assert _time_span.seconds(span) == pytest.approx(seconds, rel=1e-12)
