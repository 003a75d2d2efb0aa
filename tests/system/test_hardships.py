# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a daemon goes through under systemd: it ends up right, and the journal says in words what happened.

One host has the lease for itself. Each test finds it leading, and leaves it leading.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import json
import pathlib
import typing as t
from collections.abc import Callable, Iterator

import pytest
from support import playbook
from support.stores.seaweedfs import SeaweedFS
from support.waiting import wait_for

from system import plays
from system.lab.host import Host
from system.lab.lab import Lab

UNIT = "s3-leader@db.service"
RUN = "/run/s3-leader/db"
MARK = "/run/s3-leader-serving/db"
DROPIN = "usr/local/lib/systemd/system/app.service.d/zzz-s3-leader-db.conf"
LEASE = dict(name="db", services=["app.service"], stop_timeout=2, stop_grace=4, lease_duration=12, renew_interval=2)


class Daemon:
    """The daemon of a host, and what systemd, the journal and the store know of it."""

    def __init__(self, host: Host, record: Callable[[], dict[str, t.Any]], age: Callable[[], float]) -> None:
        self.host = host
        self.record = record
        self.age = age
        """Seconds since the lease was written, by the store's clock."""
        self._cursor = ""

    @property
    def pid(self) -> str:
        return self.host.main_pid(UNIT)

    def leads(self) -> bool:
        """The host leads, and its service runs."""
        return self.read("leader") != "" and self.app() == "active"

    def read(self, file: str) -> str:
        return self.host.run("cat", f"{RUN}/{file}", check=False).stdout

    def app(self) -> str:
        return self.host.run("systemctl", "is-active", "app.service", check=False).stdout.strip()

    def listen(self) -> None:
        """Hear what the journal says from now on."""
        self.host.run("journalctl", "--sync")
        shown = self.host.run("journalctl", "--lines=1", "--show-cursor", "--quiet").stdout
        self._cursor = shown.rpartition("-- cursor: ")[2].strip()

    def said(self, identifier: str = "s3-leader") -> list[str]:
        """The messages since then: the daemon's own, unless another one is named; of all where none is."""
        self.host.run("journalctl", "--sync")
        # journalctl gets no filter: some versions skip an entry after the cursor where that is not in the selection.
        shown = self.host.run("journalctl", "--quiet", "--output=json", f"--after-cursor={self._cursor}").stdout
        entries = [json.loads(line) for line in shown.splitlines()]
        return [
            str(entry["MESSAGE"])
            for entry in entries
            if identifier in ("", entry.get("SYSLOG_IDENTIFIER")) and "MESSAGE" in entry
        ]

    def renews(self, times: int = 2) -> None:
        """Await renewals of the same term, by the same session."""
        before = self.record()
        wait_for(lambda: self.record()["sequence"] >= before["sequence"] + times, "the lease is renewed")
        assert self.record()["session"] == before["session"]


