# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""How a service communicates with systemd: readiness and watchdog (sd_notify(3)), the journal, and signals."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from typing import Callable, Collection, Dict, Type

from ..clock import Clock
from .heartbeat import Reload, Stop

JOURNAL = "/run/systemd/journal/socket"
CRITICAL, ERROR, WARNING, NOTICE, INFO = 2, 3, 4, 5, 6
_SIGNALS: Dict[int, Type[Exception]] = {signal.SIGTERM: Stop, signal.SIGINT: Stop, signal.SIGHUP: Reload}
_STOPS = [number for number, asked in _SIGNALS.items() if asked is Stop]
_SLICE = 1.0
"""Longest wait in seconds: the system's waits pause during suspend, so the clock is read in between."""
_SENT = (0, -1, -6, 128)
"""SI_USER, SI_QUEUE, SI_TKILL and SI_KERNEL of sigaction(2): the possible origins of these signals."""


def notify(**state: object) -> bool:
    """Notify systemd, if it listens. Return False if the message is lost: the watchdog then uses the last one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    text = "\n".join("%s=%s" % item for item in state.items())
    return not address or _send(("\0" + address[1:]) if address[0] == "@" else address, text)


def journal(priority: int, message: str, **fields: object) -> None:
    """Write a journal entry with its own fields, or, without a journal, a line on stderr.

    Source: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/. No value may have a line end.
    """
    entry = dict(fields, PRIORITY=priority, SYSLOG_IDENTIFIER="s3-leader", MESSAGE=message)
    text = "".join("%s=%s\n" % (name, str(value).replace("\n", " ")) for name, value in entry.items())
    if not _send(JOURNAL, text):
        with contextlib.suppress(OSError):  # a leader must not end because it cannot log
            sys.stderr.write(message + "\n")
            sys.stderr.flush()


def _send(address: str, text: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)  # the receiver may hang, and this process has a lease to renew
            sender.sendto(text.encode("utf-8", "replace"), address)
        return True
    except OSError:
        return False


def hold_signals() -> None:
    """Block signals until wait() takes them, so that they interrupt nothing midway. Threads inherit this."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def wait(seconds: float, clock: Clock, meanwhile: Callable[[], None]) -> None:
    """Wait this long, on a clock that keeps running during suspend. Raises Stop or Reload on a signal."""
    end = clock.now() + seconds
    while True:
        meanwhile()
        left = end - clock.now()
        caught = _signal_within(min(max(left, 0), _SLICE))
        if caught:
            raise _SIGNALS[caught]()
        if left <= 0:
            return


def listen() -> None:
    """Raise Stop if a signal asks for it. A signal that asks for Reload stays pending until wait() takes it."""
    if _signal_within(0, _STOPS):
        raise Stop()


def _signal_within(seconds: float, signals: Collection[int] = tuple(_SIGNALS)) -> int:
    """Return which of the signals came, or 0.

    If SIGCONT or a thaw ends a wait after its timeout, CPython (at least up to 3.13) returns uninitialized memory:
    signal_sigtimedwait_impl in Modules/signalmodule.c leaves its loop without asking for a signal.
    """
    received = signal.sigtimedwait(signals, seconds)
    if received is None or received.si_signo not in signals or received.si_errno != 0 or received.si_code not in _SENT:
        return 0
    return received.si_signo
