# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import subprocess

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import connection
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import (
    command,
    daemon,
    leases,
    output,
    runtime,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight import run as asking
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.report import ESSENTIAL, Check, Report


@pytest.fixture(autouse=True)
def _host(monkeypatch, tmp_path):
    """A host of its own: /etc/s3-leader and /run/s3-leader, and nothing in its environment."""
    monkeypatch.setattr(leases, "FOLDER", str(tmp_path / "etc"))
    monkeypatch.setattr(runtime, "FOLDER", str(tmp_path / "run"))
    (tmp_path / "etc").mkdir()
    (tmp_path / "run").mkdir()
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def tell(tmp_path):
    """A daemon tells how its lease stands."""

    def tell(name, role, until=None, **told):
        (tmp_path / "run" / name).mkdir(exist_ok=True)
        known = dict(name=name, role=role, until=until, holder="web-2", term=7, reason="held by web-2", bucket="leases")
        (tmp_path / "run" / name / "status.json").write_text(json.dumps({**known, **told}))

    return tell


@pytest.fixture
def say(capsys):
    """Carries out a command: its status, and what it says and complains."""

    def say(*arguments):
        status = command.main(arguments)
        output = capsys.readouterr()
        return status, output.out, output.err

    return say


class Systemctl:
    """Notes how it is called, and ends with a status, or is not there."""

    def __init__(self):
        self.calls = []
        self.status = 0
        self.missing = False

        self.waits = []
        """What is done in each second of its life."""

    def __call__(self, arguments):
        self.calls.append(arguments)
        if self.missing:
            raise FileNotFoundError(2, "No such file or directory", "systemctl")
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        pass

    def wait(self, seconds):
        if self.waits:
            self.waits.pop(0)()
            raise subprocess.TimeoutExpired("systemctl", seconds)
        return self.status


@pytest.fixture
def systemctl(monkeypatch):
    stub = Systemctl()
    monkeypatch.setattr(subprocess, "Popen", stub)
    return stub


SOON = 3600.0


def leads():
    return Clock().now() + SOON


# -- check ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "ahead", "status"), [("leader", SOON, 0), ("leader", -1, 1), ("standby", None, 1), ("away", None, 1)]
)
def test_check_says_by_its_status_whether_this_host_leads(tell, say, role, ahead, status):
    tell("db", role, until=None if ahead is None else Clock().now() + ahead)
    assert say("check", "db") == (status, "", "")


def test_check_knows_nothing_where_no_daemon_tells(say, tell, tmp_path):
    assert say("check", "db") == (2, "", "s3-leader: no daemon of the lease db runs here\n")
    tell("db", "leader", until=leads())
    (tmp_path / "run" / "db" / "status.json").write_text('"garbage"')
    assert say("check", "db")[0] == 2


@pytest.mark.parametrize("arguments", [("check",), ("status",), ("step-down",), ("heartbeat",), ("preflight",)])
def test_a_name_that_is_none_is_refused_by_every_command(say, arguments):
    status, out, error = say(*arguments, "../db")
    assert (status, out) == (2, "")
    assert error.startswith('s3-leader: name is "../db": use 1 to 50 lower-case letters')


# -- status -----------------------------------------------------------------------------------------------------------


def test_status_is_a_table_for_people(say, tell):
    tell("db", "leader", until=leads(), holder="web-1", reason="leads with term 7")
    tell("cron-jobs", "standby")
    tell("vip", "leader", until=0.0)
    tell("new", "standby", holder=None, term=None, reason="free: no object found")
    status, out, error = say("status")
    assert (status, error) == (0, "")
    assert out.splitlines() == [
        "LEASE      ROLE      TERM  HOLDER",
        "cron-jobs  standby   7     web-2   held by web-2",
        "db         leader    7     web-1   leads with term 7",
        "new        standby   -     -       free: no object found",
        "vip        stopping  7     web-2   the lease was not renewed in time, so its services are stopped",
    ]


ENDED = dict(
    term=6,
    holder="web-2",
    session="5f2f2b0f",
    acquired_at="2026-11-23T04:49:36.000Z",
    ended_at="2026-11-23T05:02:11.000Z",
    how="broken",
    by="alice",
    reason="it burnt down",
)
EXPIRED = dict(ENDED, term=0, acquired_at=None, ended_at="2026-11-23T04:49:30.000Z", how="expired", by="", reason="")


