# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""Keeps a lease while a playbook runs: a process of its own renews it, and ends the run before the lease is over.

It is forked from the worker of the task that has acquired the lease, so it has loaded all that it needs. From then on
it depends on nothing of the run, and ends with it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import syslog
import time
import typing as t

from ansible_collections.leaderelection.s3.plugins.module_utils._lease import processes, wording
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.signals import Signals
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.textfile import Textfile, name_of
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.heartbeat import Heartbeat, Lost, Stop
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.metrics import Metrics
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.timing import Timing
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import REACTION, RUNS_GRACE, keeping
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Answer,
    Claimant,
    Held,
    Outcome,
    Step,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._options import Handle

from . import _end_run, _kept, _processes, _run
from ._kept import ENDED, HELD, LOST, Kept

START_TIMEOUT = 10.0
"""Seconds in which a keeper begins to work."""
_LOOK = 1.0
"""Longest wait in seconds: waits pause during suspend, so the clock is read in between."""


def start(params: t.Mapping[str, t.Any], store: str, held: Held) -> str:
    """Keep a lease that the arguments of s3_leader_acquire name, from a worker of Ansible. If it is kept already, that
    keeper is replaced. Return '' when it is kept, or why it cannot be.
    """
    if os.getppid() != _processes.MAIN.pid:
        return "the task does not run in a worker of this run"
    with contextlib.ExitStack() as opened:
        try:
            lock = _locked(params, store)
        except BlockingIOError:
            return ""  # the keeper of another host of this session keeps it
        except OSError as error:
            return f"it cannot be locked ({error})"
        try:
            opened.callback(os.close, lock)
            run = os.pidfd_open(_processes.MAIN.pid)
            opened.callback(os.close, run)
            ready, begun = os.pipe()
            opened.callback(os.close, ready)
            keeper = os.fork()
        except (AttributeError, OSError) as error:  # before Linux 5.3 there are no such descriptors
            return f"no process can be started for it ({error})"
        if keeper == 0:
            try:
                _keep(params, held, lock, run, begun)
            finally:
                os._exit(0)
        os.close(begun)
        if not (select.select([ready], [], [], START_TIMEOUT)[0] and os.read(ready, 1)):
            os.kill(keeper, signal.SIGKILL)
            return "the process that is to keep it does not work"
    _end_run.tell_main()
    return ""


def _locked(params: t.Mapping[str, t.Any], store: str) -> int:
    """Lock the lease, once its present keeper has ended. Hosts of one session may do so at the same time. Raises
    OSError.
    """
    give_up = _run.now() + START_TIMEOUT
    while True:
        before = _kept.known(params, store)
        if before:
            _kept.end(before, give_back=False)
        try:
            return _kept.lock(params, store)
        except BlockingIOError:  # another one was faster, and may not have published anything yet
            if _run.now() >= give_up:
                raise
        time.sleep(processes.POLL)


def _keep(params: t.Mapping[str, t.Any], held: Held, lock: int, run: int, begun: int) -> None:
    os.setsid()  # Ctrl-C is not for this process
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGALRM, signal.SIGTERM):  # it ends with its run
        signal.signal(number, signal.SIG_IGN)
    processes.let_go_of_files(but={lock, run, begun})
    gc.freeze()  # or the collector would write to all the memory that is shared with Ansible
    lease = Handle(dict(params, lease=None))
    lease.store.learn_time(held)
    host = Run(lease, params, run)
    me = Claimant(lease.me.holder, lease.me.session, lease.me.store)
    heartbeat = Heartbeat(me, host.timing, params["metadata"], lease.store, lease.clock, host)
    until = heartbeat.until(held)
    host.confirmed(held, until)
    os.write(begun, b"!")
    os.close(begun)
    with contextlib.suppress(Stop, Lost):
        heartbeat.run(held, until, at_once=False)
    host.measure()
    host.bury()


