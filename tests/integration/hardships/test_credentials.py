# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials that expire or vanish, and are renewed."""

from __future__ import annotations

import pytest
from support.daemon import eventually
from support.leases import OLD_TERM, somebody_elses

CALM = 45
"""Seconds after which a standby calls a series of errors over, and some more."""


def expire(keys):
    keys.write_text("[default]\naws_access_key_id=expired\naws_secret_access_key=expired\n")


def unlink(keys):
    keys.unlink()


def hide(keys):
    """Nobody can read it, not even root."""
    keys.unlink()
    keys.mkdir()


def renew(keys, text):
    if keys.is_dir():
        keys.rmdir()
    keys.write_text(text)


SPOILT = [(expire, "Check the credentials"), (unlink, "No such file"), (hide, "Is a directory")]


@pytest.mark.parametrize(("spoil", "why"), SPOILT)
def test_a_leader_leads_on_where_its_credentials_are_renewed_in_time(leader, stored, spoil, why):
    keys = leader.keys.read_text()
    spoil(leader.keys)
    eventually(lambda: leader.says(why))
    renew(leader.keys, keys)
    assert leader.renews(stored)
    assert leader.says(why) == 1
    assert leader.says("the store answers again") == 1
    assert leader.says("no longer leads") == 0


@pytest.mark.parametrize(("spoil", "why"), SPOILT)
def test_a_standby_waits_for_its_credentials(standby, put, spoil, why):
    keys = standby.keys.read_text()
    spoil(standby.keys)
    standby.let_pass(CALM)
    renew(standby.keys, keys)
    standby.let_pass(CALM)
    assert standby.says(why) == 1
    assert standby.says("the store answers again") == 1
    put(somebody_elses())
    assert eventually(standby.term) == OLD_TERM + 1
