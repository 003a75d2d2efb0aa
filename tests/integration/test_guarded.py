# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role guarded, in real runs: a file of tasks that one run at a time carries out."""

from __future__ import annotations

import sys

import pytest
from support import guarded_work
from support.waiting import wait_for

TASKS = """
- name: Work
  ansible.builtin.command:
    argv: ["{{ interpreter }}", "{{ script }}", "{{ file }}", "{{ who }}", "{{ seconds }}"]
- name: Fail
  ansible.builtin.fail: {msg: as it should}
  when: fails | default(false)
"""
BUCKET = "not-the-default"
ROLE = "leaderelection.s3.guarded : "
PLAY = """
- hosts: "{{ which | default('localhost') }}"
  gather_facts: false
  module_defaults:
    group/leaderelection.s3.s3_leader:
      bucket: "{{ lease_bucket }}"
      request_timeout: 1
  vars:
    guarded_key: "{{ lease_key }}"
    guarded_tasks: ../work.yml
    guarded_lease_duration: 6
    guarded_wait_timeout: 60
  roles:
    - role: leaderelection.s3.guarded
      run_once: "{{ once | default(false) | bool }}"
  tasks:
    - name: Goes on
      ansible.builtin.debug: {msg: "{{ guarded_lease.is_leader | default(false) }}"}
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "work"


@pytest.fixture
def start(start_playbook, seaweedfs, bucket, key, tmp_path, file):
    """Starts a run whose tasks work for some seconds."""

    def start(who, seconds=0.2, play=PLAY, **variables):
        (tmp_path / "work.yml").write_text(TASKS)
        seaweedfs.create_bucket(BUCKET)
        given = dict(lease_key=key, lease_bucket=BUCKET, who=who, seconds=seconds, file=str(file))
        given |= dict(interpreter=sys.executable, script=guarded_work.__file__) | variables
        return start_playbook(play, env=seaweedfs.environment, **given)

    return start


def test_one_run_works_and_the_other_skips_and_goes_on(start, file):
    alice = start("alice", 15)
    wait_for(lambda: guarded_work.shifts(file), "alice is at work")
    bob = start("bob").wait().succeeded()
    assert bob["Goes on"]["msg"] is False
    assert "work.yml is skipped: held by" in bob[ROLE + "Report who has the lease"]["msg"]
    assert alice.wait().succeeded()[ROLE + "Give the lease back"]["lease"]["state"] == "released"
    assert list(guarded_work.shifts(file)) == ["alice"]


def test_who_is_to_fail_says_who_works(start, file):
    start("alice", 60)
    wait_for(lambda: guarded_work.shifts(file), "alice is at work")
    bob = start("bob", guarded_otherwise="fail").wait()
    assert bob.returncode == 2
    assert "work.yml does not run: held by" in bob[ROLE + "Fail because another run has the lease"]["msg"]


def test_who_is_to_wait_works_next(start, file):
    alice = start("alice", 8)
    wait_for(lambda: guarded_work.shifts(file), "alice is at work")
    assert start("bob", guarded_otherwise="wait").wait().succeeded()["Goes on"]["msg"] is True
    alice.wait().succeeded()
    assert list(guarded_work.shifts(file)) == ["alice", "bob"]
    assert guarded_work.overlaps(file) == []


def test_in_check_mode_nobody_waits(start, file):
    start("alice", 60)
    wait_for(lambda: guarded_work.shifts(file), "alice is at work")
    bob = start("bob", guarded_otherwise="wait", guarded_wait_timeout="5m", args=["--check"]).wait().succeeded()
    assert "work.yml would wait: held by" in bob[ROLE + "Report who has the lease"]["msg"]


def test_who_waits_in_vain_fails(start, file):
    start("alice", 60)
    wait_for(lambda: guarded_work.shifts(file), "alice is at work")
    bob = start("bob", guarded_otherwise="wait", guarded_wait_timeout=1).wait()
    assert bob.returncode == 2
    assert "held by" in bob[ROLE + "Fail because another run has the lease"]["msg"]


def test_the_lease_is_given_back_where_the_tasks_fail(start):
    alice = start("alice", fails=True).wait()
    assert alice.returncode == 2
    assert alice[ROLE + "Give the lease back"]["lease"]["state"] == "released"


def test_a_file_that_is_not_there_is_missed_before_the_lease_is_taken(start):
    ended = start("alice", guarded_tasks="nowhere.yml").wait()
    assert ended.returncode == 2
    assert "guarded_tasks is nowhere.yml: there is no file " in ended.stdout
    assert ended.statuses(ROLE + "Try to become the leader") == {}


def test_what_the_inventory_says_of_the_controller_does_not_matter(start, file):
    variables = "    ansible_become: true\n    ansible_python_interpreter: /nowhere\n"
    play = PLAY.replace("  vars:\n", "  vars:\n" + variables)
    told = start("alice", play=play).wait()
    assert told[ROLE + "Try to become the leader"]["is_leader"], told


@pytest.mark.parametrize(("otherwise", "once", "works"), [("skip", False, 1), ("wait", True, 1), ("wait", False, 0)])
def test_of_several_hosts_one_works_and_none_waits_for_another_one_in_vain(start, file, otherwise, once, works):
    done = start("alice", which="all", hosts=["one", "two"], guarded_otherwise=otherwise, once=once).wait()
    assert done.returncode == (0 if works else 2), done.stderr
    assert len(guarded_work.shifts(file)) == works
    if not works:
        assert "Use run_once on the role" in done.stdout
