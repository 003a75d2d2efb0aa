# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The loop, on a store that answers at once and a clock that only moves when it is waited on."""

from __future__ import annotations

import functools
import threading

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.daemon import standbys_watchdog
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.heartbeat import (
    Heartbeat,
    Lost,
    Reload,
    Stop,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.timing import Timing
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Proof, Record, Unreadable, decode
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import REACTION
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Claimant,
    Raced,
    Refused,
    Seen,
    Unchanged,
    Unknown,
    Written,
)

ME = Claimant("web-1", "session-1")
TIMING = Timing(lease_duration=30, renew_interval=5, stop_grace=12, poll_interval=2, request_timeout=3)
BUSY = Record(
    holder="web-2",
    session="session-2",
    term=7,
    sequence=3,
    nonce="n",
    lease_duration=30,
    acquired_at=1000.0,
    renewed_at=1000.0,
    lease_until=1032.0,
    metadata={},
    proof=Proof("", 0.0),
)
FREE = BUSY._replace(holder="")


SERVING = "services may still be running, so the lease is not given back; it expires by itself"


class Timeless:
    """A clock that only moves when it is slept on."""

    def __init__(self):
        self.time = 100.0

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds

    def bounded(self, call, seconds):
        return call(self.time + seconds)


class OneObject:
    """A store with one object, that is changed by what is written to it."""

    def __init__(self, clock, record):
        self._clock = clock
        self.put(record)
        self.written = []
        self.fault = None
        """What is answered instead of reading or writing."""
        self.fault_of_writes = None

    def put(self, record):
        self.record, self.etag, self._modified = record, f"etag-{record!r}", self._clock.time

    def read(self, _until, known):
        if self.fault:
            return self.fault
        if self.record is None:
            return Absent(self._clock.time)
        if known == self.etag:
            return Unchanged(self._clock.time)
        return Seen(self.record, self.etag, self._modified, self._clock.time)

    def write(self, body, replaces, _until, _quoted, _dated, expired=False):
        if expired:
            return Refused("403 AccessDenied")
        if self.fault or self.fault_of_writes:
            return self.fault or self.fault_of_writes
        if replaces != (self.etag if self.record else None):
            return Unknown("412", precondition_failed=True)
        self.put(decode(body))
        self.written.append(self.record)
        return Written(self.etag, self._clock.time)

    def race(self, bodies, *how):
        return Raced(tuple(self.write(body, *how) for body in bodies))

    def of(self, slot):
        return self

    def forget_connection(self):
        pass


class Host:
    """Notes what the loop says, and lets the test say what happens when it waits."""

    def __init__(self, clock):
        self._clock = clock
        self.heard = []
        self.untils = []
        self.happens = {}
        """By the time of the clock, in seconds since the start: what to do or raise then."""
        self.services = False
        self.reserved_for = ""
        self.successors = []
        """For whom the lease was reserved when it was given back."""
        self.full = False
        self.before_it_fails = lambda: None
        self.answers = []
        self.signs = [clock.time]
        """When the loop showed that it is alive, as a standby."""

    def wait(self, seconds):
        self.signs.append(self._clock.time)
        due = [at for at in self.happens if 100 + at <= self._clock.time]
        for at in due:
            happening = self.happens.pop(at)
            if isinstance(happening, type):
                raise happening
            happening()
        self._clock.sleep(min(seconds, 0.25))
        assert self._clock.time < 900, "it goes on and on"

    def listen(self):
        self.signs.append(self._clock.time)
        if any(at + 100 <= self._clock.time and what is Stop for at, what in self.happens.items()):
            raise Stop

    def longest_silence(self):
        return max(after - before for before, after in zip(self.signs, self.signs[1:]))

    def requested(self, step, answer):
        pass

    def answered(self, outcome, slot):
        self.answers.append(outcome)

    def trouble(self, why):
        self.heard.append(f"trouble: {why}")

    def promote(self, held, until, slot):
        if self.full:
            self.before_it_fails()
            raise OSError("No space left on device")
        self.heard.append(f"promote {held.seen.record.term}")
        self.untils.append(until)

    def confirmed(self, held, until):
        self.untils.append(until)

    def demote(self, why):
        self.signs.append(self._clock.time)
        self.heard.append(f"demote: {why}")

    def serving(self):
        return self.services

    def successor(self):
        return self.reserved_for

    def released(self, successor):
        self.heard.append("released")
        self.successors.append(successor)

    def reload(self, held, slot):
        self.heard.append("reload" if held else "reload without the lease")


