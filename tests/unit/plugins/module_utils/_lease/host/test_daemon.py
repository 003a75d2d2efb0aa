# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import types
import unittest.mock

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import CannotSend
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import (
    daemon,
    leases,
    runtime,
    systemd,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.config import Config
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.daemon import (
    CALM,
    LOST,
    STARTING,
    SystemdHost,
    standbys_watchdog,
    standing_of_slots,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.heartbeat import Ended, Lost, Reload, Stop
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Proof, Record, Unreadable
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Answer,
    Claimant,
    Held,
    Read,
    Refused,
    Seen,
    Unchanged,
    Unknown,
    Written,
)
from support.listener import Listener

ME = Claimant("web-1", "my-session")
AWS = "https://s3.us-east-1.amazonaws.com/leader-election"
PLACE = AWS + "/jobs/db"
STANDBYS_SIGN = {"WATCHDOG_USEC": "24000000", "WATCHDOG": "1"}
"""What systemd is told again and again: a message may be lost, and the watchdog of a leader may be shorter."""


class Timeless:
    """A clock that moves when it is told to."""

    def __init__(self):
        self.time = 1000.0

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds


def record(**changes):
    values = dict(
        holder="web-1",
        session="my-session",
        term=7,
        sequence=3,
        nonce="n",
        lease_duration=30.0,
        acquired_at=1.0,
        renewed_at=2.0,
        lease_until=34.0,
        metadata={"rack": "é"},
        proof=Proof("", 0.0),
    )
    return Record(**{**values, **changes})


def seen(etag="e1", **changes):
    return Seen(record(**changes), etag, 100.0, 104.0)


def held(lapses_at=1030.0, **changes):
    return Held(seen(**changes), lapses_at, 1000.5)


def mark():
    """Do what the unit does before the first service starts."""
    os.makedirs(runtime.serving_path_of("db"))
    open(runtime.serving_path_of("db", "started"), "w").close()


def waits_for(unit):
    """Do what the fence does while a unit stops."""
    runtime.write(runtime.serving_path_of("db", "waiting"), "waits for the end of %s" % unit)


@pytest.fixture
def clock(monkeypatch):
    clock = Timeless()
    monkeypatch.setattr(runtime, "Clock", lambda: clock)
    return clock


@pytest.fixture
def notified(monkeypatch):
    """What systemd is told."""
    with Listener() as listener:
        monkeypatch.setenv("NOTIFY_SOCKET", listener.variable)
        yield listener.messages


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """The folder of the lease in /run."""
    monkeypatch.setattr(runtime, "FOLDER", str(tmp_path / "run"))
    monkeypatch.setattr(leases, "FOLDER", str(tmp_path / "etc"))
    (tmp_path / "etc").mkdir()
    (tmp_path / "run" / "db").mkdir(parents=True)
    return tmp_path / "run" / "db"


@pytest.fixture
def make(folder, clock, notified, journal):
    def make(me=ME, **options):
        config = Config(**{"name": "db", "key": "jobs/db", "holder": me.holder, **options})
        return SystemdHost(config, me, clock, PLACE, config.stop_grace)

    return make


@pytest.fixture
def host(make):
    return make()


def events(entries):
    return [entry["S3_LEADER_EVENT"] for entry in entries]


# -- To lead ----------------------------------------------------------------------------------------------------------


def test_who_leads_has_a_file_and_a_watchdog_that_ends_with_its_time(host, folder, notified, journal):
    host.promote(held(), until=1018.0)
    assert (folder / "leader").read_text() == (
        'S3_LEADER_NAME="db"\nS3_LEADER_TERM="7"\nS3_LEADER_HOLDER="web-1"\nS3_LEADER_STOP_GRACE="12"\n'
    )
    assert notified()[0] == {"WATCHDOG_USEC": "18000000", "WATCHDOG": "1"}
    status = runtime.status("db")
    assert {name: status[name] for name in ("name", "role", "is_leader", "term", "holder", "bucket", "key")} == dict(
        name="db", role="leader", is_leader=True, term=7, holder="web-1", bucket="leader-election", key="jobs/db"
    )
    [entry] = journal()
    assert entry == dict(
        PRIORITY="5",
        SYSLOG_IDENTIFIER="s3-leader",
        MESSAGE="db: leads with term 7",
        S3_LEADER_EVENT="acquired",
        S3_LEADER_NAME="db",
        S3_LEADER_LOCATION="s3://leader-election/jobs/db",
        S3_LEADER_HOLDER="web-1",
        S3_LEADER_TERM="7",
    )


def test_who_leads_tells_of_whom_it_took_the_lease(host, journal):
    host.answered(seen(session="other", holder="web-2", term=6))
    host.answered(Unchanged(133.0))
    journal()
    host.promote(held(), until=1018.0)
    assert [entry["MESSAGE"] for entry in journal()] == [
        "db: leads with term 7. Before, the lease was expired: web-2 (term 6) has not renewed it for 33 s"
    ]


def test_who_had_to_look_up_whether_it_leads_does_not_tell_of_itself(host, journal):
    host.answered(seen())
    journal()
    host.promote(held(), until=1018.0)
    assert [entry["MESSAGE"] for entry in journal()] == ["db: leads with term 7"]


def test_without_a_watchdog_nobody_leads(host, folder, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "nobody"))
    with pytest.raises(OSError, match="systemd does not take messages"):
        host.promote(held(), until=1018.0)
    assert os.listdir(folder) == []