@pytest.fixture(scope="module")
def deployed(
    lab: Lab, seaweedfs: SeaweedFS, bucket: str, collections_path: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """The role on a host."""
    store = dict(bucket=bucket, key="hardships", endpoint_url=seaweedfs.endpoint_url)
    keys = dict(access_key=seaweedfs.access_key, secret_key=seaweedfs.secret_key)
    s3 = seaweedfs.client()
    with lab.host(4, 12) as host:
        lab.write_inventory([host])
        app = "[Service]\nExecStart=/bin/sleep infinity\n"
        (host.root / "etc/systemd/system/app.service").write_text(app)
        host.boot()
        playbook.start(
            tmp_path_factory.mktemp("deploy"),
            plays.heartbeat(heartbeat_leases=[{**LEASE, **store, **keys}], heartbeat_preflight=False),
            hosts=(),
            args=("--inventory", str(lab.inventory)),
            collections_path=collections_path,
        ).wait().succeeded()

        def age() -> float:
            told = s3.head_object(Bucket=bucket, Key="hardships")
            written: datetime.datetime = told["LastModified"]
            date = email.utils.parsedate_to_datetime(told["ResponseMetadata"]["HTTPHeaders"]["date"])
            return (date - written).total_seconds()

        yield Daemon(host, lambda: json.loads(s3.get_object(Bucket=bucket, Key="hardships")["Body"].read()), age)
        print(f"--- the end of the journal of {host.name}\n{host.journal('--lines=200')}")


@pytest.fixture
def daemon(deployed: Daemon, seaweedfs: SeaweedFS) -> Iterator[Daemon]:
    """It leads; afterwards it leads again, and it has said nothing but what it means to say."""
    wait_for(deployed.leads, "the host leads")
    deployed.listen()
    yield deployed
    wait_for(deployed.leads, "the host leads again")
    assert [line for line in deployed.said("") if "Traceback" in line] == []
    assert [line for line in deployed.said("") if seaweedfs.secret_key in line] == []


def test_systemd_reloads_and_executes_itself_anew_and_still_ends_a_leader_that_hangs(daemon: Daemon) -> None:
    pid, term = daemon.pid, daemon.record()["term"]
    daemon.host.run("systemctl", "daemon-reload")
    daemon.host.run("systemctl", "daemon-reexec")
    daemon.renews()
    assert (daemon.pid, daemon.app()) == (pid, "active")
    assert daemon.said() == []
    daemon.host.run("kill", "-STOP", pid)
    wait_for(lambda: daemon.app() != "active", "the service is stopped")
    wait_for(lambda: daemon.record()["term"] > term, "the next term begins")
    assert [line for line in daemon.said("systemd") if "Watchdog timeout" in line] != []


def test_a_leader_leads_on_while_the_journal_hangs_or_is_stopped(daemon: Daemon) -> None:
    pid = daemon.pid
    journald = daemon.host.main_pid("systemd-journald.service")
    daemon.host.run("kill", "-STOP", journald)
    daemon.host.run("systemctl", "reload", UNIT)
    daemon.renews()
    daemon.host.run("kill", "-CONT", journald)
    units = ["systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket"]
    daemon.host.run("systemctl", "stop", *units)
    daemon.host.run("systemctl", "reload", UNIT)
    daemon.renews()
    daemon.host.run("systemctl", "start", *units)
    daemon.host.run("systemctl", "reload", UNIT)
    wait_for(lambda: [line for line in daemon.said() if "reloading its code" in line], "the journal hears of it")
    daemon.renews()
    assert (daemon.pid, daemon.app()) == (pid, "active")


def test_a_configuration_that_is_wrong_is_refused_and_the_old_one_goes_on(daemon: Daemon) -> None:
    pid = daemon.pid
    file = daemon.host.root / "etc/s3-leader/db.json"
    with changed(file, json.dumps({**json.loads(file.read_text()), "lease_duration": 7})):
        assert daemon.host.run("systemctl", "reload", UNIT, check=False).returncode != 0
        daemon.renews()
    assert (daemon.pid, daemon.app()) == (pid, "active")
    [line] = daemon.said()
    assert "two renewals have to fit in" in line


def test_a_leader_leads_on_with_a_full_run(daemon: Daemon) -> None:
    pid = daemon.pid
    with full_run(daemon.host):
        daemon.renews(5)
    daemon.renews()
    assert (daemon.pid, daemon.app()) == (pid, "active")
    assert len(daemon.said()) in (0, 2)


def test_a_host_with_a_full_run_gives_the_lease_back_until_there_is_room(daemon: Daemon) -> None:
    daemon.host.run("systemctl", "stop", UNIT)
    assert daemon.app() == "inactive"
    term = daemon.record()["term"]
    with full_run(daemon.host):
        daemon.host.run("systemctl", "start", UNIT)
        wait_for(lambda: says(daemon, "cannot be told to start"), "the daemon has tried to lead")
        wait_for(lambda: daemon.record()["holderId"] == "", "the lease is given back")
        assert daemon.app() == "inactive"
    wait_for(daemon.leads, "the host leads")
    assert daemon.record()["term"] > term


def test_a_leader_leads_on_where_run_is_read_only_and_systemd_takes_its_file_away(daemon: Daemon) -> None:
    pid = daemon.pid
    daemon.host.run("nsenter", f"--target={pid}", "--mount", "mount", "-o", "remount,bind,ro", RUN)
    daemon.renews(4)
    assert (daemon.pid, daemon.app()) == (pid, "active")
    assert [line for line in daemon.said() if "status" not in line] == []
    assert says(daemon, "the status cannot be written") == 1
    daemon.host.run("systemctl", "stop", UNIT)
    assert says(daemon, "systemd removes it when this process ends") == 1
    assert daemon.host.run("test", "-e", RUN, check=False).returncode == 1
    assert daemon.app() == "inactive"
    daemon.host.run("systemctl", "start", UNIT)


def test_a_leader_leads_on_until_its_credentials_can_be_read_again(daemon: Daemon) -> None:
    pid, keys = daemon.pid, daemon.host.root / "etc/s3-leader/db.credentials"
    daemon.host.run("cp", "-p", "/etc/s3-leader/db.credentials", "/etc/s3-leader/kept")
    unreadable = keys.with_name("unreadable")
    unreadable.write_text(keys.read_text())
    unreadable.chmod(0o600)
    unreadable.rename(keys)
    wait_for(lambda: says(daemon, "Permission denied"), "the daemon has found out")
    daemon.host.run("mv", "/etc/s3-leader/kept", "/etc/s3-leader/db.credentials")
    wait_for(lambda: says(daemon, "the store answers again"), "the daemon has found out")
    daemon.renews()
    assert (daemon.pid, daemon.app()) == (pid, "active")
    assert len(daemon.said()) == 2


def test_what_root_starts_without_the_lease_is_stopped_and_the_journal_says_so(daemon: Daemon) -> None:
    host = daemon.host
    host.run("systemctl", "stop", UNIT)
    host.run("systemctl", "start", "app.service")
    assert daemon.app() == "inactive"  # it is skipped
    with moved(host, DROPIN):
        host.run("systemctl", "start", "app.service")
        wait_for(lambda: daemon.app() != "active", "the guard has found it")
    assert says(daemon, "app.service ran here without the lease, and is stopped") == 1
    host.run("systemctl", "start", UNIT)


def test_what_a_fence_that_was_killed_leaves_is_ended_and_until_then_the_lease_is_not_given_back(
    daemon: Daemon,
) -> None:
    host, before = daemon.host, daemon.record()
    host.write_units({"app.service.d/slow.conf": "[Service]\nExecStop=/bin/sleep 1.5\n"})
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "stop", "--no-block", UNIT)
    show = ("systemctl", "show", "--property=ControlPID", "--value", "s3-leader-fence@db.service")
    fence = wait_for(lambda: int(host.run(*show).stdout), "the fence waits")
    host.run("kill", "-KILL", str(fence))
    wait_for(lambda: host.run("test", "-e", MARK, check=False).returncode, "the guard has ended the services")
    assert daemon.app() in ("inactive", "failed")
    assert says(daemon, "services may still be running, so the lease is not given back") == 1
    assert daemon.record()["holderId"] == before["holderId"]
    (host.root / "etc/systemd/system/app.service.d/slow.conf").unlink()
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "start", UNIT)