class Lab:
    def __init__(self, record=FREE, times=TIMING, me=None):
        me = me or ME._replace(sent=[])
        self.clock = Timeless()
        self.store = OneObject(self.clock, record)
        self.host = Host(self.clock)
        self.loop = Heartbeat(me, times, {}, self.store, self.clock, self.host)

    def at(self, seconds, happening):
        self.host.happens[seconds] = happening
        return self

    def run_until_lost(self):
        with pytest.raises(Lost) as lost:
            self.loop.run()
        return str(lost.value)

    def fail_with(self, fault):
        self.store.fault = fault

    def slow(self, seconds, requests=("read", "write")):
        """From now on, each of these requests takes this long, unless its time is up before."""
        bounded = self.clock.bounded

        def cut(call, most):
            end = self.clock.time + most
            answer = bounded(call, most)
            self.clock.time = min(self.clock.time, end)
            return answer

        def slowed(ask):
            def asked(*arguments):
                self.clock.sleep(seconds)
                assert self.clock.time < 900, "it goes on and on"
                return ask(*arguments)

            return asked

        self.clock.bounded = cut
        for name in requests:
            setattr(self.store, name, slowed(getattr(self.store, name)))
        return self


def test_a_free_lease_is_taken_and_led_until_somebody_asks_to_stop():
    lab = Lab().at(19, Stop)
    lab.loop.run()
    assert lab.host.heard == ["promote 8", "demote: asked to stop", "released"]
    assert lab.store.record.released
    assert [record.sequence for record in lab.store.written] == [1, 2, 3, 4, 5]


def test_a_lease_that_is_given_back_on_request_is_reserved_for_the_successor():
    lab = Lab().at(19, Stop)
    lab.host.reserved_for = "app-2"
    lab.loop.run()
    assert (lab.store.record.released, lab.store.record.successor, lab.host.successors) == (True, "app-2", ["app-2"])


def test_one_that_is_given_back_for_want_of_services_is_for_anybody():
    lab = Lab()
    lab.host.full, lab.host.reserved_for = True, "app-2"
    lab.at(10, Stop).loop.run()
    assert (lab.store.record.released, lab.store.record.successor, lab.host.successors) == (True, "", [""])


def test_a_host_may_wait_longer_than_others_before_it_takes_over():
    lab = Lab(times=TIMING._replace(takeover_delay=60)).at(70, Stop)
    led = []
    promote = lab.host.promote
    lab.host.promote = lambda held, until, slot: (led.append(lab.clock.time - 100), promote(held, until, slot))
    lab.loop.run()
    assert len(led) == 1
    assert 60 <= led[0] < 63


def test_the_services_have_to_stop_before_the_deadline_of_the_lease():
    lab = Lab().at(1, Stop)
    lab.loop.run()
    assert lab.host.untils == [100 + TIMING.lease_duration - TIMING.stop_grace]


def test_rule_14_a_lease_whose_holder_is_silent_is_taken_when_it_was_watched_for_long_enough():
    lab = Lab(BUSY).at(35, Stop)
    lab.loop.run()
    assert lab.host.heard[0] == "promote 8"
    assert lab.store.written[0].acquired_at >= 100 + 32


def test_a_lease_that_is_renewed_by_its_holder_is_left_alone():
    lab = Lab(BUSY)
    for turn in range(1, 8):
        lab.at(turn * 8, lambda turn=turn: lab.store.put(BUSY._replace(sequence=3 + turn)))
    lab.at(60, Stop).loop.run()
    assert lab.host.heard == []
    assert lab.store.written == []


def test_a_renewal_that_fails_is_tried_again_until_the_services_have_to_stop():
    lab = Lab().at(11, lambda: lab.fail_with(Unknown("no answer")))
    assert lab.run_until_lost() == "the lease could not be renewed in time"
    assert lab.clock.time == pytest.approx(lab.host.untils[-1] - REACTION)
    assert lab.host.heard[-1] == "demote: the lease could not be renewed in time"


