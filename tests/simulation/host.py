# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host of a daemon: /run, and what systemd and the role's units do there, as docs/heartbeat.md describes it."""

from __future__ import annotations

import errno
import json
import math
import typing as t

from .checker import Checker, Violation
from .machine import Signal, run_as
from .network import Network
from .store import Bucket
from .times import Pace, Times
from .world import Process, World

LEASE = "lease"
"""The name of the lease on each host."""
FOLDER, SERVING = f"/run/s3-leader/{LEASE}", f"/run/s3-leader-serving/{LEASE}"
LEADER, STARTED, WAITING = f"{FOLDER}/leader", f"{SERVING}/started", f"{SERVING}/waiting"
NOTIFY, JOURNAL = "/run/systemd/notify", "/run/systemd/journal/socket"
CONFIG, AWAY = f"/etc/s3-leader/{LEASE}.json", f"/run/s3-leader/{LEASE}.away"
STANDBY = 15.0
"""Seconds of the watchdog of a unit that has just started."""
STAY_AWAY = 5.0
"""Seconds after a step-down: another one leads by then."""
NO_SPACE = "no space left for the leader's file"
NEVER_STARTS = "systemd does not start the services"
SLOW_START = 30.0
"""Seconds after which it does."""
ROUNDING = 0.001
AT_ONCE = 0.00001
"""Seconds: a watchdog of 0 would be none."""


class Surroundings(t.NamedTuple):
    """What all processes of a schedule share."""

    world: World
    core: t.Any
    times: Times
    bucket: Bucket
    network: Network
    checker: Checker


def act(around: Surroundings, session: str) -> None:
    """Write to the fenced resource, if the deadline has not passed."""
    belief = around.checker.belief_of(session)
    if belief:
        around.world.after(around.world.rng.expovariate(2), lambda: around.checker.acts(belief))


def restart_after(pace: Pace) -> float:
    """Return RestartSec of the role's drop-in, in seconds."""
    return pace.stop_grace + 3


