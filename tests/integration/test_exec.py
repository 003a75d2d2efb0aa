# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""s3-leader exec, as processes, on a real store: the works of two commands under one lease never overlap."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import pty
import select
import shlex
import signal
import sys
import time

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import processes
from support import executed, guarded_work
from support.executed import OPTIONS, Execution, work
from support.prometheus import metrics
from support.proxy import hang
from support.stores.both import ON_BOTH_STORES
from support.waiting import wait_for

CONFLICT, UNAVAILABLE, LOST, USAGE = 75, 69, 79, 64


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return executed.install(tmp_path_factory.mktemp("bin"))


@pytest.fixture
def file(tmp_path) -> pathlib.Path:
    return tmp_path / "work"


@pytest.fixture
def run(program, store, key, tmp_path):
    """Starts s3-leader exec; killed when the test ends."""
    with contextlib.ExitStack() as stack:

        def start(*command, url=store.endpoint_url, environment=(), **options):
            values = {**store.environment, "AWS_URL": url, "AWS_ENDPOINT_URL": url, **dict(environment)}
            one = Execution(program, tmp_path, values, key, command, **options)
            stack.callback(one.close)
            return one

        yield start


@pytest.fixture
def lead(run, file):
    """Starts a command that works, and waits until it does."""

    def start(who, seconds, *, how="", **options):
        one = run(*work(file, who, seconds, how), **options)
        wait_for(lambda: who in guarded_work.shifts(file) or one.process.poll() is not None, f"{who} is at work")
        assert one.process.poll() is None, str(one.wait())
        return one

    return start


def follows(run, file, who="bob"):
    """Assert that another one gets the lease, and that only one works at a time."""
    ended = run(*work(file, who, 0.3), wait=60).wait()
    assert (ended.status, ended.err) == (0, "")
    assert guarded_work.overlaps(file) == []


def is_free(record):
    """Tell whether the lease was given back."""
    return record["holderId"] == ""


def is_lost(ended, key, why):
    """Assert that one sentence says which lease was lost, and why."""
    assert ended.status == LOST
    assert f"the lease s3://leader-election/{key} is lost: {why}" in ended.err
    assert ended.err.count("is lost:") == 1


# -- The usual


@pytest.mark.parametrize("status", [0, 7, 126])
def test_the_status_is_the_commands_own_and_nothing_else_is_said(run, status):
    ended = run("sh", "-c", f"echo done; exit {status}").wait()
    assert ended == (status, "done\n", "")


def test_the_command_knows_its_term_its_holder_and_its_deadline(run, stored):
    ended = run("sh", "-c", "echo $S3_LEADER_TERM $S3_LEADER_HOLDER $S3_LEADER_DEADLINE", holder="alice").wait()
    term, holder, deadline = ended.out.split()
    assert (int(term), holder) == (stored()["term"], "alice")
    assert float(deadline) < guarded_work.now() + OPTIONS["lease_duration"]


def test_the_lease_is_given_back_when_the_command_has_ended(run, stored):
    assert run("true").wait().status == 0
    assert is_free(stored())


@ON_BOTH_STORES
def test_a_command_five_times_as_long_as_its_lease_keeps_it_all_the_time(run, lead, file):
    alice = lead("alice", 5 * OPTIONS["lease_duration"])
    tries = 0
    while alice.process.poll() is None:
        ended = run("true", wait=0).wait()
        assert ended.status == CONFLICT or alice.process.poll() is not None
        tries += 1
    assert tries > 5
    assert alice.wait() == (0, "", "")


def test_who_does_not_get_the_lease_says_nothing_and_has_a_status_of_its_own(run, lead):
    lead("alice", 60)
    assert run("true", wait=0).wait() == (CONFLICT, "", "")
    assert run("true", wait=1, conflict_exit_code=3).wait() == (3, "", "")


def test_who_waits_gets_the_lease_when_it_is_given_back(run, lead, file):
    lead("alice", 3)
    follows(run, file)


# -- Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_handed_on_and_the_lease_is_given_back(lead, run, file, number, stored):
    alice = lead("alice", 60)
    alice.process.send_signal(number)
    assert alice.wait() == (128 + number, "", "") or number == signal.SIGINT
    assert is_free(stored())
    follows(run, file)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_ended_while_it_waits_never_holds_the_lease(lead, run, stored, number):
    alice = lead("alice", 60)
    bob = run("true")
    wait_for(lambda: list(executed.children(bob.process.pid)), "a keeper")
    bob.process.send_signal(number)
    assert bob.wait().status == 128 + number
    alice.process.terminate()
    alice.wait()
    assert is_free(stored())


