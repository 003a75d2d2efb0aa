# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease that is kept while a play runs, with real runs, on a real store: the works of two runs never overlap."""

from __future__ import annotations

import functools
import os
import pathlib
import signal
import time

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import processes
from support import guarded_work, kept_run
from support.kept_run import DURATION, at_work
from support.prometheus import metrics
from support.proxy import hang
from support.stores.both import ON_BOTH_STORES
from support.waiting import wait_for


@pytest.fixture
def file(tmp_path) -> pathlib.Path:
    return tmp_path / "work"


@pytest.fixture
def deploy(start_playbook, store, key, proxy, file):
    """Starts a run that works only as leader. A run that is to get into trouble goes its own way to the store."""
    begin = functools.partial(kept_run.deploy, start_playbook, store.environment)
    return lambda who, seconds, url=store.endpoint_url, **variables: begin(url, key, file, who, seconds, **variables)


def keeper_of(run):
    """The process that keeps the lease of a run."""
    return kept_run.published(run)["keeper"]


def is_over(pid):
    """Wait until the keeper has ended."""
    wait_for(lambda: not processes.of(pid).is_alive(), "no keeper is left")


@ON_BOTH_STORES
def test_a_play_that_is_five_times_as_long_as_its_lease_keeps_it_all_the_time(deploy, file):
    alice = deploy("alice", 100 * DURATION)
    at_work(file, alice)
    keeper, began, tries = keeper_of(alice), guarded_work.now(), 0
    while tries < 5 or guarded_work.now() < began + 5 * DURATION:
        told = deploy("bob", 1).wait()["Acquire"]
        assert not told["is_leader"], told["reason"]
        tries += 1
    guarded_work.enough(file)
    done = alice.wait().succeeded()
    assert done["Held"]["msg"] is True
    assert (done["Renew"]["is_leader"], done["Renew"]["requests"]) == (True, 0)
    assert done["Release"]["lease"]["state"] == "released"
    assert deploy("carol", 0.1).wait().succeeded()["Acquire"]["is_leader"]
    assert guarded_work.overlaps(file) == []
    is_over(keeper)


def test_a_run_that_ends_gives_the_lease_back_and_says_so(deploy, file):
    done = deploy("alice", 0.1, releases=False).wait().succeeded()
    assert "was given back at the end of the run" in done.stderr
    assert deploy("bob", 0.1).wait().succeeded()["Acquire"]["is_leader"]


def test_the_lease_is_known_where_the_environment_names_its_bucket(start_playbook, store, key):
    store.create_bucket("of-the-environment")
    play = f"""
    - leaderelection.s3.s3_leader_acquire: {{key: {key}, keepalive: true}}
      name: Acquire
      register: lease
    - leaderelection.s3.s3_leader_renew: {{key: {key}}}
      name: Renew
    - leaderelection.s3.s3_leader_release: {{key: {key}}}
      name: Release
    - ansible.builtin.debug: {{msg: "{{{{ lease is leaderelection.s3.held }}}}"}}
      name: Held
    """
    environment = dict(store.environment, AWS_URL=store.endpoint_url, S3_LEADER_BUCKET="of-the-environment")
    done = start_playbook(play, env=environment).wait().succeeded()
    assert (done["Renew"]["is_leader"], done["Renew"]["requests"]) == (True, 0)
    assert done["Release"]["changed"] is True
    assert done["Held"]["msg"] is False
    assert "was not given back" not in done.stderr


