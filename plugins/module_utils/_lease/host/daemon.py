# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The daemon: the heartbeat's loop on a real host, under systemd.

The daemon leads by creating a file in /run: a path unit then starts the services. It stops leading by ending: systemd
stops the services that are bound to its unit. Each confirmed renewal rearms the watchdog for the time that is left to
lead, so that a hanging process is also ended in time.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple, Type, TypeVar

from .. import BEGAN
from ..clock import Clock
from ..connection import CannotSend
from ..driver import fresh_nonce
from ..protocol import free_in, own, term_of
from ..record import Record, decode, encode
from ..settings import check_session
from ..store import Store
from ..types import Absent, Answer, Claimant, Found, Held, Outcome, Seen, Step, Unchanged
from ..wording import first_of, plain, standing, terms
from . import config as configuration, runtime, systemd
from .config import Config
from .credentials import ReloadingConnection
from .heartbeat import Ended, Heartbeat, Lost, Reload, Stop, trouble_of
from .metrics import APART, Metrics
from .timing import Timing

T = TypeVar("T")

LOST = 75
"""Exit status after losing the lease, for systemd to restart the daemon (EX_TEMPFAIL of sysexits.h)."""
WATCHDOG = 15.0
"""Seconds of the watchdog while the daemon starts. A leader's watchdog has the time of its lease."""
CALM = 30.0
"""Seconds without an error after which a standby's series of errors is over: reads may work while writes do not."""
STARTING = 20.0
"""Seconds that systemd has to start the services; after that, the leader gives up."""
BUSY = 0.1
"""Seconds until a notification that systemd had no room for is sent again."""
MOST = 1e15
"""More seconds than any clock shows."""
_STATE = "S3_LEADER_STATE"
"""The environment variable that hands the state over to the program that replaces this one."""


def run(name: str) -> int:
    """Take part in the lease until asked to stop, or until it is lost. Return the exit status.

    Raises BadOption or CannotSend for an unusable configuration, OSError for an unusable folder in /run.
    """
    systemd.hold_signals()
    config = configuration.load(name)
    try:
        lock = runtime.keep_others_out(name, since=BEGAN)
    except BlockingIOError:
        raise CannotSend("another daemon of the lease %s runs here already" % name) from None
    try:
        return _take_part(config)
    finally:
        os.close(lock)


def _take_part(config: Config) -> int:
    clock = Clock()
    connection = ReloadingConnection(config)
    me, held, until, served, stop_grace, resumed, unusable, slot = _inherited(config.holder, connection)
    # The fence may still go by what the services had when they were started: a shorter time counts from the next term.
    timing = config.timing._replace(stop_grace=max(config.stop_grace, stop_grace))
    host = SystemdHost(config, me, clock, connection.place, timing.stop_grace, served)
    if unusable:
        host.demote(unusable)
        return LOST
    store = Store(connection, config.location, clock)
    if held is not None:
        store.learn_time(held)
    heartbeat = Heartbeat(me, timing, config.metadata, store, clock, host, config.slots or 0, slot)
    # Many daemons start at once, and systemd queues only ten messages. It knows that a replaced program was ready, and
    # this one may have to renew.
    while not systemd.notify(READY=1) and not resumed:
        clock.sleep(BUSY)
    try:
        if held is None:
            host.stand_by()
        else:
            host.resume(held, until, slot)
        heartbeat.run(held, until, resumed)
    except Stop:
        pass
    except Lost:
        return LOST
    return 0


