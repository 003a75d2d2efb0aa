# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real ansible-rulebook plays a playbook for each event of the source, while leadership moves on a real store."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import typing as t

import pytest
import yaml
from support.documents import ROOT
from support.proxy import answer
from support.waiting import wait_for

RULEBOOK = """
- name: Leases
  hosts: all
  sources:
    - leaderelection.s3.s3_leader: {options}
  rules:
    - name: Write every event down
      condition: event.type is defined
      action:
        run_playbook:
          name: note.yml
"""
NOTE = """
- name: Write an event down
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Add a line
      ansible.builtin.shell: echo "$LINE" >>{{ notes | quote }}
      environment:
        LINE: "{{ ansible_eda.event | to_json }}"
      changed_when: true
"""
PLAYED = 600.0
"""Seconds in which a rulebook starts and plays a few playbooks, on a machine that does much else."""
NOTED = ("type", "holder", "how", "by", "reason", "previous_holder")


@pytest.fixture
def programs() -> pathlib.Path:
    """The folder of ansible-rulebook and of the ansible-playbook that it runs."""
    python = os.environ.get("RULEBOOK_PYTHON")
    if not python:
        pytest.skip("RULEBOOK_PYTHON names no Python with requirements/rulebook.txt: make test sets it")
    if not shutil.which("java"):
        pytest.skip("ansible-rulebook needs Java: install default-jre-headless")
    return pathlib.Path(python).parent