def test_status_of_a_lease_that_is_named_tells_of_its_earlier_terms(say, tell):
    tell("db", "standby", history=[ENDED, EXPIRED])
    told = say("status", "db")[1]
    assert told.splitlines()[2:] == [
        "",
        "Earlier terms of db:",
        "TERM  HOLDER  FROM                      UNTIL",
        "6     web-2   2026-11-23T04:49:36.000Z  2026-11-23T05:02:11.000Z  broken by alice: it burnt down",
        "-     web-2   -                         2026-11-23T04:49:30.000Z  expired",
    ]
    assert "Earlier" not in say("status")[1]
    assert json.loads(say("status", "--json")[1])["db"]["history"] == [ENDED, EXPIRED]


@pytest.mark.parametrize(
    "history",
    [None, {}, "ended", [None], [{}], [{**ENDED, "how": "\x1b[2J"}], [{**ENDED, "term": "6"}], [{**ENDED, "more": 1}]],
)
def test_earlier_terms_that_are_malformed_are_left_out(say, tell, history):
    tell("db", "standby", history=history)
    assert len(say("status", "db")[1].splitlines()) == 2
    assert json.loads(say("status", "--json")[1])["db"]["history"] == []


def test_status_of_leases_that_are_named_tells_also_of_those_without_a_daemon(say, tell):
    tell("db", "standby")
    tell("other", "standby")
    assert say("status", "gone", "db")[1].splitlines()[1:] == [
        "gone   stopped  -     -       no daemon of this lease runs here: see systemctl status s3-leader@gone",
        "db     standby  7     web-2   held by web-2",
    ]


def test_status_tells_of_a_lease_that_is_configured_and_has_no_daemon(say, configure):
    configure()
    assert (
        say("status")[1].splitlines()[1].startswith("db     stopped  -     -       no daemon of this lease runs here")
    )
    assert json.loads(say("status", "--json")[1])["db"]["is_leader"] is False


def test_status_on_a_host_without_any_says_so(say):
    assert say("status") == (0, "This host takes part in no lease.\n", "")
    assert say("status", "--json") == (0, "{}\n", "")


def test_status_as_json_has_the_same_for_programs(say, tell):
    tell("db", "leader", until=leads())
    told = json.loads(say("status", "--json", "db", "gone")[1])
    assert told["db"] == dict(
        name="db",
        role="leader",
        is_leader=True,
        holder="web-2",
        term=7,
        slot=None,
        reason="held by web-2",
        bucket="leases",
        source="local",
        history=[],
    )
    assert told["gone"] == dict(
        name="gone",
        role="stopped",
        is_leader=False,
        holder=None,
        term=None,
        slot=None,
        reason="no daemon of this lease runs here: see systemctl status s3-leader@gone",
        source="local",
        history=[],
    )


@pytest.mark.parametrize("text", ["[" * 60000, '{"role": "leader", "until": 1e15, "reason": "\\u001b]0;a\\u0007"}'])
def test_a_status_that_is_unreadable_is_told_and_nothing_of_it_gets_to_the_terminal(
    say, tell, tmp_path, systemctl, text
):
    tell("db", "leader", until=leads())
    (tmp_path / "run" / "db" / "status.json").write_text(text)
    status, out, error = say("status")
    assert (status, error) == (0, "")
    assert out.splitlines()[1:] == [
        "db     stopped  -     -       the status of its daemon is unreadable: see systemctl status s3-leader@db"
    ]
    assert json.loads(say("status", "--json")[1])["db"]["is_leader"] is False
    assert say("check", "db") == (2, "", "s3-leader: the status of the lease db is unreadable\n")
    assert say("step-down", "db")[0] == 0
    assert len(systemctl.calls) == 1


def test_status_of_a_daemon_that_tells_less_is_no_stack_trace(say, tell, tmp_path):
    tell("db", "standby")
    (tmp_path / "run" / "db" / "status.json").write_text('{"role": "standby", "until": null}')
    assert say("status")[1].splitlines()[1].startswith("db     standby  -     -")


