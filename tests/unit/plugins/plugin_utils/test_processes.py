# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import processes
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _processes
from support.waiting import wait_for

SLEEPS = [sys.executable, "-S", "-c", "import os, time; os.write(1, b'!'); time.sleep(600)"]
STARTS_IT = (
    "import subprocess, sys\n"
    "p = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, start_new_session=True)\n"
    "p.stdout.read(1); print(p.pid, flush=True); p.wait()"
)
SPAWNS = [sys.executable, "-S", "-c", STARTS_IT]


@pytest.fixture(autouse=True)
def path(tmp_path, monkeypatch):
    """This process is the main process of a run, and has this mark."""
    monkeypatch.setattr(_processes, "MAIN", processes.this())
    monkeypatch.delenv(_processes._VARIABLE, raising=False)
    return str(tmp_path / "run")


@pytest.fixture
def spawned():
    """A program that has started a program in a session of its own; the first one's process, and the second one's."""
    with subprocess.Popen([*SPAWNS, *SLEEPS], stdout=subprocess.PIPE) as process:
        below = int(process.stdout.readline())
        yield process, below
        process.kill()
        os.kill(below, signal.SIGKILL)


def found(path, but=()):
    return {process.pid for process in _processes.of_run(path, but)}


def test_all_that_descends_from_the_main_process_belongs_to_the_run(path, spawned):
    process, below = spawned
    assert {process.pid, below} <= found(path)
    assert os.getpid() not in found(path)
    assert process.pid not in found(path, but={process.pid})


def test_what_was_left_behind_unmarked_is_not_found(path, spawned):
    process, below = spawned
    process.kill()
    process.wait()
    assert below not in found(path)


def test_what_descends_from_a_marked_program_is_found_though_it_has_no_mark(path, monkeypatch):
    monkeypatch.setattr(_processes, "MAIN", processes.Process(1, "another"))  # the main process has died
    monkeypatch.setenv(_processes._VARIABLE, _processes._run.RUN)
    with subprocess.Popen([*SPAWNS, "env", "-i", *SLEEPS], stdout=subprocess.PIPE) as process:
        below = int(process.stdout.readline())
        assert {process.pid, below} <= found(path)
        process.kill()
        os.kill(below, signal.SIGKILL)


def test_another_process_with_the_number_of_a_dead_main_process_has_no_part_in_the_run(path, spawned, monkeypatch):
    process, below = spawned
    monkeypatch.setattr(_processes, "MAIN", _processes.MAIN._replace(started="1"))
    assert not {process.pid, below} & found(path)


def test_programs_are_found_by_their_mark(path, monkeypatch):
    monkeypatch.setenv(_processes._VARIABLE, "to be restored")
    descriptor = _processes.mark(path)
    with subprocess.Popen([*SPAWNS, *SLEEPS], stdout=subprocess.PIPE) as process:
        below = int(process.stdout.readline())
        process.kill()
        process.wait()
        assert below in found(path)
        os.kill(below, signal.SIGKILL)
        wait_for(lambda: below not in found(path), "it has ended")
    os.close(descriptor)


def test_forks_are_found_by_what_they_have_open(path, monkeypatch):
    monkeypatch.setenv(_processes._VARIABLE, "to be restored")
    descriptor = _processes.mark(path)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # as a worker of a run that forks, and is left behind
        grandchild = os.fork()
        if grandchild:
            os.write(writer, b"%d\n" % grandchild)
            os._exit(0)
        signal.pause()
        os._exit(0)
    os.waitpid(child, 0)
    pid = int(os.read(reader, 20))
    assert pid in found(path)
    os.kill(pid, signal.SIGKILL)
    for one in (descriptor, reader, writer):
        os.close(one)