def test_where_the_file_cannot_be_written_nobody_leads(host, folder):
    shutil.rmtree(folder)
    with pytest.raises(OSError, match="No such file"):
        host.promote(held(), until=1018.0)


def test_who_cannot_promote_has_the_watchdog_of_a_standby_again(host, folder, notified):
    (folder / "leader.new").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        host.promote(held(), until=1002.0)
    assert notified()[-1]["WATCHDOG_USEC"] == "2000000"
    host.demote("the services of this host cannot be told to start")
    assert STANDBYS_SIGN in notified()  # at once: what follows is the release, which may take longer than that


def test_as_long_as_services_may_run_the_watchdog_stays_a_leaders(host, notified):
    host.promote(held(), until=1018.0)
    mark()
    notified()
    host.demote("asked to stop")
    assert [message for message in notified() if "WATCHDOG_USEC" in message] == []


def test_each_confirmed_renewal_arms_the_watchdog_anew(host, clock, notified):
    host.promote(held(), until=1018.0)
    clock.time = 1005.0
    notified()
    host.confirmed(held(lapses_at=1035.0), until=1023.5)
    arming, status = notified()
    assert arming == {"WATCHDOG_USEC": "18500000", "WATCHDOG": "1"}
    assert status["STATUS"].startswith("leader: leads with term 7, renewed at ")


def test_a_time_that_is_over_ends_the_process_at_once(host, notified):
    host.confirmed(held(), until=900.0)
    assert notified()[0] == {"WATCHDOG_USEC": "1", "WATCHDOG": "1"}


def test_a_leader_gives_no_sign_of_life_between_its_renewals_and_a_standby_does(host, notified):
    host.wait(0)
    assert notified() == [STANDBYS_SIGN]
    host.promote(held(), until=1018.0)
    host.trouble("the store is away")
    notified()
    host.wait(0)
    assert notified() == []
    host.demote("it was taken")
    notified()
    host.wait(0)
    assert notified() == [STANDBYS_SIGN]


def test_between_its_requests_a_standby_shows_that_it_is_alive_and_a_leader_does_not(host, notified, monkeypatch):
    monkeypatch.setattr(systemd, "listen", lambda: None)
    host.listen()
    assert notified() == [STANDBYS_SIGN]
    host.promote(held(), until=1018.0)
    notified()
    host.listen()
    assert notified() == []


def test_between_its_requests_a_daemon_hears_that_it_is_to_stop(host, monkeypatch):
    def stop():
        raise Stop

    monkeypatch.setattr(systemd, "listen", stop)
    with pytest.raises(Stop):
        host.listen()


def test_a_leader_in_trouble_leads_until_its_time_is_over(host, clock):
    host.promote(held(), until=1018.0)
    host.trouble("the store is away")
    assert runtime.status("db")["is_leader"] is True
    assert runtime.status("db")["reason"] == "the store is away"
    clock.time = 1018.0
    assert runtime.status("db")["is_leader"] is False


def test_who_leads_no_more_has_no_file_and_says_why(host, folder, journal):
    host.promote(held(), until=1018.0)
    journal()
    host.demote("it was\ntaken")
    assert not (folder / "leader").exists()
    assert runtime.status("db")["is_leader"] is False
    [entry] = journal()
    assert (entry["S3_LEADER_EVENT"], entry["MESSAGE"]) == ("lost", "db: no longer leads: it was?taken")


