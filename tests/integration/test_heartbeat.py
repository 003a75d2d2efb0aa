# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two daemons as real processes on one lease: who leads, who stands by, and how the one follows the other."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import typing as t
from collections.abc import Callable, Iterator

import pytest
from seaweedfs import die_with_parent
from support.listener import Listener

CORE = pathlib.Path(__file__).resolve().parents[2] / "plugins" / "module_utils" / "_lease"
LIMIT = 120  # seconds
TIMES = {"lease_duration": 20, "renew_interval": 1, "stop_grace": 10, "poll_interval": 1, "request_timeout": 5}

# As the role's, but for the folders.
PROGRAM = """#!{python} -IB
import sys
sys.path.insert(0, {lib!r})
from s3_leader import config, local, systemd
config.FOLDER, local.FOLDER, systemd.JOURNAL = {etc!r}, {run!r}, {journal!r}
from s3_leader.command import main
sys.exit(main())
"""


def eventually(what: Callable[[], t.Any]) -> t.Any:
    """Await the first true value."""
    deadline = time.monotonic() + LIMIT
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


class Daemon:
    """s3-leader on a host of its own: folders, and what systemd is told."""

    def __init__(self, folder: pathlib.Path, configuration: dict[str, t.Any], keys: str) -> None:
        self.run = folder / "run" / "db"
        self.told: list[dict[str, str]] = []
        """What systemd was told so far."""
        self._stderr = folder / "stderr"
        self._program = folder / "s3-leader"
        self._listener = Listener()
        self._process: subprocess.Popen[bytes] | None = None
        for path in (folder / "etc", folder / "lib", self.run):
            path.mkdir(parents=True)
        (folder / "lib" / "s3_leader").symlink_to(CORE)
        (folder / "credentials").write_text(keys)
        configuration = {**configuration, "credentials_file": str(folder / "credentials")}
        (folder / "etc" / "db.json").write_text(json.dumps(configuration))
        self._program.write_text(
            PROGRAM.format(
                python=sys.executable,
                lib=str(folder / "lib"),
                etc=str(folder / "etc"),
                run=str(folder / "run"),
                journal=str(folder / "nobody"),
            )
        )
        self._program.chmod(0o755)

    def start(self) -> None:
        environment = {"PATH": os.defpath, "AWS_EC2_METADATA_DISABLED": "true"}
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [self._program, "heartbeat", "db"],
                env={**environment, "NOTIFY_SOCKET": self._listener.variable},
                stderr=stderr,
                preexec_fn=die_with_parent(),
            )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while (message := self._listener.message()) is not None:
            self.told.append(message)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        self.stop()
        self._listener.close()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ended(self) -> int:
        """Await its end; the exit status."""
        assert self._process is not None
        return self._process.wait(LIMIT)

    def said(self) -> str:
        """What would stand in the journal."""
        return self._stderr.read_text()

    def leader(self) -> dict[str, str]:
        """The file that starts the services; empty where there is none."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.run / "leader").read_text().splitlines()
            return {name: value.strip('"') for name, value in (line.split("=", 1) for line in lines)}
        return {}

    def term(self) -> int:
        return int(self.leader().get("S3_LEADER_TERM", 0))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self._program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)

    def status(self) -> dict[str, t.Any]:
        told: dict[str, t.Any] = json.loads(self.command("status", "--json", "db").stdout)["db"]
        return told


Make = Callable[[str], Daemon]


@pytest.fixture
def make(seaweedfs, bucket, key, proxy, tmp_path) -> Iterator[Make]:
    """Makes the daemon of a host; it reaches the store through the proxy, and is killed when the test ends."""
    configuration = dict(TIMES, bucket=bucket, key=key, endpoint_url=proxy.url, region=seaweedfs.region)
    keys = f"[default]\naws_access_key_id={seaweedfs.access_key}\naws_secret_access_key={seaweedfs.secret_key}\n"
    with contextlib.ExitStack() as stack:

        def make(holder: str) -> Daemon:
            daemon = Daemon(tmp_path / holder, {**configuration, "holder": holder}, keys)
            stack.callback(daemon.close)
            daemon.start()
            return daemon

        yield make


@pytest.fixture
def stored(seaweedfs, bucket, key) -> Callable[[], dict[str, t.Any]]:
    """What really stands in the store."""
    s3 = seaweedfs.client()
    return lambda: json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


@pytest.fixture
def pair(make) -> tuple[Daemon, Daemon]:
    """A leader, and a standby that knows of it."""
    leader = make("web-1")
    eventually(leader.leader)
    standby = make("web-2")
    eventually(lambda: any("held by web-1" in message.get("STATUS", "") for message in standby.told))
    return leader, standby


def test_one_leads_and_the_other_stands_by(pair, stored):
    leader, standby = pair
    record = stored()
    assert leader.leader() == {
        "S3_LEADER_NAME": "db",
        "S3_LEADER_TERM": str(record["term"]),
        "S3_LEADER_HOLDER": record["holderId"],
    }
    assert standby.leader() == {}
    assert (leader.command("check", "db").returncode, standby.command("check", "db").returncode) == (0, 1)
    assert [daemon.status()["is_leader"] for daemon in pair] == [True, False]
    assert [daemon.status()["role"] for daemon in pair] == ["leader", "standby"]
    assert [daemon.status()["holder"] for daemon in pair] == ["web-1", "web-1"]
    assert [daemon.told[0] for daemon in pair] == [{"READY": "1"}] * 2


def test_a_reload_keeps_the_process_the_term_and_the_file_and_goes_on_renewing(pair, stored):
    leader, standby = pair
    before, written = stored(), (leader.run / "leader").stat().st_mtime_ns
    for daemon in pair:
        daemon.send(signal.SIGHUP)
        eventually(lambda daemon=daemon: daemon.told.count({"READY": "1"}) == 2)
    eventually(lambda: stored()["sequence"] >= before["sequence"] + 5)
    after = stored()
    assert (after["session"], after["term"]) == (before["session"], before["term"])
    assert (leader.run / "leader").stat().st_mtime_ns == written
    assert leader.said().count("leads with term") == 1
    assert leader.runs()
    assert standby.runs()
    assert standby.leader() == {}


def test_a_second_daemon_of_the_lease_on_one_host_ends_and_disturbs_nobody(pair):
    leader, _standby = pair
    second = leader.command("heartbeat", "db")
    assert second.returncode == 2
    assert "another daemon of the lease db runs here already" in second.stderr
    assert leader.leader()


def test_who_is_stopped_gives_the_lease_back_and_the_other_leads_with_a_higher_term(pair, stored):
    leader, standby = pair
    term = leader.term()
    leader.send(signal.SIGTERM)
    assert leader.ended() == 0
    assert leader.leader() == {}
    assert "db: gave the lease back" in leader.said()
    assert eventually(standby.term) == term + 1
    assert (stored()["holderId"], stored()["term"]) == ("web-2", term + 1)


def test_while_services_may_be_running_the_lease_is_not_given_back(pair, stored):
    leader, standby = pair
    (leader.run / "serving").touch()
    leader.send(signal.SIGTERM)
    assert leader.ended() == 0
    assert leader.leader() == {}
    assert stored()["holderId"] == "web-1"
    assert standby.leader() == {}


def test_who_is_killed_is_followed_when_its_time_is_over(pair):
    leader, standby = pair
    term = leader.term()
    leader.stop()
    assert eventually(standby.term) == term + 1


def test_who_does_not_reach_the_store_ends_in_time_and_arms_no_watchdog_after_the_last_renewal(pair, proxy):
    leader, standby = pair
    proxy.stop()
    assert leader.ended() == 75
    assert leader.leader() == {}
    assert "db: leads no more: it could not be renewed in time" in leader.said()
    assert leader.status()["is_leader"] is False
    eventually(lambda: leader.told[-1].get("STATUS") == "standby: it could not be renewed in time")
    failed = next(number for number, message in enumerate(leader.told) if "reached" in message.get("STATUS", ""))
    assert leader.told[failed]["STATUS"].startswith("leader: ")
    assert [message for message in leader.told[failed:] if "WATCHDOG" in message] == []
    armed = [message for message in leader.told[:failed] if "WATCHDOG_USEC" in message][-1]
    assert armed["WATCHDOG"] == "1"
    assert int(armed["WATCHDOG_USEC"]) <= (TIMES["lease_duration"] - TIMES["stop_grace"]) * 1e6
    assert standby.runs()
    assert standby.leader() == {}