class Run:
    """The heartbeat's host: a run of Ansible on this controller."""

    def __init__(self, lease: Handle, params: t.Mapping[str, t.Any], run: int) -> None:
        self._lease = lease
        self._clock = Clock()
        self._run = run
        self._aborts = params["on_lost"] == "abort"
        most = params["keep_at_most"]
        self._keep_until = self._clock.now() + most if most else float("inf")
        self._most = most
        duration, timeout = float(params["lease_duration"]), lease.endpoint.request_timeout
        self.timing = Timing(duration, keeping(duration, timeout), RUNS_GRACE, 1, timeout)
        self._kept: Kept | None = None
        self._trouble = ""
        self._died = False
        """The main process of the run has ended without a word."""
        self._asked = ""
        """What it was asked for when it was asked to end."""
        path = params["textfile"]
        self._textfile = Textfile(path) if path else None
        self._metrics = Metrics(name_of(path or ""), lease.location, lease.me.holder, 0)
        self._signals = Signals([signal.SIGUSR1])
        """It says that something is asked for."""

    def measure(self) -> None:
        """Tell Prometheus how things are, where that is wanted."""
        if self._textfile is None:
            return
        trouble = self._textfile.write_and_tell(self._metrics.text(self._clock.now(), time.time()))
        if trouble:
            syslog.syslog(syslog.LOG_WARNING, f"leaderelection.s3: {trouble}")

    def bury(self) -> None:
        """See to it that nothing of a run that has died works on when the lease is over."""
        if self._died and self._aborts and self._kept is not None and self._kept.state == ENDED:
            _end_run.end_what_is_left(self._kept.until, self._kept.deadline)

    # -- what the heartbeat asks of it

    def wait(self, seconds: float) -> None:
        """Raises Lost, too: when the lease was kept for as long as wanted, and its time is nearly over."""
        kept, end = self._kept, self._clock.now() + seconds
        while True:
            self.listen()
            now = self._clock.now()
            over = kept is not None and now >= self._keep_until
            if kept and over:
                end = kept.until - REACTION
            if now < end:
                self._signals.wait(min(_LOOK, end - now), [self._run])
                self._signals.take()
            elif over:
                raise Lost(f"it was kept for {self._most:g} s, as keep_at_most says")
            else:
                return

    def listen(self) -> None:
        if self._kept:
            self._asked = self._asked or _kept.asked(self._kept)
        if self._asked:
            raise Stop()
        if select.select([self._run], [], [], 0)[0]:
            self._died = True
            raise Stop()

    def requested(self, step: Step, answer: Answer) -> None:
        self._metrics.requested(step, answer)

    def answered(self, outcome: Outcome, slot: int = 0) -> None:
        pass

    def trouble(self, why: str) -> None:
        self._trouble = why
        if self._kept is not None and self._kept.state == ENDED:  # it was not given back
            self._publish(self._kept._replace(reason=why))

    def promote(self, held: Held, until: float, slot: int = 0) -> None:
        raise TypeError("a keeper does not acquire")

    def confirmed(self, held: Held, until: float) -> None:
        self._trouble = ""
        self._metrics.leads(held.seen, 0, held.heard_at, until)
        self.measure()
        self._publish(
            Kept(
                state=HELD,
                reason="held",
                lease=wording.lease(held.seen, self._lease.location),
                store=self._lease.me.store,
                deadline=held.lapses_at,
                until=until,
                written_at=held.written_at,
                heard_at=held.heard_at,
                aborts=self._aborts,
                patience=self.timing.time_to_end,
                keeper=os.getpid(),
            )
        )

    def demote(self, why: str) -> None:
        if self._kept is None:
            return
        self._metrics.ended()
        if self._asked or self._died:
            self._publish(self._kept._replace(state=ENDED, reason=why))
            return
        reason = f"{why} ({self._trouble})" if self._trouble else why
        self._publish(self._kept._replace(state=LOST, reason=reason))
        syslog.syslog(syslog.LOG_WARNING, f"leaderelection.s3: the lease {self._kept.name} is lost: {reason}")
        if self._aborts and not _kept.is_ending():
            _end_run.end(self._run, self._kept.deadline)

    def serving(self) -> bool:
        """Tell whether somebody may still work under the lease."""
        return self._asked != _kept.GIVE_BACK

    def successor(self) -> str:
        return ""

    def released(self, successor: str) -> None:
        if self._kept is not None:
            self._publish(self._kept._replace(given_back=True))

    def reload(self, held: Held | None, slot: int = 0) -> None:
        raise TypeError("a keeper is not reloaded")

    def _publish(self, kept: Kept) -> None:
        """Publish it. Raises OSError the first time."""
        try:
            _kept.publish(kept)
        except OSError:  # on a full disk, the run ends when the time that is known there is over
            if self._kept is None:
                raise
        self._kept = kept