def test_a_file_that_cannot_be_removed_is_left_to_systemd(host, folder, journal):
    (folder / "leader").mkdir()
    host.demote("it was taken")
    assert events(journal()) == ["error", "lost"]


def test_services_may_be_running_as_long_as_their_mark_is_there(host):
    assert not host.serving()
    mark()
    assert host.serving()


def test_until_its_services_are_about_to_run_a_leader_touches_its_file_again_and_again(host, folder):
    def is_touched():
        os.utime(folder / "leader", (0, 0))
        host.wait(0)
        return os.stat(folder / "leader").st_mtime > 0

    host.promote(held(), until=1018.0)
    assert is_touched()
    mark()
    assert not is_touched()
    host.confirmed(held(), until=1030.0)
    shutil.rmtree(runtime.serving_path_of("db"))
    assert not is_touched()  # systemd is not to start what was ended


def test_a_standby_touches_nothing(host, folder):
    host.wait(0)
    assert not (folder / "leader").exists()


def test_a_leader_whose_services_systemd_does_not_start_gives_up(host, clock):
    host.promote(held(), until=1018.0)
    clock.time += STARTING - 1
    host.confirmed(held(), until=1030.0)
    clock.time += 1
    with pytest.raises(Lost, match=r"not started the services within 20 s: see systemctl status 's3-leader-\*@db.\*'"):
        host.confirmed(held(), until=1040.0)


def test_so_does_one_whose_services_systemd_may_not_start_any_more(host, clock):
    host.promote(held(), until=1018.0)
    mark()
    clock.time += 2 * STARTING
    host.confirmed(held(), until=1058.0)
    os.unlink(runtime.serving_path_of("db", "started"))
    clock.time += STARTING - 1
    host.confirmed(held(), until=1078.0)
    clock.time += 1
    with pytest.raises(Lost, match="not started the services"):
        host.confirmed(held(), until=1078.0)


def test_a_leader_leads_on_for_as_long_as_the_fence_waits_and_says_for_what(host, clock):
    host.promote(held(), until=1018.0)
    mark()
    host.confirmed(held(), until=1018.0)
    os.unlink(runtime.serving_path_of("db", "started"))
    waits_for("app.service")
    clock.time += 2 * STARTING
    host.confirmed(held(), until=1078.0)
    status = runtime.describe("db")
    assert (status["role"], status["is_leader"]) == ("stopping", False)
    assert status["reason"].endswith(", and waits for the end of app.service")
    host.answered(Written("e2", 1040.0))
    assert runtime.describe("db")["role"] == "stopping"


def test_a_leader_whose_services_were_seen_to_be_gone_gives_the_lease_back(host, clock):
    host.promote(held(), until=1018.0)
    mark()
    host.confirmed(held(), until=1018.0)
    shutil.rmtree(runtime.serving_path_of("db"))
    with pytest.raises(Ended, match="somebody has stopped its services"):
        host.confirmed(held(), until=1030.0)


def test_who_starts_while_services_of_an_earlier_term_may_run_does_not_compete(host, monkeypatch):
    mark()
    waits_for("app.service")
    waits = []

    def wait(seconds):
        waits.append((seconds, runtime.describe("db")["role"], runtime.describe("db")["reason"]))
        shutil.rmtree(runtime.serving_path_of("db"))

    monkeypatch.setattr(host, "wait", wait)
    host.stand_by()
    assert waits == [(1, "stopping", "does not compete: waits for the end of app.service")]


def test_a_status_that_cannot_be_written_does_not_stay_as_it_was(host, folder, journal):
    host.promote(held(), until=1018.0)
    (folder / "status.json.new").mkdir()
    host.demote("it was taken")
    assert runtime.status("db") is None


def test_that_the_status_cannot_be_written_is_said_once_and_that_it_can_be_once_more(host, folder, journal):
    (folder / "status.json.new").mkdir()
    for _poll in range(3):
        host.answered(seen())
    (folder / "status.json.new").rmdir()
    for _poll in range(3):
        host.answered(seen())
    messages = [entry["MESSAGE"] for entry in journal() if entry["S3_LEADER_EVENT"] != "watching"]
    assert messages == [
        "db: the status cannot be written: [Errno 21] Is a directory: '%s'" % (folder / "status.json.new"),
        "db: the status can be written again",
    ]
    assert runtime.status("db")["role"] == "standby"


