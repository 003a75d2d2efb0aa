# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets something happen to playbook runs that keep a lease, again and again: no two of them may work at a time."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import random
import signal
import threading
import time
import uuid

import rounds
from rounds import Round
from support import guarded_work, kept_run, playbook
from support.playbook import RunningPlaybook, descendants
from support.proxy import FaultProxy, hang
from support.stores.served import Served


class Meddler:
    """Does something to a run. Names of its methods are what is printed."""

    def __init__(self, run: RunningPlaybook, proxy: FaultProxy, server: Served, key: str) -> None:
        self._run, self._proxy, self._server, self._key = run, proxy, server, key

    def _signal(self, number: int) -> None:
        self._run.process.send_signal(number)

    def _keeper(self, number: int) -> None:
        os.kill(kept_run.published(self._run)["keeper"], number)

    def controller_killed(self) -> None:
        self._signal(signal.SIGKILL)

    def controller_terminated(self) -> None:
        self._signal(signal.SIGTERM)

    def controller_interrupted(self) -> None:
        self._signal(signal.SIGINT)

    def controller_stopped_then_cut_off(self) -> None:
        self._signal(signal.SIGSTOP)
        self.cut_off()

    def controller_stopped_then_killed(self) -> None:
        self._signal(signal.SIGSTOP)
        time.sleep(random.uniform(0, kept_run.DURATION))
        self._signal(signal.SIGKILL)

    def worker_killed(self) -> None:
        """The task fails, and the run ends."""
        for pid in descendants(self._run.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def keeper_killed(self) -> None:
        self._keeper(signal.SIGKILL)

    def keeper_stopped(self) -> None:
        self._keeper(signal.SIGSTOP)

    def cut_off(self) -> None:
        self._proxy.on(None, hang(), None)

    def cut_off_for_a_while_then_interrupted(self) -> None:
        self.cut_off()
        time.sleep(random.uniform(0, 3))
        self._proxy.heal()
        self._signal(signal.SIGINT)

    def broken_by_an_operator(self) -> None:
        breaks = f"- leaderelection.s3.s3_leader_release: {{key: {self._key}, force: true, holder: carol}}"
        playbook.start(self._run.folder, breaks, env=self._server.environment).wait().succeeded()
        self._run.wait()  # the leader learns of it at its next renewal, and the operator has to know


def stress_runs(count: int, at_once: int, seed: int, server: Served) -> bool:
    """Play so many rounds, print what happened, and return whether all was well."""
    return rounds.stress(play, rounds.faults_of(Meddler), count, at_once, seed, server, "before the deadline, s")


def play(folder: pathlib.Path, server: Served, fault: str, after: float, stubborn: bool) -> Round:
    """Play one round: a run is at work when something happens to it, and another one waits for the lease."""
    key = f"lease-{uuid.uuid4().hex}"
    file = folder / key
    start = functools.partial(playbook.start, folder)
    with FaultProxy(server.endpoint_url) as proxy, contextlib.ExitStack() as stack:
        deploy = functools.partial(kept_run.deploy, start, server.environment)
        alice = deploy(proxy.url, key, file, "alice", rounds.WORK, how="stubborn" if stubborn else "")
        stack.callback(alice.kill)
        kept_run.at_work(file, alice)
        time.sleep(after)
        deadlines = [kept_run.published(alice)["deadline"]]
        over = threading.Event()

        def follow() -> None:
            while not over.wait(0.02):
                deadlines.append(kept_run.published(alice).get("deadline", deadlines[-1]))

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        at = guarded_work.now()
        getattr(Meddler(alice, proxy, server, key), fault)()
        bob = deploy(server.endpoint_url, key, file, "bob", 0.3, wait=60)
        stack.callback(bob.kill)
        told = bob.wait()
        over.set()
        follower.join()
        keeper = kept_run.published(alice).get("keeper")
        if fault == "keeper_stopped" and keeper:
            with contextlib.suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGKILL)
        end = guarded_work.shifts(file)["alice"][1]
        return Round(fault, end - at, deadlines[-1] - end, rounds.wrong(file, told))
