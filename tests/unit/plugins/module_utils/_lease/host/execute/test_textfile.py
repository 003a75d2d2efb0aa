# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.textfile import (
    Textfile,
    name_of,
    renewed_before,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.metrics import Metrics
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Location


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


def test_when_an_earlier_run_renewed_its_lease_last_is_not_forgotten(tmp_path):
    file = tmp_path / "nightly.prom"
    metrics = Metrics("nightly", Location("bucket", "jobs/nightly"), "web-1", 0)
    metrics.renewed_before = 1795860093.25
    file.write_text(metrics.text(10.0, 1795900000.0))
    assert renewed_before(str(file)) == 1795860093.25


@pytest.mark.parametrize("text", [None, "", "s3_leader_last_renewal_timestamp_seconds{} never\n", "x{} 1\n"])
def test_a_file_that_does_not_tell_is_none(tmp_path, text):
    if text is not None:
        (tmp_path / "nightly.prom").write_text(text)
    assert renewed_before(str(tmp_path / "nightly.prom")) == 0