def test_where_there_is_room_for_one_status_only_the_old_one_makes_way(host, folder, journal, monkeypatch):
    def write(path, text, write=runtime.write):
        if os.path.exists(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, text)

    monkeypatch.setattr(runtime, "write", write)
    host.answered(seen())
    host.answered(seen(term=8))
    assert runtime.status("db")["term"] == 8
    assert set(events(journal())) == {"watching"}


@pytest.mark.parametrize(
    "holder",
    ["a b", "100% %n %%", '"quoted"', "it's", "$HOME ${HOME}", "`id`", "$(id)", "back\\slash\\", "#;=&", "wéb"],
)
def test_a_file_for_the_environment_says_what_is_meant(make, folder, holder):
    make(Claimant(holder, "my-session")).promote(held(), until=1018.0)
    script = '. "$0"; printf %s "$S3_LEADER_HOLDER"'
    read = subprocess.run(["sh", "-c", script, str(folder / "leader")], stdout=subprocess.PIPE, check=True)
    assert read.stdout.decode() == holder


def test_no_text_of_others_gets_another_variable_into_the_environment(host, folder):
    host.trouble('a\nLD_PRELOAD=/tmp/x\r\0"\nLD_PRELOAD=/tmp/x')
    *_known, error = (folder / "error").read_text().splitlines()
    assert error == 'S3_LEADER_ERROR="a?LD_PRELOAD=/tmp/x??\\"?LD_PRELOAD=/tmp/x"'


def test_no_text_of_others_tells_systemd_anything(host, notified):
    host.trouble("a\nWATCHDOG=1")
    assert notified() == [{"STATUS": "standby: a?WATCHDOG=1"}]
    assert runtime.status("db")["reason"] == "a?WATCHDOG=1"


# -- Standby ----------------------------------------------------------------------------------------------------------


def test_a_standby_begins_without_the_file_of_an_earlier_leader(host, folder, notified, journal):
    (folder / "leader").touch()
    host.stand_by()
    assert not (folder / "leader").exists()
    assert notified() == [STANDBYS_SIGN]
    assert standbys_watchdog(Config("db", "jobs/db").timing) == 24
    assert events(journal()) == ["standby"]


def test_a_host_that_stepped_down_stays_away_for_so_long(host, folder, clock, monkeypatch):
    reasons = []

    def wait(seconds, _clock, meanwhile):
        assert seconds <= 10
        meanwhile()
        reasons.append((runtime.status("db")["role"], runtime.status("db")["reason"]))
        clock.time += seconds

    monkeypatch.setattr(systemd, "wait", wait)
    runtime.step_down("db", runtime.SteppedDown(1000.0, 1025.0))
    host.stand_by()
    assert clock.time == 1025.0
    assert reasons == [("away", "stepped down, and does not compete for another %d s" % left) for left in (25, 15, 5)]
    host.trouble("the store is away")
    assert runtime.status("db")["role"] == "standby"


def test_a_host_that_is_away_can_be_stopped_and_reloaded(host, monkeypatch):
    runtime.step_down("db", runtime.SteppedDown(1000.0, 1025.0))
    asked = [Reload(), Stop()]

    def wait(*_arguments):
        raise asked.pop(0)

    replaced = []
    monkeypatch.setattr(systemd, "wait", wait)
    monkeypatch.setattr(os, "execve", lambda *arguments: replaced.append(arguments))
    with pytest.raises(Stop):
        host.stand_by()
    assert len(replaced) == 1


@pytest.mark.parametrize(("at", "successor"), [(999.9, ""), (1000.0, "app-2"), (1700.0, "app-2")])
def test_a_step_down_since_the_process_began_names_the_successor_however_long_services_take(host, clock, at, successor):
    """One from before has failed, or was for the process before. This one began at 1000."""
    clock.time = 2000.0
    runtime.step_down("db", runtime.SteppedDown(at, at + 60, "app-2"))
    assert host.successor() == successor


@pytest.mark.parametrize(
    ("successor", "then"),
    [("app-2", "the lease is reserved for app-2 at first"), ("", "another host may lead at once")],
)
def test_who_gave_the_lease_back_says_for_whom(host, journal, successor, then):
    host.released(successor)
    [told] = journal()
    assert told["MESSAGE"] == f"db: gave the lease back: {then}"


