# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import durations
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (30, 30),
        (0, 0),
        (1.5, 1.5),
        ("30", 30),
        ("30.0", 30),
        ("1.5", 1.5),
        ("-1", -1),
        ("90s", 90),
        ("10m", 600),
        ("1h", 3600),
        ("2d", 172800),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        (" 1 h 30 m 5 s ", 5405),
        ("1.5h", 5400),
        ("0.5s", 0.5),
        ("1h  1m", 3660),
    ],
)
def test_a_duration_is_a_number_of_seconds_or_has_units(value, expected):
    found = durations.seconds("wait_timeout", value)
    assert found == expected
    assert isinstance(found, type(expected))  # a test of JSON texts would tell 30 from 30.0


@pytest.mark.parametrize(
    "value",
    [
        "",
        "half a minute",
        "10x",
        "10 min",
        "m",
        "1h30",
        "1:30",
        "-5m",
        "1h-5m",
        "5,5s",
        "10M",
        "1\n5s",
        "1_000",
        "1,000",
        "1.2.3",
        ".5s",
        "1.s",
        True,
        None,
        [30],
        "٣",
        "٣s",
        "inf",
        "nan",
    ],
)
def test_anything_else_is_refused_with_the_way_out(value):
    with pytest.raises(BadOption, match=r"^wait_timeout is .*: use a number of seconds, or a duration like 90s, 10m"):
        durations.seconds("wait_timeout", value)
