# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""Ends the run of a playbook before its lease is over; and gives its leases back where it ends by itself.

Ansible's main process imports this file before it forks its workers. It learns from a keeper when to look after the
leases, by SIGALRM. Then it sets its timer for the instant at which the first of them is over, unless it is renewed. So
the run ends in time, even if the keeper is dead or hangs.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import termios
import time
import types
import typing as t

from ansible.plugins.callback import CallbackBase
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import processes
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.processes import Process

from . import _kept, _processes, _run
from ._kept import ENDED, HELD, LOST, Kept

TO_END = 1.0
"""Seconds in which processes end that are asked to. Then they are killed."""
ABORTED = 99
"""Exit status, as when a user interrupts the run."""
LOOK = 0.2
"""Seconds between two looks at what is left of a run."""


# -- Ansible's main process -------------------------------------------------------------------------------------------


class _Main:
    """What the main process knows."""

    watches = False
    """A lease has been kept in this run."""
    observer: Observer | None = None
    ending_since: float | None = None
    on_term: t.Any = signal.SIG_DFL
    """What it did about SIGTERM before."""
    terminal: list[t.Any] | None = None
    """Its settings; a task that is ended may have changed them."""


class Observer(CallbackBase):
    """Knows what of the run may be at work, on whatever host."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "leaderelection.s3.observer"
    _implemented_callback_methods = frozenset(  # which ansible-core 2.19 and later find out for those that they load
        f"v2_runner_on_{what}" for what in ("start", "ok", "failed", "skipped", "unreachable")
    )

    def __init__(self) -> None:
        super().__init__()
        self._told = False
        self._at_work: set[tuple[str, str]] = set()
        self._jobs: dict[str, str] = {}
        self._unknown: set[str] = set()

    @property
    def was_interrupted(self) -> bool:
        """Tasks have begun, and not ended."""
        return bool(self._at_work)

    def doubts(self) -> str:
        """Return what may still be at work, for people; '' for nothing."""
        if not self._told:
            return _SILENT
        if self._unknown:
            return f"a task may still be at work on {_some(self._unknown)}: it was unreachable, or timed out"
        if self._at_work:
            return f"a task was interrupted on {_some({host for host, _task in self._at_work})}"
        if self._jobs:
            return f"asynchronous tasks may still be at work on {_some(set(self._jobs.values()))}"
        return ""

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        self._at_work.add((host.get_name(), task._uuid))

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._ended(result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._ended(result)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._ended(result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._unknown.add(self._ended(result))

    def _ended(self, result: t.Any) -> str:
        public = hasattr(result, "host")  # since ansible-core 2.19
        host, task, told = (
            (result.host, result.task, result.result) if public else (result._host, result._task, result._result)
        )
        name = str(host.get_name())
        self._told = True
        self._at_work.discard((name, task._uuid))
        results = [one for one in [told, *(told.get("results") or ())] if isinstance(one, t.Mapping)]
        hidden = "censored" in told
        if any(map(_timed_out, results)) or (hidden and told.get("failed") and task.timeout):
            self._unknown.add(name)
        for job, one in ((str(one["ansible_job_id"]), one) for one in results if "ansible_job_id" in one):
            if one.get("finished"):
                self._jobs.pop(job, None)
            else:
                self._jobs[job] = name
        if hidden and task.async_val and not task.poll:
            self._jobs[task._uuid] = name
        return name


def _timed_out(told: t.Mapping[str, t.Any]) -> bool:
    # Before ansible-core 2.17, only the message says it.
    return "timedout" in told or "action failed to execute in the expected time frame" in str(told.get("msg"))


_SILENT = "this version of Ansible does not tell what is still at work"


def _some(hosts: set[str]) -> str:
    first, *others = sorted(hosts)
    return f"{first} and {len(others)} other hosts" if others else first


def watch() -> None:
    """Look after the leases of this run, in its main process, as soon as one is kept."""
    with contextlib.suppress(ValueError):  # not in the main thread
        if signal.getsignal(signal.SIGALRM) == signal.SIG_DFL:
            signal.signal(signal.SIGALRM, _look)
            os.register_at_fork(after_in_child=_forget)
    atexit.register(_at_the_end, os.getpid())


def _forget() -> None:
    """Let a worker have its own alarms: Ansible itself uses them for a task with a timeout."""
    if signal.getsignal(signal.SIGALRM) is _look:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGTERM) is _terminate:
        signal.signal(signal.SIGTERM, _Main.on_term)


def _look(_number: int, frame: types.FrameType | None) -> None:
    if os.getpid() != _processes.MAIN.pid:
        return
    now = _run.now()
    if _Main.ending_since is not None:
        if now >= _Main.ending_since + TO_END:
            _end_others(now, now + TO_END)
            os._exit(ABORTED)
        return
    if not _Main.watches:
        _Main.watches = True
        _Main.observer = _observe(frame)
        _Main.terminal = termios.tcgetattr(0) if _has_terminal() else None
        _Main.on_term = signal.signal(signal.SIGTERM, _terminate)
        with contextlib.suppress(OSError):
            _processes.mark(_kept.mark())
    aborting = [kept for kept in _kept.every() if kept.aborts and kept.state in (HELD, LOST)]
    for kept in aborting:
        if kept.state == LOST or now >= kept.until:
            _Main.ending_since = now
            if _Main.terminal and _has_terminal():
                termios.tcsetattr(0, termios.TCSANOW, _Main.terminal)
            _say("\n" + _farewell(kept))
            for other in _others():
                other.send(signal.SIGTERM)
            signal.setitimer(signal.ITIMER_REAL, TO_END * 1.1)
            raise KeyboardInterrupt
    if aborting:
        signal.setitimer(signal.ITIMER_REAL, max(0.001, min(kept.until for kept in aborting) - now))


def _terminate(number: int, _frame: types.FrameType | None) -> None:
    """End in order, while it is known what belongs to the run; and then as without a lease."""
    signal.signal(number, _Main.on_term)
    _at_the_end(os.getpid())
    os.kill(os.getpid(), number)


def _has_terminal() -> bool:
    """Tell whether this process reads from a terminal, and may set it."""
    with contextlib.suppress(OSError):
        return os.tcgetpgrp(0) == os.getpgrp()
    return False


def _farewell(kept: Kept) -> str:
    why = kept.reason if kept.state == LOST else "it was not renewed in time, and the process that keeps it is silent"
    return (
        f"leaderelection.s3: the lease {kept.name} is lost: {why}. This run ends, with its local processes, before "
        "another leader begins. Hosts may go on with what was sent to them: let what they change refuse the term "
        f"{kept.lease['term']} once it has seen a higher one"
    )


def _observe(frame: types.FrameType | None) -> Observer | None:
    """Let an observer be told what this run does. There is no other way to it than from Ansible's own frames."""
    while frame is not None:
        one = frame.f_locals.get("self")
        callbacks = getattr(getattr(one, "_tqm", one), "_callback_plugins", None)
        if isinstance(callbacks, list):
            observer = Observer()
            callbacks.append(observer)
            return observer
        frame = frame.f_back
    return None