def test_without_a_step_down_there_is_no_successor(host):
    assert host.successor() == ""


def test_a_standby_that_takes_over_later_than_others_says_so(make):
    host = make(takeover_delay=60)
    host.answered(seen(session="other", holder="web-2"))
    assert runtime.status("db")["reason"].endswith(". This host takes over 60 s later than others")


@pytest.mark.parametrize(
    ("slots", "told"),
    [
        (
            [seen(holder="web-2"), Absent(104.0), seen(holder="web-3")],
            "2 of 3 slots are held. The first to be free is slot 2: free: no object found",
        ),
        (
            [Seen(Unreadable("it is not JSON"), "e3", 1.0, 2.0), seen(holder="web-2")],
            "2 of 2 slots are held. The first to be free is slot 2: held by web-2",
        ),
        (
            [Seen(Unreadable("it is not JSON"), "e3", 1.0, 2.0)],
            "1 of 1 slots are held. The first to be free is slot 1: unreadable",
        ),
    ],
    ids=["one is free", "one is no lease", "none will be"],
)
def test_the_standing_of_a_lease_with_slots_is_that_of_the_first_to_be_free(slots, told):
    assert standing_of_slots(slots).startswith(told)


def test_a_standby_tells_who_leads_once_for_each_of_them(host, journal):
    others = dict(holder="web-2", session="other")
    for outcome in (
        Absent(1.0),
        Absent(2.0),
        seen(**others),
        Unchanged(105.0),
        seen(etag="e2", **others, sequence=4),
        seen(**dict(others, term=8)),
        seen(holder=""),
        Seen(Unreadable("it is not JSON"), "e3", 1.0, 2.0),
        Unchanged(3.0),
    ):
        host.answered(outcome)
    entries = journal()
    assert events(entries) == ["watching"] * 5
    assert [entry["S3_LEADER_TERM"] for entry in entries] == ["", "7", "8", "7", ""]


def test_what_anybody_wrote_into_the_lease_is_harmless_when_it_is_told(host, journal, notified):
    host.answered(seen(holder="\x1b[2Jweb\n2", session="other"))
    assert runtime.status("db")["holder"] == "?[2Jweb?2"
    assert "held by ?[2Jweb?2 (term 7)" in runtime.status("db")["reason"]
    assert "\x1b" not in journal()[0]["MESSAGE"] + notified()[0]["STATUS"]


# -- Errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Refused("403"), Unknown("no answer"), Unknown("503", throttled=True)])
def test_an_error_is_told_with_what_is_known(host, folder, journal, outcome):
    host.answered(seen(holder="web-2", session="other"))
    journal()
    host.answered(outcome)
    [entry] = journal()
    assert (entry["PRIORITY"], entry["S3_LEADER_EVENT"], entry["MESSAGE"]) == ("4", "error", "db: %s" % outcome.why)
    assert (folder / "error").read_text() == (
        'S3_LEADER_NAME="db"\nS3_LEADER_TERM="7"\nS3_LEADER_HOLDER="web-1"\nS3_LEADER_ERROR="%s"\n' % outcome.why
    )


@pytest.mark.parametrize("refuted", [Unknown("412", precondition_failed=True), Unknown("409", conflict=True)])
def test_that_another_one_was_faster_is_no_error(host, folder, journal, refuted):
    host.answered(refuted)
    assert journal() == []
    assert not (folder / "error").exists()


def test_a_series_of_errors_is_told_once_at_its_beginning_and_once_at_its_end(host, clock, journal, folder):
    host.trouble("the first")
    (folder / "error").unlink()
    for _try in range(10):  # a store that can be read and not be written to
        host.answered(Absent(1.0))
        clock.time += CALM - 1
        host.answered(Refused("403"))
    assert not (folder / "error").exists()
    clock.time += CALM
    host.answered(Absent(1.0))
    host.answered(Absent(1.0))
    assert events(journal()) == ["error", "watching", "recovered"]
    host.trouble("the second")
    assert events(journal()) == ["error"]
    assert (folder / "error").exists()


def test_a_renewal_that_is_confirmed_ends_the_series_at_once(host, journal):
    host.promote(held(), until=1018.0)
    host.answered(Unknown("no answer"))
    journal()
    host.answered(Written("e2", 105.0))
    assert journal() == []
    host.confirmed(held(), until=1018.0)
    assert events(journal()) == ["recovered"]


