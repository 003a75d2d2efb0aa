# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import leases, runtime, textfiles
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.textfiles import Textfiles


@pytest.fixture(autouse=True)
def host(monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "FOLDER", str(tmp_path / "run"))
    monkeypatch.setattr(leases, "FOLDER", str(tmp_path / "etc"))


@pytest.fixture
def folder(tmp_path):
    """Where node_exporter looks."""
    folder = tmp_path / "textfiles"
    folder.mkdir()
    return folder


@pytest.fixture
def brings(folder):
    return Textfiles(str(folder))


@pytest.fixture
def told(brings, journal):
    """What one more round writes to the journal: priorities and messages."""

    def look():
        brings.look()
        return [f"{entry['PRIORITY']} {entry['MESSAGE']}" for entry in journal()]

    return look


def tell(text, name="db"):
    """Do what the daemon does."""
    os.makedirs(runtime.path_of(name), exist_ok=True)
    runtime.write(runtime.path_of(name, "status.json"), "{}")
    runtime.write(runtime.path_of(name, "metrics.prom"), text)


def die(name="db"):
    """Do what systemd does when the daemon has ended."""
    for file in os.listdir(runtime.path_of(name)):
        os.unlink(runtime.path_of(name, file))
    os.rmdir(runtime.path_of(name))


