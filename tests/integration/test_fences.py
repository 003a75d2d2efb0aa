# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of the role tells the fences of a host that leads."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "roles" / "heartbeat" / "files" / "fences.sh"


@pytest.fixture
def host(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two leases, and this host leads by the first of them."""
    (tmp_path / "etc").mkdir()
    for lease in ("db", "web"):
        (tmp_path / "etc" / f"{lease}.json").write_text(f"{lease} now")
    (tmp_path / "serving" / "db").mkdir(parents=True)
    (tmp_path / "serving" / "db" / "lock").touch()
    (tmp_path / "serving" / "db" / "lease.json").write_text("db at the start")
    return tmp_path


def tell(host: pathlib.Path) -> int:
    command = ["sh", "-c", SCRIPT.read_text(), "sh", str(host / "serving"), str(host / "etc"), "web", "db"]
    return subprocess.run(command, timeout=60, check=False).returncode


def test_a_fence_goes_by_the_configuration_that_is_there_now(host: pathlib.Path) -> None:
    assert tell(host) == 0
    assert (host / "serving" / "db" / "lease.json").read_text() == "db now"
    assert {file.name for file in (host / "serving" / "db").iterdir()} == {"lock", "lease.json"}
    assert not (host / "serving" / "web").exists()


def test_a_configuration_that_cannot_be_read_is_a_failure_and_the_fence_keeps_the_one_it_has(
    host: pathlib.Path,
) -> None:
    (host / "etc" / "db.json").unlink()
    assert tell(host) != 0
    assert (host / "serving" / "db" / "lease.json").read_text() == "db at the start"


def test_a_mark_that_goes_meanwhile_is_no_failure(host: pathlib.Path) -> None:
    (host / "etc" / "db.json").unlink()
    (host / "serving" / "db" / "lock").unlink()
    assert tell(host) == 0