def test_status_is_watched_until_somebody_interrupts(say, tell, monkeypatch):
    tell("db", "standby")
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        tell("db", "leader", until=leads())
        if len(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(output.time, "sleep", sleep)
    status, out, _error = say("status", "--watch")
    assert (status, pauses) == (130, [2, 2])
    assert ["standby" in screen for screen in out.split("\033[H\033[2J")] == [False, True, False]


# -- heartbeat --------------------------------------------------------------------------------------------------------


@pytest.fixture
def configure(tmp_path):
    def configure(text=None, **options):
        text = json.dumps({"key": "jobs/db", **options}) if text is None else text
        (tmp_path / "etc" / "db.json").write_text(text)

    return configure


@pytest.fixture
def never_run(monkeypatch):
    def run(name):
        raise AssertionError("the daemon was started")

    monkeypatch.setattr(daemon, "run", run)


@pytest.mark.usefixtures("never_run")
def test_a_good_configuration_is_checked_without_a_word(say, configure, tmp_path):
    configure(endpoint_url="http://127.0.0.1:1", region="us-east-1")
    assert say("heartbeat", "--check", "db") == (0, "", "")
    (tmp_path / "new").write_text('{"key": "/"}')
    for arguments in (("--check", "--file"), ("--file",)):
        status, _out, error = say("heartbeat", *arguments, str(tmp_path / "new"), "db")
        assert (status, error.startswith('s3-leader: key is "/"')) == (2, True)


@pytest.mark.usefixtures("never_run")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(text="{"), "it is not JSON"),
        (dict(text="{}"), "it has to be an object with at least a key"),
        (dict(secret_key="hunter2"), "secret_key is ***"),
        (dict(lease_duration=20), "two renewals have to fit in"),
        (dict(endpoint_url="https://root:hunter2@h"), "endpoint_url is ***"),
        (dict(credentials_file="/nowhere/hunter3"), 'credentials_file is "/nowhere/hunter3": No such file'),
        (dict(profile="nobody"), 'profile is "nobody": neither ~/.aws/config nor'),
        (dict(endpoint_url="https://h", aws_ca_bundle="/nowhere"), 'aws_ca_bundle is "/nowhere"'),
        (dict(region="a region"), 'region is "a region"'),
    ],
)
def test_a_configuration_that_cannot_be_used_is_told_on_one_line(say, configure, options, words):
    configure(**options)
    status, out, error = say("heartbeat", "--check", "db")
    assert (status, out) == (2, "")
    assert error.startswith("s3-leader: ")
    assert error.count("\n") == 1
    assert words in error
    assert "hunter2" not in error


@pytest.mark.parametrize("status", [0, 75])
def test_the_daemon_ends_with_its_own_status(say, monkeypatch, status):
    started = []
    monkeypatch.setattr(daemon, "run", lambda name: started.append(name) or status)
    assert say("heartbeat", "db") == (status, "", "")
    assert started == ["db"]


def test_a_daemon_without_a_folder_in_run_says_so_on_one_line(say, configure, tmp_path, monkeypatch):
    monkeypatch.setattr(daemon.systemd, "hold_signals", lambda: None)
    configure()
    assert say("heartbeat", "db") == (
        2,
        "",
        f"s3-leader: [Errno 2] No such file or directory: '{tmp_path}/run/db/lock'\n",
    )


@pytest.mark.usefixtures("never_run")
@pytest.mark.parametrize("arguments", [("heartbeat",), ("heartbeat", "--check"), ("preflight",)])
def test_without_botocore_what_asks_a_store_says_what_to_install(say, configure, monkeypatch, arguments):
    monkeypatch.setattr(connection, "MISSING_LIBRARY", ImportError("No module named 'botocore'"))
    configure()
    status, _out, error = say(*arguments, "db")
    assert status == 2
    assert "install python3-boto3 (No module named 'botocore')" in error


@pytest.mark.usefixtures("systemctl")
def test_without_botocore_what_asks_this_host_works(say, tell, monkeypatch):
    monkeypatch.setattr(connection, "MISSING_LIBRARY", ImportError("No module named 'botocore'"))
    tell("db", "leader", until=leads())
    assert say("check", "db")[0] == say("status")[0] == say("step-down", "db")[0] == 0


# -- step-down --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "seconds"), [((), 60), (("--for", "3.5"), 3.5), (("--for", "5m"), 300)])
def test_to_step_down_the_daemon_is_told_to_stay_away_and_a_unit_stops_and_starts_it(
    say, tell, systemctl, arguments, seconds
):
    tell("db", "leader", until=leads())
    before = Clock().now()
    assert say("step-down", "db", *arguments) == (0, "", "")
    noted = runtime.stepped_down("db")
    assert before + seconds - 0.001 <= noted.until <= Clock().now() + seconds + 0.001
    assert (round(noted.until - noted.at, 3), noted.successor) == (seconds, "")
    assert systemctl.calls == [["systemctl", "start", "s3-leader-step-down@db.service"]]