class Host:
    """A host with one daemon, which is a process of the world. Its services are the lease's."""

    def __init__(self, around: Surroundings, process: Process) -> None:
        self._around = around
        self._process = process
        self.name = process.name
        self.files: dict[str, str] = {}
        """Their content by path, folders among them."""
        self.ended_at = -1000.0
        """When the daemon did last."""
        self.opened = ""
        """The content of the file that was opened last."""
        self.environ: dict[str, str] = {}
        """Of the daemon."""
        self._boots = 0
        self._main = 0
        """Counts the daemons of this unit."""
        self._asked_to_end = 0
        """Which of them was, last."""
        self._runs = self._stops = False
        """It runs; systemd stops it, and its watchdog does not count any more."""
        self._starts_again_after = 0.0
        self._pace = self.loaded = around.times.daemon()
        """As configured, and as the daemon has read it."""
        self._led_with = self.loaded
        """When it began to lead."""
        self.led_at = 0.0
        self._watchdog, self._due = STANDBY, 0.0
        """Seconds of the watchdog, and when it ends the daemon, by CLOCK_MONOTONIC."""
        self._looks_at = math.inf
        """When systemd looks at it next."""
        self._lost_message_at = -100.0
        self._ends: list[t.Callable[[], None]] = []
        """What waits for the end of the services; empty while nobody ends them."""
        self.serves = False
        """Services run."""
        self.me: t.Any = None
        self.held: t.Any = None
        """What the daemon leads by."""
        self.verdict: t.Any = None
        """Of the daemon's last operation, until the host was told to lead by it."""
        self._configure(self._pace)

    def _configure(self, pace: Pace) -> None:
        self._pace = pace
        times = self._timing(pace)._asdict()
        self.files[CONFIG] = json.dumps({"key": LEASE, "bucket": "bucket", "holder": self.holder, **times})

    @property
    def holder(self) -> str:
        """Those of a kind share a name, by default (rule 17)."""
        return self.name if self._around.times.named else self.name[:-1]

    def _timing(self, pace: Pace) -> t.Any:
        timing = self._around.core.host.timing.Timing
        return timing(**{name: getattr(pace, name) for name in timing._fields})

    def _after(self, seconds: float, do: t.Callable[[], object]) -> None:
        """Let this machine do something, unless it has booted since. While it is suspended, it does nothing."""
        boot, world, process = self._boots, self._around.world, self._process

        def due() -> object:
            if boot != self._boots:
                return False
            if process.asleep_until > world.now:
                world.after(process.asleep_until - world.now, due)
                return False
            return do()

        world.after(seconds, due)

    def _happens(self, chance: float) -> bool:
        """In trouble only."""
        return self._around.world.rng.random() < chance * self._around.network.trouble

    # -- the life of the daemon

    def boot(self) -> None:
        """Let systemd start the daemon."""
        if not self._runs:
            self._process.begin()

    def starts(self) -> None:
        """The daemon's process begins."""
        self._main += 1
        self._runs = True
        self._starts_again_after = restart_after(self._pace)
        self.environ = {"NOTIFY_SOCKET": NOTIFY}
        self.held = self.verdict = None
        self.loaded = self._pace
        self._looks_at = math.inf
        self._rearm(STANDBY)

    def runs_another_program(self, environ: dict[str, str]) -> None:
        """It was reloaded."""
        self.environ = environ
        self.loaded = self._pace

    def ended(self, status: int) -> None:
        """The daemon returned: systemd removes its folder, ends its services and starts it again."""
        self._around.world.tell(self.name, f"ends with status {status}")
        if status:
            self._around.checker.lost_at = self._around.world.now
        self._after(0, self._gone)

    def kill(self, restart_after: float) -> None:
        """Kill the daemon."""
        self._around.world.fault("daemon killed", restart_after)
        self._gone()

    def crash(self, seconds: float) -> None:
        """Kill the daemon, or lose all that is on this host and boot later."""
        if self._around.world.rng.random() < 0.5:
            self.kill(restart_after(self._pace))
        else:
            self.lose_power(seconds)

    def lose_power(self, seconds: float) -> None:
        world, process = self._around.world, self._process
        world.tell(self.name, f"loses power for {seconds:.1f} s")
        world.fault("power lost", seconds)
        process.kill()
        self._boots += 1
        self._runs = self._stops = False
        self.ended_at = self._around.world.now
        self._ends = []
        self._services(False)
        self.files = {CONFIG: self.files[CONFIG]}
        self._after(seconds, self.boot)

    def _gone(self) -> None:
        if not self._runs:
            return
        self._runs = self._stops = False
        self.ended_at = self._around.world.now
        process = self._process
        process.kill()
        for path in [path for path in self.files if path.startswith(FOLDER + "/")]:
            del self.files[path]
        self._end_services(lambda: None)
        self._services_end_in(max(0.0, self._grace() - self._reaction()))  # what still runs is killed
        self._after(self._starts_again_after, self.boot)

    def _grace(self) -> float:
        """Return the seconds that the fence gives the services when the daemon is dead."""
        return min(self._led_with.stop_grace, self._pace.stop_grace)

    def slept(self, since: float) -> bool:
        """Tell whether the machine was suspended since, all that should have ended its services included."""
        return self._process.asleep_until > since

    def _reaction(self) -> float:
        reaction: float = self._around.core.settings.REACTION
        return reaction

    # -- the services

    def _services(self, run: bool) -> None:
        if run != self.serves:
            self.serves = run
            self._around.world.tell(self.name, "services run" if run else "services have stopped")
            self._around.checker.serves(self, run)

    def _start_services(self) -> None:
        # What starts them is a path unit, which systemd stops before it asks the daemon to end.
        if LEADER in self.files and SERVING not in self.files and not self._stops:
            self.files[SERVING] = self.files[STARTED] = ""
            self._services(True)
            act(self._around, self.me.session)

    def _end_services(self, then: t.Callable[[], None]) -> None:
        """Let the fence end them, for as long as they take, and then go on."""
        self._ends.append(then)
        if SERVING not in self.files:
            self._services_ended()
        elif len(self._ends) == 1:
            self.files[WAITING] = "begins to stop its services"
            self.files.pop(STARTED, None)
            takes = self._grace() * self._around.world.rng.random() * 0.8
            if self._happens(0.5):
                takes *= 4
                self._around.world.fault("services take longer to stop than planned", takes)
            self._services_end_in(takes)

    def _services_end_in(self, seconds: float) -> None:
        """Let those that are being stopped end then, if they have not ended before."""
        ends = self._ends
        self._after(seconds, lambda: self._services_ended() if ends and ends is self._ends else False)

    def _services_ended(self) -> None:
        for path in (SERVING, STARTED, WAITING):
            self.files.pop(path, None)
        self._services(False)
        self._no_longer_leads()
        ends, self._ends = self._ends, []
        for then in ends:
            then()

    def _no_longer_leads(self) -> None:
        """Tell so, where the daemon has said it. After its death the lease is its own until the deadline."""
        if self._runs and LEADER not in self.files and SERVING not in self.files and self.me:
            self._around.checker.stops(self._process, self.me.session)

    def stop_services(self) -> None:
        """Somebody stops the target."""
        self._around.world.fault("somebody stops the services")
        self._end_services(lambda: None)

    # -- what is asked of the daemon

    def step_down(self, successor: str = "") -> None:
        """Stop the services, then the daemon, and start it again; it stays away for a while."""
        now = self._process.boottime()
        self.files[AWAY] = f"{now + STAY_AWAY:.3f}\n{now:.3f}\n{successor}\n"
        self._starts_again_after = 0.0
        self._end_services(self._stop)

    def _stop(self) -> None:
        if self._runs:
            self._stops = True
            self.terminate()
        else:
            self.boot()

    def terminate(self) -> None:
        """Ask the daemon to end."""
        self._asked_to_end = self._main
        self._ask("end", Signal.SIGTERM)

    def reload(self) -> None:
        """Have the daemon go on with new times."""
        self._configure(self._around.times.daemon())
        self._ask("reload", Signal.SIGHUP)

    def _ask(self, what: str, number: int) -> None:
        """Send a signal. Whatever the daemon does, it has to be heard before systemd kills it."""
        world, process, asked = self._around.world, self._process, self._around.world.now
        world.tell(self.name, f"is asked to {what}")
        main, environ = self._main, self.environ
        seconds = float(self._timing(self.loaded).time_to_end)
        if number == Signal.SIGHUP:  # an acquisition that has begun goes on until its lease would expire
            seconds += self.loaded.lease_duration

        def check() -> object:
            if main != self._main or not self._runs or environ is not self.environ:
                return False
            if number == Signal.SIGHUP and self._asked_to_end == main:
                return False
            if process.stood_still(asked):
                self._after(seconds, check)
                return False
            raise Violation(f"{self.name} was asked to {what}, and did not within {seconds:.1f} s (heartbeat)")

        self._after(seconds, check)
        process.signal(number)

    # -- what the daemon says and does

    def message(self, address: str, text: str) -> None:
        """Take a message to systemd or to the journal. Raises OSError where there is no room."""
        fields = dict(line.partition("=")[::2] for line in text.splitlines())
        if address == JOURNAL:
            self._around.world.tell(self.name, fields["MESSAGE"])
            if fields.get("S3_LEADER_EVENT") == "lost":
                self.held = None
                self._no_longer_leads()
            return
        if self._happens(0.01):
            self._around.world.fault("systemd had no room for a message")
            self._lost_message_at = self._around.world.now
            raise OSError(errno.EAGAIN, "no room")
        if "WATCHDOG_USEC" in fields:
            self._rearm(int(fields["WATCHDOG_USEC"]) / 1e6)
            self._check_until()
        elif "WATCHDOG" in fields:
            self._rearm(self._watchdog)

    def _check_until(self) -> None:
        """A leader's watchdog ends it before its services have no time left."""
        leads = self.held and LEADER in self.files and self._watchdog > AT_ONCE
        until = self._process.boottime() + self._watchdog
        if leads and until > self.held.lapses_at - self._grace() + ROUNDING:
            raise Violation(f"{self.name} leaves its services no time to stop (heartbeat)")

    def leads(self) -> None:
        """The daemon was told that it leads, by its last operation or by the program before."""
        verdict, self.verdict = self.verdict, None
        core = self._around.core
        if verdict is not None:
            self._around.checker.leads(self._process, core.clock.Clock(), self.me, verdict, self.held)
            self.held = core.types.Held(verdict.lease, verdict.deadline, core.clock.Clock().now())
        act(self._around, self.me.session)
        self._after(self._around.world.rng.expovariate(0.5), self._look)

    def _look(self) -> None:
        """Somebody asks this host whether it leads (source: local)."""
        with run_as(self._process):
            status = self._around.core.host.runtime.describe(LEASE)
        if status["is_leader"] and self._runs:
            self._around.checker.says_that_it_leads(self)

    def wrote(self, path: str) -> None:
        """A file is about to be there. Raises OSError where there is no room."""
        if path != LEADER:
            return
        if self._happens(0.05):
            self._around.world.fault(NO_SPACE)
            raise OSError(errno.ENOSPC, "no space left")
        self._led_with, self.led_at = self.loaded, self._around.world.now
        delay = self._around.world.rng.random() * 0.5
        if self._happens(0.05):
            self._around.world.fault(NEVER_STARTS, SLOW_START)
            delay = SLOW_START
        self._after(delay, self._start_services)

    # -- the watchdog

    def _rearm(self, seconds: float) -> None:
        self._watchdog = seconds
        self._due = self._process.monotonic() + seconds
        if self._due < self._looks_at:  # later ones are found when it looks
            self._look_again(seconds)

    def _look_again(self, seconds: float) -> None:
        self._looks_at = at = self._process.monotonic() + seconds
        self._after(seconds, lambda: self._watch(at))

    def _watch(self, at: float) -> object:
        if at != self._looks_at or not self._runs or self._stops:
            return False
        self._looks_at = math.inf
        left = self._due - self._process.monotonic()
        if left > 1e-6:
            self._look_again(left)
            return False
        world, since = self._around.world, self._around.world.now - 2 * self._watchdog - 1
        if not self._process.stood_still(since) and self._lost_message_at < since:
            raise Violation(f"{self.name} goes on, and its watchdog has to end it (heartbeat)")
        world.tell(self.name, "is killed by its watchdog")
        world.fault("killed by its watchdog", restart_after(self._pace))
        self._gone()
        return True