def test_an_outage_that_ends_in_time_is_none():
    lab = Lab().at(11, lambda: lab.fail_with(Unknown("no answer"))).at(20, lambda: lab.fail_with(None)).at(60, Stop)
    lab.loop.run()
    assert lab.host.heard == ["promote 8", "demote: asked to stop", "released"]


def test_credentials_that_are_renewed_in_time_cost_nothing():
    lab = Lab().at(11, lambda: lab.fail_with(Refused("expired"))).at(20, lambda: lab.fail_with(None)).at(60, Stop)
    lab.loop.run()
    assert lab.host.heard[0] == "promote 8"
    assert set(lab.host.heard[1:-2]) == {"trouble: expired"}
    assert lab.host.heard[-1] == "released"


@pytest.mark.parametrize(
    ("instead", "why"),
    [
        pytest.param(BUSY._replace(term=9), "held by web-2", id="taken"),
        pytest.param(None, "removed", id="removed"),
        pytest.param(Unreadable("it is not JSON"), "unreadable", id="corrupt"),
        pytest.param(FREE._replace(term=8), "free", id="broken by force"),
    ],
)
def test_who_lost_the_lease_ends_at_the_next_renewal(instead, why):
    lab = Lab().at(11, lambda: lab.store.put(instead))
    assert why in lab.run_until_lost()
    assert lab.clock.time < 100 + 17
    assert lab.host.heard[-1].startswith("demote: ")


def test_the_lease_is_not_given_back_while_services_may_run():
    lab = Lab().at(11, Stop)
    lab.host.services = True
    lab.loop.run()
    assert "released" not in lab.host.heard
    assert not lab.store.record.released


def test_a_host_that_cannot_start_its_services_leaves_the_lease_to_others():
    lab = Lab().at(20, Stop)
    lab.host.full = True
    lab.loop.run()
    assert lab.host.heard == [
        "demote: the services of this host cannot be told to start: No space left on device",
        "released",
    ]
    assert lab.store.record.released


def test_what_may_have_been_acquired_when_asked_to_stop_is_given_back():
    lab = Lab()
    swallowed = lab.store.write

    def lose_the_answer(*write):
        swallowed(*write)
        lab.fail_with(Unknown("no answer"))
        return Unknown("no answer")

    lab.store.write = lose_the_answer
    lab.at(3, lambda: (lab.fail_with(None), setattr(lab.store, "write", swallowed)))
    lab.at(3.5, Stop)
    lab.host.reserved_for = "app-2"
    lab.loop.run()
    assert (lab.store.record.released, lab.store.record.successor) == (True, "app-2")


@pytest.mark.parametrize("told", [Refused("403 AccessDenied"), Unknown("no answer")])
def test_that_a_write_that_has_expired_is_refused_is_no_trouble(told):
    lab = Lab(None)
    write = lab.store.write

    def expire_once(body, replaces, until, quoted, dated, expired):
        if not expired:
            return write(body, replaces, until, quoted, dated, expired)
        lab.store.write = write
        return told

    lab.store.write = expire_once
    lab.at(3.5, Stop).loop.run()
    assert (told in lab.host.answers) is isinstance(told, Unknown)


def test_that_any_other_write_is_refused_is_trouble():
    lab = Lab()
    lab.store.fault_of_writes = Refused("403 AccessDenied")
    lab.at(1, Stop).loop.run()
    assert lab.store.fault_of_writes in lab.host.answers


@pytest.mark.parametrize("may_hold", [True, False])
def test_what_an_earlier_program_may_have_acquired_is_given_back_too(may_hold):
    lab = Lab(FREE._replace(holder="web-1", session=ME.session, term=8), me=ME._replace(sent=["n"])).at(0, Stop)
    lab.loop.run(None, 0.0, may_hold)
    assert (lab.host.heard == ["released"]) is lab.store.record.released is may_hold


