# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs ansible-playbook as a process and tells what became of each task."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import typing as t
from collections.abc import Mapping, Sequence

# That of another version of Ansible, if one is named.
_GIVEN = os.environ.get("ANSIBLE_PLAYBOOK")
ANSIBLE_PLAYBOOK = pathlib.Path(_GIVEN or pathlib.Path(sys.executable).with_name("ansible-playbook"))
# That of hosts, if it is not the same.
HOST_PYTHON = os.environ.get("HOST_PYTHON") or str(ANSIBLE_PLAYBOOK.with_name("python"))
CALLBACKS = pathlib.Path(__file__).parent / "callback"
TIMEOUT = 1800.0  # seconds that a run may take: a role on several hosts, on a slow machine that does much else
POLL = 0.02  # seconds

Status = t.Literal["started", "ok", "changed", "failed", "ignored", "skipped", "unreachable"]


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """What a task gave on one host. time is in seconds since 1970."""

    host: str
    task: str
    action: str
    status: Status
    time: float
    result: dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that has ended. returncode is negative when a signal ended it."""

    returncode: int
    stdout: str
    stderr: str
    results: list[TaskResult]

    def task(self, name: str, host: str | None = None) -> TaskResult:
        """The only result of the task, on the host if one is given. Raises LookupError with the run's output."""
        found = _select(self.results, name, host)
        if len(found) != 1:
            raise LookupError(f"{len(found)} results of task {name!r} on {host or 'any host'}\n{self}")
        return found[0]

    def __getitem__(self, name: str) -> dict[str, t.Any]:
        """The values that the task returned: run["acquire"]["is_leader"]."""
        return self.task(name).result

    def statuses(self, name: str) -> dict[str, Status]:
        """The status of the task by host."""
        return {found.host: found.status for found in _select(self.results, name)}

    def succeeded(self) -> Run:
        """Itself; raises AssertionError with the output when the run failed."""
        assert self.returncode == 0, str(self)
        return self

    def __str__(self) -> str:
        return f"ansible-playbook ended with status {self.returncode}\n{self.stdout}\n{self.stderr}"


