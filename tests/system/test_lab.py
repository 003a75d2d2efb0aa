# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab itself: what it says of hosts is so, and its faults are what they are called."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import typing as t
from collections.abc import Callable

import botocore.exceptions
import pytest
from support.playbook import Run
from support.stores.seaweedfs import SeaweedFS
from support.waiting import wait_for

from system.lab import faults, namespaces
from system.lab.host import Host
from system.lab.intervals import gaps, overlaps
from system.lab.watcher import Watcher, now, unit

# A host asks the store once, and gives up after two seconds.
PUT = """
import sys, boto3
from botocore.config import Config
url, access_key, secret_key, bucket, key = sys.argv[1:]
config = Config(retries={"max_attempts": 0}, connect_timeout=2, read_timeout=2, s3={"addressing_style": "path"})
session = boto3.session.Session(access_key, secret_key, region_name="us-east-1")
session.client("s3", endpoint_url=url, config=config).put_object(Bucket=bucket, Key=key, Body=b"here")
"""

Put = Callable[[Host], bool]


@pytest.fixture
def put(seaweedfs: SeaweedFS, bucket: str, key: str) -> Put:
    """Lets a host write the object, and tells whether it got an answer."""
    store = (seaweedfs.endpoint_url, seaweedfs.access_key, seaweedfs.secret_key, bucket, key)

    def write(host: Host) -> bool:
        return host.run("python3", "-", *store, stdin=PUT, check=False).returncode == 0

    return write


@pytest.fixture
def has_landed(seaweedfs: SeaweedFS, bucket: str, key: str) -> Callable[[], bool]:
    """Whether the store has the object."""

    def look() -> bool:
        try:
            seaweedfs.client().head_object(Bucket=bucket, Key=key)
        except botocore.exceptions.ClientError:
            return False
        return True

    return look


def test_hosts_of_three_releases_run_and_answer_ansible(hosts: list[Host], run_playbook: Callable[..., Run]) -> None:
    assert [host.run("systemctl", "is-system-running").stdout for host in hosts] == ["running\n"] * 3
    run = run_playbook("- setup:\n  register: facts").succeeded()
    found = {one.host: one.result["ansible_facts"]["ansible_distribution_major_version"] for one in run.results}
    assert found == {"h1": "11", "h2": "12", "h3": "13"}


def test_a_host_keeps_its_files_through_a_reboot_and_a_power_cut(hosts: list[Host]) -> None:
    host = hosts[0]
    boots = [boot_id(host)]
    host.run("touch", "/kept")
    host.reboot()
    boots.append(boot_id(host))
    host.cut_power()
    host.boot()
    boots.append(boot_id(host))
    host.power_off()
    host.boot()
    boots.append(boot_id(host))
    assert len(set(boots)) == 4
    host.run("test", "-e", "/kept")


def test_a_host_runs_its_services_in_every_boot_after_a_power_cut(hosts: list[Host]) -> None:
    host = hosts[2]
    host.cut_power()
    host.boot()
    host.reboot()
    assert host.run("systemctl", "is-system-running", check=False).stdout == "running\n"


def test_a_host_answers_however_much_its_systemd_has_said_of_itself(hosts: list[Host]) -> None:
    for _time in range(30):
        hosts[2].run("systemctl", "daemon-reload")
    hosts[2].reboot()


@pytest.mark.parametrize("fault", [faults.link_down, faults.store_silent, faults.store_refusing])
def test_a_host_that_is_cut_off_from_the_store_writes_nothing_until_it_heals(
    hosts: list[Host], put: Put, has_landed: Callable[[], bool], fault: t.Any
) -> None:
    with fault(hosts[0]):
        assert not put(hosts[0])
    assert not has_landed()
    wait_for(lambda: put(hosts[0]), "the host has written")
    assert has_landed()


def test_a_request_lands_though_its_answer_is_lost(hosts: list[Host], put: Put, has_landed: Callable[[], bool]) -> None:
    with faults.answers_lost(hosts[0]):
        assert not put(hosts[0])
    assert has_landed()
    assert put(hosts[0])