def test_what_lands_after_it_was_looked_for_is_given_back_too():
    lab = Lab()
    write, late = lab.store.write, []

    def land_and_stop():
        lab.store.write = write
        write(*late[0])
        raise Stop

    lab.store.write = lambda *arguments: late.append(arguments) or Unknown("no answer")
    lab.at(1, land_and_stop).loop.run()
    assert lab.host.heard == ["released"]
    assert lab.store.record.released


def test_so_is_what_lands_late_when_no_pause_comes_after_the_look():
    lab = Lab(times=SLOW).slow(0.125).at(0.3125, Stop)  # read, write, look, and the next write is not sent
    read, write, late = lab.store.read, lab.store.write, []

    def refuse(*arguments):
        late.append(arguments)
        lab.clock.sleep(0.125)
        return Unknown("412", precondition_failed=True)

    def land_and_read(*known):
        if lab.clock.time >= 100.375 and late:
            lab.store.write = write
            write(*late.pop())
        return read(*known)

    lab.store.read, lab.store.write = land_and_read, refuse
    lab.loop.run()
    assert lab.host.heard == ["released"]


def test_what_is_seen_to_be_somebody_elses_is_not_asked_for_again_when_asked_to_stop():
    lab = Lab(BUSY).at(5, Stop)
    requests = []
    lab.store.write = lambda *_arguments: requests.append("write")
    read = lab.store.read
    lab.store.read = lambda *known: requests.append("read" if lab.clock.time < 105 else "late") or read(*known)
    lab.loop.run(None, 0.0, True)
    assert {*requests} == {"read"}


OURS = FREE._replace(holder="web-1", session=ME.session, term=8)
"""What an earlier program of this process has acquired, and knows by its nonce."""


def test_what_may_have_been_acquired_is_not_forgotten_for_a_read_that_fails():
    lab = Lab(OURS, me=ME._replace(sent=["n"]))
    lab.fail_with(Unknown("no answer"))

    def recover_and_stop():
        lab.fail_with(None)
        raise Stop

    lab.at(1, recover_and_stop).loop.run(None, 0.0, True)
    assert lab.host.heard == ["released"]


@pytest.mark.parametrize(("record", "heard"), [(OURS, ["released"]), (None, []), (FREE, [])])
@pytest.mark.parametrize("may_hold", [True, False])
def test_a_read_tells_whether_there_is_something_to_give_back(record, heard, may_hold):
    lab = Lab(record, me=ME._replace(sent=["n"]))
    read, reads = lab.store.read, []

    def read_and_stop(*known):
        reads.append(known)
        lab.at(0, Stop)
        return read(*known)

    lab.store.read = read_and_stop
    lab.loop.run(None, 0.0, may_hold)
    assert lab.host.heard == heard
    assert len(reads) == (2 if heard else 1)


def test_rule_17_what_the_clone_of_a_daemon_acquired_is_not_its_own():
    lab = Lab(BUSY._replace(holder="web-1", session=ME.session)).at(31, Stop)
    lab.loop.run()
    assert lab.host.heard == []
    lab = Lab(BUSY._replace(holder="web-1", session=ME.session)).at(33, Stop)
    lab.loop.run()
    assert lab.host.heard == ["promote 8", "demote: asked to stop", "released"]


def test_rule_17_the_clone_of_a_leader_does_not_know_what_the_other_one_writes():
    sent = []
    lab = Lab(me=ME._replace(sent=sent))

    def look():
        assert sent == [lab.store.record.nonce]

    lab.at(1, look).at(21, look).at(22, Stop).loop.run()
    assert lab.host.heard == ["promote 8", "demote: asked to stop", "released"]


def test_rule_17_the_last_hundred_writes_may_still_land():
    sent = []
    lab = Lab(me=ME._replace(sent=sent))
    nonces = [lab.loop._fresh_nonce() for _turn in range(150)]
    assert sent == nonces[-100:]


def test_a_leader_that_can_start_no_thread_retries_until_its_time_is_up(monkeypatch):
    def start(_thread):
        raise RuntimeError("can't start new thread")

    lab = Lab()

    def at_last():
        monkeypatch.setattr(threading.Thread, "start", start)
        lab.clock.bounded = functools.partial(Clock.bounded, lab.clock)

    assert lab.at(11, at_last).run_until_lost() == "the lease could not be renewed in time"
    assert lab.clock.time == pytest.approx(lab.host.untils[-1] - REACTION)