def test_what_the_command_leaves_in_the_background_is_work_too(run, file, lead):
    shell = " ".join([*work(file, "alice", 8), "&"])
    alice = run("sh", "-c", shell)
    wait_for(lambda: "alice" in guarded_work.shifts(file), "alice is at work")
    assert run("true", wait=0).wait().status == CONFLICT
    ended = alice.wait()
    assert ended.status == 0
    assert "The lease is kept for what it has left in the background" in ended.err
    follows(run, file)


def test_what_a_shell_with_job_control_leaves_in_the_background_is_work_too(run, file):
    alice = run("bash", "-c", "set -m; " + shlex.join(work(file, "alice", 6)) + " & wait")
    wait_for(lambda: "alice" in guarded_work.shifts(file), "alice is at work")
    alice.process.terminate()
    follows(run, file)
    assert alice.wait().status == 128 + signal.SIGTERM


def test_a_command_that_was_stopped_is_ended_by_a_signal(run, stored):
    alice = run("sh", "-c", "echo runs; kill -STOP $$")
    wait_for(lambda: alice.said() == "runs\n", "it runs")
    alice.process.terminate()
    assert alice.wait().status == 128 + signal.SIGTERM
    assert is_free(stored())


def test_where_the_process_that_waits_to_become_the_command_is_killed_nothing_hangs(run, lead):
    lead("alice", 60)
    bob = run("true")
    wait_for(lambda: list(executed.children(bob.process.pid)), "a keeper")
    (waits,) = wait_for(lambda: list(executed.children(bob.keeper)), "a process waits")
    os.kill(waits, signal.SIGKILL)
    ended = bob.wait()
    assert ended.status == UNAVAILABLE
    assert "the process that was to become the command has ended" in ended.err


def test_files_that_are_open_are_for_the_command_and_not_for_the_keeper(run, tmp_path):
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    high = fcntl.fcntl(lock, fcntl.F_DUPFD, 5000)
    os.set_inheritable(high, True)
    alice = run("sh", "-c", f"echo runs; readlink /proc/$$/fd/{high}; sleep 600", pass_fds=[high])
    wait_for(lambda: alice.said().endswith("lock\n"), "the command has it")
    opened = [os.readlink(file) for file in pathlib.Path(f"/proc/{alice.keeper}/fd").iterdir()]
    assert [name for name in opened if "lock" in name or ".out" in name or ".err" in name] == []
    os.close(lock)
    os.close(high)


def test_standard_files_that_are_closed_are_no_others(run, stored):
    shell = ["bash", "-c", 'exec "$@" <&- >&- 2>&-', "bash"]
    assert run("sh", "-c", "sleep 2 & exit 3", before=shell).wait().status == 3
    assert is_free(stored())
    assert run("no-such-command", before=shell).wait().status == 127


def test_a_signal_that_was_ignored_stays_so(run):
    ended = run(
        "grep", "SigIgn", "/proc/self/status", before=["sh", "-c", "trap '' HUP USR1; exec \"$@\"", "sh"]
    ).wait()
    named = (1 << 31) - 1  # those above are realtime signals, which a container's init may ignore
    assert int(ended.out.split()[1], 16) & named == 1 << (signal.SIGHUP - 1) | 1 << (signal.SIGUSR1 - 1)


# -- The lease is lost


@ON_BOTH_STORES
@pytest.mark.parametrize("how", ["", "stubborn"])
def test_where_the_store_is_cut_off_the_command_ends_before_the_deadline(lead, run, file, proxy, key, how):
    alice = lead("alice", 60, how=how, url=proxy.url)
    proxy.on(None, hang(), None)
    ended = alice.wait()
    is_lost(ended, key, "the lease could not be renewed in time")
    proxy.heal()
    follows(run, file)


def test_a_store_that_is_back_in_time_costs_nothing(lead, proxy):
    alice = lead("alice", 20, url=proxy.url, lease_duration=15)
    proxy.on(None, hang(), None)
    wait_for(lambda: proxy.select(fault="hang"), "a renewal in vain")
    proxy.heal()
    assert alice.wait() == (0, "", "")


