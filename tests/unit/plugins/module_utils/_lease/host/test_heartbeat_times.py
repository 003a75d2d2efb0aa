# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""When the loop asks the store, how long it goes on, and what it leaves undone: to the very second."""

from __future__ import annotations

import functools
import random
import statistics

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Overdue
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.heartbeat import (
    Ended,
    Heartbeat,
    Interruptible,
    Lost,
    Stop,
    TimeIsUp,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.timing import Timing
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Proof, Record, decode
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import REACTION
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Claimant,
    Held,
    Refused,
    Seen,
    Unchanged,
    Unknown,
    Written,
)

ME = Claimant("web-1", "session-1")
TIMING = Timing(lease_duration=30, renew_interval=5, stop_grace=12, poll_interval=2, request_timeout=3)
BUSY = Record("web-2", "session-2", 7, 3, "n", 30, 1000.0, 1000.0, 1032.0, {}, Proof("", 0.0))
FREE = BUSY._replace(holder="")
LOST = Unknown("no answer")
HANGS = "hangs"


class World:
    """A clock that starts at 0 and only moves when somebody waits, a store with one object, and the host."""

    def __init__(self, record=FREE, timing=TIMING):
        self.time = 0.0
        self.requests = []
        """When each was sent, and what it was."""
        self.fault = None
        """What is answered instead of reading or writing; HANGS: nothing."""
        self.suspend = 0.0
        """Seconds that this machine is suspended for while the next write is under way."""
        self.written = []
        self.breaks_after_write = False
        """The next write lands, and from then on there is no answer."""
        self.heard = []
        self.until_then = []
        """The requests until somebody asked to stop."""
        self.happens = {}
        """By time: what to do or raise at the next wait."""
        self.full = False
        self.ended = False
        self.follower = None
        self.reserved_for = ""
        self.successors = []
        """For whom the lease was reserved when it was given back."""
        """Who takes the lease as soon as it is released."""
        self.promoted = []
        self.put(record)
        self.loop = Heartbeat(ME._replace(sent=[]), timing, {"app": "db"}, self, self, self)

    def at(self, seconds, happening):
        self.happens[seconds] = happening
        return self

    def lead(self, until):
        """Run as leader until asked to stop."""
        self.at(until, Stop).loop.run()
        return self

    # -- the clock

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds

    def bounded(self, call, seconds):
        if self.fault == HANGS:
            call(self.time + seconds)
            self.time += seconds
            raise Overdue()
        return call(self.time + seconds)

    # -- the store

    def put(self, record):
        self.record, self._etag, self._modified = record, f"etag-{record!r}", self.time

    def read(self, _until, known):
        self.requests.append((self.time, "read"))
        if self.fault:
            return self.fault
        if self.record is None:
            return Absent(self.time)
        if known == self._etag:
            return Unchanged(self.time)
        return Seen(self.record, self._etag, self._modified, self.time)

    def write(self, body, replaces, _until, _quoted, _dated, _expired):
        self.requests.append((self.time, "write"))
        if self.fault:
            return self.fault
        if replaces != (self._etag if self.record else None):
            return Unknown("412", precondition_failed=True)
        self.put(decode(body))
        self.written.append(self.record)
        answer = Written(self._etag, self.time)
        self.time, self.suspend = self.time + self.suspend, 0.0
        if self.breaks_after_write:
            self.breaks_after_write, self.fault = False, LOST
            return LOST
        return answer

    def of(self, slot):
        return self

    def forget_connection(self):
        self.heard.append("forget the connection")

    # -- the host

    def listen(self):
        for at in [at for at in self.happens if at <= self.time]:
            happening = self.happens.pop(at)
            if isinstance(happening, type):
                self.until_then = list(self.requests)
                raise happening
            happening()

    def wait(self, seconds):
        self.listen()
        self.sleep(min(seconds, 0.25))
        assert self.time < 1000, "it goes on and on"

    def requested(self, step, answer):
        pass

    def answered(self, outcome, slot):
        self.heard.append(outcome)

    def trouble(self, why):
        self.heard.append(f"trouble: {why}")

    def promote(self, held, until, slot):
        if self.full:
            raise OSError("No space left on device")
        self.promoted.append((held.seen.record.term, until))

    def confirmed(self, held, until):
        if self.ended:
            raise Ended("the services failed")
        self.until = until

    def demote(self, why):
        self.heard.append(f"demote: {why}")

    def serving(self):
        return False

    def successor(self):
        return self.reserved_for

    def released(self, successor):
        self.successors.append(successor)
        self.heard.append("released")
        if self.follower:
            self.put(self.follower)

    def reload(self, held, slot):
        pass

    def fail(self, fault):
        return lambda: setattr(self, "fault", fault)

    def times(self, kind):
        return [at for at, what in self.requests if what == kind]


# -- standby ----------------------------------------------------------------------------------------------------------


