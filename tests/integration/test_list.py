# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has what: more than a thousand objects, by s3_leader_info both ways and by s3-leader list, on a real store."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import time
import typing as t
import uuid

import pytest
from support import executed
from support.leases import LEASE_KEYS, somebody_elses
from support.proxy import answer, drop_answer

KINDS = {
    "held": somebody_elses(leaseDurationSeconds=86400),
    "free": somebody_elses(holderId=""),
    "expired": somebody_elses(leaseDurationSeconds=0.001),
    "page": b"<html>",
    "large": b" " * 200_000,
}
STATES = dict(held="held", free="released", expired="expired", page="unreadable", large="unreadable")
OBJECTS = 1200
EACH = OBJECTS // len(KINDS)
SAID = f"{OBJECTS} objects below {{}}: {EACH} held, {EACH} free, {EACH} expired, {2 * EACH} not a lease"
SHORT = ["a b", "a+b", "100%", "ü/🗝", "q?&=#'\"", "sub/deep/er"]


def fill(seaweedfs, bodies):
    """Write these objects at the same time."""
    client = seaweedfs.client()

    def put(key):
        client.put_object(Bucket="leader-election", Key=key, Body=bodies[key])

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        list(pool.map(put, bodies))


@pytest.fixture(scope="module")
def many(seaweedfs, bucket):
    """A prefix of many objects, as many of each kind, in the order of their kinds' names; and its neighbor."""
    prefix = f"many-{uuid.uuid4().hex}/"
    bodies = {f"{prefix}{kind}/{number:03}": body for kind, body in KINDS.items() for number in range(EACH)}
    fill(seaweedfs, {**bodies, prefix.replace("/", "-not"): KINDS["held"]})
    time.sleep(3)  # what is to expire does so after the margin
    return prefix


@pytest.fixture
def few(seaweedfs, bucket, key):
    """A prefix of a few leases with odd keys."""
    fill(seaweedfs, {f"{key}/{name}": KINDS["held"] for name in SHORT})
    return f"{key}/"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return executed.install(tmp_path_factory.mktemp("bin"))


