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
        checker, asked, session = self._checker, self._world.now, leader.host.me.session
        others = self._others(leader)
        successor = self._times.names.choice(["", *(daemon.name for daemon in others)]) if self._times.named else ""
        leader.host.step_down(successor)
        # Who was confirmed late may lose the lease before it hears that it is to give it back.

        def is_over() -> bool:
            return max(checker.released_at, checker.lost_at) > asked

        self._expect("the lease is released", 2 * self._takeover, is_over)
        given_back = checker.released_at
        if given_back > asked and checker.released_by == session:  # else somebody has led since
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
            lasts + self._delay(others) + self._poll,
            lambda: checker.led_at > died,
            counted_from=sent + lands,
            watchers=others,
        )

    def _others(self, leader: Process) -> list[Process]:
        return [daemon for daemon in self._daemons if daemon is not leader]

    def _delay(self, daemons: t.Iterable[Process]) -> float:
        """Return for how many seconds all of them leave a lease that they may take (rule 28)."""
        return min((daemon.host.loaded.takeover_delay for daemon in daemons), default=0.0)

    def _record(self) -> t.Any:
        return self._around.core.store.decode(self._around.bucket.body)

    @staticmethod
    def _watches_from(host: Host, since: float) -> float:
        """Return when a host watches anew whose daemon has ended, or ends soon after then.

        It led, or took itself for the leader: what an operator did to the object, it sees when it renews.
        """
        notices = since + host.loaded.renew_interval + host.loaded.request_timeout
        return min(host.ended_at, notices) + restart_after(host.loaded)

    def _expect(
        self,
        what: str,
        seconds: float,
        is_so: t.Callable[[], bool],
        counted_from: float | None = None,
        watchers: t.Sequence[Process] | None = None,
    ) -> None:
        """Wait until it is so: for so many seconds, counted from now if not from then.

        They begin when all the watchers watch, which are all daemons if not these: whoever takes a lease over has seen
        for how long nobody renewed it (rule 14).
        """
        world, began = self._world, self._world.now
        start = began if counted_from is None else counted_from
        hosts = [process.host for process in watchers or self._daemons]
        while not is_so():
            if world.now >= max(start, *(self._watches_from(host, began) for host in hosts)) + seconds:
                raise Violation(f"it was not so within {seconds:.1f} s of peace that {what}")
            world.run(world.now + 0.25)
