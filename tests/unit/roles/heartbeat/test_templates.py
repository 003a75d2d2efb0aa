# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the role's templates, variables and tasks and in the daemon's code, too, is the same in both."""

from __future__ import annotations

import os
import re
import shlex
from fnmatch import fnmatchcase

import pytest
from ansible_collections.leaderelection.s3.plugins.filter.heartbeat_plan import heartbeat_plan
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import (
    command,
    credentials,
    daemon,
    fence,
    leases,
    runtime,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.config import Config
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _unit_files, _units
from support.documents import ROOT, text_of
from support.role import ROLE, TEXTFILES, files, items, script, settings, tasks, units, value, variables

LEASE = dict(
    name="db",
    key="jobs/db",
    services=["a.service", "b.timer"],
    stop_timeout=8,
    hook_timeout=7,
    on_acquired="/bin/acquired",
    on_lost="/bin/lost",
    on_error="/bin/error",
    load_credential="/etc/keys",
)
VARIABLES = variables()
UNITS = units(LEASE)
NAMES = {os.path.basename(path) for path in UNITS if not path.endswith(".conf")}
TASKS = {file.name: file.read_text() for file in sorted((ROLE / "tasks").iterdir())}


def unit(name):
    """A unit, or the drop-in of one."""
    (found,) = (text for path, text in UNITS.items() if name in (os.path.basename(path), path.split("/")[-2][:-2]))
    return found


def all_settings(name):
    return {value for text in UNITS.values() for value in settings(text, name)}


def seconds(name, setting):
    (value,) = settings(unit(name), setting)
    return float(value.removesuffix("s"))


# -- folders


def test_the_daemon_and_the_filter_find_what_is_where_the_role_puts_it():
    assert VARIABLES["heartbeat__etc"] == leases.FOLDER
    assert VARIABLES["heartbeat__run"] == runtime.FOLDER
    assert VARIABLES["heartbeat__serving"] == os.path.dirname(runtime.serving_path_of("db").rstrip("/"))
    assert VARIABLES["heartbeat__units"] == _unit_files.UNITS


def test_systemd_makes_the_folders_in_run_that_the_daemon_and_the_fence_know():
    assert [f"/run/{name}/" for name in settings(unit("s3-leader@.service"), "RuntimeDirectory")] == [
        runtime.path_of("db")
    ]
    assert [f"/run/{name}/" for name in settings(unit("s3-leader-serving@.service"), "RuntimeDirectory")] == [
        runtime.serving_path_of("db")
    ]


def test_every_folder_is_removed_with_the_role():
    in_run = {f"/run/{name.partition('/')[0]}" for name in all_settings("RuntimeDirectory")}
    assert {leases.FOLDER, VARIABLES["heartbeat__lib"], VARIABLES["heartbeat__command"], *in_run} <= looped_over(
        "remove.yml", heartbeat_venv=""
    )


def test_every_file_of_a_lease_is_removed_with_it():
    keys = dict(access_key="AKIA", secret_key="hidden")
    written = heartbeat_plan([dict(name="db", key="jobs/db", **keys)])["leases"]["db"]["config"]["credentials_file"]
    assert looped_over("leave.yml", heartbeat__leaving=["db"]) == {
        leases.path_of("db"),
        runtime.away_path_of("db"),
        written,
    }
    assert [*files("credentials_files", dict(name="db", key="jobs/db", **keys))] == [written]
    assert {*files("lease_files", LEASE)} - {*UNITS} == {leases.path_of("db")}


def looped_over(file, **known):
    """All that tasks which remove files and folders loop over."""
    removing = [task for task in tasks(file) if task.get("ansible.builtin.file", {}).get("state") == "absent"]
    return {item for task in removing if "loop" in task for item in items(task, **known)}


def test_every_unit_and_every_drop_in_is_removed_with_the_role():
    (patterns,) = (task["vars"]["heartbeat__patterns"] for task in tasks("remove.yml") if "prune.yml" in str(task))
    names = [os.path.basename(path) for path in UNITS]
    assert [name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns)] == []