@pytest.fixture
def start(program, seaweedfs):
    """Starts s3-leader list, as another identity if one is named."""
    started = []

    def start(*words, identity=None, url=None, **options: t.Any):
        keys = seaweedfs.options_of(identity) if identity else seaweedfs.options
        environment = dict(AWS_ACCESS_KEY_ID=keys["access_key"], AWS_SECRET_ACCESS_KEY=keys["secret_key"])
        environment["AWS_URL"] = url or seaweedfs.endpoint_url
        environment["PYTHONUNBUFFERED"] = ""  # with it, Python tells of no end in the middle of a write
        started.append(
            subprocess.Popen(
                [program, "list", *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **seaweedfs.environment, **environment},
                **options,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def say(start):
    """Runs s3-leader list to its end: its status, and what it says and complains."""

    def say(*words, **options):
        process = start(*words, **options)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    return say


def steady(leases):
    """Return leases without what changes from one look to the next."""
    return [{name: one for name, one in lease.items() if name not in ("age", "expires_in")} for lease in leases]


PLAY = """
- name: all
  leaderelection.s3.s3_leader_info: {prefix: "{{ prefix }}"}
- name: no permission
  leaderelection.s3.s3_leader_info: {prefix: "{{ prefix }}", access_key: "{{ access }}", secret_key: "{{ secret }}"}
  ignore_errors: true
- name: no bucket
  leaderelection.s3.s3_leader_info: {prefix: "{{ prefix }}", bucket: no-such-bucket}
  ignore_errors: true
- name: none
  leaderelection.s3.s3_leader_info: {prefix: "{{ prefix }}none"}
- name: key and prefix
  leaderelection.s3.s3_leader_info: {prefix: "{{ prefix }}", key: jobs/a}
  ignore_errors: true
"""


def test_all_of_many_are_told_of_in_the_same_way_by_the_module_both_ways_and_by_the_command(
    run_playbook, seaweedfs, many, say
):
    status, out, err = say("--prefix", many, "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert [lease["state"] for lease in told["leases"]] == [
        STATES[kind] for kind in sorted(KINDS) for _number in range(EACH)
    ]
    assert [lease["key"] for lease in told["leases"]] == sorted(lease["key"] for lease in told["leases"])
    assert (told["bucket"], told["prefix"]) == ("leader-election", many)
    stranger = seaweedfs.options_of("no-list")
    for here in (True, False):
        run = run_playbook(
            PLAY,
            env=seaweedfs.environment,
            args=["-vvv"],
            s3_leader_in_process=here,
            prefix=many,
            access=stranger["access_key"],
            secret=stranger["secret_key"],
        ).succeeded()
        assert ("runs inside of Ansible" in run.stdout) is here
        assert steady(run["all"]["leases"]) == steady(told["leases"])
        assert {frozenset(lease) for lease in run["all"]["leases"]} == {frozenset(LEASE_KEYS)}
        assert (run["all"]["is_leader"], run["all"]["lease"], run["all"]["changed"]) == (False, None, False)
        assert run["all"]["reason"] == SAID.format(many)
        assert OBJECTS - EACH + 2 <= run["all"]["requests"] <= OBJECTS - EACH + 20  # the large ones are not read
        assert (run["none"]["leases"], run["none"]["reason"]) == ([], f"no objects below {many}none")
        refused = f"s3://leader-election/{many} cannot be listed: {seaweedfs.endpoint_url} answered 403 AccessDenied"
        assert run["no permission"]["msg"] == f"{refused}. Grant s3:ListBucket on the bucket leader-election"
        assert "Create the bucket no-such-bucket, or set bucket to one that exists" in run["no bucket"]["msg"]
        assert "key is set, too" in run["key and prefix"]["msg"]
        for name in ("no permission", "no bucket", "key and prefix"):
            assert "leases" not in run[name]
            assert (run[name]["is_leader"], run[name]["lease"]) == (False, None)


def test_all_of_many_are_a_table(say, many):
    status, out, err = say("--prefix", many)
    lines = out.splitlines()
    assert (status, err, len(lines)) == (0, "", OBJECTS + 3)
    assert lines[0].split() == ["KEY", "STATE", "HOLDER", "TERM", "SINCE", "LEFT"]
    assert lines[-2:] == ["", SAID.format(many)]
    (held,) = (line for line in lines if f"{many}held/007" in line)
    assert held.split()[1:5] == ["held", "somebody", "else", "41"]
    (large,) = (line for line in lines if f"{many}large/007" in line)
    assert large.endswith("it is larger than 65536 bytes (200000 bytes)")


@pytest.mark.parametrize("words", [("--json",), ("--watch",)])
def test_what_nobody_reads_to_its_end_ends_without_a_word(start, many, words):
    process = start("--prefix", many, *words)
    assert process.stdout.readline()
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (128 + signal.SIGPIPE, "")


def test_it_is_watched_until_somebody_interrupts(start, seaweedfs, few, key):
    process = start("--prefix", few, "--watch")

    def counts():
        return next(line for line in process.stdout if "objects below" in line or "object below" in line)

    assert counts().startswith(f"{len(SHORT)} objects below")
    fill(seaweedfs, {f"{few}new": KINDS["held"]})
    while not counts().startswith(f"{len(SHORT) + 1} objects below"):
        pass
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_odd_keys_are_whole(say, few):
    told = json.loads(say("--json", "--prefix", few)[1])
    assert [lease["key"] for lease in told["leases"]] == sorted(few + name for name in SHORT)
    assert {lease["state"] for lease in told["leases"]} == {"held"}
    assert [name for name in SHORT if few + name not in say("--prefix", few)[1]] == []


def test_what_a_run_has_acquired_and_released_is_told_with_its_history(run_playbook, seaweedfs, bucket, key, say):
    run_playbook(
        """
        - leaderelection.s3.s3_leader_acquire: {key: "{{ key }}/a", holder: alice}
          register: lease
        - leaderelection.s3.s3_leader_release: {key: "{{ key }}/a", lease: "{{ lease }}"}
        - leaderelection.s3.s3_leader_acquire: {key: "{{ key }}/b", holder: bob, lease_duration: 1h}
        """,
        env=seaweedfs.environment,
        key=key,
    ).succeeded()
    alices, bobs = json.loads(say("--json", "--prefix", f"{key}/")[1])["leases"]
    assert (alices["state"], bobs["state"], bobs["holder"]) == ("released", "held", "bob")
    assert [(ended["holder"], ended["how"]) for ended in alices["history"]] == [("alice", "released")]
    assert 3500 < bobs["expires_in"] < 3610


# -- Trouble


def test_answers_that_are_lost_are_asked_for_again(proxy, say, few):
    proxy.on("GET", drop_answer(), nth=1)
    proxy.on("GET", answer(503), nth=4)
    status, out, err = say("--prefix", few, url=proxy.url)
    assert (status, err) == (0, "")
    assert f"{len(SHORT)} objects below {few}" in out
    assert proxy.count() == len(SHORT) + 3


def test_one_lease_that_may_not_be_read_is_named_and_there_is_no_table(proxy, say, few):
    proxy.on("GET", answer(403), key=f"{few}a b", nth=None)
    status, out, err = say("--prefix", few, url=proxy.url)
    assert (status, out) == (2, "")
    assert err.startswith(f"s3-leader: s3://leader-election/{few}a b cannot be read: {proxy.url} answered 403")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "identity", "way_out"),
    [
        ((), "no-list", "Grant s3:ListBucket on the bucket leader-election"),
        ((), "stranger", "Grant s3:ListBucket on the bucket leader-election"),
        (("--bucket=no-such-bucket",), None, "Create the bucket no-such-bucket, or set bucket to one that exists"),
    ],
)
def test_a_bucket_that_cannot_be_listed_is_told_on_one_line(say, bucket, words, identity, way_out):
    status, out, err = say(*words, identity=identity)
    assert (status, out) == (2, "")
    assert err.endswith(f"{way_out}\n")
    assert err.count("\n") == 1


# -- The file


@pytest.mark.parametrize("command", ["check", "status"])
def test_other_commands_load_nothing_of_it(program, command, tmp_path):
    words = [sys.executable, "-X", "importtime", program, command, "db"]
    loaded = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False).stderr
    assert "s3_leader.host.runtime" in loaded
    for name in ("s3_leader.listing", "list_command", "store_options", "xml_document", "botocore", "s3_leader.store"):
        assert name not in loaded
    assert ("host.output" in loaded) is (command == "status")
