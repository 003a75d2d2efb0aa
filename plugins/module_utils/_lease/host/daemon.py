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
import os
import sys
import time
from typing import Any, Dict, NamedTuple, Optional

from .. import BEGAN
from ..clock import Clock
from ..connection import CannotSend
from ..driver import fresh_nonce
from ..protocol import own, term_of
from ..record import Record, decode, encode
from ..store import Store
from ..types import Absent, Claimant, Found, Held, Outcome, Refused, Seen, Unchanged, Unknown
from ..wording import plain, standing
from . import config as configuration, runtime, systemd
from .config import Config
from .credentials import ReloadingConnection
from .heartbeat import Ended, Heartbeat, Lost, Reload, Stop

LOST = 75
"""Exit status after losing the lease, for systemd to restart the daemon (EX_TEMPFAIL of sysexits.h)."""
WATCHDOG = 15.0
"""Seconds of a standby's watchdog, plus those of a request. A leader's watchdog has the time of its lease."""
CALM = 30.0
"""Seconds without an error after which a standby's series of errors is over: reads may work while writes do not."""
STARTING = 20.0
"""Seconds that systemd has to start the services; after that, the leader gives up."""
BUSY = 0.1
"""Seconds until a notification that systemd had no room for is sent again."""
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
    me, held, until, served, elsewhere = _inherited(config, connection.bucket_url)
    host = SystemdHost(config, me, clock, served)
    if elsewhere:
        host.demote("the configuration now names %s instead of %s" % (_place(config), elsewhere))
        return LOST
    store = Store(connection, config.location, clock)
    if held is not None:
        store.learn_time(held)
    heartbeat = Heartbeat(me, config.timing, config.metadata, store, clock, host)
    while not systemd.notify(READY=1):  # many daemons start at once, and systemd queues only ten messages
        clock.sleep(BUSY)
    try:
        if held is None:
            host.stand_by()
        else:
            host.confirmed(held, until)
        heartbeat.run(held, until)
    except Stop:
        pass
    except Lost:
        return LOST
    return 0


class SystemdHost:
    """The loop's host: files in /run, systemd, the journal."""

    def __init__(self, config: Config, me: Claimant, clock: Clock, served: bool = False) -> None:
        self._config = config
        self._me = me
        self._clock = clock
        self._lease: Optional[Found] = None
        """As last seen in the store."""
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

    def wait(self, seconds: float) -> None:
        systemd.wait(seconds, self._clock, self._alive)

    def stand_by(self) -> None:
        """Begin without the lease. Do not compete until a step-down is over, nor while services of an earlier term
        may still be running. Raises Stop.
        """
        runtime.remove(self._path("leader"))
        systemd.notify(WATCHDOG_USEC=int((WATCHDOG + self._config.request_timeout) * 1e6))
        self._say("standby", "starting to watch the lease")
        while True:
            left = runtime.away_until(self._config.name) - self._clock.now()
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

    def answered(self, outcome: Outcome) -> None:
        if isinstance(outcome, (Absent, Seen)):
            before, self._lease = self._lease, outcome
            if _who(outcome) != _who(before):
                self._say("watching", "the lease is " + standing(outcome))
        elif isinstance(outcome, Unchanged) and isinstance(self._lease, Seen):
            self._lease = self._lease._replace(store_time=outcome.store_time)
        elif isinstance(outcome, Refused) or (isinstance(outcome, Unknown) and not outcome.refuted):
            self.trouble(outcome.text if isinstance(outcome, Refused) else outcome.why)
            return
        if self._clock.now() >= self._troubled_at + CALM:
            self._well()
        if self._until is None and self._lease is not None:
            self._show("standby", standing(self._lease))

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

    def promote(self, held: Held, until: float) -> None:
        before, self._lease = self._lease, held.seen
        if not self._arm(until, tries=10):
            raise OSError("systemd does not take messages, so its watchdog would not end this process if it hung")
        runtime.write(self._path("leader"), self._environment(S3_LEADER_STOP_GRACE="%g" % self._config.stop_grace))
        self._well()
        known = "" if before is None or own(before, self._me) else ". Before, the lease was " + standing(before)
        self._say("acquired", "leads with term %d%s" % (term_of(held.seen), known), systemd.NOTICE)
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
        self._lease, self._until = held.seen, until
        self._arm(until)
        self._well()
        leads = "leads with term %d, renewed at %s" % (term_of(held.seen), time.strftime("%H:%M:%S"))
        if waits:
            self._show("stopping", "%s, and %s" % (leads, waits))
        else:
            self._show("leader", leads)

    def demote(self, why: str) -> None:
        try:
            runtime.remove(self._path("leader"))
        except OSError as error:
            self._say("error", "%s. systemd removes it when this process ends" % error, systemd.WARNING)
        self._until = self._served_at = None
        self._served = False
        self._say("lost", "no longer leads: " + why, systemd.NOTICE)
        self._show("standby", why)

    def serving(self) -> bool:
        return os.path.exists(runtime.serving_path_of(self._config.name))

    def released(self) -> None:
        self._say("released", "gave the lease back: another host may lead at once", systemd.NOTICE)

    def reload(self, held: Optional[Held]) -> None:
        self._say("reload", "reloading its code and its configuration")
        state = {_STATE: json.dumps(_state(self._config, self._me, held, self._until, self._served))}
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
        if self._until is None:
            systemd.notify(WATCHDOG=1)

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
        )

    def _show(self, role: str, reason: str) -> None:
        """Publish the status, to systemctl status and in /run."""
        self._role = role
        systemd.notify(STATUS="%s: %s" % (role, plain(reason)))
        record = self._lease.record if isinstance(self._lease, Seen) else None
        shown: Dict[str, Any] = dict(
            name=self._config.name,
            role=role,
            bucket=self._config.bucket,
            key=self._config.key,
            holder=plain(record.holder) if isinstance(record, Record) else None,
            term=record.term if isinstance(record, Record) else None,
            reason=plain(reason),
            until=self._until,
        )
        try:
            self._publish(json.dumps(shown))
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

    def _environment(self, **more: str) -> str:
        values = dict(
            S3_LEADER_NAME=self._config.name,
            S3_LEADER_TERM=self._term(),
            S3_LEADER_HOLDER=self._me.holder,
            **more,
        )
        return "".join("%s=%s\n" % (name, _quoted(value)) for name, value in values.items())

    def _term(self) -> str:
        """Return the term of the lease as last seen; '' if there is none."""
        return str((self._lease and term_of(self._lease)) or "")

    def _path(self, file: str) -> str:
        return runtime.path_of(self._config.name, file)