class Rulebook:
    """A process of ansible-rulebook, in a folder with its playbooks."""

    def __init__(self, programs: pathlib.Path, folder: pathlib.Path, environment: dict[str, str]) -> None:
        self.folder, self.notes = folder, folder / "notes"
        self._log = folder / "log"
        python = f"ansible_python_interpreter={programs}/python"
        (folder / "inventory").write_text(f"localhost ansible_connection=local {python} notes={self.notes}\n")
        self._environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._environment |= dict(environment, PATH=f"{programs}:{os.environ['PATH']}", ANSIBLE_NOCOLOR="1")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, text: str, inventory: str = "inventory") -> None:
        (self.folder / "rulebook.yml").write_text(text)
        words = ["ansible-rulebook", "--rulebook=rulebook.yml", f"--inventory={inventory}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                words,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> int:
        assert self._process
        return self._process.wait(PLAYED)

    def stop(self) -> None:
        """As systemd or Ctrl-C would."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(PLAYED)

    def kill(self) -> None:
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def noted(self) -> list[dict[str, t.Any]]:
        """The events that the playbook has written down so far."""
        whole = self.notes.read_text().rpartition("\n")[0] if self.notes.exists() else ""
        return [yaml.safe_load(line) for line in whole.splitlines()]

    def wait_for(self, number: int) -> list[dict[str, t.Any]]:
        """Wait until so many events are written down."""
        try:
            wait_for(lambda: len(self.noted()) >= number, f"{number} events", PLAYED)
            return self.noted()
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.noted()}\n{self.log}") from None


@pytest.fixture
def rulebook(programs, store, tmp_path, collections_path):
    folder = tmp_path / "rulebook"
    folder.mkdir()
    (folder / "note.yml").write_text(NOTE)
    made = Rulebook(programs, folder, {**store.environment, "ANSIBLE_COLLECTIONS_PATH": collections_path})
    yield made
    made.kill()
    print(made.log)


@pytest.fixture
def options(proxy, key, tmp_path):
    return dict(
        prefix=f"{key}/",
        poll_interval=1,
        request_timeout=1,
        endpoint_url=proxy.url,
        state_file=str(tmp_path / "state.json"),
    )


@pytest.fixture
def do(run_playbook, store, key):
    """Carries out a module, as whoever is named."""

    def do(module, holder, **arguments):
        task = {f"leaderelection.s3.s3_leader_{module}": dict(key=f"{key}/db", holder=holder, **arguments)}
        run_playbook([{**task, "register": "done"}], env=store.environment).succeeded()

    return do


def first_look(options):
    """Wait until the source has looked for the first time."""
    file = pathlib.Path(options["state_file"])
    wait_for(lambda: file.exists() and yaml.safe_load(file.read_text())["told"] is not None, "the first look", PLAYED)


def short(events):
    return [tuple(event[field] for field in NOTED if event[field]) for event in events]


def test_a_rulebook_plays_a_playbook_for_each_event_while_leadership_moves(rulebook, options, proxy, do, key):
    rulebook.start(RULEBOOK.format(options=options))
    first_look(options)
    do("acquire", "alice", session="alice-session", lease_duration="1h")
    rulebook.wait_for(2)
    do("release", "alice", session="alice-session", reason="done")
    rulebook.wait_for(3)
    do("acquire", "bob", lease_duration="4s", request_timeout="1s")  # and he is never seen again
    rulebook.wait_for(7)
    do("acquire", "carol", lease_duration="1h")
    rulebook.wait_for(9)
    do("release", "dave", force=True, reason="carol is on leave")
    rulebook.wait_for(11)
    proxy.on("GET", answer(503), nth=None)
    rulebook.wait_for(12)
    proxy.heal()
    events = rulebook.wait_for(13)
    rulebook.stop()
    assert short(events) == [
        ("leader_acquired", "alice"),
        ("leader_changed", "alice"),
        ("leader_lost", "alice", "released", "alice", "done"),
        ("leader_acquired", "bob", "alice"),
        ("leader_changed", "bob", "alice"),
        ("lease_expired", "bob", "expired"),
        ("leader_lost", "bob", "expired"),
        ("leader_acquired", "carol", "bob"),
        ("leader_changed", "carol", "bob"),
        ("lease_broken", "carol", "broken", "dave", "carol is on leave"),
        ("leader_lost", "carol", "broken", "dave", "carol is on leave"),
        ("store_error",),
        ("store_recovered",),
    ]
    for event in events[:11]:
        assert event["location"] == f"s3://leader-election/{key}/db"
    terms = [event["term"] for event in events if event["type"] == "leader_acquired"]
    assert terms == sorted(set(terms))
    assert f"{proxy.url} answered 503" in events[11]["error"]
    assert events[12]["since"] == events[11]["at"]


def test_what_happens_while_the_rulebook_is_down_is_told_once_when_it_is_back(rulebook, options, do, store):
    text = RULEBOOK.format(options=options)
    rulebook.start(text)
    first_look(options)
    do("acquire", "alice", session="alice-session", lease_duration="1h")
    rulebook.wait_for(2)
    rulebook.stop()
    do("release", "alice", session="alice-session")
    do("acquire", "bob", session="bob-session", lease_duration="1h")
    do("release", "bob", session="bob-session")
    do("acquire", "carol", lease_duration="1h")
    rulebook.start(text)
    events = rulebook.wait_for(8)
    rulebook.stop()
    rulebook.start(text)
    do("release", "dave", force=True)
    events = rulebook.wait_for(10)
    rulebook.stop()
    assert [(event["type"], event["holder"]) for event in events] == [
        ("leader_acquired", "alice"),
        ("leader_changed", "alice"),
        ("leader_lost", "alice"),
        ("leader_acquired", "bob"),
        ("leader_changed", "bob"),
        ("leader_lost", "bob"),
        ("leader_acquired", "carol"),
        ("leader_changed", "carol"),
        ("lease_broken", "carol"),
        ("leader_lost", "carol"),
    ]


def test_as_long_as_nothing_changes_the_store_answers_304_or_is_not_asked(rulebook, options, proxy, do, key, store):
    do("acquire", "alice", lease_duration="1h")
    del options["prefix"]
    options["key"] = f"{key}/db"
    rulebook.start(RULEBOOK.format(options=options))
    first_look(options)
    wait_for(lambda: len(proxy.requests) >= 4, "four looks", PLAYED)
    rulebook.stop()
    assert [request.status for request in proxy.requests[:4]] == [200, 304, 304, 304]


def test_of_a_prefix_nothing_but_the_listing_is_asked_for_as_long_as_nothing_changes(rulebook, options, proxy, do, key):
    do("acquire", "alice", lease_duration="1h")
    rulebook.start(RULEBOOK.format(options=options))
    first_look(options)
    wait_for(lambda: len(proxy.requests) >= 5, "four looks", PLAYED)
    rulebook.stop()
    assert [request.key for request in proxy.requests[:5]] == ["", f"{key}/db", "", "", ""]


def test_a_bad_option_ends_the_rulebook_and_says_what_to_do(rulebook, options):
    rulebook.start(RULEBOOK.format(options=dict(options, key="jobs/a")))
    assert rulebook.wait() != 0
    assert re.search(r"prefix is .*: key is set, too\. Use key for one lease", rulebook.log)


def test_the_rulebook_of_the_documents_works_as_it_stands_there(rulebook, do, key, tmp_path):
    page = (ROOT / "docs/events.md").read_text()
    files = dict(re.findall(r"`(\w+\.yml)`[^`]*:\n\n```yaml\n(.*?)^```$", page, re.M | re.S))
    changes = {"/var/lib/rulebook": str(tmp_path), "bucket: leases": "bucket: leader-election", "hosts/db": f"{key}/db"}
    for name, text in files.items():
        for theirs, ours in changes.items():
            text = text.replace(theirs, ours)
        (rulebook.folder / name).write_text(text)
    rulebook.start((rulebook.folder / "leadership.yml").read_text(), "inventory.yml")
    first_look(dict(state_file=tmp_path / "db.json"))
    do("acquire", "alice", lease_duration="1h")
    leader = tmp_path / "db.leader"
    wait_for(lambda: leader.exists() and leader.read_text() == "alice\n", "the name of the leader", PLAYED)
    do("release", "dave", force=True)
    told = f"lease_broken at s3://leader-election/{key}/db: alice"
    wait_for(lambda: told in rulebook.log, "what somebody is told", PLAYED)
