# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import argparse

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.arguments import duration


@pytest.fixture
def parser():
    made = argparse.ArgumentParser(prog="s3-leader")
    made.add_argument("--for", dest="seconds", type=duration)
    return made


def test_a_duration_is_a_number_of_seconds(parser):
    assert parser.parse_args(["--for", "1m30s"]).seconds == 90


def test_what_is_none_is_refused_with_the_argument_the_value_and_the_way_out(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(["--for", "soon"])
    told = capsys.readouterr().err
    assert "argument --for: 'soon': use a number of seconds, or a duration like 90s, 10m or 1h30m" in told
