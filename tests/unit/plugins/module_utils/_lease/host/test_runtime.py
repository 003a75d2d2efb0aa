# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import stat

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import leases, runtime


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """/run/s3-leader, with the folder of one lease; and no lease is configured."""
    run = tmp_path / "run"
    monkeypatch.setattr(runtime, "FOLDER", str(run))
    monkeypatch.setattr(leases, "FOLDER", str(tmp_path / "etc"))
    (run / "db").mkdir(parents=True)
    return run


@pytest.fixture
def tell(folder):
    """Writes what the daemon tells: keywords, or a text as it is."""

    def tell(text=None, **told):
        (folder / "db" / "status.json").write_bytes(json.dumps(told).encode() if text is None else text)

    return tell


@pytest.mark.parametrize(
    ("role", "ahead", "leads"),
    [
        ("leader", 60, True),
        ("leader", -1, False),
        ("leader", None, False),
        ("standby", None, False),
        ("away", 60, False),
    ],
)
def test_this_host_leads_as_long_as_its_own_clock_says_so(tell, role, ahead, leads):
    tell(role=role, until=None if ahead is None else Clock().now() + ahead, term=7)
    assert runtime.status("db") == {"role": role, "term": 7, "is_leader": leads}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"role": "lea',
        b"\xff",
        b"null",
        b"7",
        b'"leader"',
        b"[]",
        b'["until"]',
        b"{}",
        b'{"until": 1e9}',
        b'{"role": "leader"}',
        b'{"role": "leader", "until": "tomorrow"}',
        b'{"role": "leader", "until": [1]}',
    ],
)
def test_what_cannot_be_read_says_nothing(tell, text):
    tell(text)
    assert runtime.status("db") is None


def test_without_a_daemon_nothing_is_told(folder):
    assert runtime.status("db") is None
    assert runtime.status("other") is None


@pytest.mark.parametrize(
    ("ahead", "role", "reason"),
    [
        (60, "leader", "leads with term 7"),
        (-1, "stopping", "the lease was not renewed in time, so its services are stopped"),
    ],
)
def test_who_did_not_renew_in_time_is_told_to_stop_whatever_it_said_before(tell, ahead, role, reason):
    tell(role="leader", until=Clock().now() + ahead, term=7, reason="leads with term 7")
    lease = runtime.describe("db")
    assert (lease["role"], lease["is_leader"], lease["reason"]) == (role, ahead > 0, reason)


def test_a_lease_without_a_daemon_is_told_with_the_same_keys(tell):
    without = runtime.describe("db")
    assert (without["role"], without["is_leader"]) == ("stopped", False)
    tell(role="leader", until=Clock().now() + 60, name="db", holder="web-1", term=7, reason="leads with term 7")
    assert runtime.describe("db").keys() == without.keys()


def test_the_leases_of_the_host_are_those_that_are_configured_too(folder, tell):
    etc = folder.parent / "etc"
    etc.mkdir()
    for name in ("stopped.json", "db.json", "db.credentials", "old.json.rpmsave", "A lease.json"):
        (etc / name).write_text("{}")
    tell(role="standby", until=None)
    assert runtime.names() == ["db", "stopped"]


def test_the_leases_of_the_host_are_those_that_a_daemon_tells_of(folder, tell, monkeypatch):
    tell(role="standby", until=None)
    (folder / "a").mkdir()
    (folder / "a" / "status.json").write_text("{}")
    (folder / "stopped").mkdir()
    (folder / "db.away").write_text("1")
    assert runtime.names() == ["a", "db"]
    monkeypatch.setattr(runtime, "FOLDER", str(folder / "missing"))
    assert runtime.names() == []


@pytest.mark.parametrize(
    ("text", "until"),
    [("4711.5\n", 4711.5), ("", 0), ("soon", 0), ("nan", 0), ("inf", 0), ("1e999", 0), ("é", 0), (None, 0)],
)
def test_a_host_is_away_until_a_time_that_can_be_read(folder, text, until):
    if text is not None:
        (folder / "db.away").write_text(text)
    assert runtime.away_until("db") == until


def test_what_is_written_is_readable_by_all_whatever_the_umask(folder):
    before = os.umask(0o077)
    try:
        runtime.write(str(folder / "db" / "leader"), "é\n")
    finally:
        os.umask(before)
    assert (folder / "db" / "leader").read_bytes() == "é\n".encode()
    assert (folder / "db" / "leader").stat().st_mode & 0o777 == 0o644
    assert os.listdir(folder / "db") == ["leader"]


@contextlib.contextmanager
def no_room():
    """Files cannot have more than three bytes: as good as a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_leaves_the_file_as_it_was(folder):
    path = str(folder / "db" / "leader")
    runtime.write(path, "before")
    with no_room(), pytest.raises(OSError, match="File too large"):
        runtime.write(path, "after")
    assert (folder / "db" / "leader").read_text() == "before"
    runtime.write(path, "after")
    assert (folder / "db" / "leader").read_text() == "after"


def test_nothing_is_written_through_a_link(folder):
    (folder / "passwd").write_text("root")
    (folder / "db.away.new").symlink_to(folder / "passwd")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        runtime.write(runtime.away_path_of("db"), "0")
    assert (folder / "passwd").read_text() == "root"


def test_to_remove_what_is_gone_is_no_error(folder):
    (folder / "db" / "leader").write_text("")
    runtime.remove(runtime.path_of("db", "leader"))
    runtime.remove(runtime.path_of("db", "leader"))
    assert os.listdir(folder / "db") == []
    with pytest.raises(OSError, match="directory"):
        runtime.remove(str(folder / "db"))


def test_of_two_daemons_of_one_lease_the_second_is_kept_out_until_the_first_has_ended(folder):
    (folder / "other").mkdir()
    first = runtime.keep_others_out("db", since=1_700_000_000.5)
    assert os.stat(folder / "db" / "lock").st_mtime == 1_700_000_000.5
    try:
        os.close(runtime.keep_others_out("other", since=0))
        with pytest.raises(BlockingIOError):
            runtime.keep_others_out("db", since=0)
        assert not os.get_inheritable(first)
        assert stat.S_IMODE(os.stat(folder / "db" / "lock").st_mode) == 0o600  # who may open it could lock it
    finally:
        os.close(first)
    os.close(runtime.keep_others_out("db", since=0))