def test_a_daemon_that_starts_while_services_of_an_earlier_term_may_run_does_not_compete(daemon: Daemon) -> None:
    host, term = daemon.host, daemon.record()["term"]
    host.run("systemctl", "stop", UNIT, "s3-leader-guard.service")
    host.run("mkdir", "-p", MARK)
    host.run("systemctl", "start", UNIT)
    status = wait_for(lambda: daemon.read("status.json"), "the daemon says how it stands")
    assert json.loads(status)["role"] == "stopping"
    assert daemon.record()["term"] == term
    host.run("systemctl", "start", "s3-leader-guard.service")  # it finds that nothing runs, and removes the mark


def test_where_systemd_hangs_the_services_of_a_daemon_that_dies_are_killed_before_its_lease_is_over(
    daemon: Daemon,
) -> None:
    host, pid, app = daemon.host, daemon.pid, daemon.host.main_pid("app.service")
    with host.hung_systemd():
        daemon.renews()
        host.run("kill", "-KILL", pid)
        # A zombie, since its parent is process 1.
        wait_for(lambda: state(host, app) in ("", "Z"), "the service is killed")
        assert daemon.age() < LEASE["lease_duration"]
    wait_for(lambda: says(daemon, f"killed process {app}"), "the journal says so")


def test_where_a_fence_is_late_what_runs_is_killed_before_the_lease_is_over(daemon: Daemon) -> None:
    host, app = daemon.host, daemon.host.main_pid("app.service")
    late = {
        "s3-leader-fence@db.service.d/late.conf": "[Service]\nExecStop=/bin/sleep 20\n",
        "app.service.d/zzzz-slow.conf": "[Service]\nExecStop=/bin/sleep 30\nTimeoutStopSec=60\n",
    }
    host.write_units(late)
    host.run("systemctl", "daemon-reload")
    host.run("kill", "-KILL", daemon.pid)
    wait_for(lambda: not state(host, app), "the service is killed")
    assert daemon.age() < LEASE["lease_duration"]
    assert says(daemon, f"killed process {app} (sleep, state S) of app.service: the time to stop is over") == 1
    for path in late:
        (host.root / "etc/systemd/system" / path).unlink()
    host.run("systemctl", "daemon-reload")


def state(host: Host, pid: str) -> str:
    """The letter that tells whether a process runs, '' where there is none."""
    return host.run("sh", "-c", f"cut -d' ' -f3 /proc/{pid}/stat", check=False).stdout.strip()


def says(daemon: Daemon, text: str) -> int:
    """How many lines of the journal have this text."""
    return sum(text in line for line in daemon.said())


@contextlib.contextmanager
def changed(file: pathlib.Path, text: str) -> Iterator[None]:
    """The file has another text for a while."""
    before = file.read_text()
    file.write_text(text)
    try:
        yield
    finally:
        file.write_text(before)


@contextlib.contextmanager
def moved(host: Host, path: str) -> Iterator[None]:
    """The file of a unit is not there for a while."""
    file, aside = host.root / path, host.root / "root/aside"
    file.rename(aside)
    host.run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        aside.rename(file)
        host.run("systemctl", "daemon-reload")


@contextlib.contextmanager
def full_run(host: Host) -> Iterator[None]:
    """There is no room in /run for a while."""
    size = host.run("findmnt", "--noheadings", "--output=OPTIONS", "/run").stdout
    used = host.run("df", "--output=used", "-k", "/run").stdout.split()[-1]
    host.run("mount", "-o", f"remount,size={used}k", "/run")
    try:
        yield
    finally:
        [before] = [option for option in size.strip().split(",") if option.startswith("size=")]
        host.run("mount", "-o", f"remount,{before}", "/run")
