# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The process that somebody starts as s3-leader exec. It passes signals on, shows what happens, and sees to it that the
command has ended when its lease is over. The keeper does the rest.
"""

from __future__ import annotations

import os
import syslog
from typing import Any, Dict, Optional, Set, Union

from ... import processes
from ...clock import Clock
from ...processes import Group, Process
from ...settings import REACTION
from ..store_options import in_flags
from .command import NOT_EXECUTABLE, Command
from .keeper import Keeper
from .kept_command import LOOK, timing
from .options import LOST, UNAVAILABLE, Order
from .screen import Screen, open_missing
from .signals import Signals

SILENT = "the process that keeps it is silent"
DEAD = "the process that keeps it has died"
_BACKGROUND = (
    "the command has ended. The lease is kept for what it has left in the background; "
    "Ctrl-C, or SIGTERM to process %d, ends that"
)


def run(order: Order) -> int:
    """Run the command as soon as the lease is held. Return the exit status."""
    open_missing()
    screen, signals = Screen(), Signals()
    try:
        keeper = Keeper.forked(order, signals)
    except OSError as error:
        screen.say("no process can be started to keep the lease: %s" % error.strerror)
        return NOT_EXECUTABLE
    try:
        status = _Runner(order, keeper, signals, screen).run()
    except _Over as over:
        status = over.status
    screen.clear()
    keeper.kill()  # after any other error it goes on, and ends what this process leaves behind
    return status


class _Over(Exception):
    """No command was run. The exit status says why."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class _Runner:
    def __init__(self, order: Order, keeper: Keeper, signals: Signals, screen: Screen) -> None:
        self._order = order
        self._keeper = keeper
        self._signals = signals
        self._screen = screen
        self._clock = Clock()
        self._command: Optional[Command] = None
        self._is_held = False
        self._lost = ""
        """Why the lease is lost."""
        self._status = UNAVAILABLE
        """The command's, when it has ended."""
        self._is_over = False
        """The command has ended, with all that it left in the background."""
        self._left: Optional[str] = None
        """Why the lease was not given back; '' if it was."""
        self._troubled_at: Optional[float] = None
        """Since when the store cannot be asked."""
        self._told = False
        """A trouble that lasts was told."""

    def run(self) -> int:
        """Return the exit status. Raises _Over if no command was run."""
        command = self._await_lease()
        self._screen.clear()
        self._keeper.line.tell(run=True)
        while not self._is_over:
            left = self._keeper.deadline.value - self._order.stop_grace - self._clock.now()
            if self._lost or left <= 0:
                self._end(command)
                return LOST
            self._signals.wait(min(LOOK, left), [self._keeper.line])
            command.pass_on(self._signals.take())
            self._hear()
        self._await_keeper()
        return self._status

    def _await_lease(self) -> Command:
        """Return the command, which waits to run, when the lease is held. Raises _Over."""
        while self._command is None or not self._is_held:
            self._signals.wait(LOOK, [self._keeper.line])
            self._hear()
            ended = self._signals.take_end()
            if ended:
                self._keeper.line.tell(cancel=True)
                self._await_keeper()
                raise _Over(ended)
            if self._lost or self._is_over:
                self._screen.say(self._about(self._lost or "the process that was to become the command has ended"))
                raise _Over(UNAVAILABLE)
        return self._command

    # -- what the keeper says

    def _hear(self) -> None:
        """Take note of all that the keeper has said. Raises _Over if no command is to be run."""
        for message in self._keeper.line.read():
            self._take_note(message)
        if self._keeper.line.closed and not self._is_over:
            self._lost = self._lost or DEAD

    def _take_note(self, message: Dict[str, Any]) -> None:
        if "command" in message:
            group = Group(message["command"]) if message["alone"] else None
            self._command = Command(message["command"], message["mark"], group, self._keeper.around)
        elif "waits" in message:
            self._show(message["waits"], "trouble" in message)
        elif "held" in message:
            self._is_held = True
        elif "status" in message:
            self._status = message["status"]
            if self._command:
                self._command.status = self._status
        elif "remark" in message:
            self._screen.say(self._about(message["remark"]))
        elif "background" in message:
            self._screen.say(_BACKGROUND % os.getpid())
        elif "over" in message:
            self._is_over = True
        elif "left" in message:
            self._left = message["left"]
        elif "lost" in message:
            self._lost = message["lost"]
        elif "conflict" in message:
            self._screen.show(self._about(message["conflict"]), stays=True)
            raise _Over(self._order.conflict)
        else:
            self._screen.say(self._about(in_flags(message["failed"])))
            raise _Over(message["code"])

    def _show(self, text: str, trouble: bool) -> None:
        self._screen.show(text)
        if not trouble:
            self._troubled_at = None
            return
        now = self._clock.now()
        self._troubled_at = now if self._troubled_at is None else self._troubled_at
        if now >= self._troubled_at + self._order.endpoint.patience and not self._told:
            self._told = True
            self._screen.say(self._about(text))

    def _about(self, text: str) -> str:
        return "the lease %s: %s" % (self._order.location, text)

    # -- the end

    def _await_keeper(self) -> None:
        """Wait until the lease was given back, or say why it was not. Raises _Over."""
        end = self._clock.now() + timing(self._order).time_to_end
        while not self._keeper.line.closed and self._clock.now() < end:
            self._signals.wait(min(LOOK, max(0.0, end - self._clock.now())), [self._keeper.line])
            self._signals.take()
            self._hear()
        left = self._left
        if left is None:
            left = DEAD if self._keeper.line.closed else SILENT
        if left:
            self._screen.say(self._about("it was not given back, and expires by itself: %s" % left))

    def _end(self, command: Command) -> None:
        """End the command, because the lease is lost or about to be. Only then say so, which may take its time."""
        now, deadline = self._clock.now(), self._keeper.deadline.value
        while self._lost == DEAD and self._keeper.process.is_alive() and self._clock.now() < now + REACTION:
            self._clock.sleep(processes.POLL)  # it closes its files first; then this process adopts what it had
        killed_at = min(now + self._order.stop_grace, deadline - REACTION)

        def look() -> Set[Union[Process, Group]]:
            command.reap()
            return command.left()

        processes.end(look, killed_at, max(deadline, now + REACTION), self._clock)
        remains = processes.alive(look())
        text = "the lease %s is lost: %s. " % (self._order.location, self._lost or SILENT)
        text += "Processes of the command cannot be ended, and go on" if remains else "The command was ended"
        self._screen.say(text)
        syslog.syslog(syslog.LOG_WARNING, "s3-leader: %s" % text)