def test_a_new_program_goes_on_with_what_is_held():
    lab = Lab().at(11, Reload).at(30, Stop)
    lab.loop.run()  # the new program cannot be started, so the old one goes on
    assert lab.host.heard == ["promote 8", "reload", "demote: asked to stop", "released"]


SLOW = TIMING._replace(request_timeout=10)


def test_a_leader_without_a_pause_between_its_renewals_hears_that_it_is_to_stop():
    lab = Lab(times=SLOW).slow(TIMING.renew_interval).at(52, Stop)
    lab.loop.run()
    assert lab.host.heard == ["promote 8", "demote: asked to stop", "released"]
    assert lab.clock.time < 100 + 52 + 3 * TIMING.renew_interval


def test_a_leader_without_a_pause_between_its_renewals_hears_that_it_is_to_reload():
    lab = Lab(times=SLOW).slow(TIMING.renew_interval).at(52, Reload).at(102, Stop)
    reloaded = []
    lab.host.reload = lambda held, _slot: reloaded.append((lab.clock.time, held.seen.record.sequence))
    lab.loop.run()
    [(at, sequence)] = reloaded
    assert at < 100 + 52 + TIMING.renew_interval
    assert sequence == lab.store.record.sequence - 11  # of the last renewal before it


def test_signals_delay_no_renewal():
    lab = Lab(times=SLOW).slow(TIMING.renew_interval).at(102, Stop)
    lab.loop.run()
    began = [record.renewed_at for record in lab.store.written[1:-1]]
    assert {round(after - before, 3) for before, after in zip(began, began[1:])} == {TIMING.renew_interval}


def test_what_is_to_stop_sends_nothing_more_for_an_acquisition():
    lab = Lab(times=SLOW).slow(10).at(5, Stop)
    lab.loop.run()
    assert lab.clock.time == 110
    assert (lab.host.heard, lab.store.written) == ([], [])


def test_what_is_to_stop_does_not_begin_to_lead():
    lab = Lab(times=SLOW).slow(10, ["write"]).at(5, Stop)  # during the last request of the acquisition
    lab.loop.run()
    assert lab.host.heard == ["released"]
    assert lab.store.record.released


def test_a_reload_waits_until_the_acquisition_is_over():
    lab = Lab(times=SLOW).slow(4, ["write"]).at(2, Reload).at(9, Stop)
    lab.loop.run()
    assert lab.host.heard == ["promote 8", "reload", "demote: asked to stop", "released"]


def test_a_new_program_renews_before_it_is_replaced_again():
    lab, held = held_by_another_program()
    written = len(lab.store.written)
    replaced = []
    lab.host.reload = lambda _held, _slot: replaced.append(len(lab.store.written))
    lab.at(10, Reload).at(12, Stop)
    Heartbeat(ME, TIMING, {}, lab.store, lab.clock, lab.host).run(*held)
    assert replaced == [written + 1]


@pytest.mark.parametrize("request_timeout", [1, 3, 60])
@pytest.mark.parametrize("leads", [True, False])
@pytest.mark.parametrize("answer", [Unknown("no answer"), Unknown("412", precondition_failed=True), None])
def test_a_daemon_ends_in_time_although_each_of_its_requests_takes_as_long_as_it_may(answer, leads, request_timeout):
    times = TIMING._replace(request_timeout=request_timeout, lease_duration=400)
    for asked in range(20):  # at whatever point of the request
        lab = Lab(times=times)
        lab.host.happens = {11.0: lambda lab=lab: (lab.slow(request_timeout), lab.fail_with(answer))}
        if not leads:
            lab.host.happens = {}
            lab.slow(request_timeout).store.fault_of_writes = answer
        at = (11.0 if leads else 0) + asked / 7 * request_timeout
        lab.at(at, Stop)
        lab.loop.run()
        assert lab.clock.time - 100 - at <= times.time_to_end