class SystemdHost:
    """The loop's host: files in /run, systemd, the journal."""

    def __init__(
        self, config: Config, me: Claimant, clock: Clock, place: str, stop_grace: float, served: bool = False
    ) -> None:
        self._config = config
        self._me = me
        self._clock = clock
        self._began = clock.now()
        self._place = place
        """Of the lease among those of all stores."""
        self._stop_grace = stop_grace
        self._leases: Dict[int, Found] = {}
        """As last seen in the store, by slot; 0 for a lease without slots."""
        self._slot = 0
        """The slot that this host holds, or held last."""
        self._role = "standby"
        self._until: Optional[float] = None
        self._served_at: Optional[float] = None
        """When services were last seen to run; before that, when this host began to lead."""
        self._served = served
        """Services were seen to run in this term."""
        self._trouble = ""
        """The first error of the current series."""
        self._troubled_at = 0.0
        self._hidden = False
        """The status could not be written."""
        timing, slots = config.timing, config.slots or 0
        self._metrics = Metrics(config.name, config.location, me.holder, slots, timing.time_to_take_over)
        self._measured: Tuple[Optional[float], float] = (None, -APART)
        """Until when this host led when the metrics were written last, and when that was."""

    def wait(self, seconds: float) -> None:
        systemd.wait(seconds, self._clock, self._meanwhile)

    def listen(self) -> None:
        self._alive()
        systemd.listen()

    def _meanwhile(self) -> None:
        self._alive()
        if self._until is not None and not (self._served or self.serving()):
            runtime.touch(self._path("leader"))  # systemd may have missed it, or somebody cancelled what it began

    def stand_by(self) -> None:
        """Begin without the lease. Do not compete until a step-down is over, nor while services of an earlier term
        may still be running. Raises Stop.
        """
        runtime.remove(self._path("leader"))
        self._alive()
        self._say("standby", "starting to watch the lease")
        while True:
            left = runtime.stepped_down(self._config.name).until - self._clock.now()
            if self.serving():
                left = 1
                waits = runtime.waiting(self._config.name) or "waits until no service can run any more"
                self._show("stopping", "does not compete: %s" % waits)
            elif left > 0:
                self._show("away", "stepped down, and does not compete for another %d s" % left)
            else:
                self._role = "standby"
                return
            try:
                self.wait(min(left, 10))
            except Reload:
                self.reload(None)

    def requested(self, step: Step, answer: Answer) -> None:
        self._metrics.requested(step, answer)

    def answered(self, outcome: Outcome, slot: int = 0) -> None:
        before = self._leases.get(slot)
        if isinstance(outcome, (Absent, Seen)):
            self._leases[slot] = outcome
            self._metrics.found(outcome, slot, self._clock.now())
            if _who(outcome) != _who(before):
                self._say("watching", "%s is %s" % ("slot %d" % slot if slot else "the lease", standing(outcome)))
        elif isinstance(outcome, Unchanged) and isinstance(before, Seen):
            self._leases[slot] = before._replace(store_time=outcome.store_time)
        elif trouble_of(outcome):
            self.trouble(trouble_of(outcome))
            return
        if self._clock.now() >= self._troubled_at + CALM:
            self._well()
        slots = range(1, self._config.slots + 1) if self._config.slots else (0,)
        if self._until is None and all(slot in self._leases for slot in slots):
            known = [self._leases[slot] for slot in slots]
            delay = self._config.takeover_delay
            later = ". This host takes over %g s later than others" % delay if delay else ""
            self._show("standby", (standing_of_slots(known) if self._config.slots else standing(known[0])) + later)

    def trouble(self, why: str) -> None:
        """Report the first error of a series, in the journal and to the on_error hook."""
        self._show(self._role, why)
        self._troubled_at = self._clock.now()
        if self._trouble:
            return
        self._trouble = why
        self._say("error", why, systemd.WARNING)
        try:
            runtime.write(self._path("error"), self._environment(S3_LEADER_ERROR=why))
        except OSError as error:
            self._say("error", "the error cannot be written for on_error: %s" % error, systemd.WARNING)

    def promote(self, held: Held, until: float, slot: int = 0) -> None:
        before = self._leases.get(slot)
        self._slot, self._leases[slot] = slot, held.seen
        if not self._arm(until, tries=10):
            raise OSError("systemd does not take messages, so its watchdog would not end this process if it hung")
        runtime.write(self._path("leader"), self._environment(S3_LEADER_STOP_GRACE="%g" % self._stop_grace))
        self._well()
        known = "" if before is None or own(before, self._me) else ". Before, the lease was " + standing(before)
        self._say("acquired", "%s%s" % (self._leading(), known), systemd.NOTICE)
        self.confirmed(held, until)

    def confirmed(self, held: Held, until: float) -> None:
        now = self._clock.now()
        started = os.path.exists(runtime.serving_path_of(self._config.name, "started"))
        waits = runtime.waiting(self._config.name)
        self._served = self._served or started
        if self._served_at is None or started or waits:
            self._served_at = now
        elif self._served and not self.serving():
            raise Ended("somebody has stopped its services")
        elif now >= self._served_at + STARTING:
            raise Lost(
                "systemd has not started the services within %d s: see systemctl status 's3-leader-*@%s.*'"
                % (STARTING, self._config.name)
            )
        self.resume(held, until, self._slot)
        self._well()
        leads = "%s, renewed at %s" % (self._leading(), time.strftime("%H:%M:%S"))
        if waits:
            self._show("stopping", "%s, and %s" % (leads, waits))
        else:
            self._show("leader", leads)

    def resume(self, held: Held, until: float, slot: int = 0) -> None:
        """Lead on after a program that was replaced. The renewal that follows looks after the services."""
        self._slot, self._leases[slot], self._until = slot, held.seen, until
        self._metrics.leads(held.seen, slot, held.heard_at, until)
        self._arm(until)

    def demote(self, why: str) -> None:
        try:
            runtime.remove(self._path("leader"))
        except OSError as error:
            self._say("error", "%s. systemd removes it when this process ends" % error, systemd.WARNING)
        self._until = self._served_at = None
        self._metrics.ended()
        self._served = False
        if not self.serving():  # otherwise the leader's watchdog makes sure that this process ends in time
            self._alive()
        self._say("lost", "no longer leads: " + why, systemd.NOTICE)
        self._show("standby", why)

    def serving(self) -> bool:
        return os.path.exists(runtime.serving_path_of(self._config.name))

    def successor(self) -> str:
        noted = runtime.stepped_down(self._config.name)
        return noted.successor if noted.at >= self._began else ""

    def released(self, successor: str) -> None:
        others = "the lease is reserved for %s at first" % successor if successor else "another host may lead at once"
        self._say("released", "gave the lease back: %s" % others, systemd.NOTICE)

    def reload(self, held: Optional[Held], slot: int = 0) -> None:
        self._say("reload", "reloading its code and its configuration")
        known = _state(self._place, self._me, held, self._until, self._served, self._stop_grace, slot)
        state = {_STATE: json.dumps(known)}
        try:
            os.execve(sys.argv[0], sys.argv, {**os.environ, **state})
        except OSError as error:
            self._say("error", "cannot reload: %s" % error, systemd.ERROR)

    # -- what it writes

    def _arm(self, until: float, tries: int = 1) -> bool:
        left = until - self._clock.now()
        if systemd.notify(WATCHDOG_USEC=max(1, int(left * 1e6)), WATCHDOG=1):
            return True
        if tries == 1:
            return False
        self._clock.sleep(BUSY)
        return self._arm(until, tries - 1)

    def _alive(self) -> None:
        """Arm a standby's watchdog. Each time with its length: a message may be lost, and a leader's is shorter."""
        if self._until is None:
            systemd.notify(WATCHDOG_USEC=int(standbys_watchdog(self._config.timing) * 1e6), WATCHDOG=1)

    def _well(self) -> None:
        if self._trouble:
            self._trouble = ""
            self._say("recovered", "the store answers again")

    def _say(self, event: str, message: str, priority: int = systemd.INFO) -> None:
        systemd.journal(
            priority,
            "%s: %s" % (self._config.name, plain(message)),
            S3_LEADER_EVENT=event,
            S3_LEADER_NAME=self._config.name,
            S3_LEADER_LOCATION=self._config.location,
            S3_LEADER_HOLDER=self._me.holder,
            S3_LEADER_TERM=self._term(),
            **self._slot_shown(),
        )

    def _show(self, role: str, reason: str) -> None:
        """Publish the status, to systemctl status and in /run."""
        self._role = role
        systemd.notify(STATUS="%s: %s" % (role, plain(reason)))
        lease = self._leases.get(self._slot)
        record = lease.record if isinstance(lease, Seen) else None
        shown: Dict[str, Any] = dict(
            name=self._config.name,
            role=role,
            bucket=self._config.bucket,
            key=self._config.key,
            holder=plain(record.holder) if isinstance(record, Record) else None,
            term=record.term if isinstance(record, Record) else None,
            slot=self._slot or None,
            reason=plain(reason),
            until=self._until,
            history=terms(record.history) if isinstance(record, Record) else [],
        )
        try:
            self._publish(json.dumps(shown))
            self._measure()
            if self._hidden:
                self._say("recovered", "the status can be written again")
            self._hidden = False
        except OSError as error:
            if not self._hidden:
                self._say("error", "the status cannot be written: %s" % error, systemd.WARNING)
            self._hidden = True

    def _publish(self, status: str) -> None:
        try:
            runtime.write(self._path("status.json"), status)
        except OSError:
            runtime.remove(self._path("status.json"))  # a stale one would be wrong
            runtime.write(self._path("status.json"), status)  # on a full disk, there is room for it now

    def _measure(self) -> None:
        now = self._clock.now()
        until, at = self._measured
        if until != self._until or now >= at + APART:
            runtime.write(self._path(runtime.METRICS), self._metrics.text(now, time.time()))
            self._measured = (self._until, now)

    def _environment(self, **more: str) -> str:
        values = dict(
            S3_LEADER_NAME=self._config.name,
            S3_LEADER_TERM=self._term(),
            S3_LEADER_HOLDER=self._me.holder,
            **self._slot_shown(),
            **more,
        )
        return "".join("%s=%s\n" % (name, _quoted(value)) for name, value in values.items())

    def _term(self) -> str:
        """Return the term of the lease as last seen; '' if there is none."""
        lease = self._leases.get(self._slot)
        return str((lease and term_of(lease)) or "")

    def _slot_shown(self) -> Dict[str, str]:
        return {"S3_LEADER_SLOT": str(self._slot)} if self._slot else {}

    def _leading(self) -> str:
        slot = "slot %d, " % self._slot if self._slot else ""
        return "leads with %sterm %s" % (slot, self._term())

    def _path(self, file: str) -> str:
        return runtime.path_of(self._config.name, file)


