# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import os
import signal
import sys

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import output


def test_a_table_is_as_wide_as_its_widest_cells():
    told = output.table(("KEY", "HOLDER", ""), [("a", "somebody", "x"), ("jobs/b", "-", "")])
    assert told.splitlines() == ["KEY     HOLDER", "a       somebody  x", "jobs/b  -"]


def test_a_screen_is_shown_once(capsys):
    assert output.show(lambda: "all is well", watch=False) == 0
    assert capsys.readouterr().out == "all is well\n"


def test_a_screen_that_is_watched_is_made_anew_until_somebody_interrupts(capsys, monkeypatch):
    screens, pauses = iter("abc"), []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(output.time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        output.show(lambda: next(screens), watch=True)
    assert pauses == [2, 2]
    assert capsys.readouterr().out == "\033[H\033[2Ja\n\033[H\033[2Jb\n"


def test_what_a_terminal_has_no_characters_for_is_written_as_escapes(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "latin-1"))
    output.write("ü 🗝")
    assert written.getvalue() == b"\xfc \\U0001f5dd\n"


def test_if_nobody_reads_any_more_the_program_ends_as_by_the_signal(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with pytest.raises(SystemExit) as ended:
            output.show(lambda: "all is well", watch=True)
        pipe.flush()  # as Python does at its end
    assert ended.value.code == 128 + signal.SIGPIPE