def test_an_error_that_nobody_can_be_told_of_is_in_the_journal(host, folder, journal):
    (folder / "error").mkdir()
    host.trouble("the first")
    messages = [entry["MESSAGE"] for entry in journal()]
    assert messages[0] == "db: the first"
    assert messages[1].startswith("db: the error cannot be written for on_error: ")


# -- Going on in a new program ----------------------------------------------------------------------------------------


@pytest.fixture
def replaced(monkeypatch):
    """What the program is replaced by: path, arguments, environment."""
    calls = []
    monkeypatch.setattr(os, "execve", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/s3-leader", "heartbeat", "db"])
    return calls


THERE = ME._replace(store=AWS, sent=[])


def inherited(monkeypatch, environment, holder="web-1", place=PLACE):
    monkeypatch.setattr(os, "environ", dict(environment))
    found = daemon._inherited(holder, types.SimpleNamespace(place=place, bucket_url=AWS))
    assert daemon._STATE not in os.environ  # nor do children get it
    return found


def test_a_new_program_holds_what_the_old_one_held(host, replaced, monkeypatch):
    host.promote(held(), until=1018.0)
    mark()
    host.confirmed(held(), until=1018.0)
    host.reload(held(lapses_at=1030.123456789))
    [(path, arguments, environment)] = replaced
    assert (path, arguments) == ("/usr/local/bin/s3-leader", ["/usr/local/bin/s3-leader", "heartbeat", "db"])
    assert inherited(monkeypatch, environment) == (
        THERE,
        held(lapses_at=1030.123456789),
        1018.0,
        True,
        12.0,
        True,
        "",
        0,
    )


def test_a_new_program_of_a_standby_is_the_same_claimant(host, replaced, monkeypatch):
    host.reload(None)
    handover = inherited(monkeypatch, replaced[0][2], holder="renamed", place=AWS + "/elsewhere")
    assert handover == (THERE._replace(holder="renamed"), None, 0.0, False, 0.0, True, "", 0)


def test_a_new_program_knows_what_the_old_one_has_sent(make, replaced, monkeypatch):
    make(ME._replace(store=AWS, sent=["nonce-1", "nonce-2"])).reload(None)
    assert inherited(monkeypatch, replaced[0][2]).me.sent == ["nonce-1", "nonce-2"]


def test_a_first_program_is_a_claimant_of_its_own(monkeypatch):
    first, second = inherited(monkeypatch, {}), inherited(monkeypatch, {})
    assert first.me.session != second.me.session
    assert not first.resumed


def changed(state, **changes):
    """A state of a leader with other values, at whatever depth."""
    held = {name: changes.get(name, value) for name, value in state["held"].items() if changes.get(name) != "missing"}
    return {name: changes.get(name, value) for name, value in {**state, "held": held}.items()}


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "{",
        "null",
        "[]",
        "[" * 60000,
        "{}",
        dict(session=None),
        dict(session=7),
        dict(session="short"),
        dict(session="another-session"),
        dict(place=None),
        dict(held=None),
        dict(held=[]),
        dict(body="{}"),
        dict(body=7),
        dict(body="missing"),
        dict(etag=""),
        dict(etag="missing"),
        dict(modified="now"),
        dict(store_time=None),
        dict(lapses_at=float("nan")),
        dict(lapses_at=float("inf")),
        dict(lapses_at=10**400),
        dict(lapses_at=1017.0),
        dict(until=float("nan")),
        dict(until=float("-inf")),
        dict(until=None),
        dict(until=True),
        dict(until="1018"),
        dict(served="yes"),
    ],
    ids=lambda broken: str(broken)[:40],
)
def test_a_new_program_that_cannot_use_what_it_was_handed_ends_and_so_do_the_services(
    host, folder, replaced, monkeypatch, journal, run, broken
):
    host.promote(held(), until=1018.0)
    host.reload(held())
    journal()
    if isinstance(broken, dict):
        broken = json.dumps(changed(json.loads(replaced[0][2][daemon._STATE]), **broken))
    monkeypatch.setenv(daemon._STATE, broken)
    assert run() == LOST
    assert daemon._STATE not in os.environ
    assert not (folder / "leader").exists()
    [entry] = journal()
    assert entry["MESSAGE"] == "db: no longer leads: the replaced program handed over a state that is unusable"


