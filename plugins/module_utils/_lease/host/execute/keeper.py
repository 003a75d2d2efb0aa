# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The process that acquires the lease of s3-leader exec, keeps it, and is the parent of the command.

It is a child of the runner, the process that somebody has started. They look after one another. If the keeper ends or
is silent, the runner ends the command in time. If the runner ends, the keeper does so; if the runner is stopped, the
keeper kills the command before the lease is over. Both adopt orphans, so whoever is left of the two can find all that
the command has started.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import NamedTuple, NoReturn

from ... import processes
from ...bad_option import BadOption
from ...clock import Clock
from ...driver import fresh_nonce
from ...processes import Process
from ...types import Claimant, StoreError
from ..heartbeat import Heartbeat, Lost
from .command import NOT_EXECUTABLE, Around, Command
from .kept_command import KeptCommand, timing
from .line import Line, SharedTime
from .options import UNAVAILABLE, USAGE, Order
from .signals import PASSED_ON, Signals

IGNORED = (*PASSED_ON, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
"""They are for the command, or for the job. This process ends with the runner."""


class Keeper(NamedTuple):
    """The keeper, for the runner."""

    process: Process
    line: Line
    deadline: SharedTime
    """When the lease ends; 0 until it is held."""
    around: Around
    """What is around the command, as the runner sees it."""

    @classmethod
    def forked(cls, order: Order, signals: Signals) -> Keeper:
        """Start the keeper. Raises OSError."""
        around = Around.here()
        deadline = SharedTime()
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                _be_keeper(order, Line(theirs), deadline, signals)
            finally:
                os._exit(1)
        theirs.close()
        keeper = processes.of(pid)
        return cls(keeper, Line(ours), deadline, around._replace(starters=(keeper, *around.starters)))

    def kill(self) -> None:
        self.process.send(signal.SIGKILL)


def _be_keeper(order: Order, line: Line, deadline: SharedTime, signals: Signals) -> NoReturn:
    try:
        # Before there are threads, connections and secrets in this process; and while it belongs to the session.
        command = Command.forked(order.command, signals, Around.here(), line.close)
        line.tell(command=command.pid, mark=command.mark, alone=command.group is not None)
        os.setsid()  # Ctrl-C is not for this process, and no shell controls the job on account of it
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        processes.let_go_of_files({line.fileno(), command.fileno()})
        _keep(order, KeptCommand(order, command, line, deadline, Signals([signal.SIGCHLD])))
    except BadOption as error:
        line.tell(failed=str(error), code=USAGE)
    except StoreError as error:
        line.tell(failed=str(error), code=UNAVAILABLE)
    except BlockingIOError:
        line.tell(failed="no process can be started for the command", code=NOT_EXECUTABLE)
    except Exception as error:  # pylint: disable=broad-exception-caught # nobody would see it
        line.tell(lost="%s: %s" % (type(error).__name__, error))
    os._exit(0)


def _keep(order: Order, kept: KeptCommand) -> None:
    """Acquire the lease, and keep it until the command is over. Raises BadOption or StoreError."""
    from ...connection import MISSING_LIBRARY, CannotSend, Connection  # the runner needs no botocore
    from ...store import Store

    if MISSING_LIBRARY is not None:
        raise StoreError("%s has no botocore: install boto3 for it (%s)" % (sys.executable, MISSING_LIBRARY))
    clock = Clock()
    try:
        connection = Connection(order.endpoint, order.location)
        store = Store(connection, order.location, clock)
        me = Claimant(order.holder, fresh_nonce(), connection.bucket_url)
        held = kept.acquired(me, store)
    except CannotSend as error:
        raise StoreError(error.why, error.advice) from None
    finally:
        kept.measure()
    if held is None:
        return
    its_store = store.of(kept.slot)
    heartbeat = Heartbeat(me._replace(sent=[]), timing(order), order.metadata, its_store, clock, kept)
    until = heartbeat.until(held)
    kept.confirmed(held, until)
    try:
        heartbeat.run(held, until, at_once=False)
    except Lost:
        kept.await_end()
    else:
        kept.measure()  # it was given back since
        kept.bury()