class RunningPlaybook:
    """A run in progress."""

    def __init__(self, process: subprocess.Popen[bytes], folder: pathlib.Path) -> None:
        self.process = process
        self.folder = folder

    @property
    def results(self) -> list[TaskResult]:
        """The results so far."""
        return [entry for entry in self._entries() if entry.status != "started"]

    def wait_for(self, task: str, host: str | None = None, timeout: float = TIMEOUT) -> TaskResult:
        """Wait until the task has finished. Raises TimeoutError, or LookupError when the run ends without it."""
        return self._wait_for(task, host, timeout, started=False)

    def wait_for_start(self, task: str, host: str | None = None, timeout: float = TIMEOUT) -> TaskResult:
        """Wait until the task begins on a host."""
        return self._wait_for(task, host, timeout, started=True)

    def wait(self, timeout: float = TIMEOUT) -> Run:
        """Wait for the end. A run that takes longer than timeout seconds is killed and raises TimeoutError."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"not done within {timeout} s\n{self._run()}") from None
        return self._run()

    def terminate(self) -> None:
        """SIGTERM to ansible-playbook alone."""
        self.process.terminate()

    def interrupt(self) -> None:
        """SIGINT to ansible-playbook alone."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to ansible-playbook, its workers and their modules at once, as when the machine dies."""
        if self.process.poll() is None:
            # Workers start sessions of their own, so that a process group would not hold them all.
            for pid in [self.process.pid, *descendants(self.process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def _wait_for(self, task: str, host: str | None, timeout: float, started: bool) -> TaskResult:
        deadline = time.monotonic() + timeout
        while True:
            ended = self.process.poll() is not None  # asked first: no result comes after it
            for entry in _select(self._entries(), task, host):
                if started or entry.status != "started":
                    return entry
            if ended:
                raise LookupError(f"the run ended without task {task!r}\n{self._run()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"no task {task!r} within {timeout} s\n{self._run()}")
            time.sleep(POLL)

    def _entries(self) -> list[TaskResult]:
        file = self.folder / "results.jsonl"
        if not file.exists():
            return []
        whole = file.read_text().rpartition("\n")[0]
        return [TaskResult(**json.loads(line)) for line in whole.splitlines()]

    def _run(self) -> Run:
        stdout, stderr = ((self.folder / name).read_text(errors="replace") for name in ("stdout", "stderr"))
        returncode = self.process.poll()
        return Run(-1 if returncode is None else returncode, stdout, stderr, self.results)


def start(
    folder: pathlib.Path,
    play: str | Sequence[Mapping[str, t.Any]],
    *,
    hosts: Sequence[str] = ("localhost",),
    s3: Mapping[str, t.Any] | None = None,
    env: Mapping[str, str | None] | None = None,
    args: Sequence[str] = (),
    collections_path: str | None = None,
    python: str = HOST_PYTHON,
    **extra_vars: t.Any,
) -> RunningPlaybook:
    """Start ansible-playbook in a new folder below the given one.

    play is a whole playbook as YAML, or tasks as YAML, or tasks as data; tasks run on all hosts, and all hosts are
    this machine.
    s3 holds module defaults for the collection's action group. In env, None takes a variable away.
    """
    place = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=folder))
    (place / "playbook.yml").write_text(_playbook(play, s3))
    (place / "inventory.json").write_text(_inventory(hosts, python))
    (place / "extra_vars.json").write_text(json.dumps(extra_vars))
    (place / "ansible.cfg").write_text("")
    command = [str(ANSIBLE_PLAYBOOK), "-i", "inventory.json"]
    command += ["-e", "@extra_vars.json", *args, "playbook.yml"]
    with (place / "stdout").open("wb") as stdout, (place / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            command,
            cwd=place,
            env=environment(place, collections_path, env),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    return RunningPlaybook(process, place)


def _playbook(play: str | Sequence[Mapping[str, t.Any]], s3: Mapping[str, t.Any] | None) -> str:
    if isinstance(play, str):
        play = textwrap.dedent(play).strip("\n")
        if re.search(r"^(- |  )(hosts|ansible\.builtin\.import_playbook|import_playbook):", play, re.MULTILINE):
            return play + "\n"
        tasks = textwrap.indent(play, "    ")
    else:
        tasks = "    " + json.dumps(play)  # JSON is YAML
    defaults = json.dumps({"group/leaderelection.s3.s3_leader": dict(s3)} if s3 else {})
    return f"- hosts: all\n  gather_facts: false\n  module_defaults: {defaults}\n  tasks:\n{tasks}\n"


def _inventory(hosts: Sequence[str], python: str) -> str:
    variables = {"ansible_connection": "local", "ansible_python_interpreter": python}
    # YAML of this form is JSON, too; the file name decides which plugin reads it.
    return json.dumps({"all": {"hosts": {host: {} for host in hosts}, "vars": variables}})


def environment(
    place: pathlib.Path, collections_path: str | None, changes: Mapping[str, str | None] | None
) -> dict[str, str]:
    """This process's environment without what is set for the tests, or for Ansible and AWS by the person who runs them.

    With PYTHONPATH a module would find files of the collection that Ansible did not send.
    """
    ours = ("AWS_", "ANSIBLE_", "BOTO", "PYTHONPATH")
    kept: dict[str, str | None] = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    kept |= {
        "ANSIBLE_COLLECTIONS_PATH": collections_path or os.environ.get("ANSIBLE_COLLECTIONS_PATH"),
        "ANSIBLE_CONFIG": str(place / "ansible.cfg"),
        "ANSIBLE_HOME": str(place / "home"),
        "ANSIBLE_LOCAL_TEMP": str(place / "local"),
        "ANSIBLE_REMOTE_TEMP": str(place / "remote"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_DEVEL_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_RETRY_FILES_ENABLED": "false",
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_CALLBACKS_ENABLED": "record_results",
        "RECORD_RESULTS": str(place / "results.jsonl"),
        "AWS_CONFIG_FILE": str(place / "no-aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(place / "no-aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return {name: value for name, value in {**kept, **(changes or {})}.items() if value is not None}


def _select(entries: Sequence[TaskResult], task: str, host: str | None = None) -> list[TaskResult]:
    return [entry for entry in entries if entry.task == task and host in (None, entry.host)]


def descendants(pid: int) -> list[int]:
    """The processes below this one, by /proc."""
    children: dict[int, list[int]] = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):  # gone meanwhile
            # The name in parentheses may hold anything, even parentheses.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found: list[int] = []
    unseen = [pid]
    while unseen:
        below = children.get(unseen.pop(), [])
        found += below
        unseen += below
    return found