@pytest.mark.parametrize("how", ["", "stubborn"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_keeper_that_dies_or_hangs_is_missed_before_the_deadline(lead, run, file, key, number, how):
    alice = lead("alice", 60, how=how)
    os.kill(alice.keeper, number)
    is_lost(
        alice.wait(),
        key,
        "the process that keeps it " + {signal.SIGKILL: "has died", signal.SIGSTOP: "is silent"}[number],
    )
    follows(run, file)


@pytest.mark.parametrize("how", ["", "stubborn"])
@pytest.mark.parametrize("wrapper", [[], ["env", "-i"], ["setsid", "--wait"], ["setsid", "--wait", "env", "-i"]])
def test_the_command_of_a_runner_that_is_killed_ends_before_another_begins(run, file, how, wrapper):
    alice = run(*wrapper, *work(file, "alice", 60, how))
    wait_for(lambda: "alice" in guarded_work.shifts(file), "alice is at work")
    keeper = alice.keeper
    alice.process.kill()
    follows(run, file)
    wait_for(lambda: not processes.of(keeper).is_alive(), "no keeper is left")


ORPHANED = ["setsid", "-f", "env", "-i"]
"""It loses its parent, its process group, its session, and its mark."""


def test_a_process_without_parent_and_mark_is_ended_with_the_runner_and_with_the_keeper(run, file):
    for number, who in enumerate(("alice", "bob")):
        one = run("sh", "-c", shlex.join([*ORPHANED, *work(file, who, 60, "stubborn")]) + "; exec sleep 600", wait=60)
        wait_for(lambda who=who: who in guarded_work.shifts(file), f"{who} is at work")
        one.process.kill() if number == 0 else os.kill(one.keeper, signal.SIGKILL)
    follows(run, file, "carol")


def test_where_nobody_reads_what_the_runner_says_the_command_ends_all_the_same(run, file):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"x" * 4096)
    alice = run(*work(file, "alice", 60, "stubborn"), stderr=writer)
    wait_for(lambda: "alice" in guarded_work.shifts(file), "alice is at work")
    os.kill(alice.keeper, signal.SIGKILL)
    assert alice.wait().status == LOST
    follows(run, file)
    os.close(reader)
    os.close(writer)


def test_where_one_command_is_within_another_both_leases_outlive_the_work(run, file, program, key):
    inner = executed.words(program, f"{key}-inner", work(file, "alice", 60, "stubborn"))
    outer = run("sh", "-c", shlex.join(inner) + "; true")
    wait_for(lambda: "alice" in guarded_work.shifts(file), "alice is at work")
    shell = wait_for(lambda: list(executed.children(outer.keeper)), "the shell")[0]
    os.kill(next(executed.children(shell)), signal.SIGKILL)
    follows(run, file)


@pytest.mark.parametrize("how", ["", "stubborn"])
def test_a_runner_that_is_stopped_keeps_the_lease_and_loses_it_in_time(lead, run, file, proxy, how):
    alice = lead("alice", 60, how=how, url=proxy.url)
    alice.process.send_signal(signal.SIGSTOP)
    assert run("true", wait=2 * OPTIONS["lease_duration"]).wait().status == CONFLICT
    proxy.on(None, hang(), None)
    follows(run, file)


@ON_BOTH_STORES
def test_where_runner_and_keeper_are_killed_at_once_the_command_is_asked_to_end(lead, run, file):
    alice = lead("alice", 60)
    keeper = alice.keeper
    alice.process.send_signal(signal.SIGSTOP)
    os.kill(keeper, signal.SIGKILL)
    alice.process.kill()
    follows(run, file)


def test_where_an_operator_breaks_the_lease_the_command_ends(lead, run, file, key, run_playbook, store):
    alice = lead("alice", 60)
    breaks = f"- leaderelection.s3.s3_leader_release: {{key: {key}, force: true, holder: carol}}"
    run_playbook(breaks, env=store.environment).succeeded()
    is_lost(alice.wait(), key, "free: broken by carol")
    follows(run, file)


def test_a_runner_that_is_stopped_before_its_command_runs_does_not_block_the_others(run, file, lead, stored):
    alice = lead("alice", 4)
    bob = run(*work(file, "bob", 60), holder="bob")
    wait_for(lambda: list(executed.children(bob.process.pid)), "a keeper")
    bob.process.send_signal(signal.SIGSTOP)
    assert alice.wait().status == 0
    wait_for(lambda: stored()["holderId"] == "bob", "bob has the lease")
    follows(run, file, "carol")
    bob.process.send_signal(signal.SIGCONT)
    ended = bob.wait()
    assert ended.status == UNAVAILABLE
    assert "bob" not in guarded_work.shifts(file)


# -- What it refuses


def test_a_store_that_is_not_there_is_named(run):
    ended = run("true", wait=0, url="http://127.0.0.1:1").wait()
    assert ended.status == UNAVAILABLE
    assert "http://127.0.0.1:1" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("command", "status", "text"),
    [
        (["no-such-command"], 127, "s3-leader: no-such-command: No such file or directory\n"),
        (["/dev/null"], 126, "s3-leader: /dev/null: Permission denied\n"),
    ],
)
def test_a_command_that_cannot_be_started_gives_the_lease_back(run, stored, command, status, text):
    assert run(*command).wait() == (status, "", text)
    assert is_free(stored())


