# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.timing import ENDING, Timing
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.protocol import WRITES_APART

TIMING = Timing(lease_duration=30, renew_interval=5, stop_grace=12, poll_interval=1, request_timeout=3.2)


def test_a_release_has_time_for_two_requests_and_the_pause_between_them():
    assert TIMING.patience_to_release == 2 * 3.2 + WRITES_APART * 1.5


def test_a_daemon_has_whole_seconds_to_end_after_a_request_under_way_and_a_release():
    needed = 3.2 + TIMING.patience_to_release + ENDING
    assert needed <= TIMING.time_to_end < needed + 1
    assert isinstance(TIMING.time_to_end, int)


def test_a_standby_takes_over_within_its_own_delay_and_the_longest_wait_for_a_poll():
    timing = TIMING._replace(takeover_delay=20, poll_interval=4)
    assert timing.time_to_take_over == 20 + 6
