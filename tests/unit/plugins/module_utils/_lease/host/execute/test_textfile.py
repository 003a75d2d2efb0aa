# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.textfile import Textfile, name_of


def test_its_name_tells_its_metrics_from_others():
    assert name_of("/srv/metrics/nightly.prom") == "nightly"


def test_each_text_replaces_the_one_before(tmp_path):
    textfile = Textfile(str(tmp_path / "nightly.prom"))
    for text in ("a 1\n", "a 2\n"):
        textfile.write(text)
        assert (tmp_path / "nightly.prom").read_text() == text
    assert textfile.trouble == ""


def test_a_disk_that_does_not_answer_holds_nobody_up_and_is_not_asked_twice(tmp_path):
    os.mkfifo(tmp_path / "nightly.prom.new")
    textfile = Textfile(str(tmp_path / "nightly.prom"))
    textfile.write("a 1\n")
    textfile.write("a 2\n")
    assert "does not answer" in textfile.trouble
    with open(tmp_path / "nightly.prom.new", encoding="utf-8") as pipe:  # it answers
        assert pipe.read() == "a 1\n"


def test_a_text_that_cannot_be_written_is_trouble_until_one_can(tmp_path):
    (tmp_path / "nightly.prom.new").mkdir()
    textfile = Textfile(str(tmp_path / "nightly.prom"))
    textfile.write("a 1\n")
    assert "Is a directory" in textfile.trouble
    (tmp_path / "nightly.prom.new").rmdir()
    textfile.write("a 2\n")
    assert textfile.trouble == ""
