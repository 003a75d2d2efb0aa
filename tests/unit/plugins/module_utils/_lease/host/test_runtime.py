# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import socket
import stat
import subprocess
import sys

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
    assert runtime.status("db") == {"role": role, "term": 7, "is_leader": leads, "history": []}


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
        b'{"role": "leader", "until": true}',
        b'{"role": "leader", "until": NaN}',
        b'{"role": "leader", "until": Infinity}',
        b'{"role": "leader", "until": -Infinity}',
        b'{"role": "leader", "until": 1e999}',
        b'{"role": "leader", "until": ' + b"9" * 400 + b"}",
        b'{"role": "leader", "until": ' + b"9" * 9000 + b"}",
        b'{"role": ["leader"], "until": 1e9}',
        b'{"role": null, "until": 1e9}',
        b'{"role": "leader", "until": 1e9, "term": "7"}',
        b'{"role": "leader", "until": 1e9, "term": 7.5}',
        b'{"role": "leader", "until": 1e9, "term": false}',
        b'{"role": "leader", "until": 1e9, "term": -1}',
        b'{"role": "leader", "until": 1e9, "term": 9007199254740992}',
        b'{"role": "leader", "until": 1e9, "holder": {"a": 1}}',
        b'{"role": "leader", "until": 1e9, "holder": "\\u001b[2J"}',
        b'{"role": "leader", "until": 1e9, "holder": "\\ud800"}',
        b'{"role": "leader", "until": 1e9, "reason": null}',
        b'{"role": "leader", "until": 1e9, "reason": "leads\\nso it says"}',
        b'{"role": "leader\\u202e", "until": 1e9}',
        b'{"role": "leader", "until": 1e9, "key": 7}',
        b'{"role": "leader", "until": 1e9, "bucket": []}',
        b'{"role": "leader", "until": 1e9, "name": 7}',
        b'{"role": "leader", "until": 1e9, "reason": "' + b"a" * 65536 + b'"}',
        b"[" * 60000,
        b'{"role":' * 8000,
    ],
    ids=lambda text: repr(text[:60]),
)
def test_what_cannot_be_read_says_nothing(tell, text):
    tell(text)
    assert runtime.status("db") is None
    lease = runtime.describe("db")
    assert (lease["role"], lease["is_leader"], lease["holder"], lease["term"]) == ("stopped", False, None, None)
    assert lease["reason"] == "the status of its daemon is unreadable: see systemctl status s3-leader@db"


def test_a_record_of_the_net_library_has_the_term_0(tell):
    tell(role="standby", until=None, holder="web-2", term=0)
    assert runtime.status("db")["term"] == 0


def test_what_is_unknown_in_a_status_is_not_passed_on(tell):
    tell(role="standby", until=None, name="other", secret={"a": [1]})
    assert runtime.status("db") == {"role": "standby", "name": "other", "is_leader": False, "history": []}
    assert runtime.describe("db")["name"] == "db"


GOOD = b'{"role": "leader", "until": 1e15, "term": 7}'


def a_fifo(path):
    os.mkfifo(path)


def a_link(path):
    (path.parent / "elsewhere").write_bytes(GOOD)
    path.symlink_to(path.parent / "elsewhere")


def a_link_without_an_end(path):
    path.symlink_to("/dev/zero")


def a_link_to_itself(path):
    path.symlink_to(path)


def a_folder(path):
    path.mkdir()


def a_socket(path):
    os.chdir(path.parent)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


def a_file_with_a_hole(path):
    path.write_bytes(b"")
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize(
    "put", [a_fifo, a_link, a_link_without_an_end, a_link_to_itself, a_folder, a_socket, a_file_with_a_hole]
)
def test_a_status_is_read_from_a_regular_file_only_and_without_waiting(folder, put, monkeypatch):
    monkeypatch.chdir(folder)
    put(folder / "db" / "status.json")
    program = "import sys; from %s import runtime; runtime.FOLDER = %r; print(runtime.status('db'))"
    room = 4 << 30
    done = subprocess.run(
        [sys.executable, "-c", program % (runtime.__name__.rpartition(".")[0], str(folder))],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (room, room)),
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    assert done.stdout == b"None\n"
    assert runtime.names() == ["db"]
    assert "unreadable" in runtime.describe("db")["reason"]


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
    "text",
    [
        "",
        "soon\n1\n\n",
        "nan\n1\n\n",
        "1\nnan\n\n",
        "inf\n1\nb\n",
        "1\ninf\nb\n",
        "1e999\n1\n\n",
        "é",
        "4711.5\n",
        None,
    ],
)
def test_a_step_down_that_cannot_be_read_was_not_asked_for(folder, text):
    if text is not None:
        (folder / "db.away").write_text(text)
    assert vars(runtime.stepped_down("db")) == dict(at=0.0, until=0.0, successor="")


@pytest.mark.parametrize("successor", ["", "app-2", "die Küche, 2 "])
def test_a_step_down_is_noted_with_its_successor_and_can_be_forgotten(folder, successor):
    runtime.step_down("db", runtime.SteppedDown(4651.5, 4711.5, successor))
    assert vars(runtime.stepped_down("db")) == dict(at=4651.5, until=4711.5, successor=successor)
    runtime.forget_step_down("db")
    runtime.forget_step_down("db")
    assert vars(runtime.stepped_down("db")) == dict(at=0.0, until=0.0, successor="")


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