def test_what_a_step_down_waits_for_is_told_once(say, tell, systemctl):
    tell("db", "leader", until=leads())
    os.makedirs(runtime.serving_path_of("db"))
    for unit in ("app.service", "app.service", "data.mount"):
        text = "waits for the end of %s" % unit
        systemctl.waits.append(lambda text=text: runtime.write(runtime.serving_path_of("db", "waiting"), text))
    told = "s3-leader: waits for the end of app.service\ns3-leader: waits for the end of data.mount\n"
    assert say("step-down", "db") == (0, "", told)


def test_the_leader_says_who_is_to_lead_next(say, tell, systemctl):
    tell("db", "leader", until=leads(), holder="app-1")
    assert say("step-down", "db", "--to", "app-2") == (0, "", "")
    assert runtime.stepped_down("db").successor == "app-2"
    assert len(systemctl.calls) == 1


@pytest.mark.parametrize(
    ("role", "to", "told"),
    [
        ("standby", "app-2", "this host does not lead db, so it can hand over nothing to app-2"),
        ("leader", "app-1", "app-1 is the holder of this host: name another one"),
        ("leader", "", 'holder is "": use 1 to 255 printable characters'),
        ("leader", "app\n2", 'holder is "app\\n2": use 1 to 255 printable characters'),
    ],
)
def test_a_successor_that_cannot_be_one_is_refused(say, tell, systemctl, role, to, told):
    tell("db", role, until=leads() if role == "leader" else None, holder="app-1")
    assert say("step-down", "db", "--to", to) == (2, "", f"s3-leader: {told}\n")
    assert systemctl.calls == []
    assert runtime.stepped_down("db").at == 0


def test_a_successor_whose_name_is_a_part_of_ones_own_is_another_host(say, tell, systemctl):
    tell("db", "leader", until=leads(), holder="app-10")
    assert say("step-down", "db", "--to", "app-1") == (0, "", "")


def test_all_leases_of_a_host_are_handed_over_at_once(say, tell, systemctl):
    tell("db", "leader", until=leads(), holder="app-1")
    tell("web", "standby")
    assert say("step-down", "--all", "--to", "app-2") == (0, "", "")
    units = ["s3-leader-step-down@db.service", "s3-leader-step-down@web.service"]
    assert systemctl.calls == [["systemctl", "start", *units]]
    noted = [runtime.stepped_down(name) for name in ("db", "web")]
    assert [(one.until > 0, one.successor) for one in noted] == [(True, "app-2"), (True, "")]


@pytest.mark.parametrize(
    ("role", "told"),
    [
        ("leader", "app-1 is the holder of this host: name another one"),
        ("standby", "this host leads by no lease, so it can hand over nothing to app-1"),
    ],
)
def test_of_all_leases_too_a_successor_has_to_be_another_host(say, tell, systemctl, role, told):
    tell("db", role, until=leads() if role == "leader" else None, holder="app-1")
    assert say("step-down", "--all", "--to", "app-1") == (2, "", f"s3-leader: {told}\n")
    assert systemctl.calls == []


def test_a_step_down_that_fails_has_no_effect_later(say, tell, systemctl, monkeypatch):
    for name in ("cron", "db", "web"):
        tell(name, "leader", until=leads(), holder="app-1")
    systemctl.status = 1
    assert say("step-down", "--all", "--to", "app-2")[0] == 2
    write = runtime.write

    def full(path, text):
        if "db.away" in path:
            raise OSError(28, "No space left on device", path)
        write(path, text)

    monkeypatch.setattr(runtime, "write", full)
    status, _out, error = say("step-down", "--all", "--to", "app-2")
    assert (status, "No space left on device" in error, len(systemctl.calls)) == (2, True, 1)
    assert [runtime.stepped_down(name).at for name in ("cron", "db", "web")] == [0, 0, 0]