def test_a_script_that_names_no_shell_is_run_by_one(run, tmp_path):
    script = tmp_path / "script"
    script.write_text("echo it runs\n")
    script.chmod(0o755)
    assert run(str(script)).wait() == (0, "it runs\n", "")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (dict(lease_duration=4), "--lease-duration is 4: it is too short to be kept"),
        (dict(wait=-1), "--wait is -1: use 0 or more"),
        (dict(wait="nan"), "'nan': use a number of seconds, or a duration like 90s, 10m or 1h30m"),
        (dict(metadata="x"), '--metadata is "x": use NAME=VALUE'),
        (dict(endpoint_url="ftp://x"), '--endpoint-url is "ftp://x": use a URL'),
        (dict(stop_grace=0), "--stop-grace is 0: use 1 to 3600"),
        (dict(textfile="job.txt"), '--textfile is "job.txt": node_exporter reads no other files than *.prom'),
        (dict(textfile="/missing/job.prom"), "there is no folder /missing: create it"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_before_anything_is_sent(run, options, text):
    ended = run("true", **options).wait()
    assert (ended.status, text in ended.err) == (USAGE, True), ended.err


# -- What Prometheus is told


@pytest.fixture
def textfile(tmp_path):
    folder = tmp_path / "textfiles"
    folder.mkdir()
    return folder / "nightly.prom"


def test_prometheus_is_told_that_the_command_leads_until_the_deadline_and_that_it_has_ended(lead, file, textfile):
    before = time.time()
    one = lead("alice", 60, textfile=textfile)
    told = wait_for(lambda: textfile.exists() and metrics(textfile), "it tells")
    assert told["is_leader"] == 1
    grace = OPTIONS["stop_grace"]
    assert before < told["deadline_timestamp_seconds"] < time.time() + OPTIONS["lease_duration"] - grace
    renewed = told["last_renewal_timestamp_seconds"]
    wait_for(lambda: metrics(textfile)["last_renewal_timestamp_seconds"] > renewed, "it renews the lease")
    assert 'name="nightly"' in textfile.read_text()
    one.process.terminate()
    one.wait()
    told = metrics(textfile)
    assert told["is_leader"] == told["deadline_timestamp_seconds"] == 0
    assert told["last_renewal_timestamp_seconds"] > before
    assert "takeover_seconds" not in told  # or its absence between two runs would raise an alert


def test_what_a_keeper_that_was_killed_has_told_is_over_before_another_one_leads(lead, run, file, textfile):
    one = lead("alice", 60, textfile=textfile)
    wait_for(lambda: textfile.exists() and metrics(textfile)["is_leader"], "it tells")
    os.kill(one.keeper, signal.SIGKILL)
    one.wait()
    follows(run, file)
    assert metrics(textfile)["deadline_timestamp_seconds"] < time.time()


def test_one_that_waits_tells_so(lead, run, textfile):
    lead("alice", 60)
    run("true", wait=60, textfile=textfile)
    told = wait_for(lambda: textfile.exists() and metrics(textfile), "it tells")
    assert told["is_leader"] == 0
    assert told["term"] > 0


@pytest.mark.parametrize("hinder", [os.mkfifo, os.mkdir], ids=["the disk does not answer", "it cannot be written"])
def test_metrics_that_cannot_be_written_are_told_of_once_and_the_command_keeps_its_lease(
    lead, stored, file, textfile, hinder
):
    hinder(f"{textfile}.new")  # who opens a pipe for writing waits for somebody who reads
    one = lead("alice", 60, textfile=textfile)
    for _time in range(3):
        before = stored()
        wait_for(lambda before=before: stored() != before, "the lease is renewed")
    one.process.terminate()
    ended = one.wait()
    assert ended.err.count("the metrics cannot be written") == 1
    assert "is lost" not in ended.err
    assert is_free(stored())


# -- On a terminal


@pytest.fixture
def on_terminal(store):
    """Starts a program on a terminal of its own, whose other end it returns."""
    ends = []

    def start(*words):
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ.update(store.environment)
            os.execv(words[0], list(words))
        ends.append((pid, terminal))
        return pid, terminal

    yield start
    for pid, terminal in ends:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.close(terminal)


@pytest.fixture
def words(program, key):
    """The words of a command line that runs a command under the lease."""
    return lambda *command: executed.words(program, key, command)


@pytest.fixture
def job(words, tmp_path):
    """The words that start a script which reads a line from the terminal."""
    script = tmp_path / "job"
    script.write_text("echo it runs; read line; echo got $line")
    return words("sh", str(script))


def shown(terminal, until):
    """What the terminal shows, up to this text."""
    text = ""

    def has_come():
        nonlocal text
        if select.select([terminal], [], [], 0)[0]:
            with contextlib.suppress(OSError):
                text += os.read(terminal, 4096).decode()
        return until in text

    try:
        wait_for(has_come, f"{until!r} on the terminal", limit=30)
    except TimeoutError as error:
        raise AssertionError(text) from error
    return text


def test_a_person_sees_who_holds_the_lease_and_for_how_long(lead, on_terminal, words):
    lead("alice", 60, holder="alice")
    _pid, terminal = on_terminal(*words("true"))
    assert "s unless it is renewed): held by alice (term " in shown(terminal, "held by alice (term ")


def test_ctrl_c_reaches_the_command_and_the_lease_is_given_back(on_terminal, words, stored, file):
    pid, terminal = on_terminal(*words(*work(file, "alice", 60)))
    wait_for(lambda: "alice" in guarded_work.shifts(file), "alice is at work")
    os.write(terminal, b"\x03")
    _pid, status = os.waitpid(pid, 0)
    assert os.WEXITSTATUS(status) in (1, 130)
    assert is_free(stored())


def test_a_command_may_read_from_the_terminal(on_terminal, words):
    _pid, terminal = on_terminal(*words("sh", "-c", "read line; echo got $line"))
    os.write(terminal, b"it\n")
    shown(terminal, "got it")


def test_a_job_that_is_stopped_and_goes_on_keeps_the_lease(on_terminal, job, run):
    _pid, terminal = on_terminal("/bin/bash", "--norc", "-i")
    os.write(terminal, (shlex.join(job) + "\n").encode())
    shown(terminal, "it runs")
    os.write(terminal, b"\x1a")
    shown(terminal, "Stopped")
    assert run("true", wait=2 * OPTIONS["lease_duration"]).wait().status == CONFLICT
    os.write(terminal, b"fg\n")
    os.write(terminal, b"it\n")
    assert "is lost" not in shown(terminal, "got it")
    os.write(terminal, b"echo status $?\n")
    shown(terminal, "status 0")


def test_in_a_pipeline_the_terminal_stays_with_the_others(on_terminal, words):
    _pid, terminal = on_terminal("/bin/bash", "--norc", "-i")
    reads = "import sys; sys.stdin.read(); print('got', open('/dev/tty').readline())"
    command = f"{shlex.join(words('echo', 'x'))} | {shlex.quote(sys.executable)} -c {shlex.quote(reads)}\n"
    os.write(terminal, command.encode())
    os.write(terminal, b"it\n")
    shown(terminal, "got it")


def test_what_reads_the_terminal_itself_may_do_so_wherever_its_output_goes(on_terminal, words, tmp_path):
    _pid, terminal = on_terminal("/bin/bash", "--norc", "-i")
    command = shlex.join(words("sh", "-c", "read line </dev/tty; echo got $line"))
    os.write(terminal, f"{command} > {tmp_path}/out; cat {tmp_path}/out\n".encode())
    os.write(terminal, b"it\n")
    shown(terminal, "got it")


def test_a_job_in_the_background_reads_when_it_comes_to_the_foreground(on_terminal, job):
    _pid, terminal = on_terminal("/bin/bash", "--norc", "-i")
    os.write(terminal, (shlex.join(job) + " &\n").encode())
    shown(terminal, "it runs")
    os.write(terminal, b"fg\n")
    os.write(terminal, b"it\n")
    shown(terminal, "got it")


def test_where_no_shell_controls_jobs_ctrl_z_does_nothing(on_terminal, job):
    _pid, terminal = on_terminal(*job)
    shown(terminal, "it runs")
    os.write(terminal, b"\x1ait\n")
    shown(terminal, "got it")
