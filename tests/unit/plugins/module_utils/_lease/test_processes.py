# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import processes
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.processes import Group
from support.waiting import wait_for

SLEEPS = [sys.executable, "-S", "-c", "import os, time; os.write(1, b'!'); time.sleep(600)"]
STUBBORN = [
    *SLEEPS[:3],
    "import os, signal, time; signal.signal(15, signal.SIG_IGN); os.write(1, b'!'); time.sleep(600)",
]
STARTS_IT = (
    "import subprocess, sys\n"
    "p = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, start_new_session=True)\n"
    "p.stdout.read(1); print(p.pid, flush=True); p.wait()"
)
SPAWNS = [sys.executable, "-S", "-c", STARTS_IT]


@contextlib.contextmanager
def started(*command, **options):
    """A program that has begun to do what it does; killed at the end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, **options) as process:
        process.stdout.read(1)
        yield process
        process.kill()


@pytest.fixture
def spawned():
    """A program that has started a program in a session of its own; their processes."""
    with subprocess.Popen([*SPAWNS, *SLEEPS], stdout=subprocess.PIPE) as process:
        below = int(process.stdout.readline())
        yield processes.of(process.pid), processes.of(below)
        process.kill()
        os.kill(below, signal.SIGKILL)


def nobody(_pid):
    return False


def test_what_descends_from_a_head_belongs_to_it_without_the_head_and_without_strangers(spawned):
    one, below = spawned
    assert {one, below} <= processes.family((processes.this(),), nobody, ())
    assert processes.family((one,), nobody, ()) == {below}
    assert processes.family((processes.this(), one), nobody, ()) >= {below}
    assert one not in processes.family((processes.this(), one), nobody, ())
    assert not {one, below} & processes.family((processes.this(),), nobody, {one})


def test_another_process_with_the_number_of_a_head_is_none(spawned):
    one, _below = spawned
    assert processes.family((one._replace(started="1"),), nobody, ()) == set()


def test_what_descends_from_a_member_belongs_to_it(spawned):
    one, below = spawned
    assert processes.family((), lambda pid: pid == one.pid, ()) == {one, below}


def test_a_program_is_known_by_a_word_in_its_environment():
    with started(*SLEEPS, env={"MARK": "outer inner"}) as process:
        assert processes.has_word(process.pid, "MARK", "outer")
        assert processes.has_word(process.pid, "MARK", "inner")
        assert not processes.has_word(process.pid, "MARK", "out")
        assert not processes.has_word(process.pid, "MAR", "outer")
    assert not processes.has_word(process.pid, "MARK", "outer")


def test_a_signal_goes_to_the_process_and_to_no_later_one_with_its_number():
    with started(*SLEEPS) as process:
        one = processes.of(process.pid)
        assert one.is_alive()
        other = one._replace(started="1")
        other.send(signal.SIGKILL)
        assert not other.is_alive()
        assert one.is_alive()
        one.send(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert not one.is_alive()
    one.send(signal.SIGKILL)  # to nobody


def test_a_group_lives_as_long_as_one_of_its_processes():
    with subprocess.Popen([*SPAWNS, "sh", "-c", "echo !; sleep 600 & sleep 600"], stdout=subprocess.PIPE) as process:
        group = Group(int(process.stdout.readline()))
        assert group.is_alive()
        group.send(signal.SIGKILL)
        wait_for(lambda: not group.is_alive(), "its processes have ended")
        group.send(signal.SIGKILL)  # to nobody


@pytest.mark.parametrize(("program", "number"), [(SLEEPS, signal.SIGTERM), (STUBBORN, signal.SIGKILL)])
def test_processes_are_asked_to_end_and_then_killed(program, number):
    with started(*program) as process:
        one, clock = processes.of(process.pid), Clock()
        seen = processes.end(lambda: {one}, clock.now() + 0.3, clock.now() + 60, clock)
        assert seen == {one}
        assert process.wait() == -number


def test_a_stopped_process_is_asked_to_end_too():
    with started(*SLEEPS) as process:
        one, clock = processes.of(process.pid), Clock()
        process.send_signal(signal.SIGSTOP)
        processes.end(lambda: {one}, clock.now() + 60, clock.now() + 60, clock)
        assert process.wait() == -signal.SIGTERM


def test_what_appears_later_is_asked_once_it_is_seen_and_what_was_known_is_not_forgotten(spawned):
    one, below = spawned
    looks = iter([set(), {below}])
    clock = Clock()
    seen = processes.end(lambda: next(looks, set()), clock.now() + 60, clock.now() + 60, clock, known={one})
    assert seen == {one, below}
    assert processes.alive(seen) == set()


def test_nobody_waits_beyond_the_deadline():
    with started(*STUBBORN) as process:
        one, clock = processes.of(process.pid), Clock()
        processes.end(lambda: {one}, clock.now() + 600, clock.now(), clock)
        assert one.is_alive()


def test_it_is_known_whether_a_process_has_a_handler():
    before = signal.getsignal(signal.SIGUSR2)
    try:
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        assert not processes.this().catches(signal.SIGUSR2)
        signal.signal(signal.SIGUSR2, lambda *_args: None)
        assert processes.this().catches(signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert not processes.this()._replace(started="1").catches(signal.SIGUSR2)


def test_orphans_are_adopted():
    adopts = (
        "import os, sys\n"
        "from ansible_collections.leaderelection.s3.plugins.module_utils._lease import processes\n"
        "processes.adopt_orphans()\n"
        "reader, writer = os.pipe()\n"
        "if not os.fork():\n"
        "    if not os.fork():\n"
        "        os.read(reader, 1)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "os.write(writer, b'!')\n"
        "print(os.wait()[1])\n"
    )
    assert subprocess.check_output([sys.executable, "-c", adopts], encoding="ascii") == "0\n"
