# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _unit_files
from ansible_collections.leaderelection.s3.plugins.plugin_utils._unit_files import DROPINS, UNITS

EVERYTHING = _unit_files.files("db", ["a.service", "b.timer"], _unit_files.HOOKS, DROPINS)


def test_a_lease_without_services_and_hooks_has_what_its_daemon_and_its_target_need():
    assert _unit_files.files("db", [], [], DROPINS) == [
        dict(lease="db", path=f"{UNITS}/s3-leader@db.service.d/s3-leader-db.conf", template="daemon.conf"),
        dict(lease="db", path=f"{UNITS}/s3-leader-active@db.target.d/s3-leader-db.conf", template="target.conf"),
    ]


def test_each_service_and_each_hook_has_files_of_its_own():
    assert {file["path"]: file["template"] for file in EVERYTHING[2:]} == {
        f"{UNITS}/s3-leader-acquired@db.service": "acquired.service",
        f"{UNITS}/s3-leader-lost@db.service": "lost.service",
        f"{UNITS}/s3-leader-error@db.path": "error.path",
        f"{UNITS}/s3-leader-error@db.service": "error.service",
        f"{DROPINS}/a.service.d/zzz-s3-leader-db.conf": "service.conf",
        f"{DROPINS}/b.timer.d/zzz-s3-leader-db.conf": "service.conf",
    }


def test_every_hook_is_started_by_a_unit_that_it_has():
    paths = {file["path"] for file in EVERYTHING}
    assert {f"{UNITS}/{_unit_files.hook_unit(hook, 'db')}" for hook in _unit_files.HOOKS} <= paths


def test_every_file_of_a_lease_is_found_by_its_name_and_none_of_another_lease():
    def is_found(file, lease):
        return any(fnmatchcase(file["path"].rpartition("/")[2], pattern) for pattern in _unit_files.patterns(lease))

    assert [file for file in EVERYTHING if not is_found(file, "db")] == []
    assert [file for file in EVERYTHING if is_found(file, "b")] == []


@pytest.mark.parametrize(
    ("devices", "folder"),
    [
        (["1", "1", "1", "1", "1", "1"], DROPINS),
        (["1", "1"], DROPINS),  # it is made on one of the two
        (["1", "2", "2", "2"], DROPINS),
        (["1", "1", "3"], UNITS),
        (["1", "1", "3", "3"], UNITS),
        (["1", "2", "2", "3"], UNITS),
        ([], DROPINS),
    ],
)
def test_drop_ins_are_where_systemd_finds_them_at_boot(devices, folder):
    assert _unit_files.dropin_folder(devices) == folder
