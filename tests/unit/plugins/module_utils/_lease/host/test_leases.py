# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import leases


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(leases, "FOLDER", str(tmp_path / "etc"))
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc"


GOOD = ["d", "0", "db-1_a", "a" * 50]
BAD = ["", "-a", "_a", "A", "a.b", "a/b", "..", "a b", "a@b", "a%n", "a\\x2db", "é", "a\n", "a" * 51]


@pytest.mark.parametrize("name", GOOD)
def test_a_name_that_units_can_have_is_good(name):
    leases.check_name(name)


@pytest.mark.parametrize("name", BAD)
def test_every_other_name_is_refused(name):
    with pytest.raises(BadOption, match=r"^name is .*: use 1 to 50 lower-case letters, digits, - and _, with a letter"):
        leases.check_name(name)


def test_a_lease_has_its_configuration_in_the_folder(folder):
    assert leases.path_of("db") == f"{folder}/db.json"


def test_the_leases_of_the_host_are_those_that_have_a_configuration(folder):
    for name in GOOD:
        (folder / f"{name}.json").write_text("")
    for name in ("db.credentials", "old.json.rpmsave", "A lease.json", "a.b.json", ".json", "json"):
        (folder / name).write_text("")
    assert sorted(leases.names()) == sorted(GOOD)


def test_a_host_without_the_folder_has_no_leases(folder):
    folder.rmdir()
    assert leases.names() == []