@pytest.mark.parametrize(
    "document",
    [
        "docs/getting_started.md",
        "docs/heartbeat.md",
        "roles/heartbeat/README.md",
        "roles/heartbeat/meta/argument_specs.yml",
    ]
    + [f"playbooks/{file.name}" for file in sorted((ROOT / "playbooks").glob("*.yml"))]
    + ["plugins/modules/heartbeat_code.py"],
)
def test_documents_name_the_paths_that_the_role_has(document):
    named = re.findall(r"/(?:run|etc|usr)(?:/local)?(?:/lib|/bin)?/s3-leader(?:-\w+)?", text_of(document))
    known = {VARIABLES[f"heartbeat__{name}"] for name in ("etc", "run", "serving", "lib", "command")}
    assert set(named) - known == set()
    drop_ins = re.findall(r"[\w-]*s3-leader-db\.conf", text_of(document))
    assert set(drop_ins) <= {os.path.basename(path) for path in UNITS}


def test_the_picture_of_a_host_has_the_units_of_the_role():
    drawn = re.findall(r">(s3-leader[\w@-]*\.\w+)<", (ROOT / "docs" / "pictures" / "host.svg").read_text())
    assert {name.replace("@db.", "@.") for name in drawn} <= set(VARIABLES["heartbeat__general_units"])
    assert len(drawn) == 6


# -- units and commands


def test_every_template_of_a_unit_is_installed():
    general = {file.name.removesuffix(".j2") for file in (ROLE / "templates").glob("s3-leader?*.*.j2")}
    assert general == {*VARIABLES["heartbeat__general_units"], TEXTFILES}


def test_every_script_that_a_unit_runs_is_installed():
    run = re.findall(rf"{VARIABLES['heartbeat__lib']}/([\w-]+\.sh)", "".join(UNITS.values()))
    assert VARIABLES["heartbeat__scripts"] == sorted({*run})


NAME = re.compile(r"\bs3-leader(?:-[a-z-]+)?@?(?:%s|db)?\.(?:service|path|target)\b")


def without_lease(names):
    return {re.sub(r"@(%s|db)", "@", name) for name in names}


def test_every_unit_that_something_names_is_installed():
    code = "".join(file.read_text() for file in (ROOT / "plugins/module_utils/_lease/host").glob("*.py"))
    named = NAME.findall("".join(UNITS.values())) + NAME.findall(code)
    for text in [*TASKS.values(), *(file.read_text() for file in (ROLE / "files").iterdir())]:
        named += NAME.findall(re.sub(r"@(\{\{ item \}\}|\"?\$\w+\"?)", "@", text))
    assert {fence.DAEMON, command.STEP_DOWN} <= set(named)
    assert without_lease(named) - without_lease(NAMES) == set()


def test_every_command_that_something_runs_is_one_that_there_is():
    lines = [script("s3_leader.fact"), *UNITS.values(), *TASKS.values()]
    called = re.escape(VARIABLES["heartbeat__command"]) + r"|\{\{ heartbeat__command \}\}"
    found = {
        arguments.replace("{{ item }}", "db").strip('"')
        for text in lines
        for arguments in re.findall(rf"(?:{called}) ([\w-].*)", text)
    }
    assert len(found) >= 5
    for arguments in found:
        command._parser().parse_args(shlex.split(arguments))


def test_the_command_runs_the_code_that_is_installed():
    folder, package = os.path.split(VARIABLES["heartbeat__code"])
    assert f'sys.path.insert(0, "{folder}")' in script("s3-leader")
    assert f"from {package}.host.command import main" in script("s3-leader")


def test_systemctl_is_asked_for_what_the_filter_reads():
    (template,) = (arguments for arguments in map(argv, tasks("plan.yml")) if "'show'" in arguments)
    asked = value(template, heartbeat__services=["a.socket", "a@.service"])
    properties = ",".join(_units.PROPERTIES)
    assert asked == ["systemctl", "show", f"--property={properties}", "--", "a.socket", "a@s3-leader.service"]


def argv(task):
    return task.get("ansible.builtin.command", {}).get("argv", "")


def test_a_credential_has_the_name_that_the_daemon_looks_for(tmp_path, monkeypatch):
    (loaded,) = settings(unit("s3-leader@db.service"), "LoadCredential")
    name, _colon, path = loaded.partition(":")
    (tmp_path / name).touch()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert (credentials._path(Config(name="db", key="db")), path) == (str(tmp_path / name), "/etc/keys")


# -- times


def test_the_watchdog_of_a_daemon_that_starts_is_a_standbys():
    assert seconds("s3-leader@.service", "WatchdogSec") == daemon.WATCHDOG


def test_the_mark_is_made_within_the_time_that_the_daemon_waits_for_services():
    assert seconds("s3-leader-serving@.service", "TimeoutStartSec") == daemon.STARTING