def test_a_standby_whose_reads_are_refused_tries_again_after_one_to_two_intervals():
    world = World(BUSY)
    world.fault = Refused("expired")
    world.lead(until=500)
    gaps = [later - earlier for earlier, later in zip(world.times("read"), world.times("read")[1:])]
    assert all(2 <= gap <= 4 for gap in gaps)
    assert min(gaps) < 2.5
    assert max(gaps) > 3.5
    assert world.heard.count("trouble: expired") == len(world.times("read"))


def test_a_standby_reports_every_outcome_of_a_request_and_no_pause():
    world = World(BUSY)
    world.at(3, lambda: world.put(FREE)).lead(until=10)
    outcomes = [heard for heard in world.heard if isinstance(heard, tuple)]
    assert isinstance(outcomes[0], Seen)
    assert Unknown("a pause") not in outcomes
    assert sum(isinstance(outcome, Written) for outcome in outcomes) == len(world.written) - 1  # the release is no news


def test_rule_14_a_standby_goes_by_what_it_has_observed_however_old_the_record_is():
    world = World(BUSY)
    world.time = 100.0
    world.at(140, Stop).loop.run()
    assert 132 <= min(world.times("write")) < 136


@pytest.mark.parametrize("poll_interval", [1, 15, 20, 23, 60])
def test_however_rarely_a_standby_polls_it_looks_when_the_lease_is_due(poll_interval):
    worlds = [World(BUSY, TIMING._replace(poll_interval=poll_interval)) for _each in range(20)]
    assert all(32 <= min(world.lead(until=40).times("write")) <= 33.25 for world in worlds)


def test_standbys_that_start_together_see_a_release_as_soon_as_one_that_polls_each_second():
    hosts, poll_interval = 30, 15
    rng = random.Random(14)
    waits = []
    for _round in range(100):
        released_at = rng.uniform(poll_interval, 4 * poll_interval)
        polls = [first_poll(TIMING._replace(poll_interval=poll_interval), released_at) for _each in range(hosts - 1)]
        waits.append(min(polls) - released_at)
    assert 0.3 < statistics.mean(waits) < 0.8


def first_poll(timing, after):
    """When a standby that starts at 0, and whose leader renews every 5 s, polls for the first time after this."""
    world = World(BUSY, timing)
    for number in range(20):
        world.at(5.0 * number, functools.partial(world.put, BUSY._replace(sequence=number)))
    world.at(after + 25, Stop).loop.run()
    return min(at for at in world.times("read") if at > after)


def test_a_standby_that_has_sent_no_write_asks_nothing_more_when_told_to_stop():
    world = World(BUSY).lead(until=5)
    assert world.requests == world.until_then
    assert "released" not in world.heard


def test_a_standby_whose_write_may_have_landed_gives_the_lease_back():
    world = World()
    world.breaks_after_write = True
    world.at(3.9, world.fail(None)).at(4, Stop).loop.run()
    assert world.record.released


def test_a_standby_that_lost_what_it_may_have_held_asks_nothing_more_when_told_to_stop():
    world = World()
    world.breaks_after_write = True
    world.at(60, lambda: world.put(BUSY)).at(60.1, world.fail(None)).at(80, Stop).loop.run()
    assert world.requests == world.until_then


def test_the_metadata_and_the_duration_go_into_the_record():
    world = World().lead(until=1)
    assert (world.written[0].metadata, world.written[0].lease_duration) == ({"app": "db"}, 30)


# -- promotion --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "promoted"), [(17.25, [(8, 18)]), (17.5, []), (20, [])])
def test_who_is_confirmed_when_the_services_would_have_to_stop_at_once_gives_the_lease_back(seconds, promoted):
    world = World()
    world.suspend = seconds
    world.follower = BUSY
    world.reserved_for = "app-2"
    world.at(seconds + 0.1, Stop).loop.run()
    assert world.promoted == promoted
    assert world.heard.count("released") == 1
    assert world.successors == ["app-2" if promoted else ""], "nobody has asked for that"


def test_a_host_that_cannot_start_its_services_stays_away_for_a_lease_duration():
    world = World()
    world.full = True
    world.at(32, Stop).loop.run()
    assert world.times("write") == [0, 0, 30, 30]  # acquired and released at once, twice


def test_a_host_that_stays_away_has_nothing_more_to_give_back():
    world = World()
    world.full = True
    world.at(10, Stop).loop.run()
    assert world.times("write") == [0, 0]
    assert max(at for at, _what in world.requests) == 0


# -- leader -----------------------------------------------------------------------------------------------------------


def test_a_leader_renews_every_interval_from_before_the_last_write_on():
    world = World().lead(until=19)
    assert world.times("write") == [0, 5, 10, 15, 19]
    assert world.until == 15 + 18


def test_a_leader_that_was_suspended_renews_as_soon_as_the_interval_counts():
    world = World()
    world.at(4, lambda: setattr(world, "suspend", 7)).lead(until=18)
    assert world.times("write") == [0, 5, 12, 17, 18]
    assert world.until == 17 + 18


