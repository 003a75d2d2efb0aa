# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets something happen to commands that s3-leader exec runs, again and again: no two of them may work at a time."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import random
import signal
import time
import uuid

import rounds
from rounds import Round
from support import executed, guarded_work
from support.executed import Execution
from support.proxy import FaultProxy, hang
from support.stores.served import Served
from support.waiting import wait_for


class Meddler:
    """Does something to a command, or to what runs it. Names of its methods are what is printed."""

    def __init__(self, leader: Execution, proxy: FaultProxy) -> None:
        self._leader, self._proxy, self._keeper = leader, proxy, leader.keeper

    def _signal(self, number: int) -> None:
        self._leader.process.send_signal(number)

    def runner_killed(self) -> None:
        self._signal(signal.SIGKILL)

    def runner_terminated_then_killed(self) -> None:
        self._signal(signal.SIGTERM)
        time.sleep(random.uniform(0, 1))
        self._signal(signal.SIGKILL)

    def runner_stopped_then_cut_off(self) -> None:
        self._signal(signal.SIGSTOP)
        self.cut_off()

    def runner_stopped_then_killed(self) -> None:
        self._signal(signal.SIGSTOP)
        time.sleep(random.uniform(0, executed.OPTIONS["lease_duration"]))
        self._signal(signal.SIGKILL)

    def keeper_killed(self) -> None:
        os.kill(self._keeper, signal.SIGKILL)

    def keeper_stopped(self) -> None:
        os.kill(self._keeper, signal.SIGSTOP)

    def keeper_stopped_for_a_while_then_runner_killed(self) -> None:
        self.keeper_stopped()
        time.sleep(random.uniform(0, executed.OPTIONS["lease_duration"]))
        self._signal(signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._keeper, signal.SIGCONT)

    def cut_off(self) -> None:
        self._proxy.on(None, hang(), None)

    def cut_off_for_a_while_then_runner_killed(self) -> None:
        self.cut_off()
        time.sleep(random.uniform(0, executed.OPTIONS["lease_duration"]))
        self._proxy.heal()
        self._signal(signal.SIGKILL)


def stress_commands(count: int, at_once: int, seed: int, server: Served) -> bool:
    """Play so many rounds, print what happened, and return whether all was well."""
    return rounds.stress(play, rounds.faults_of(Meddler), count, at_once, seed, server, "before the next one's work, s")


def play(folder: pathlib.Path, server: Served, fault: str, after: float, stubborn: bool) -> Round:
    """Play one round: a command is at work when something happens to it, and another one waits for the lease."""
    key = f"lease-{uuid.uuid4().hex}"
    place = folder / key
    place.mkdir()
    file, program = place / "work", executed.install(place)
    how = "stubborn" if stubborn else ""
    with FaultProxy(server.endpoint_url) as proxy, contextlib.ExitStack() as stack:
        begin = functools.partial(Execution, program, place)

        def start(url: str, who: str, seconds: float) -> Execution:
            values = dict(server.environment, AWS_URL=url, AWS_ENDPOINT_URL=url)
            one = begin(values, key, executed.work(file, who, seconds, how if who == "alice" else ""))
            stack.callback(one.close)
            return one

        alice = start(proxy.url, "alice", rounds.WORK)
        wait_for(lambda: "alice" in guarded_work.shifts(file), "alice is at work")
        time.sleep(after)
        meddler = Meddler(alice, proxy)
        at = guarded_work.now()
        bob = start(server.endpoint_url, "bob", 0.3)
        getattr(meddler, fault)()
        told = bob.wait()
        if fault == "keeper_stopped":
            alice.wait()
        shifts = guarded_work.shifts(file)
        end = shifts["alice"][1]
        return Round(fault, end - at, shifts.get("bob", (end, 0))[0] - end, rounds.wrong(file, told))
