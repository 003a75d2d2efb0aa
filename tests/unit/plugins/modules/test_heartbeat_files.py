# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.leaderelection.s3.plugins.modules import heartbeat_files
from support import module

UNIT = "[Service]\nExecStart=/usr/bin/app\n"
DROPIN = "[Unit]\nPartOf=other.target\n"
ANALYZE = """\
#!/bin/sh
cd "{root}" || exit
echo "$1 $2" >> log/options
shift 2
for unit; do basename "$unit" >> log/names; cat "$unit" >> log/texts; done
find etc -type f >> log/found
cat log/errors >&2
exit "$(cat log/status)"
"""


class Analyze:
    """A systemd-analyze that records what it is given and which files are there then, and answers as it is told."""

    def __init__(self, root):
        self._log = root / "log"
        self._log.mkdir()
        (root / "bin").mkdir()
        (root / "bin" / "systemd-analyze").write_text(ANALYZE.format(root=root))
        (root / "bin" / "systemd-analyze").chmod(0o755)
        self.answers(0, "")

    def answers(self, status, errors):
        (self._log / "status").write_text(str(status))
        (self._log / "errors").write_text(errors)

    def lines(self, name):
        file = self._log / name
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def analyze(monkeypatch, tmp_path):
    analyze = Analyze(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return analyze


@pytest.fixture
def etc(tmp_path):
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc"


@pytest.fixture
def write(tmp_path, etc, analyze):
    """Runs the module on files below that folder, with a temporary folder of the test's."""
    (tmp_path / "tmp").mkdir()

    def run(files, **options):
        given = dict(files={f"{etc}/{name}": text for name, text in files.items()}, mode="0644")
        told = module.run(heartbeat_files.main, **dict(given, _ansible_tmpdir=str(tmp_path / "tmp"), **options))
        assert list((tmp_path / "tmp").iterdir()) == []
        return told

    return run


BOTH = {"app.service": UNIT, "app.service.d/own.conf": DROPIN}


def there(etc):
    return {str(file.relative_to(etc)): file.read_text() for file in etc.rglob("*") if file.is_file()}


def mode(path):
    return path.stat().st_mode & 0o777


# -- What is written


def test_the_files_are_there_with_their_folders_and_a_second_time_nothing_changes(write, etc, analyze):
    before = os.umask(0o077)
    try:
        told = write({**BOTH, "far/away/b.timer": UNIT})
    finally:
        os.umask(before)
    paths = [f"{etc}/{name}" for name in (*BOTH, "far/away/b.timer")]
    assert (told["failed"], told["changed"], told["written"]) == (False, True, paths)
    assert there(etc) == {**BOTH, "far/away/b.timer": UNIT}
    assert [mode(etc / name) for name in there(etc)] == [0o644] * 3
    assert [mode(etc / name) for name in ("app.service.d", "far", "far/away")] == [0o755] * 3
    again = write({**BOTH, "far/away/b.timer": UNIT})
    assert (again["changed"], again["written"]) == (False, [])
    assert len(analyze.lines("options")) == 1, "what is there already was verified before"


def test_only_what_is_another_one_is_written_and_verified(write, etc, analyze):
    write({**BOTH, "b.timer": UNIT})
    (etc / "b.timer").write_text("old")
    told = write({**BOTH, "b.timer": UNIT})
    assert (told["changed"], told["written"]) == (True, [f"{etc}/b.timer"])
    assert there(etc) == {**BOTH, "b.timer": UNIT}
    assert analyze.lines("names") == ["app.service", "b.timer", "b.timer"]


def test_files_that_are_not_named_are_left_alone(write, etc):
    (etc / "mine.service").write_text("mine")
    write(BOTH)
    assert there(etc) == {**BOTH, "mine.service": "mine"}


def test_a_file_that_is_not_a_text_is_replaced(write, etc):
    (etc / "app.service").write_bytes(b"\xff")
    assert write({"app.service": UNIT})["written"] == [f"{etc}/app.service"]
    assert there(etc) == {"app.service": UNIT}


def test_a_folder_that_others_cannot_read_is_set_right(write, etc):
    write(BOTH)
    (etc / "app.service.d").chmod(0o700)
    assert write(BOTH)["changed"] is True
    assert mode(etc / "app.service.d") == 0o755


def test_no_text_is_in_the_result_or_in_the_journal_unless_somebody_asks_for_the_diff(write, monkeypatch):
    logged = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _module, text, **_options: logged.append(text))
    told = write({"app.service.d/own.conf": "[Service]\nEnvironment=TOKEN=secret\n"})
    assert told["changed"] is True
    assert "secret" not in str(told)
    assert "secret" not in str(logged)


def test_a_mode_that_is_another_one_is_set_right(write, etc):
    write(BOTH)
    (etc / "app.service").chmod(0o600)
    told = write(BOTH)
    assert (told["changed"], told["written"]) == (True, [])
    assert mode(etc / "app.service") == 0o644


def test_what_the_files_contain_before_and_after_is_the_diff(write, etc):
    (etc / "app.service").write_text("old")
    told = write(BOTH, diff=True)
    unit, dropin = (f"{etc}/{name}" for name in BOTH)
    assert told["diff"] == [
        dict(before_header=unit, after_header=unit, before="old", after=UNIT),
        dict(before_header=dropin, after_header=dropin, before="", after=DROPIN),
    ]