def test_of_all_leases_it_is_told_which_one_waits_even_if_there_is_one(say, tell, systemctl):
    tell("web", "leader", until=leads())
    os.makedirs(runtime.serving_path_of("web"))
    systemctl.waits.append(lambda: runtime.write(runtime.serving_path_of("web", "waiting"), "waits for data.mount"))
    assert say("step-down", "--all") == (0, "", "s3-leader: web: waits for data.mount\n")


def test_of_several_leases_it_is_told_which_one_waits(say, tell, systemctl):
    tell("db", "leader", until=leads())
    tell("web", "leader", until=leads())
    os.makedirs(runtime.serving_path_of("web"))
    systemctl.waits.append(lambda: runtime.write(runtime.serving_path_of("web", "waiting"), "waits for data.mount"))
    assert say("step-down", "--all") == (0, "", "s3-leader: web: waits for data.mount\n")


def test_without_any_daemon_there_is_nothing_at_all_to_hand_over(say, systemctl):
    told = "s3-leader: no daemon of a lease runs here, so there is nothing to hand over\n"
    assert say("step-down", "--all") == (2, "", told)
    assert systemctl.calls == []


@pytest.mark.parametrize("arguments", [(), ("db", "--all")])
def test_a_step_down_is_from_one_lease_or_from_all(say, arguments, capsys):
    with pytest.raises(SystemExit):
        say("step-down", *arguments)
    assert "--all" in capsys.readouterr().err


def test_a_stop_that_fails_is_a_failure(say, tell, systemctl):
    systemctl.status = 1
    tell("db", "standby")
    assert say("step-down", "db")[0] == 2


def test_without_systemctl_it_says_so(say, tell, systemctl):
    systemctl.missing = True
    tell("db", "standby")
    assert say("step-down", "db") == (2, "", "s3-leader: [Errno 2] No such file or directory: 'systemctl'\n")


def test_who_is_not_root_is_told_that_it_takes_root(say, tell, systemctl, monkeypatch):
    tell("db", "leader", until=leads())

    def write(path, _text):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(runtime, "write", write)
    status, out, error = say("step-down", "db")
    assert (status, out) == (2, "")
    assert error == f"s3-leader: [Errno 13] Permission denied: '{runtime.FOLDER}/db.away'. Only root can do this\n"
    assert systemctl.calls == []


def test_without_a_daemon_there_is_nothing_to_hand_over(say, systemctl, tmp_path):
    status, _out, error = say("step-down", "db")
    assert (status, error) == (
        2,
        "s3-leader: no daemon of the lease db runs here, so there is nothing to hand over\n",
    )
    assert systemctl.calls == []
    assert os.listdir(tmp_path / "run") == []


@pytest.mark.parametrize("seconds", ["0", "-1", "604801", "8d"])
def test_a_time_to_stay_away_that_is_none_is_refused(say, tell, systemctl, seconds):
    tell("db", "leader", until=leads())
    status, _out, error = say("step-down", "db", "--for=" + seconds)
    assert (status, error.startswith("s3-leader: --for is ")) == (2, True)
    assert systemctl.calls == []


def test_what_is_no_time_is_refused_with_how_the_command_is_used(say, tell, systemctl, capsys):
    tell("db", "leader", until=leads())
    with pytest.raises(SystemExit):
        say("step-down", "db", "--for=nan")
    assert "argument --for: 'nan': use a number of seconds, or a duration" in capsys.readouterr().err
    assert systemctl.calls == []


# -- preflight --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        ("pass", 0, "safe: the store can be"),
        ("fail", 1, "unsafe: the store cannot"),
        ("unknown", 2, "unknown: it is not"),
    ],
)
def test_preflight_asks_about_the_store_of_the_lease(say, configure, monkeypatch, found, status, words):
    asked = []

    def preflight(endpoint, location, connection):
        asked.append((endpoint.endpoint_url, str(location), connection.url))
        return Report(tuple(Check(name, found, "it was seen", "Mend it") for name in ESSENTIAL), 1, 1.0)

    monkeypatch.setattr(asking, "preflight", preflight)
    configure(endpoint_url="http://127.0.0.1:1", region="us-east-1")
    ended, out, error = say("preflight", "db")
    assert (ended, error) == (status, "")
    assert out.splitlines()[0] == "%-8s create           it was seen. Mend it" % found
    assert out.splitlines()[-1].startswith(words)
    lease = "leader-election/jobs/db"
    assert asked == [("http://127.0.0.1:1", f"s3://{lease}", f"http://127.0.0.1:1/{lease}")]