@pytest.fixture
def loops(monkeypatch):
    """What the loop is started with, instead of starting it."""
    started = []
    monkeypatch.setattr(daemon.Heartbeat, "run", lambda _loop, *arguments: started.append(arguments))
    return started


def test_a_new_program_leads_on_although_systemd_takes_no_message(
    host, folder, replaced, notified, monkeypatch, run, loops
):
    host.promote(held(), until=1018.0)
    host.reload(held())
    monkeypatch.setenv(daemon._STATE, replaced[0][2][daemon._STATE])
    monkeypatch.setattr(daemon, "Clock", lambda: host._clock)
    told = []

    def notify(**state):
        told.append(state)
        assert len(told) < 100, "it goes on and on"
        return False

    monkeypatch.setattr(systemd, "notify", notify)
    assert run() == 0
    assert loops == [(held(), 1018.0, True)]
    assert (folder / "leader").exists()


def test_a_new_program_leaves_services_the_time_that_they_had_when_they_were_started(make, replaced, monkeypatch, run):
    """The fence may go by that time, so a shorter one counts from the next term."""
    timings = []
    monkeypatch.setattr(
        daemon, "Heartbeat", lambda _me, timing, *_others: timings.append(timing) or unittest.mock.Mock()
    )
    before = make(stop_grace=15)
    before.promote(held(), until=1015.0)
    before.reload(held())
    state = json.loads(replaced[0][2][daemon._STATE])
    assert state["stop_grace"] == 15
    for stop_grace, counts in ((15, 15), (3, 12)):  # the configuration of this program has 12
        monkeypatch.setenv(daemon._STATE, json.dumps(dict(state, stop_grace=stop_grace)))
        run()
        assert timings.pop().stop_grace == counts


def test_a_new_program_of_a_leader_has_its_watchdog_before_it_renews(host, replaced, notified, monkeypatch, run, loops):
    host.promote(held(), until=1018.0)
    mark()
    host.confirmed(held(), until=1018.0)
    host.reload(held())
    shutil.rmtree(runtime.serving_path_of("db"))  # the loop sees it when it has renewed, and gives the lease back
    monkeypatch.setenv(daemon._STATE, replaced[0][2][daemon._STATE])
    monkeypatch.setattr(daemon, "Clock", lambda: host._clock)
    notified()
    assert run() == 0
    assert notified() == [{"READY": "1"}, {"WATCHDOG_USEC": "18000000", "WATCHDOG": "1"}]
    assert len(loops) == 1


def test_a_new_program_of_a_standby_looks_for_what_the_old_one_may_have_acquired(
    host, replaced, monkeypatch, run, loops
):
    assert run() == 0
    host.reload(None)
    monkeypatch.setenv(daemon._STATE, replaced[0][2][daemon._STATE])
    assert run() == 0
    assert loops == [(None, 0.0, False), (None, 0.0, True)]


def test_a_new_program_gets_the_environment_that_the_old_one_got(make, replaced, monkeypatch):
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/of/the/unit")
    before = dict(os.environ)
    make().reload(None)
    environment = replaced[0][2]
    assert environment.pop("S3_LEADER_STATE")
    assert environment == before


def test_a_program_that_cannot_be_replaced_goes_on(host, folder, journal, monkeypatch):
    host.promote(held(), until=1018.0)
    journal()
    monkeypatch.setattr(sys, "argv", [str(folder / "removed"), "heartbeat", "db"])
    before = dict(os.environ)
    host.reload(held())
    assert events(journal()) == ["reload", "error"]
    assert dict(os.environ) == before
    assert (folder / "leader").exists()


def test_a_new_program_that_is_to_have_another_lease_ends(host, folder, replaced, monkeypatch, journal):
    host.promote(held(), until=1018.0)
    host.reload(held())
    journal()
    (folder.parent.parent / "etc" / "db.json").write_text('{"key": "elsewhere"}')
    monkeypatch.setenv(daemon._STATE, replaced[0][2][daemon._STATE])
    monkeypatch.setattr(systemd, "hold_signals", lambda: None)
    assert daemon.run("db") == LOST
    assert not (folder / "leader").exists()
    [entry] = journal()
    assert entry["MESSAGE"] == (
        "db: no longer leads: the lease is now at %s/elsewhere instead of %s/jobs/db" % ((AWS,) * 2)
    )


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_a_new_program_that_is_to_have_another_store_by_its_environment_ends(
    host, folder, replaced, monkeypatch, journal, run, variable
):
    host.promote(held(), until=1018.0)
    host.reload(held())
    journal()
    monkeypatch.setenv(variable, "https://s3.example.com")
    monkeypatch.setenv(daemon._STATE, replaced[0][2][daemon._STATE])
    assert run() == LOST
    assert not (folder / "leader").exists()
    assert "the lease is now at https://s3.example.com/leader-election/jobs/db instead" in journal()[0]["MESSAGE"]


