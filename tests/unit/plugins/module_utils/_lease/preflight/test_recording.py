# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import CannotSend, NoAnswer, Response
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.recording import (
    Log,
    RecordingConnection,
)
from support.wire import stamp


def answer(status):
    return Response(status, {}, b"")


class Line:
    """A connection that does in turn what it is given: returns what it calls, or raises."""

    def __init__(self, *turns):
        self.turns = list(turns)

    def send(self, *_request):
        return self.turns.pop(0)()


def raises(error):
    def turn():
        raise error

    return turn


def tapped(*turns):
    log = Log()
    return RecordingConnection(Line(*turns), "-1", log, Clock()), log


def put(wire):
    return wire.send("PUT", {}, b"body", 100, stamp())


def get(wire):
    return wire.send("GET", {}, b"", 100, stamp())


@pytest.mark.parametrize("request_of", [get, put])
def test_what_could_not_be_sent_was_neither_sent_nor_written(request_of):
    wire, log = tapped(raises(CannotSend("no credentials")))
    with pytest.raises(CannotSend):
        request_of(wire)
    assert (log.sent, log.written, log.open) == ([], [], [])


def test_what_could_not_be_sent_does_not_unsay_an_earlier_write():
    wire, log = tapped(raises(NoAnswer("cut off")), raises(CannotSend("no credentials")))
    with pytest.raises(NoAnswer):
        put(wire)
    with pytest.raises(CannotSend):
        put(wire)
    assert (log.sent, log.written, log.open) == (["PUT"], ["-1"], ["-1"])


def test_a_write_is_open_until_it_is_answered():
    wire, log = tapped(lambda: answer(412))
    put(wire)
    assert (log.sent, log.written, log.open) == (["PUT"], ["-1"], [])


@pytest.mark.parametrize("status", [401, 403])
def test_a_write_that_is_not_permitted_leaves_nothing(status):
    wire, log = tapped(lambda: answer(status))
    put(wire)
    assert (log.sent, log.written, log.open) == (["PUT"], [], [])


def test_only_a_write_that_was_carried_out_has_landed():
    wire, _log = tapped(lambda: answer(200), lambda: answer(404), lambda: answer(412))
    put(wire)
    landed = wire.landed
    assert landed is not None
    get(wire)
    assert (wire.status, wire.last_write, wire.landed) == (404, 200, landed)
    put(wire)
    assert (wire.status, wire.last_write, wire.landed) == (412, 412, None)


def test_an_overdue_answer_is_not_taken_for_that_of_the_next_request():
    sent, go = threading.Event(), threading.Event()

    def late():
        sent.set()
        go.wait()
        return answer(200)

    wire, log = tapped(late, lambda: answer(412), raises(NoAnswer("cut off")))
    overdue = threading.Thread(target=put, args=(wire,), daemon=True)
    overdue.start()
    sent.wait()
    put(wire)
    go.set()
    overdue.join()
    assert (wire.status, wire.last_write, wire.landed) == (412, 412, None)
    assert log.open == [], "that it is answered by now counts all the same"
    with pytest.raises(NoAnswer):
        put(wire)
    assert (wire.last, wire.last_write) == (None, 0)