def standbys_watchdog(timing: Timing) -> float:
    """Return the seconds of a standby's watchdog. It gives no sign of life during a request, or during a release."""
    return WATCHDOG + timing.patience_to_release


def standing_of_slots(slots: Sequence[Found]) -> str:
    """Describe the state of a lease with slots."""
    left = [math.inf if due is None else due for due in map(free_in, slots)]
    first = left.index(min(left))
    return first_of(slots, first + 1, standing(slots[first]))


def _who(lease: Optional[Found]) -> object:
    """Return a value that changes whenever the lease changes in a way that matters to people."""
    record = lease.record if isinstance(lease, Seen) else lease
    return (record.holder, record.session, record.term) if isinstance(record, Record) else type(record)


def _quoted(value: str) -> str:
    """Quote a value as systemd.exec(5) reads it in an EnvironmentFile."""
    return '"%s"' % plain(value).replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")


def _state(
    place: str, me: Claimant, held: Optional[Held], until: Optional[float], served: bool, stop_grace: float, slot: int
) -> Dict[str, Any]:
    state: Dict[str, Any] = dict(place=place, session=me.session, sent=me.sent or [])
    if held is not None and isinstance(held.seen.record, Record):
        _record, etag, modified, store_time = held.seen
        body = encode(held.seen.record).decode("ascii")
        times = dict(modified=modified, store_time=store_time, lapses_at=held.lapses_at, heard_at=held.heard_at)
        state["held"] = dict(body=body, etag=etag, **times)
        state.update(until=until, served=served, stop_grace=stop_grace, slot=slot)
    return state


