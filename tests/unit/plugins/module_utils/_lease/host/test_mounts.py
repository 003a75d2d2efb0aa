# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import stat

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import mounts

HOST, CONTAINER = "mnt:[1]", "mnt:[2]"


@pytest.fixture
def process(monkeypatch, tmp_path):
    """Add a process to a /proc: its mounts as (device, place, source), what it has open, and its namespace."""
    monkeypatch.setattr(mounts, "_PROC", str(tmp_path))

    def add(pid, *mounted, opened=(), namespace=HOST, mapped=""):
        folder = tmp_path / str(pid)
        (folder / "fd").mkdir(parents=True)
        (folder / "ns").mkdir()
        (folder / "ns" / "mnt").symlink_to(namespace)
        for number, path in enumerate(opened):
            (folder / "fd" / str(number)).symlink_to(path)
        (folder / "maps").write_text(mapped)
        line = "36 35 %s / %s rw,noatime shared:1 - ext4 %s rw\n"
        (folder / "mountinfo").write_text("".join(line % mount for mount in mounted))

    (tmp_path / "meminfo").touch()
    return add


DATA = ("8:17", "/srv/data", "/dev/sdb1")


@pytest.mark.parametrize("path", ["/srv/data", "/srv/data/a/b"])
def test_who_has_something_open_there_uses_it(process, path):
    process(1, DATA)
    process(7, DATA, opened=["/etc/passwd", path])
    process(8, DATA, opened=["/srv/database"])
    assert list(mounts.users("/srv/data")) == [7]


def test_so_does_who_runs_a_program_of_it(process):
    process(1, DATA)
    process(7, DATA, mapped="7f00-7f01 r-xp 00000000 08:11 12 /srv/data/bin/app\n")
    assert list(mounts.users("/srv/data")) == [7]


def test_who_has_another_file_system_at_that_place_does_not(process):
    process(1, DATA)
    process(7, ("0:99", "/srv/data", "overlay"), opened=["/srv/data/file"], namespace=CONTAINER)
    assert list(mounts.users("/srv/data")) == []


def test_nobody_uses_what_is_not_mounted(process):
    process(1)
    process(7, opened=["/srv/data/file"])
    assert list(mounts.users("/srv/data")) == []


def test_the_mount_on_top_counts(process):
    process(1, ("8:1", "/srv/data", "/dev/sda1"), DATA)
    process(7, ("8:1", "/srv/data", "/dev/sda1"), opened=["/srv/data/file"], namespace=CONTAINER)
    process(8, ("8:1", "/srv/data", "/dev/sda1"), DATA, opened=["/srv/data/file"])
    assert list(mounts.users("/srv/data")) == [8]


def test_a_place_may_have_a_space_in_its_name(process):
    mount = ("8:17", r"/srv/my\040data", "/dev/sdb1")
    process(1, mount)
    process(7, mount, opened=["/srv/my data/file"])
    assert list(mounts.users("/srv/my data")) == [7]


def test_who_still_has_a_file_system_that_the_host_has_unmounted_keeps_it(process):
    process(1)
    process(6)
    process(7, ("8:17", "/x", "/dev/sdb1"), namespace=CONTAINER)
    process(8, ("8:17", "/x", "/dev/sdb1"), namespace=CONTAINER)
    assert sorted(mounts.keepers("/dev/sdb1")) == [7, 8]
    assert list(mounts.keepers("/dev/sdc1")) == []


def test_a_file_system_that_the_host_has_mounted_elsewhere_is_no_matter_of_the_lease(process):
    process(1, ("8:17", "/mnt", "/dev/sdb1"))
    process(7, ("8:17", "/x", "/dev/sdb1"), namespace=CONTAINER)
    assert list(mounts.keepers("/dev/sdb1")) == []


def test_a_device_is_known_by_any_of_its_names_and_by_its_number(process, monkeypatch, tmp_path):
    (tmp_path / "sdb1").touch()
    (tmp_path / "by-label").symlink_to(tmp_path / "sdb1")
    process(1)
    process(7, ("0:40", "/x", str(tmp_path / "sdb1")), namespace=CONTAINER)  # Btrfs has numbers of its own
    process(8, ("8:17", "/x", "/dev/root"), namespace="mnt:[3]")
    assert list(mounts.keepers(str(tmp_path / "by-label"))) == [7]
    block = os.stat_result((stat.S_IFBLK, *[0] * 9), dict(st_rdev=os.makedev(8, 17)))
    monkeypatch.setattr(os, "stat", lambda path: block)
    assert sorted(mounts.keepers(str(tmp_path / "by-label"))) == [7, 8]


@pytest.mark.parametrize("source", ["tmpfs", "none", ""])
def test_a_file_system_without_a_source_of_its_own_is_not_looked_for(process, source):
    process(1)
    process(7, ("0:50", "/x", source or "x"), namespace=CONTAINER)
    assert list(mounts.keepers(source)) == []


def test_a_remote_file_system_is_known_by_its_name(process):
    process(1)
    process(7, ("0:51", "/x", "nas:/export"), namespace=CONTAINER)
    assert list(mounts.keepers("nas:/export")) == [7]


def test_who_ends_meanwhile_keeps_nothing(process, tmp_path):
    process(1)
    (tmp_path / "7").mkdir()
    assert list(mounts.keepers("/dev/sdb1")) == list(mounts.users("/srv/data")) == []


def test_a_real_process_uses_what_it_has_open():
    device = mounts._device("self", "/proc")
    assert device != ""
    assert device == mounts._device(str(os.getpid()), "/proc")
    assert mounts._device("self", "/nowhere") == mounts._device(str(2**30), "/proc") == ""
    with open(__file__) as file:
        assert str(pathlib.Path(file.name).resolve()) in list(mounts._in_use("self"))


def test_a_place_may_have_any_character(process):
    process(1, DATA)
    process(7, ("0:99", "/tmp/a\rb\x0bc", "tmpfs"), DATA, opened=["/srv/data/a"])
    assert list(mounts.users("/srv/data")) == [7]


@pytest.mark.parametrize(
    ("unit", "place"),
    [
        ("srv-data.mount", "/srv/data"),
        (r"srv-my\x2ddata.mount", "/srv/my-data"),
        (r"srv-\xc3\xa4.mount", "/srv/ä"),
        ("-.mount", "/"),
        ("srv-data.service", ""),
        ("srv-data", ""),
    ],
)
def test_the_name_of_a_mount_unit_tells_where_it_mounts(unit, place):
    assert mounts.place_of(unit) == place
