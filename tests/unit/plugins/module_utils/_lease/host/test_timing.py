# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.timing import Timing


@pytest.mark.parametrize(("request_timeout", "release", "end"), [(1, 5, 9), (2.5, 8, 14), (3, 9, 15), (60, 123, 186)])
def test_a_daemon_may_take_one_request_and_a_release_until_it_has_ended(request_timeout, release, end):
    times = Timing(600, 5, 12, 1, request_timeout)
    assert times.patience_to_release == release
    assert times.time_to_end == end
    assert isinstance(times.time_to_end, int)  # a part of a unit's text