def there(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_metrics_of_every_daemon_are_brought_and_kept_up_to_date(brings, folder):
    tell("a 1\n")
    tell("b 1\n", "web")
    brings.look()
    assert there(folder) == {"s3-leader@db.prom": "a 1\n", "s3-leader@web.prom": "b 1\n"}
    tell("a 2\n")
    brings.look()
    assert there(folder)["s3-leader@db.prom"] == "a 2\n"


def test_everybody_may_read_them(brings, folder):
    tell("a 1\n")
    before = os.umask(0o077)
    try:
        brings.look()
    finally:
        os.umask(before)
    assert (folder / "s3-leader@db.prom").stat().st_mode & 0o777 == 0o644


def test_what_has_not_changed_is_not_written_again(brings, folder):
    tell("a 1\n")
    brings.look()
    written = (folder / "s3-leader@db.prom").stat().st_ino
    brings.look()
    assert (folder / "s3-leader@db.prom").stat().st_ino == written


def test_the_file_of_a_daemon_that_has_ended_is_removed(brings, folder):
    tell("a 1\n")
    brings.look()
    die()
    brings.look()
    assert there(folder) == {}


def test_files_that_an_earlier_process_left_behind_are_removed_and_those_of_others_are_not(brings, folder):
    (folder / "s3-leader@gone.prom").write_text("a 1\n")
    (folder / "apt.prom").write_text("apt 1\n")
    brings.look()
    assert there(folder) == {"apt.prom": "apt 1\n"}


def test_all_are_removed_with_what_is_unfinished_and_those_of_others_stay(folder):
    for name in ("s3-leader@db.prom", "s3-leader@db.prom.new", "apt.prom"):
        (folder / name).write_text("")
    textfiles.remove(str(folder))
    assert [*there(folder)] == ["apt.prom"]


def test_a_folder_that_is_missing_is_reported_once_and_tried_again(folder, told):
    folder.rmdir()
    for name in ("db", "web"):
        tell("a 1\n", name)
    assert told() == [f"4 the metrics cannot be brought to {folder}: No such file or directory"]
    assert told() == []
    folder.mkdir()
    assert told() == [f"6 the metrics can be brought to {folder} again"]
    assert there(folder) == {"s3-leader@db.prom": "a 1\n", "s3-leader@web.prom": "a 1\n"}


def test_a_full_disk_leaves_the_last_file_and_a_later_round_replaces_it(brings, folder, journal, monkeypatch):
    tell("a 1\n")
    brings.look()
    tell("a 2\n")
    with monkeypatch.context() as full:
        full.setattr(os, "rename", _failing(errno.ENOSPC))
        brings.look()
    assert there(folder)["s3-leader@db.prom"] == "a 1\n"
    assert "No space left" in journal()[0]["MESSAGE"]
    brings.look()
    assert there(folder) == {"s3-leader@db.prom": "a 2\n"}


def test_one_that_cannot_be_replaced_keeps_no_other_from_being_brought(brings, folder):
    (folder / "s3-leader@db.prom").mkdir()
    tell("a 1\n")
    tell("b 1\n", "web")
    brings.look()
    assert (folder / "s3-leader@web.prom").read_text() == "b 1\n"


def test_each_leases_trouble_is_told_when_it_begins_changes_and_ends(folder, told, monkeypatch):
    db, web = folder / "s3-leader@db.prom", folder / "s3-leader@web.prom"
    db.mkdir()
    tell("a 1\n")
    tell("b 1\n", "web")
    assert told() == [f"4 the metrics cannot be brought to {db}: Is a directory"]
    assert told() == []
    web.unlink()
    web.mkdir()
    tell("b 2\n", "web")
    assert told() == [f"4 the metrics cannot be brought to {web}: Is a directory"]
    db.rmdir()
    assert told() == [f"6 the metrics can be brought to {db} again"]
    with monkeypatch.context() as changed:
        changed.setattr(os, "rename", _failing(errno.EBUSY))
        assert told() == [f"4 the metrics cannot be brought to {web}: Device or resource busy"]
    web.rmdir()
    assert told() == [f"6 the metrics can be brought to {web} again"]
    assert there(folder) == {"s3-leader@db.prom": "a 1\n", "s3-leader@web.prom": "b 2\n"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_what_concerns_the_folder_is_told_once_for_all_leases(folder, told, monkeypatch, number):
    for leases_there, messages in (
        (("db", "web"), [f"4 the metrics cannot be brought to {folder}: {os.strerror(number)}"]),
        (("third",), []),
    ):
        for name in leases_there:
            tell("a 1\n", name)
        with monkeypatch.context() as broken:
            broken.setattr(os, "rename", _failing(number))
            assert told() == messages
    assert told() == [f"6 the metrics can be brought to {folder} again"]
    assert len(there(folder)) == 3


def test_the_trouble_of_a_lease_and_that_of_the_folder_do_not_hide_each_other(folder, told):
    db = folder / "s3-leader@db.prom"
    db.mkdir()
    tell("a 1\n")
    assert len(told()) == 1
    folder.rename(folder.with_name("away"))
    assert told() == [f"4 the metrics cannot be brought to {folder}: No such file or directory"]
    folder.with_name("away").rename(folder)
    assert told() == [f"6 the metrics can be brought to {folder} again"]
    db.rmdir()
    assert told() == [f"6 the metrics can be brought to {db} again"]


def _failing(number):
    def fail(*_paths):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("put", [os.symlink, lambda _secret, path: os.mkfifo(path)])
def test_the_daemons_user_cannot_have_root_publish_another_file_or_wait(brings, folder, tmp_path, put):
    tell("a 1\n")
    (tmp_path / "secret").write_text("secret")
    os.unlink(runtime.path_of("db", "metrics.prom"))
    put(tmp_path / "secret", runtime.path_of("db", "metrics.prom"))
    brings.look()
    assert there(folder) == {}


def test_who_may_write_to_the_folder_cannot_choose_which_file_root_writes(brings, folder, tmp_path):
    (tmp_path / "victim").write_text("intact")
    os.symlink(tmp_path / "victim", folder / "s3-leader@db.prom.new")
    os.symlink(tmp_path / "victim", folder / "s3-leader@db.prom")
    tell("a 1\n")
    brings.look()
    assert (tmp_path / "victim").read_text() == "intact"
    assert not (folder / "s3-leader@db.prom").is_symlink()
    assert there(folder) == {"s3-leader@db.prom": "a 1\n"}