def _who(lease: Optional[Found]) -> object:
    """Return a value that changes whenever the lease changes in a way that matters to people."""
    record = lease.record if isinstance(lease, Seen) else lease
    return (record.holder, record.session, record.term) if isinstance(record, Record) else type(record)


def _quoted(value: str) -> str:
    """Quote a value as systemd.exec(5) reads it in an EnvironmentFile."""
    return '"%s"' % plain(value).replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")


def _state(config: Config, me: Claimant, held: Optional[Held], until: Optional[float], served: bool) -> Dict[str, Any]:
    state: Dict[str, Any] = dict(place=_place(config), session=me.session, sent=me.sent)
    if held is not None and isinstance(held.seen.record, Record):
        _record, etag, modified, store_time = held.seen
        body = encode(held.seen.record).decode("ascii")
        state["held"] = dict(body=body, etag=etag, modified=modified, store_time=store_time, lapses_at=held.lapses_at)
        state.update(until=until, served=served)
    return state


def _place(config: Config) -> str:
    """Return a text that identifies the lease among those of all stores."""
    return "%s at %s" % (config.location, config.endpoint_url or "AWS")


class Handover(NamedTuple):
    """What a process starts with, including what a replaced program hands over."""

    me: Claimant
    held: Optional[Held] = None
    """What the replaced program held."""
    until: float = 0.0
    served: bool = False
    """Services were seen to run in this term."""
    elsewhere: str = ""
    """The place of the held lease, if it is not the configured one."""


def _inherited(config: Config, bucket_url: str) -> Handover:
    state = json.loads(os.environ.pop(_STATE, "{}"))
    me = Claimant(config.holder, state.get("session") or fresh_nonce(), bucket_url, state.get("sent") or [])
    if "held" not in state:
        return Handover(me)
    held = state["held"]
    seen = Seen(decode(held["body"].encode("ascii")), held["etag"], held["modified"], held["store_time"])
    elsewhere = "" if state["place"] == _place(config) else state["place"]
    return Handover(me, Held(seen, held["lapses_at"]), state["until"], bool(state.get("served")), elsewhere)
