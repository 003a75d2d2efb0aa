# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.races import Race
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Unreadable
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Refused,
    Seen,
    Unknown,
    Written,
)

WON, LOST = Written("e1", 0.0), Unknown("answered 412", precondition_failed=True)
SILENT, SLOW_DOWN = Unknown("no answer"), Unknown("answered 429", throttled=True)
THERE, GONE = Seen(Unreadable(""), "e1", 0.0, 0.0), Absent(0.0)


def race(*outcomes, found=THERE, standing=0):
    return Race(outcomes, found, standing, 0.1)


@pytest.mark.parametrize(
    ("one", "fault", "decided"),
    [
        (race(WON, LOST, LOST), "", True),
        (race(LOST, WON, LOST, standing=1), "", True),
        (race(WON, LOST, SILENT), "", True),
        (race(SILENT, LOST, LOST), "", True),  # its answer got lost, and it stands there
        (race(LOST, LOST), "", True),  # refused and carried out: leases look what stands there
        (race(WON, WON, LOST), "2 of 3 contenders", False),
        (race(WON, WON, WON), "3 of 3 contenders", False),
        (race(WON, LOST, standing=1), "the store has another write", False),
        (race(WON, LOST, standing=None), "the store has another write", False),
        (race(WON, LOST, found=GONE, standing=None), "the store has no object", False),
        (race(LOST, LOST, found=GONE, standing=None), "", False),
        (race(SILENT, SILENT, standing=None), "", False),
        (race(WON, SLOW_DOWN, SLOW_DOWN), "", False),  # no contest
        (race(WON, Refused("answered 403"), standing=0), "", False),
    ],
)
def test_a_race_has_one_winner_whose_write_stands(one, fault, decided):
    assert fault in one.fault
    assert bool(one.fault) == bool(fault)
    assert fault or one.decided == decided


@pytest.mark.parametrize(
    ("one", "trouble"),
    [
        (race(WON, LOST), ("", "")),
        (race(WON, SILENT), ("no answer", "")),
        (race(LOST, Refused("answered 403", "Grant it")), ("answered 403", "Grant it")),
        (race(WON, Unknown("answered 409", conflict=True)), ("", "")),
    ],
)
def test_what_was_no_clean_answer_is_told(one, trouble):
    assert one.trouble == trouble


@pytest.mark.parametrize(
    ("one", "clean", "decided"),
    [
        (race(WON, *[LOST] * 7), 8, True),
        (race(WON, LOST, *[SLOW_DOWN] * 6), 2, False),  # a contest of two
        (race(WON, *[LOST] * 3, *[SLOW_DOWN] * 4), 4, True),
        (race(WON, *[LOST] * 2, *[SLOW_DOWN] * 5), 3, False),
        (race(WON, LOST, *[SILENT] * 6), 2, True),
    ],
)
def test_where_some_are_throttled_half_of_them_have_to_compete(one, clean, decided):
    assert (one.clean, one.decided) == (clean, decided)


def test_it_is_told_whether_the_store_throttled():
    assert race(WON, SLOW_DOWN).throttled
    assert not race(WON, LOST).throttled
