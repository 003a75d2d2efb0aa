# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.line import Line, SharedTime


@pytest.fixture
def line():
    """Two ends."""
    one, other = socket.socketpair()
    yield Line(one), Line(other)
    one.close()
    other.close()


def test_what_is_said_is_heard_in_its_order(line):
    one, other = line
    assert other.read() == []
    one.tell(until=1.5)
    one.tell(lost="why\n")
    assert other.read() == [{"until": 1.5}, {"lost": "why\n"}]
    assert not other.closed


def test_what_was_said_before_the_end_is_heard(line):
    one, other = line
    one.tell(over=True)
    one.close()
    assert other.read() == [{"over": True}]
    assert other.closed
    assert other.read() == []


def test_half_a_line_waits_for_the_rest():
    one, other = socket.socketpair()
    line = Line(other)
    one.send(b'{"over": tr')
    assert line.read() == []
    one.send(b"ue}\n")
    assert line.read() == [{"over": True}]
    one.close()
    line.close()


def test_nobody_waits_for_who_does_not_listen(line):
    one, other = line
    for number in range(20000):
        one.tell(waits=str(number))
    assert other.read()[0] == {"waits": "0"}


def test_who_speaks_to_nobody_goes_on(line):
    one, other = line
    other.close()
    one.tell(over=True)


def test_a_time_is_shared_with_what_is_forked_later_and_only_the_latest_counts():
    time = SharedTime()
    assert time.value == 0
    pid = os.fork()
    if pid == 0:
        for value in range(1000):
            time.value = value + 0.5
        os._exit(0)
    os.waitpid(pid, 0)
    assert time.value == 999.5
