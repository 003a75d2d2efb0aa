# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease with slots: hosts of a play, kept ones, commands and daemons, on a real store."""

from __future__ import annotations

import contextlib
import signal

import pytest
from support import executed
from support.daemon import eventually
from support.waiting import wait_for

HOSTS = tuple(f"host-{number}" for number in range(1, 6))
SLOTS = 3


def task(name, module, options, **keywords):
    return dict(name=name, **{f"leaderelection.s3.s3_leader_{module}": options}, register=name, **keywords)


@pytest.fixture
def play(start_playbook, seaweedfs, bucket):
    def play(*tasks, hosts=HOSTS):
        return start_playbook(list(tasks), hosts=hosts, s3={**seaweedfs.options, "bucket": bucket}).wait()

    return play


def test_of_five_hosts_three_hold_a_slot_and_work_with_it(play, key):
    named = dict(key=key, slots=SLOTS)
    run = play(
        task("acquired", "acquire", named),
        task("again", "acquire", named),
        task("renewed", "renew", named, when="acquired.is_leader"),
        task("handed_over", "renew", dict(key=key, lease="{{ renewed }}"), when="acquired.is_leader"),
        task("all", "info", named),
        task("released", "release", named),
        task("last", "info", named),
    ).succeeded()
    got = {host: run.task("acquired", host).result for host in HOSTS}
    leaders = {host: one for host, one in got.items() if one["is_leader"]}
    assert sorted(one["slot"] for one in leaders.values()) == [1, 2, 3]
    for host, one in got.items():
        again, table = run.task("again", host).result, run.task("all", host).result
        assert (again["slot"], again["term"]) == (one["slot"], one["term"])
        assert [lease["slot"] for lease in table["leases"]] == [1, 2, 3]
        assert (table["is_leader"], table["slot"]) == (one["is_leader"], one["slot"])
        if host in leaders:
            lease = run.task("handed_over", host).result["lease"]
            assert (lease["key"], lease["slot"], lease["slots"]) == (f"{key}/slot-{one['slot']}", one["slot"], SLOTS)
            assert lease["sequence"] == run.task("renewed", host).result["lease"]["sequence"] + 1
        else:
            assert one["reason"].startswith("3 of 3 slots are held. The first to be free is slot ")
        assert run.task("released", host).result["changed"] == one["is_leader"]
    states = [lease["state"] for lease in run.task("last", HOSTS[0]).result["leases"]]
    assert states == ["released"] * 3


def test_who_names_another_number_is_told_who_holds_one(play, key):
    run = play(
        task("three", "acquire", dict(key=key, slots=3)),
        task("five", "acquire", dict(key=key, slots=5, session="another session"), ignore_errors=True),
        task("released", "release", dict(key=key, lease="{{ three }}")),
        task("later", "acquire", dict(key=key, slots=5, session="another session")),
        hosts=("host-1",),
    ).succeeded()
    assert "host-1 holds slot 1 as one of 3, and this is a claim to one of 5" in run["five"]["msg"]
    assert (run["later"]["is_leader"], run["later"]["slot"], run["later"]["lease"]["slots"]) == (True, 1, 5)


def test_a_slot_is_kept_while_the_run_lasts(play, key):
    named = dict(key=key, slots=SLOTS)
    run = play(
        task("acquired", "acquire", dict(named, keepalive=True, lease_duration=60)),
        task("renewed", "renew", named),
        dict(
            name="held",
            **{"ansible.builtin.debug": dict(msg="{{ acquired is leaderelection.s3.held }}")},
        ),
        task("released", "release", named),
        task("all", "info", named),
        hosts=("localhost",),
    ).succeeded()
    assert "kept while this run lasts" in run["renewed"]["reason"]
    assert (run["renewed"]["requests"], run["renewed"]["slot"]) == (0, run["acquired"]["slot"])
    assert run["held"]["msg"] is True
    assert [lease["state"] for lease in run["all"]["leases"]] == ["released", "absent", "absent"]


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        ("acquire", dict(slots=0), "slots is 0: use 1 to 100"),
        ("acquire", dict(slots=101), "slots is 101: use 1 to 100"),
        ("acquire", dict(slots=True), "slots is true: use 1 to 100"),
        ("release", dict(slots=3, force=True), "force is true: with slots, it would have to say which. Use the key of"),
        ("info", dict(slots=3, source="local", name="db"), "slots is 3: they are slots of one lease in the store"),
    ],
)
def test_what_cannot_be_is_refused(play, key, module, options, message):
    run = play(task("refused", module, dict(options, key=key), ignore_errors=True), hosts=("localhost",)).succeeded()
    assert message in run["refused"]["msg"]
    assert run["refused"]["requests"] == 0


SAYS = ("sh", "-c", "echo $S3_LEADER_SLOT; sleep 600")


def test_so_many_commands_run_at_once_and_find_their_slot(tmp_path, store, key):
    program = executed.install(tmp_path)
    environment = {**store.environment, "AWS_URL": store.endpoint_url, "AWS_ENDPOINT_URL": store.endpoint_url}
    with contextlib.ExitStack() as stack:

        def run(*command, slots=2, **options):
            one = executed.Execution(program, tmp_path, environment, key, command, slots=slots, **options)
            stack.callback(one.close)
            return one

        first, second = run(*SAYS), run(*SAYS)
        assert {wait_for(one.said, "it runs").strip() for one in (first, second)} == {"1", "2"}
        assert run("true", wait=0).wait().status == 75
        other = run("true", slots=3).wait()
        assert (other.status, "and this is a claim to one of 3" in other.err) == (69, True)
        first.process.send_signal(signal.SIGTERM)
        assert run("true").wait().status == 0
        assert second.process.poll() is None


def test_so_many_hosts_lead_and_another_one_when_one_of_them_stops(make, key):
    daemons = [make(f"web-{number}", slots=2) for number in range(1, 4)]
    eventually(lambda: sum(bool(daemon.leader()) for daemon in daemons) == 2)
    (standby,) = (daemon for daemon in daemons if not daemon.leader())
    eventually(lambda: "2 of 2 slots are held" in standby.status()["reason"])
    leaders = [daemon for daemon in daemons if daemon is not standby]
    assert {daemon.leader()["S3_LEADER_SLOT"] for daemon in leaders} == {"1", "2"}
    stays, stops = leaders
    slot, term = stops.leader()["S3_LEADER_SLOT"], stops.term()
    stays.send(signal.SIGHUP)
    eventually(lambda: stays.told.count({"READY": "1"}) == 2)
    before = stays.leader()
    stops.send(signal.SIGTERM)
    assert stops.ended() == 0
    eventually(standby.leader)
    assert (standby.leader()["S3_LEADER_SLOT"], standby.term()) == (slot, term + 1)
    status = standby.status()
    assert (status["is_leader"], status["slot"], status["term"]) == (True, int(slot), term + 1)
    assert (stays.leader(), stays.runs(), stays.says("leads with slot")) == (before, True, 1)