@pytest.mark.parametrize("request_timeout", [1, 2.5, 3, 60])
def test_a_daemon_that_is_stopped_has_the_time_to_end_a_request_and_to_give_the_lease_back(request_timeout):
    lease = dict(LEASE, request_timeout=request_timeout, lease_duration=600)
    (drop_in,) = (text for path, text in units(lease).items() if "s3-leader@db.service.d" in path)
    (value,) = settings(drop_in, "TimeoutStopSec")
    planned = float(value.removesuffix("s"))
    in_flight, release = request_timeout, 2 * request_timeout + protocol.WRITES_APART * 1.5
    assert in_flight + release + protocol.WRITES_APART / 2 < planned <= in_flight + release + 4
    assert planned == Config("db", "jobs/db", request_timeout=request_timeout, lease_duration=600).timing.time_to_end


def test_nothing_but_the_daemon_itself_uses_up_the_time_in_which_it_has_to_end():
    daemon_unit = UNITS[f"{_unit_files.UNITS}/s3-leader@.service"] + unit("s3-leader@db.service")
    assert settings(daemon_unit, "ExecStop") == settings(daemon_unit, "ExecStopPost") == []
    assert "After=s3-leader@db.service" in unit("s3-leader-fence@.service")  # so it has ended before


def test_a_daemon_starts_again_when_the_fence_has_ended_all_as_the_documents_say():
    after = seconds("s3-leader@db.service", "RestartSec") - Config.stop_grace
    assert after > 0
    assert set(re.findall(r"`stop_grace` (?:and|plus) (\S+) seconds later", text_of("docs/heartbeat.md"))) == {
        f"{after:g}"
    }


def test_services_and_hooks_have_the_times_that_were_planned_for_them():
    assert seconds("a.service", "TimeoutStopSec") == LEASE["stop_timeout"]
    for hook in ("acquired", "lost"):
        assert seconds(f"s3-leader-{hook}@db.service", "TimeoutStopSec") == LEASE["hook_timeout"]
    for hook in ("acquired", "lost", "error"):
        assert seconds(f"s3-leader-{hook}@db.service", "TimeoutStartSec") == LEASE["hook_timeout"]


# -- what a host needs


def test_the_daemon_the_fence_and_the_guard_are_the_last_that_the_kernel_kills():
    scores = [settings(unit(f"s3-leader{name}.service"), "OOMScoreAdjust") for name in ("@", "-fence@", "-guard")]
    assert scores[0]
    assert scores == [scores[0]] * 3


NEEDED = re.findall(r"systemd \| int >= (\d+)", TASKS["requirements.yml"])
"""Versions of systemd: for the role, and for each way to hand a credential over."""


@pytest.mark.parametrize("document", ["roles/heartbeat/README.md", "roles/heartbeat/meta/argument_specs.yml"])
def test_documents_name_the_versions_that_the_role_needs(document):
    (python,) = re.findall(r"sys.hexversion >= 0x(\d)0(\d)0000", TASKS["packages.yml"])
    assert set(re.findall(r"systemd (\d+) or newer", text_of(document))) == {NEEDED[0]}
    assert set(re.findall(r"Python ([\d.]+\d) or newer", text_of(document))) == {".".join(python)}


def test_the_versions_for_credentials_are_documented_and_told():
    specs = text_of("roles/heartbeat/meta/argument_specs.yml")
    assert re.findall(r"\(C\(LoadCredential\w*=\), systemd (\d+)", specs) == NEEDED[1:]
    (message,) = re.findall(r"is too old: (.*?)\.", " ".join(TASKS["requirements.yml"].split()))
    assert re.findall(r"\d+", message) == NEEDED


@pytest.mark.parametrize(
    ("folder", "is_usable"),
    [
        ("/var/lib/prometheus/node-exporter", True),
        ("/srv/a_b@c+d/.x", True),
        ("srv/metrics", False),
        ("/srv/my metrics", False),
        ("/srv/metrics/", False),
        ("/srv/%i", False),
        ("/srv/$x", False),
        ("/srv/../home/x", False),
        ("/home/x", False),
        ("/root", False),
        ("/run/user/0/x", False),
        ("/rootless", True),
    ],
)
def test_a_folder_of_metrics_is_refused_that_a_unit_cannot_name_or_does_not_see(folder, is_usable):
    (task,) = (task for task in tasks("requirements.yml") if "folder of metrics" in task["name"])
    conditions = task["ansible.builtin.assert"]["that"]
    assert all(value(one, heartbeat_textfile_directory=folder) for one in conditions) == is_usable