@pytest.mark.parametrize("fault", [faults.store_silent, faults.store_refusing, faults.answers_lost])
def test_ansible_does_not_notice_that_the_store_is_out_of_reach(
    hosts: list[Host], run_playbook: Callable[..., Run], fault: t.Any
) -> None:
    with fault(hosts[0]):
        run_playbook("- ping:\n").succeeded()


def test_the_watcher_sees_services_start_and_end_on_one_clock(hosts: list[Host], watcher: Watcher) -> None:
    before = now()
    for host in hosts[:2]:
        install(host, unit("db", "app"))
        host.run("systemctl", "start", "app")
    first, second = (watcher.wait_until_running(host=host.name) for host in hosts[:2])
    assert before - 0.01 <= first.start <= second.start <= now()
    assert len(overlaps(watcher.intervals)) == 1
    asked = now()
    faults.killed(hosts[0], "app")
    assert asked <= watcher.wait_until_ended(first).end <= now()
    hosts[1].cut_power()
    ended = watcher.wait_until_ended(second)
    install(hosts[2], unit("db", "app"))
    hosts[2].run("systemctl", "start", "app")
    third = watcher.wait_until_running(host="h3")
    assert [(gap.before, gap.after) for gap in gaps(watcher.intervals)] == [(ended, third)]


def test_a_stubborn_service_ignores_a_request_to_stop(hosts: list[Host], watcher: Watcher) -> None:
    for name, options in (("slow", ["--stubborn"]), ("app", [])):
        install(hosts[0], unit("db", name, *options), name)
        hosts[0].run("systemctl", "start", name)
    slow, app = (watcher.wait_until_running(service=name) for name in ("slow", "app"))
    for process in (slow, app):
        hosts[0].run("kill", "-TERM", str(process.pid))
    watcher.wait_until_ended(app)
    assert watcher.running() == [slow]
    hosts[0].run("systemctl", "kill", "--signal=KILL", "slow")
    watcher.wait_until_ended(slow)


def test_a_service_that_is_stopped_or_frozen_still_runs_and_goes_on_afterwards(
    hosts: list[Host], watcher: Watcher
) -> None:
    install(hosts[0], unit("db", "app"))
    hosts[0].run("systemctl", "start", "app")
    app = watcher.wait_until_running()
    with faults.stopped(hosts[0], "app"):
        assert state(hosts[0], app.pid) == "T"
        assert watcher.running() == [app]
    assert state(hosts[0], app.pid) == "S"
    with faults.frozen(hosts[0]), pytest.raises(subprocess.TimeoutExpired):
        hosts[0].run("systemctl", "is-active", "app", timeout=2)
    assert hosts[0].run("systemctl", "is-active", "app").stdout == "active\n"
    assert watcher.running() == [app]


# A lab in the lab: a host boots, and nobody ends it.
LAB = """
import os, signal
from system.lab.lab import Lab
with Lab().host(1, 12) as host:
    host.boot()
    print(host.name, "is up in", os.environ["LAB_GROUP"], flush=True)
    signal.pause()
"""


def test_nothing_runs_of_a_lab_that_was_killed_and_the_next_one_removes_its_control_group() -> None:
    command = [sys.executable, "-m", "system.lab.worker", "-c", LAB]
    launcher = f"from system.lab import namespaces; namespaces.run({command!r})"
    with subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        group = pathlib.Path(run.stdout.readline().split()[-1])
        run.kill()
    wait_for(lambda: namespaces.is_empty(group), "nothing of the killed lab runs")
    namespaces.remove_stale_groups()
    assert not group.exists()
    assert pathlib.Path(os.environ["LAB_GROUP"]).exists()


def boot_id(host: Host) -> str:
    return host.run("cat", "/proc/sys/kernel/random/boot_id").stdout


def state(host: Host, pid: int) -> str:
    """As in proc(5): S for a process that waits, T for one that is stopped."""
    return host.run("cat", f"/proc/{pid}/stat").stdout.rpartition(")")[2].split()[0]


def install(host: Host, text: str, name: str = "app") -> None:
    (host.root / f"etc/systemd/system/{name}.service").write_text(text)
    host.run("systemctl", "daemon-reload")