def test_prometheus_is_told_that_a_run_leads_until_the_deadline_and_that_it_has_ended(
    start_playbook, store, key, tmp_path
):
    textfile = tmp_path / "nightly.prom"
    play = f"""
    - leaderelection.s3.s3_leader_acquire:
        {{key: {key}, keepalive: true, lease_duration: 10s, textfile: "{textfile}"}}
      name: Acquire
    - ansible.builtin.wait_for: {{path: {tmp_path}/go-on, timeout: 120}}
    """
    run = start_playbook(play, env=dict(store.environment, AWS_URL=store.endpoint_url))
    told = wait_for(lambda: textfile.exists() and metrics(textfile), "it tells")
    assert told["is_leader"] == 1
    assert time.time() < told["deadline_timestamp_seconds"] < time.time() + 10
    renewed = told["last_renewal_timestamp_seconds"]
    wait_for(lambda: metrics(textfile)["last_renewal_timestamp_seconds"] > renewed, "it renews the lease")
    (tmp_path / "go-on").touch()
    run.wait().succeeded()
    told = wait_for(lambda: (now := metrics(textfile))["is_leader"] == 0 and now, "it has ended")
    assert told["deadline_timestamp_seconds"] == 0
    assert 'name="nightly"' in textfile.read_text()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/tmp/a.txt", 'textfile is "/tmp/a.txt": node_exporter reads no other files than *.prom'),
        ("/missing/a.prom", 'textfile is "/missing/a.prom": there is no folder /missing: create it'),
    ],
)
def test_a_textfile_that_cannot_be_is_refused_before_anything_is_acquired(start_playbook, store, key, path, message):
    play = f"""
    - leaderelection.s3.s3_leader_acquire: {{key: {key}, keepalive: true, textfile: {path}}}
      name: Acquire
      ignore_errors: true
    """
    done = start_playbook(play, env=dict(store.environment, AWS_URL=store.endpoint_url)).wait().succeeded()
    assert done["Acquire"]["msg"] == message
    assert done["Acquire"]["requests"] == 0


@ON_BOTH_STORES
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
    ("how", "wrapper"), [("", []), ("stubborn", []), ("", ["env", "-i"]), ("stubborn", ["env", "-i"])]
)
def test_the_work_of_a_run_whose_controller_is_killed_ends_before_another_begins(deploy, file, number, how, wrapper):
    alice = deploy("alice", 60, how=how, wrapper=wrapper)
    at_work(file, alice)
    keeper = keeper_of(alice)
    alice.process.send_signal(number)
    assert deploy("bob", 0.5, wait=30).wait().succeeded()["Acquire"]["is_leader"]
    assert guarded_work.overlaps(file) == []
    assert len(guarded_work.shifts(file)) == 2
    is_over(keeper)


@pytest.mark.parametrize(("how", "wrapper"), [("", []), ("stubborn", []), ("stubborn", ["env", "-i"])])
def test_an_interrupted_run_ends_its_work_and_lets_the_lease_expire_and_says_so(deploy, file, how, wrapper):
    alice = deploy("alice", 60, how=how, wrapper=wrapper)
    at_work(file, alice)
    alice.interrupt()
    bob = deploy("bob", 0.5, wait=30)
    ended = alice.wait()
    assert ended.returncode == 99
    assert "was not given back, and expires in" in ended.stderr
    assert "a task was interrupted on localhost" in ended.stderr
    assert bob.wait().succeeded()["Acquire"]["is_leader"]
    assert guarded_work.overlaps(file) == []


def test_a_stopped_controller_keeps_the_lease_and_goes_on(deploy, file):
    alice = deploy("alice", 4)
    at_work(file, alice)
    alice.process.send_signal(signal.SIGSTOP)
    told = deploy("bob", 0.5, wait=2 * DURATION).wait()["Acquire"]
    assert not told["is_leader"]
    alice.process.send_signal(signal.SIGCONT)
    assert alice.wait().succeeded()["Held"]["msg"] is True


LOST = "the lease s3://leader-election/{key} (term {term}) is lost: {why}"


def is_lost(ended, key, why):
    """Assert that the run ended with one sentence: which lease it has lost, and why."""
    assert ended.returncode != 0
    sentence = LOST.format(key=key, term=ended["Acquire"]["term"], why=why)
    assert sentence in ended.stderr
    assert ended.stderr.count("is lost:") == 1


@ON_BOTH_STORES
@pytest.mark.parametrize("how", ["", "stubborn"])
def test_where_the_store_is_cut_off_the_run_ends_before_the_deadline(deploy, file, proxy, key, how):
    alice = deploy("alice", 60, proxy.url, how=how)
    at_work(file, alice)
    proxy.on(None, hang(), None)
    ended = alice.wait()
    is_lost(ended, key, "the lease could not be renewed in time")
    proxy.heal()
    assert deploy("bob", 0.5, wait=30).wait().succeeded()["Acquire"]["is_leader"]
    assert guarded_work.overlaps(file) == []


def test_a_store_that_is_back_in_time_costs_nothing(deploy, file, proxy):
    alice = deploy("alice", 20, proxy.url, duration=15)
    at_work(file, alice)
    proxy.on(None, hang(), None)
    wait_for(lambda: proxy.select(fault="hang"), "a renewal in vain")
    proxy.heal()
    assert alice.wait().succeeded()["Held"]["msg"] is True