def test_a_renewal_that_is_refused_is_tried_again_every_second():
    world = World()
    world.at(6, world.fail(Refused("expired"))).at(12.5, world.fail(None)).lead(until=21)
    assert world.times("write") == [0, 5, 10, 10, 11, 11, 12, 12, 13, 18, 21]  # also signed in headers
    assert world.heard.count("trouble: expired") == 3


@pytest.mark.parametrize("fault", [LOST, HANGS, Refused("expired")])
def test_a_leader_that_cannot_renew_stops_half_a_second_before_the_services_have_to(fault):
    world = World()
    world.at(6, world.fail(fault))
    with pytest.raises(Lost, match="could not be renewed in time"):
        world.loop.run()
    assert world.time == 5 + 18 - REACTION
    assert all(at < world.time for at, _what in world.requests)


def test_renewals_keep_the_lease_duration_of_the_configuration():
    world = World().lead(until=19)
    assert {record.lease_duration for record in world.written} == {30}


# -- the end ----------------------------------------------------------------------------------------------------------


def test_giving_back_to_a_store_that_hangs_takes_two_requests_and_a_pause():
    world = World()
    world.at(6, world.fail(HANGS)).lead(until=7)
    assert world.time == 7 + 2 * 3 + 3
    assert world.heard[-1].startswith("trouble: the lease was not given back, and expires by itself: no answer")


def test_a_lease_that_is_not_ones_own_any_more_is_not_told_to_be_given_back():
    world = World()
    world.at(6, lambda: world.put(BUSY._replace(term=9))).lead(until=7)
    assert "released" not in world.heard
    assert not world.record.released


def test_a_lease_whose_services_cannot_start_again_is_given_back():
    world = World()
    world.ended = True
    with pytest.raises(Ended):
        world.loop.run()
    assert world.heard[-2:] == ["demote: the services failed", "released"]


# -- a new program ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [100, 101])
def test_a_new_program_renews_at_once_what_the_old_one_held_and_gives_it_back(stop):
    world = World(BUSY._replace(holder="web-1", session="session-1"))
    world.time = 100.0
    held = Held(Seen(world.record, world._etag, 0.0, 95.0), 125.0, 95.0)
    world.at(stop, Stop).loop.run(held, until=113.0)
    assert world.times("write")[0] == 100
    assert world.heard[-1] == "released"
    assert world.record.term == 7


# -- the clock of an operation that can be interrupted ----------------------------------------------------------------


class Standing:
    """A clock that only moves when somebody waits, as long as was asked for."""

    def __init__(self):
        self.time = 100.0
        self.waits = []

    def now(self):
        return self.time

    def wait(self, seconds):
        self.waits.append(seconds)
        self.time += seconds

    def bounded(self, call, seconds):
        return call(self.time + seconds)


@pytest.mark.parametrize(
    ("seconds", "waits", "in_time"),
    [(3, [3], True), (0, [0], True), (-3, [0], True), (9.5, [9.5], True), (10, [10], False), (20, [10], False)],
)
def test_a_pause_is_waited_for_as_a_whole_but_not_beyond_the_time_to_lead(seconds, waits, in_time):
    clock = Standing()
    interruptible = Interruptible(clock, clock.wait, until=110.0)
    if in_time:
        interruptible.sleep(seconds)
    else:
        with pytest.raises(TimeIsUp):
            interruptible.sleep(seconds)
    assert clock.waits == waits


def test_a_wait_that_ends_early_is_followed_by_another_one():
    clock = Standing()
    interruptible = Interruptible(clock, lambda seconds: clock.wait(min(seconds, 2)), until=110.0)
    interruptible.sleep(5)
    assert clock.waits == [2, 2, 1]


def test_a_wait_that_outlasts_the_time_to_lead_says_so():
    clock = Standing()
    interruptible = Interruptible(clock, lambda seconds: clock.wait(seconds + 20), until=110.0)
    with pytest.raises(TimeIsUp):
        interruptible.sleep(5)
    assert clock.waits == [25]


@pytest.mark.parametrize(("seconds", "until"), [(3, 103), (10, 110), (20, 110)])
def test_a_request_is_bounded_by_the_time_to_lead(seconds, until):
    clock = Standing()
    assert Interruptible(clock, clock.wait, until=110.0).bounded(lambda until: until, seconds) == until


@pytest.mark.parametrize("until", [100.0, 99.0])
def test_where_no_time_is_left_nothing_is_waited_for_or_asked(until):
    clock = Standing()
    interruptible = Interruptible(clock, clock.wait, until)
    with pytest.raises(TimeIsUp):
        interruptible.sleep(3)
    with pytest.raises(TimeIsUp):
        interruptible.bounded(lambda until: until, 3)
    assert clock.waits == []
