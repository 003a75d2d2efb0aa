# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys

from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute import screen
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.screen import Screen


@contextlib.contextmanager
def terminal():
    """Standard error is a terminal meanwhile. Yields what tells what was written to it."""
    ours, theirs = pty.openpty()
    before = os.dup(2)
    os.dup2(theirs, 2)
    try:
        yield lambda size: b"".join(os.read(ours, 1) for _byte in range(size)).decode()
    finally:
        os.dup2(before, 2)
        for file in (ours, theirs, before):
            os.close(file)


def test_without_a_terminal_only_what_has_to_be_known_is_said(capfd):
    screen = Screen()
    screen.show("waits")
    screen.show("it is so", stays=True)
    screen.clear()
    screen.say("it is lost\x1b[2J")
    assert capfd.readouterr().err == "s3-leader: it is lost?[2J\n"


def test_on_a_terminal_each_line_takes_the_place_of_the_one_before():
    screen = Screen()
    with terminal() as written:
        screen.show("waits")
        screen.show("waits more")
        screen.say("it is lost")
        screen.clear()
        expected = "\r\x1b[Ks3-leader: waits\r\x1b[Ks3-leader: waits more\r\x1b[Ks3-leader: it is lost\r\n"
        assert written(len(expected)) == expected


def test_what_stays_so_stays():
    with terminal() as written:
        Screen().show("held by alice", stays=True)
        expected = "s3-leader: held by alice\r\n"
        assert written(len(expected)) == expected


def test_a_line_is_no_longer_than_the_terminal_is_wide():
    with terminal() as written:
        Screen().show("x" * 100)
        expected = "\r\x1b[Ks3-leader: " + "x" * (79 - len("s3-leader: "))
        assert written(len(expected)) == expected


def test_nobody_is_waited_for_who_does_not_read():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    before = os.dup(2)
    os.dup2(writer, 2)
    try:
        Screen().say("it is lost")
    finally:
        os.dup2(before, 2)
        for file in (reader, writer, before):
            os.close(file)


def test_what_is_missing_of_the_standard_files_is_opened():
    program = (
        "import os, sys\n"
        f"from {screen.__name__} import open_missing\n"
        "os.close(0); os.close(2); open_missing()\n"
        "print(*(os.path.samefile(f'/dev/fd/{n}', os.devnull) for n in (0, 2)), os.open('/', 0) > 2)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], encoding="ascii") == "True True True\n"