def _at_the_end(pid: int) -> None:
    """Give the leases back that are still kept, or let them expire; say which. This takes a bounded time."""
    if os.getpid() != pid:
        return
    signal.setitimer(signal.ITIMER_REAL, 0)
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
    now = _run.now()
    if _Main.ending_since is not None:
        killed_at = _Main.ending_since + TO_END
        _end_others(killed_at, killed_at + TO_END)
        return
    known = _kept.every()
    for kept in known:
        if kept.state == ENDED and not kept.given_back and kept.deadline > now:
            _say(_not_given_back(kept, "its release has failed"))
    observer, leases = _Main.observer, [kept for kept in known if kept.state == HELD]
    if not leases:
        return
    _kept.announce_end()
    if observer and observer.was_interrupted:
        _end_others(now + TO_END, now + 2 * TO_END)
    doubts = observer.doubts() if observer else _SILENT
    for kept in leases:
        _kept.ask(kept, give_back=not doubts)
    for last in map(_kept.await_end, leases):
        if last.given_back:
            text = f"The lease {last.name} was given back at the end of the run"
        else:
            text = _not_given_back(last, doubts or last.reason)
        _say(text)


def _not_given_back(kept: Kept, why: str) -> str:
    left = max(0.0, kept.deadline - _run.now())
    return f"The lease {kept.name} was not given back, and expires in {left:.0f} s: {why}"


def _say(text: str) -> None:
    """Print it at once: a signal may have come while Ansible itself was printing."""
    with contextlib.suppress(OSError):
        os.write(2, f"{text}\n".encode())


# -- Any process of the run -------------------------------------------------------------------------------------------


def tell_main() -> bool:
    """Let the main process look after the leases. Return whether it can."""
    if not _processes.MAIN.catches(signal.SIGALRM):
        return False
    _processes.MAIN.send(signal.SIGALRM)
    return True


def end(run: int, deadline: float) -> None:
    """End the run before the deadline, from a keeper. ``run`` is a descriptor of its main process."""
    if not tell_main():
        _processes.MAIN.send(signal.SIGINT)  # which it ignores if it is ending
    known = _end_others(min(_run.now() + TO_END, deadline), deadline)
    while not select.select([run], [], [], processes.POLL)[0]:
        if _run.now() >= deadline - LOOK:
            signal.pidfd_send_signal(run, signal.SIGKILL)
    _end_others(_run.now(), deadline, known)


def end_what_is_left(until: float, deadline: float) -> None:
    """End what a main process that has died has left behind, if it does not end by itself."""
    known = _others()
    while _run.now() < until and processes.alive(known):
        time.sleep(LOOK)
        known |= _others()
    _end_others(min(_run.now() + TO_END, deadline), deadline, known)


def _end_others(killed_at: float, deadline: float, known: t.Iterable[Process] = ()) -> set[Process]:
    """Ask the run's other processes to end, and kill them later: see processes.end."""
    return processes.end(_others, killed_at, deadline, Clock(), known)


def _others() -> set[Process]:
    """Return the run's processes that may be at work: all but its main process and the keepers."""
    keepers = {kept.keeper for kept in _kept.every()}
    return _processes.of_run(_kept.mark(), but=keepers | {os.getpid()})
