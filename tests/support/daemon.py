# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""s3-leader as a process, as systemd would run it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import typing as t
from collections.abc import Callable, Mapping

from support.child_process import die_with_parent

from .listener import Listener
from .waiting import LIMIT, wait_for

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CORE = REPOSITORY / "plugins" / "module_utils" / "_lease"
UNIT = REPOSITORY / "roles" / "heartbeat" / "templates" / "s3-leader@.service.j2"
TIMES = {"lease_duration": 20, "renew_interval": 1, "stop_grace": 10, "poll_interval": 1, "request_timeout": 5}

# As the role's, but for the folders.
PROGRAM = """#!{python} -IB
import sys
sys.path.insert(0, {lib!r})
{patch}
from s3_leader.host import leases, runtime, systemd
leases.FOLDER, runtime.FOLDER, systemd.JOURNAL = {etc!r}, {run!r}, {journal!r}
from s3_leader.host.command import main
sys.exit(main())
"""

# While the file says so, waits are over at once, and the clocks are ahead by them: an hour passes in seconds.
# libfaketime cannot do it: where it speeds up monotonic clocks, the waits for Python's threads hang.
HASTE = """
import os, signal, time
clock_gettime, sigtimedwait, skipped = time.clock_gettime, signal.sigtimedwait, 0.0
def wait(signals, seconds):
    global skipped
    try:
        with open({haste!r}) as file:
            left = float(file.read()) - seconds
    except OSError:
        return sigtimedwait(signals, seconds)
    skipped += seconds
    if left > 0:
        with open({haste!r} + ".new", "w") as file:
            file.write(str(left))
        os.rename({haste!r} + ".new", {haste!r})
    else:
        os.unlink({haste!r})
    return sigtimedwait(signals, 0.002)
time.clock_gettime = lambda clock: clock_gettime(clock) + skipped
signal.sigtimedwait = wait
"""


def unit_environment() -> dict[str, str]:
    """The variables that the daemon's unit sets."""
    lines = [line.partition("=") for line in UNIT.read_text().splitlines()]
    variables = [one for name, _equals, value in lines if name == "Environment" for one in value.split()]
    return dict(one.split("=", 1) for one in variables)


def eventually(what: Callable[[], t.Any]) -> t.Any:
    """Await the first true value."""
    return wait_for(what, "what a daemon is to do")


class Daemon:
    """s3-leader on a host of its own: folders, and what systemd is told."""

    def __init__(
        self,
        folder: pathlib.Path,
        configuration: Mapping[str, t.Any],
        keys: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.run = folder / "run" / "db"
        self._serving = folder / "run-serving" / "db"
        self.keys = folder / "credentials"
        self.listens = threading.Event()
        """systemd reads what it is told."""
        self.told: list[dict[str, str]] = []
        """What systemd was told so far."""
        self._environment = dict(environment or {})
        self._stderr = folder / "stderr"
        self._haste = folder / "haste"
        self._program = folder / "s3-leader"
        self._listener = Listener()
        self._process: subprocess.Popen[bytes] | None = None
        for path in (folder / "etc", folder / "lib", self.run):
            path.mkdir(parents=True)
        (folder / "lib" / "s3_leader").symlink_to(CORE)
        self.keys.write_text(keys)
        configuration = {**configuration, "credentials_file": str(self.keys)}
        (folder / "etc" / "db.json").write_text(json.dumps(configuration))
        self._program.write_text(
            PROGRAM.format(
                python=sys.executable,
                lib=str(folder / "lib"),
                patch=HASTE.format(haste=str(self._haste)),
                etc=str(folder / "etc"),
                run=str(folder / "run"),
                journal=str(folder / "nobody"),
            )
        )
        self._program.chmod(0o755)
        self.listens.set()
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self) -> None:
        self._stop_services()  # the fence has done so by then
        environment = {
            "PATH": os.defpath,
            **unit_environment(),
            "AWS_EC2_METADATA_DISABLED": "true",
            **self._environment,
        }
        with self._stderr.open("ab") as stderr:
            self._process = subprocess.Popen(
                [self._program, "heartbeat", "db"],
                env={**environment, "NOTIFY_SOCKET": self._listener.variable},
                stderr=stderr,
                preexec_fn=die_with_parent(),
            )

    def _listen(self) -> None:
        while self.listens.wait() and (message := self._listener.message()) is not None:
            if message.get("STATUS", "").startswith("leader"):
                self._serving.mkdir(parents=True, exist_ok=True)
                (self._serving / "started").touch()
            self.told.append(message)

    def _stop_services(self) -> None:
        shutil.rmtree(self._serving, ignore_errors=True)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
        self._stop_services()

    def close(self) -> None:
        self.stop()
        self._listener.close()

    def send(self, number: signal.Signals, services_stop: bool = True) -> None:
        assert self._process is not None
        if number == signal.SIGTERM and services_stop:
            self._stop_services()  # systemd does so first
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def let_pass(self, seconds: float) -> None:
        """Let so much time pass by its clock, at once."""
        unfinished = self._haste.with_suffix(".unfinished")
        unfinished.write_text(str(seconds))
        unfinished.rename(self._haste)
        eventually(lambda: not self._haste.exists())

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ended(self) -> int:
        """Await its end; the exit status."""
        assert self._process is not None
        return self._process.wait(LIMIT)

    def said(self) -> str:
        """What would stand in the journal."""
        return self._stderr.read_text()

    def lines(self) -> list[str]:
        """The same, line by line."""
        return self.said().splitlines()

    def says(self, text: str) -> int:
        """How many lines of the journal have this text."""
        return sum(text in line for line in self.lines())

    def renews(self, stored: Callable[[], dict[str, t.Any]], times: int = 3) -> bool:
        """Await some renewals of the term that it leads with."""
        before = stored()
        assert before["term"] == self.term()
        eventually(lambda: stored()["sequence"] >= before["sequence"] + times)
        assert stored()["session"] == before["session"]
        return self.runs()

    def leader(self) -> dict[str, str]:
        """The file that starts the services; empty where there is none."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.run / "leader").read_text().splitlines()
            return {name: value.strip('"') for name, value in (line.split("=", 1) for line in lines)}
        return {}

    def term(self) -> int:
        return int(self.leader().get("S3_LEADER_TERM", 0))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command: list[str | pathlib.Path] = [self._program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)

    def status(self) -> dict[str, t.Any]:
        told: dict[str, t.Any] = json.loads(self.command("status", "--json", "db").stdout)["db"]
        return told