# -- What cannot begin ------------------------------------------------------------------------------------------------


@pytest.fixture
def run(folder, monkeypatch):
    monkeypatch.setattr(systemd, "hold_signals", lambda: None)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "no-file"))
    (folder.parent.parent / "etc" / "db.json").write_text('{"key": "jobs/db"}')
    return lambda: daemon.run("db")


def test_of_two_daemons_of_one_lease_the_second_ends_and_touches_nothing(run, folder):
    (folder / "leader").touch()
    lock = runtime.keep_others_out("db", since=0)
    with pytest.raises(CannotSend, match="another daemon of the lease db runs here already"):
        run()
    os.close(lock)
    assert sorted(os.listdir(folder)) == ["leader", "lock"]


def test_a_folder_in_run_that_is_not_there_is_an_error(run, folder):
    folder.rmdir()
    with pytest.raises(OSError, match="No such file or directory"):
        run()


def test_a_configuration_that_cannot_be_used_is_an_error_before_systemd_is_told_anything(run, folder, notified):
    (folder.parent.parent / "etc" / "db.json").write_text(json.dumps({"key": "/"}))
    with pytest.raises(BadOption):
        run()
    assert notified() == []


def metrics(folder):
    """What the daemon tells Prometheus: the values of the metrics that have one."""
    lines = (folder / "metrics.prom").read_text().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name.partition("{")[0].replace("s3_leader_", ""): float(value) for name, value in pairs}


def test_a_leaders_metrics_have_its_deadline_by_the_time_of_day(host, folder, monkeypatch):
    monkeypatch.setattr(daemon.time, "time", lambda: 1.7e9)
    host.promote(held(), 1018.0)
    found = metrics(folder)
    assert (found["is_leader"], found["term"]) == (1, 7)
    assert found["deadline_timestamp_seconds"] == 1.7e9 + 18
    assert found["last_renewal_timestamp_seconds"] == 1.7e9 + 0.5


def test_metrics_say_at_once_that_the_host_has_ceased_to_lead(host, folder):
    host.promote(held(), 1018.0)
    host.demote("asked to stop")
    found = metrics(folder)
    assert found["is_leader"] == found["deadline_timestamp_seconds"] == 0


def test_every_renewal_is_in_the_metrics_and_a_standby_writes_them_once_in_a_second(host, folder, clock, monkeypatch):
    written, write = [], runtime.write

    def noted(path, text):
        written.append(os.path.basename(path))
        write(path, text)

    monkeypatch.setattr(runtime, "write", noted)
    for wait in (0, 0.4, 0.7):
        clock.sleep(wait)
        host.answered(Absent(1.0))
    assert written.count("metrics.prom") == 2
    host.promote(held(), 1018.0)
    host.confirmed(held(), 1018.1)
    assert written.count("metrics.prom") == 4


def test_metrics_count_the_requests_and_the_terms_of_the_lease(host, folder):
    host.requested(Read(1000.0), Answer(seen(), 1000.0, 1000.2))
    host.answered(seen(session="other"))
    host.promote(held(term=8), 1018.0)
    assert metrics(folder)["transitions_total"] == 1
    counted = (
        's3_leader_requests_total{name="db",bucket="leader-election",key="jobs/db",operation="read",outcome="ok"} 1'
    )
    assert counted in (folder / "metrics.prom").read_text()


def test_metrics_that_cannot_be_written_do_not_disturb_leading_and_are_reported_once(host, folder, journal):
    (folder / "metrics.prom.new").mkdir()
    host.promote(held(), 1018.0)
    host.confirmed(held(), 1020.0)
    assert json.loads((folder / "status.json").read_text())["until"] == 1020
    assert sum("metrics.prom" in entry["MESSAGE"] for entry in journal()) == 1