@pytest.mark.parametrize("request_timeout", [1, 3, 60])
@pytest.mark.parametrize(
    ("record", "answer", "full"),
    [
        pytest.param(None, None, False, id="acquires the first lease of a store"),
        pytest.param(FREE, None, True, id="cannot promote, and gives the lease back"),
        pytest.param(FREE, Unknown("no answer"), False, id="cannot write"),
        pytest.param(BUSY, Unknown("no answer"), False, id="takes over, and cannot write"),
    ],
)
def test_a_standby_is_never_silent_for_as_long_as_its_watchdog_waits(record, answer, full, request_timeout):
    times = TIMING._replace(request_timeout=request_timeout, lease_duration=400)
    lab = Lab(record, times).slow(request_timeout).at(620, Stop)
    lab.store.fault_of_writes, lab.host.full = answer, full
    lab.host.before_it_fails = lambda: lab.fail_with(Unknown("no answer"))  # nor can the lease be given back
    lab.loop.run()
    assert lab.host.longest_silence() < standbys_watchdog(times)
    assert bool(lab.host.untils) is (answer is None and not full)


@pytest.mark.parametrize("request_timeout", [3, 60])
def test_so_is_none_that_acquires_a_lease_too_late_and_cannot_give_it_back(request_timeout):
    times = TIMING._replace(request_timeout=request_timeout, lease_duration=request_timeout + 2, stop_grace=2)
    lab = Lab(FREE, times).slow(request_timeout).at(450, Stop)
    write = lab.store.write

    def answer_once(*arguments):
        answer = write(*arguments)
        lab.fail_with(Unknown("no answer"))
        return answer

    lab.store.write = answer_once
    lab.loop.run()
    assert lab.host.longest_silence() < standbys_watchdog(times)
    assert lab.host.untils == []


def test_a_standby_reloads_without_the_lease():
    lab = Lab(BUSY).at(5, Reload).at(10, Stop)
    lab.loop.run()
    assert lab.host.heard == ["reload without the lease"]


def held_by_another_program():
    """A lab in which a program has led for 11 seconds, and left what it held to another one with the same session."""
    lab = Lab().at(11, Stop)
    held = []
    lab.host.confirmed = lambda one, until: held.append((one, until))
    lab.host.services = True
    lab.loop.run()
    return lab, held[-1]


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(TIMING, id="as before"),
        pytest.param(TIMING._replace(lease_duration=300, renew_interval=60), id="a longer interval"),
        pytest.param(TIMING._replace(lease_duration=120, stop_grace=60), id="a longer grace"),
        pytest.param(TIMING._replace(lease_duration=20, renew_interval=3, stop_grace=5), id="a shorter lease"),
    ],
)
def test_a_new_program_renews_at_once_what_the_old_one_held(times):
    lab, held = held_by_another_program()
    lab.host.happens = {25.0: Stop}
    successor = Heartbeat(ME, times, {}, lab.store, lab.clock, lab.host)
    written = len(lab.store.written)
    successor.run(*held)
    assert lab.clock.time >= 125
    assert lab.store.written[written].renewed_at < 112
    assert lab.host.heard == ["promote 8", *["demote: asked to stop", "trouble: " + SERVING] * 2]


def test_what_was_confirmed_just_now_is_renewed_when_it_is_time():
    lab, held = held_by_another_program()
    lab.host.happens = {25.0: Stop}
    written = len(lab.store.written)
    Heartbeat(ME, TIMING, {}, lab.store, lab.clock, lab.host).run(*held, at_once=False)
    assert lab.store.written[written].renewed_at >= held[0].written_at + TIMING.renew_interval


@pytest.mark.parametrize("shared", [True, False])
def test_rule_17_what_others_of_the_session_write_is_its_own_only_where_they_share_it(shared):
    lab, held = held_by_another_program()
    record = lab.store.record
    lab.store.put(record._replace(nonce="another task's", sequence=record.sequence + 1))
    lab.host.happens = {25.0: Stop}
    me = ME if shared else ME._replace(sent=[])
    successor = Heartbeat(me, TIMING, {}, lab.store, lab.clock, lab.host)
    if shared:
        successor.run(*held)
    else:
        with pytest.raises(Lost):
            successor.run(*held)