def test_where_an_operator_breaks_the_lease_the_run_ends_at_once(deploy, file, run_playbook, store, key):
    alice = deploy("alice", 60)
    at_work(file, alice)
    breaks = f"- leaderelection.s3.s3_leader_release: {{key: {key}, force: true, holder: carol}}"
    run_playbook(breaks, env=store.environment).succeeded()
    ended = alice.wait()
    is_lost(ended, key, "free: broken by carol")
    assert deploy("bob", 0.5).wait().succeeded()["Acquire"]["is_leader"]
    assert guarded_work.overlaps(file) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_keeper_that_dies_or_hangs_is_missed_before_the_deadline(deploy, file, key, number):
    alice = deploy("alice", 60)
    at_work(file, alice)
    keeper = keeper_of(alice)
    os.kill(keeper, number)
    bob = deploy("bob", 0.5, wait=30)
    is_lost(alice.wait(), key, "it was not renewed in time, and the process that keeps it is silent")
    assert bob.wait().succeeded()["Acquire"]["is_leader"]
    assert guarded_work.overlaps(file) == []
    os.kill(keeper, signal.SIGKILL) if number == signal.SIGSTOP else None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP, signal.SIGALRM])
def test_a_signal_that_hits_the_keeper_too_does_nothing(deploy, file, number):
    alice = deploy("alice", DURATION)
    at_work(file, alice)
    os.kill(keeper_of(alice), number)
    done = alice.wait().succeeded()
    assert (done["Held"]["msg"], done["Renew"]["requests"]) == (True, 0)


OTHER_OPTIONS = """
- leaderelection.s3.s3_leader_acquire: {key: "{{ lease_key }}", keepalive: true, on_lost: report, keep_at_most: 1}
- leaderelection.s3.s3_leader_acquire: {key: "{{ lease_key }}", keepalive: true, on_lost: report}
  register: lease
- ansible.builtin.pause: {seconds: 3}
- name: Renew
  leaderelection.s3.s3_leader_renew: {key: "{{ lease_key }}", lease: "{{ lease }}"}
- name: With a timeout
  ansible.builtin.command: /bin/true
  timeout: 30
"""


def test_a_second_acquisition_decides_how_the_lease_is_kept_and_tasks_may_have_a_timeout(run_playbook, store, key):
    done = run_playbook(OTHER_OPTIONS, env=store.environment, lease_key=key).succeeded()
    assert (done["Renew"]["is_leader"], done["Renew"]["requests"]) == (True, 0)
    assert done.task("With a timeout").status == "changed"


def test_a_lease_that_was_kept_for_as_long_as_wanted_ends_the_run(deploy, file, key):
    alice = deploy("alice", 60, keep_at_most=3)
    ended = alice.wait()
    is_lost(ended, key, "it was kept for 3 s, as keep_at_most says")
    assert deploy("bob", 0.5, wait=30).wait().succeeded()["Acquire"]["is_leader"]
    assert guarded_work.overlaps(file) == []


def test_where_a_loss_is_only_to_be_reported_the_play_goes_on_and_knows(deploy, file, proxy):
    alice = deploy("alice", 2 * DURATION, proxy.url, on_lost="report", releases=False)
    at_work(file, alice)
    proxy.on(None, hang(), None)
    done = alice.wait().succeeded()
    assert done["Held"]["msg"] is False
    assert "lost" not in done.stderr


UNREACHABLE = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Acquire
      leaderelection.s3.s3_leader_acquire: {key: "{{ lease_key }}", keepalive: true, lease_duration: 20}
    - ansible.builtin.add_host: {name: gone, ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
- hosts: gone
  gather_facts: false
  tasks:
    - ansible.builtin.ping:
"""


def test_where_a_host_was_unreachable_the_lease_expires_and_the_run_says_so(run_playbook, store, key):
    ended = run_playbook(UNREACHABLE, env=store.environment, lease_key=key)
    assert ended.returncode == 4
    assert "was not given back, and expires in" in ended.stderr
    assert "a task may still be at work on gone" in ended.stderr


def test_where_a_task_failed_the_lease_is_given_back(run_playbook, store, key):
    play = f"""
    - leaderelection.s3.s3_leader_acquire: {{key: {key}, keepalive: true}}
    - ansible.builtin.command: /bin/false
    """
    ended = run_playbook(play, env=store.environment)
    assert ended.returncode == 2
    assert "was given back at the end of the run" in ended.stderr
