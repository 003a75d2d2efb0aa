# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to happen when the faults have stopped: somebody leads again, and soon."""

from __future__ import annotations

import typing as t

from .checker import Violation
from .host import NEVER_STARTS, NO_SPACE, Host, Surroundings, restart_after
from .times import GRAIN
from .world import Process

ROUND_TRIPS = 2.0
"""Seconds that the requests of an acquisition take at most, the retry for a bare ETag among them."""
OPERATION = 30.0
"""Seconds that an operation takes at most where no lease bounds it."""
USE_BY = 2.0
"""Seconds after its timeout by which a request is refused by the store (rule 25)."""
GONE = 100_000.0


class Peace:
    def __init__(self, around: Surroundings, processes: t.Sequence[Process], refuses_every: float) -> None:
        """``refuses_every``: seconds between two reads of a process that are refused even now; 0 where none are."""
        self._around = around
        self._world = around.world
        self._times = around.times
        self._checker = around.checker
        self._daemons = [process for process in processes if process.host]
        protocol, longest = around.core.protocol, around.times.longest
        self._pause = max(protocol.SLOWEST_RETRY, protocol.LATEST_SECOND_LOOK)
        lied = 2 * longest if around.bucket.clock_lies else 0.0
        refused = 2 * self._times.two_polls if refuses_every else 0.0
        self._poll = self._times.two_polls + ROUND_TRIPS + self._times.slowest_timeout - 1 + lied + refused
        """Seconds in which whoever watches sees that the lease is free, and acquires it."""
        held_back = self._times.hold_at_least and self._times.hold_at_least + 2 * GRAIN
        # The margin is more than the second for which a lease is reserved beyond its duration (rule 27).
        self._takeover = max(longest + protocol.margin(longest), held_back) + self._poll

    def check(self) -> None:
        """Somebody leads soon; and when it hands over, or is no more, somebody does again."""
        checker, world, began = self._checker, self._world, self._world.now
        # A watcher may have begun to pause just before, for as long as it ever does between two tries.
        within = self._pause + self._takeover + self._delay(self._daemons)
        self._expect("somebody leads", within, lambda: checker.led_at > began)
        if {NO_SPACE, NEVER_STARTS} & world.faults.keys():  # such a host stays out for a lease duration
            world.run(world.now + OPERATION + self._times.longest)
        # Whoever waited for an answer or paused when the faults stopped is back.
        world.run(world.now + self._times.slowest_timeout + self._pause)
        leader = checker.leader()
        if leader in self._daemons and len(self._daemons) > 1 and checker.led_at > checker.lost_at:
            world.rng.choice((self._expect_a_handover, self._expect_a_failover))(leader)

    def _expect_a_handover(self, leader: Process) -> None:
        checker, asked = self._checker, self._world.now
        others = self._others(leader)
        successor = self._times.names.choice(["", *(daemon.name for daemon in others)]) if self._times.named else ""
        leader.host.step_down(successor)
        # Who was confirmed late may lose the lease before it hears that it is to give it back.

        def is_over() -> bool:
            return max(checker.released_at, checker.lost_at) > asked

        self._expect("the lease is released", 2 * self._takeover, is_over)
        given_back = checker.released_at
        if given_back > asked:
            within = self._poll if successor else self._poll + self._delay(others)
            self._expect("somebody leads again", within, lambda: checker.led_at > given_back)

    def _expect_a_failover(self, leader: Process) -> None:
        """The leader is no more, and its last requests may come late: its lease lasts from the last that it sent."""
        world, checker, network = self._world, self._checker, self._around.network
        proof = self._record().proof
        if proof and proof.dated and world.rng.random() < 0.7:  # else what is held up may renew the lease much later
            network.cut_off(leader.name, world.rng.uniform(0, 2 * self._times.longest), "delivered late")
        world.run(world.now + world.rng.uniform(0, self._times.longest / 2))
        leader.host.lose_power(GONE)
        others = self._others(leader)
        died, sent = world.now, checker.sent_at(leader)
        lands = leader.host.loaded.request_timeout + USE_BY + GRAIN + self._times.skew
        duration = max(self._record().lease_duration, leader.host.loaded.lease_duration)
        lasts = duration + self._around.core.protocol.margin(duration)
        self._expect(
            "somebody leads after the leader's last request",
            max(0.0, sent + lands + lasts + self._delay(others) + self._poll - died),
            lambda: checker.led_at > died,
        )

    def _others(self, leader: Process) -> list[Process]:
        return [daemon for daemon in self._daemons if daemon is not leader]

    def _delay(self, daemons: t.Iterable[Process]) -> float:
        """Return for how many seconds all of them leave a lease that they may take (rule 28)."""
        return min((daemon.host.loaded.takeover_delay for daemon in daemons), default=0.0)

    def _record(self) -> t.Any:
        return self._around.core.store.decode(self._around.bucket.body)

    def _restart(self, since: float) -> float:
        """Return the seconds from then on for which a daemon does not watch, since it had the lease, or still took it
        for its own: what an operator did to the object, it sees only when it renews.
        """
        return max(self._out(process.host, since) for process in self._daemons)

    @staticmethod
    def _out(host: Host, since: float) -> float:
        if host.ended_at <= since - restart_after(host.loaded):
            return 0.0
        unaware = min(host.ended_at - since, host.loaded.renew_interval + host.loaded.request_timeout)
        return restart_after(host.loaded) + max(0.0, unaware)

    def _expect(self, what: str, seconds: float, is_so: t.Callable[[], bool]) -> None:
        world = self._world
        end = world.now + seconds
        while not is_so():
            if world.now >= end + self._restart(end - seconds):
                raise Violation(f"it was not so within {seconds:.1f} s of peace that {what}")
            world.run(world.now + 0.25)
