# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Runs a command while this host leads by a lease of its daemon.

The command runs in a scope of systemd's, which the fence ends along with the services of the lease. So the daemon gives
the lease back only when the command is gone, and the fence kills it in time if the daemon is dead.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Dict, Optional

from ...clock import Clock
from .. import config, fence, leases, runtime
from .command import Around, Command
from .kept_command import LOOK
from .options import LOST, UNAVAILABLE, USAGE, Order
from .screen import Screen, open_missing
from .signals import Signals

_INSIDE = "S3_LEADER_SCOPE"
"""The environment variable that tells this program that it runs in a scope for this lease."""


def run(order: Order) -> int:
    """Run the command as soon as this host leads. Return the exit status. Raises BadOption if that is impossible."""
    screen = Screen()
    if os.environ.pop(_INSIDE, "") == order.name:
        return _run_inside(order, screen)
    if order.name not in leases.names():
        screen.say("this host takes part in no lease %s. To take a lease here, use --key" % order.name)
        return USAGE
    stop_grace = config.load(order.name).stop_grace
    if os.geteuid() != 0:
        screen.say(
            "only root can have a command ended along with the services of the lease %s. Use sudo, or --key for "
            "a lease of its own" % order.name
        )
        return USAGE
    status = _await_leadership(order, screen)
    screen.clear()
    return _enter_scope(order.name, stop_grace, screen) if status is None else status


def _await_leadership(order: Order, screen: Screen) -> Optional[int]:
    """Return None as soon as this host leads; the exit status if it does not in the time that there is."""
    clock, signals = Clock(), Signals()
    end = clock.now() + order.wait
    try:
        while not fence.leads(order.name):
            why = "the lease %s: %s" % (order.name, _why(order.name))
            left = end - clock.now()
            if left <= 0:
                screen.show(why, stays=True)
                return order.conflict
            screen.show(why)
            signals.wait(min(LOOK, left))
            ended = signals.take_end()
            if ended:
                return ended
        return None
    finally:
        signals.reset()


def _enter_scope(name: str, stop_grace: float, screen: Screen) -> int:
    """Replace this program by another run of it, in a scope that is in the slice of the lease, which the fence ends."""
    os.environ[_INSIDE] = name
    options = [
        "--slice=" + fence.slice_of(name),
        "--description=A command under the S3 lease %s" % name,
        "--property=TimeoutStopSec=%g" % stop_grace,
    ]
    program = [os.path.abspath(sys.argv[0]), *sys.argv[1:]]
    try:
        os.execvp("systemd-run", ["systemd-run", "--scope", "--quiet", "--collect", *options, "--", *program])
    except OSError as error:
        screen.say("systemd-run cannot be started: %s" % error.strerror)
        return UNAVAILABLE


def _run_inside(order: Order, screen: Screen) -> int:
    open_missing()
    signals = Signals()
    command = Command.forked(order.command, signals, Around.here())
    # The fence removes the mark first, and then looks for processes. Who still sees the mark here will be seen.
    if not fence.leads(order.name):
        screen.show("the lease %s: this host has just ceased to lead" % order.name, stays=True)
        return order.conflict
    command.let_go(_variables(order.name))
    leads, told = True, False
    while command.is_at_work:
        if command.status is not None and not told:
            told = True
            screen.say("the command has ended. What it has left in the background is waited for")
        signals.wait(LOOK)
        command.pass_on(signals.take())
        command.reap()
        leads = leads and fence.leads(order.name)
    if not leads:
        screen.say("the lease %s is lost, and the command was ended: %s" % (order.name, _why(order.name)))
        return LOST
    return command.status or 0


def _why(name: str) -> str:
    return str(runtime.describe(name)["reason"])


def _variables(name: str) -> Dict[str, str]:
    """Return the variables that the services of the lease get, too."""
    try:
        with open(runtime.serving_path_of(name, "leader"), encoding="utf-8", errors="replace") as file:
            found = re.findall(r'^(S3_LEADER_[A-Z_]+)="((?:[^"\\]|\\.)*)"$', file.read(), re.MULTILINE)
    except OSError:
        return {}
    return {variable: re.sub(r"\\(.)", r"\1", value) for variable, value in found}