class Handover(NamedTuple):
    """What a process starts with, including what a replaced program hands over."""

    me: Claimant
    held: Optional[Held] = None
    """What the replaced program held."""
    until: float = 0.0
    served: bool = False
    """Services were seen to run in this term."""
    stop_grace: float = 0.0
    """The longest that a program had which led in this term."""
    resumed: bool = False
    """A program was replaced."""
    unusable: str = ""
    """Why this program cannot go on: what is left of the replaced one has to end with it."""
    slot: int = 0
    """The slot that is held; 0 for a lease without slots."""


def _inherited(holder: str, connection: ReloadingConnection) -> Handover:
    given = os.environ.pop(_STATE, None)
    stranger = Handover(Claimant(holder, fresh_nonce(), connection.bucket_url, []))
    if given is None:
        return stranger
    try:
        state = json.loads(given)
        sent = [_typed(nonce, str) for nonce in _typed(state["sent"], list)]
        me = stranger.me._replace(session=_typed(state["session"], str), sent=sent)
        check_session(me.session)
        if "held" not in state:
            return stranger._replace(me=me, resumed=True)
        held, until = _held(state["held"]), _number(state["until"])
        if not (own(held.seen, me._replace(sent=None)) and until <= held.lapses_at):
            raise ValueError("it held no lease")
        served, stop_grace = _typed(state["served"], bool), _number(state["stop_grace"])
        slot = _typed(state.get("slot", 0), int)  # the release before had no slots
        found = Handover(me, held, until, served, stop_grace, True, slot=slot)
        elsewhere = _typed(state["place"], str)
    except (ValueError, LookupError, TypeError, RecursionError):
        # Its services may be running, and end only with this process.
        return stranger._replace(unusable="the replaced program handed over a state that is unusable")
    if elsewhere != connection.place:
        return found._replace(unusable="the lease is now at %s instead of %s" % (connection.place, elsewhere))
    return found


def _held(state: Any) -> Held:
    """Raises ValueError, LookupError or TypeError for what no replaced program would hand over."""
    body, etag = _typed(state["body"], str), _typed(state["etag"], str)
    times = ("modified", "store_time", "lapses_at", "heard_at")
    modified, store_time, lapses_at, heard_at = (_number(state[name]) for name in times)
    if not etag:
        raise ValueError("it has no ETag")
    return Held(Seen(decode(body.encode("ascii")), etag, modified, store_time), lapses_at, heard_at)


def _typed(value: Any, wanted: Type[T]) -> T:
    """Return the value. Raises TypeError if it is of another type."""
    if not isinstance(value, wanted):
        raise TypeError("%r is no %s" % (value, wanted.__name__))
    return value


def _number(value: Any) -> float:
    """Return the value. Raises TypeError unless it is a number of seconds."""
    if type(value) not in (int, float) or not -MOST < value < MOST:  # no NaN
        raise TypeError("%r is no number of seconds" % (value,))
    return float(value)
