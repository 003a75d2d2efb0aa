# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plays of the documents do what is said of them: on a free lease, and on somebody else's."""

from __future__ import annotations

import json
import os
import re
import typing as t

import pytest
import yaml
from support.documents import ROOT

BUCKET = "not-the-default"
COMMANDS = ("deploy-database", "deploy-shop", "migrate-db")
HOSTS = ("app-1", "app-2", "app-3")
WORKFLOW = dict(awx_job_id=18, awx_job_template_name="deploy", awx_user_name="alice", awx_workflow_job_id=17)


def plays_of(path: str) -> dict[str, list[dict[str, t.Any]]]:
    """The playbooks in a document, by the heading before each; those that need hosts of their own are left out."""
    found: dict[str, list[dict[str, t.Any]]] = {}
    heading = ""
    for part in re.split(r"^(#+ [^\n]*|```yaml\n.*?^```)$", (ROOT / path).read_text(), flags=re.MULTILINE | re.DOTALL):
        if part.startswith("#"):
            heading = part.lstrip("# ")
        elif part.startswith("```yaml"):
            block = yaml.safe_load(part.removeprefix("```yaml\n").removesuffix("```"))
            if "hosts" in block[0] and "roles" not in block[0]:
                found[f"{heading} {len(found)}"] = block
    return found


PATTERNS = plays_of("docs/patterns.md")
PLAYS = {**plays_of("README.md"), **plays_of("docs/getting_started.md"), **PATTERNS}
FAILS = ("One host among many 1", "Wait, and say so 2", "At most N 3", "One lease for all jobs of an AWX workflow 4")
"""These fail where they do not get the lease."""
WORK = {
    "leaderelection.s3 0": ["deploy-shop"],
    "One runner among many playbook runs 0": ["deploy-database", "deploy-shop"],
    "One host among many 1": ["migrate-db"],
    "Several plays 0": ["deploy-shop"] * len(HOSTS),
    "Once for all hosts 1": ["migrate-db"],
    "Wait, and say so 2": ["deploy-shop"],
    "At most N 3": ["deploy-shop"],
    "One lease for all jobs of an AWX workflow 4": ["deploy-shop"],
}
SLOTS = {"At most N 3": 2}
"""So many hold the lease of this play."""


def keys_of(plays: t.Any) -> set[str]:
    """The keys of the leases that the plays name."""
    return set(re.findall(r'"key": "([^"]+)"', json.dumps(plays)))


@pytest.fixture
def did(tmp_path):
    """What the commands of the plays were called with."""
    return tmp_path / "did"


@pytest.fixture
def play(start_playbook, store, did, tmp_path):
    """Plays a playbook of a document, with commands that note how they are called."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for name in COMMANDS:
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{did}\n')
        (folder / name).chmod(0o755)

    def play(plays, **variables):
        # The plays name no bucket.
        env = dict(store.environment, S3_LEADER_BUCKET=BUCKET, PATH=f"{folder}:{os.environ['PATH']}")
        text = yaml.safe_dump([{**one, "gather_facts": False} for one in plays], sort_keys=False)
        return start_playbook(text, env=env, args=["-i", str(inventory(tmp_path))], **WORKFLOW, **variables).wait()

    return play


def inventory(folder):
    path = folder / "hosts.yml"
    local = dict(ansible_connection="local", ansible_python_interpreter="{{ ansible_playbook_python }}")
    path.write_text(json.dumps(dict(all=dict(vars=local), app=dict(hosts={name: {} for name in HOSTS}))))
    return path


@pytest.fixture
def leases(store):
    """The leases of the bucket; no test leaves one."""
    store.create_bucket(BUCKET)
    client = store.client()
    yield client
    for one in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=one["Key"])


def test_all_plays_are_known():
    assert set(PLAYS) == set(WORK)


@pytest.mark.parametrize("name", PLAYS)
def test_who_gets_the_lease_does_the_work_and_gives_it_back(play, leases, did, name):
    run = play(PLAYS[name], last_step=True).succeeded()
    done = [line.split() for line in did.read_text().splitlines()]
    assert [words[0] for words in done] == WORK[name], run
    [key] = keys_of(PLAYS[name])
    lease = json.loads(leases.get_object(Bucket=BUCKET, Key=f"{key}/slot-1" if name in SLOTS else key)["Body"].read())
    assert lease["holderId"] == ""
    assert {words[2] for words in done} == {str(lease["term"])}


@pytest.mark.parametrize("name", PLAYS)
def test_who_does_not_get_it_does_nothing(play, leases, run_playbook, store, did, name):
    [key] = keys_of(PLAYS[name])
    slots = SLOTS.get(name)
    theirs = [dict(key=key, session=f"somebody else {one}", slots=slots) for one in range(slots or 1)]
    tasks = [{"leaderelection.s3.s3_leader_acquire": one} for one in theirs]
    run_playbook(tasks, s3=dict(store.options, bucket=BUCKET))
    run = play([{**one, "tasks": [*map(impatient, one["tasks"])]} for one in PLAYS[name]])
    assert not did.exists(), run
    assert (run.returncode != 0) == (name in FAILS), run
    assert any("held by" in str(one.result) for one in run.results), run


def impatient(task):
    """The same task, which waits no longer than it has to."""
    acquire = task.get("leaderelection.s3.s3_leader_acquire")
    tried = dict(retries=2, delay=1) if "until" in task else {}
    return {**task, "leaderelection.s3.s3_leader_acquire": {**acquire, "wait_timeout": 0}, **tried} if acquire else task


def test_jobs_of_a_workflow_are_one_contender_and_tell_who_launched_them(play, leases, did):
    plays = PATTERNS["One lease for all jobs of an AWX workflow 4"]
    for last in (False, True):
        play(plays, last_step=last).succeeded()
        lease = json.loads(leases.get_object(Bucket=BUCKET, Key="deploy/shop")["Body"].read())
        assert lease["holderId"] != "" or last
        if not last:
            told = {name: lease["metadata"][name] for name in ("awx_job", "awx_template", "awx_user")}
            assert told == dict(awx_job="18", awx_template="deploy", awx_user="alice")
    assert len(did.read_text().splitlines()) == 2