# -- Check mode


def test_check_mode_tells_what_it_would_write_and_writes_nothing(write, etc):
    (etc / "app.service").write_text("old")
    told = write(BOTH, check=True, diff=True)
    assert (told["failed"], told["changed"]) == (False, True)
    assert told["written"] == [f"{etc}/{name}" for name in BOTH]
    assert [one["after"] for one in told["diff"]] == [UNIT, DROPIN]
    assert there(etc) == {"app.service": "old"}
    assert not (etc / "app.service.d").exists()


def test_check_mode_tells_that_a_mode_would_be_set_right(write, etc):
    write(BOTH)
    (etc / "app.service").chmod(0o600)
    told = write(BOTH, check=True)
    assert (told["changed"], told["written"]) == (True, [])
    assert mode(etc / "app.service") == 0o600


def test_check_mode_finds_nothing_to_do_when_all_is_there(write):
    write(BOTH)
    assert write(BOTH, check=True)["changed"] is False


# -- What systemd verifies


def test_units_are_verified_together_by_their_names_before_any_file_is_written(write, analyze):
    write({**BOTH, "b.timer": "[Timer]\n"})
    assert analyze.lines("options") == ["verify --man=no"]
    assert analyze.lines("names") == ["app.service", "b.timer"]
    assert analyze.lines("texts") == (UNIT + "[Timer]\n").splitlines()
    assert analyze.lines("found") == []


def test_units_that_systemd_does_not_accept_are_not_written_and_nothing_else_is(write, etc, analyze):
    (etc / "b.timer").write_text("old")
    analyze.answers(1, "app.service: Unknown key 'ExecStrat'\n")
    told = write({"app.service.d/own.conf": DROPIN, "b.timer": "[Timer]\n", "app.service": UNIT})
    assert told["failed"] is True
    assert told["msg"] == "systemd does not accept the units: app.service: Unknown key 'ExecStrat'"
    assert there(etc) == {"b.timer": "old"}
    assert not (etc / "app.service.d").exists()


def test_check_mode_verifies_nothing_since_what_the_units_run_may_be_missing(write, analyze):
    analyze.answers(1, "app.service: Command /usr/bin/app is not executable")
    assert write(BOTH, check=True)["changed"] is True
    assert analyze.lines("options") == []


def test_drop_ins_are_not_verified_alone(write, etc, analyze):
    analyze.answers(1, "Unit name own.conf is not valid")
    told = write({"app.service.d/own.conf": DROPIN})
    assert (told["failed"], told["changed"]) == (False, True)
    assert there(etc) == {"app.service.d/own.conf": DROPIN}
    assert analyze.lines("options") == []


def test_a_unit_that_systemd_only_warns_of_is_written(write, etc, analyze):
    analyze.answers(0, "app.service: a warning\n")
    assert write(BOTH)["failed"] is False
    assert there(etc) == BOTH


def test_without_systemd_nothing_is_written(write, etc, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    told = write(BOTH)
    assert told["failed"] is True
    assert "systemd-analyze" in str(told)
    assert there(etc) == {}


# -- What a command verifies

CHECK = """\
#!/bin/sh
echo "$2 $(basename "$3") $4" >> "{root}/log/checked"
grep -q good "$3" || {{ echo "not good" >&2; exit 2; }}
"""


@pytest.fixture
def check(tmp_path, analyze):
    """The words of a command that takes what is good."""
    (tmp_path / "bin" / "check").write_text(CHECK.format(root=tmp_path))
    (tmp_path / "bin" / "check").chmod(0o755)
    return [f"{tmp_path}/bin/check", "it", "--file"]


def test_what_ends_in_json_is_verified_by_the_command_that_is_given(write, etc, analyze, check):
    files = {"db.json": '"good"', "web.json": '"good, too"', "app.service": UNIT}
    assert write(files, validate=check)["failed"] is False
    assert there(etc) == files
    assert analyze.lines("checked") == ["--file db.json db", "--file web.json web"]
    assert analyze.lines("names") == ["app.service"]
    write(files, validate=check)
    assert len(analyze.lines("checked")) == 2, "what is there already was verified before"


def test_what_the_command_refuses_is_not_written_and_nothing_else_is(write, etc, check):
    told = write({"app.service": UNIT, "db.json": "{}"}, validate=check)
    assert (told["failed"], told["msg"]) == (True, "db.json is refused: not good")
    assert there(etc) == {}


def test_without_a_command_it_is_not_verified(write, etc, analyze):
    assert write({"db.json": "{}"})["failed"] is False
    assert analyze.lines("options") == []


def test_a_file_that_is_new_is_never_for_others_before_it_has_its_mode(write, etc, monkeypatch):
    modes = []
    settle = AnsibleModule.set_fs_attributes_if_different
    monkeypatch.setattr(
        AnsibleModule,
        "set_fs_attributes_if_different",
        lambda module, attributes, changed: modes.append(mode(etc / "secret")) or settle(module, attributes, changed),
    )
    write({"secret": "key"})
    assert (modes[-1], mode(etc / "secret")) == (0o600, 0o644)
