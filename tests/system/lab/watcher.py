# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sees the services of all hosts start and end, on one clock: CLOCK_BOOTTIME, which containers share with the machine.

A service's process connects before it begins to work, and tells when the kernel made it. The kernel closes the
connection when the process ends, however it ends. So both ends err to one side, by 10 ms (the kernel's unit) at the
start and by the time it takes to wake up at the end: an interval is never shorter than the process was there, and a
process that is killed before it connects has done nothing.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import selectors
import shutil
import socket
import threading
import time
import typing as t
from collections.abc import Callable

from support.waiting import LIMIT

from system.lab.host import SHARED
from system.lab.intervals import Interval

PROGRAM = pathlib.Path(__file__).with_name("service.py")
Value = t.TypeVar("Value")


def now() -> float:
    """The watcher's clock, in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def command(lease: str, service: str, *options: str) -> str:
    """The command of a process that is watched; the program tells the options."""
    return " ".join(["/usr/bin/python3", "-IB", f"{SHARED}/{PROGRAM.name}", lease, service, *options])


def unit(lease: str, service: str, *options: str) -> str:
    """The text of a systemd unit for a service that is watched."""
    return f"[Unit]\nDescription=Watched service {service}\n[Service]\nExecStart={command(lease, service, *options)}\n"


class Watcher:
    """A context manager: watches from its beginning to its end; services cannot run without it."""

    def __init__(self, shared: pathlib.Path) -> None:
        self._shared = shared
        self._changed = threading.Condition()
        self._running: dict[socket.socket, Interval] = {}
        self._ended: list[Interval] = []
        self._selector = selectors.DefaultSelector()
        self._awake, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def __enter__(self) -> Watcher:
        shutil.copy(PROGRAM, self._shared)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._shared / "watcher"))
        (self._shared / "watcher").chmod(0o777)  # services may run as any user
        listener.listen(100)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._awake, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._wake.close()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            t.cast(socket.socket, key.fileobj).close()
        self._selector.close()
        (self._shared / "watcher").unlink()

    @property
    def intervals(self) -> list[Interval]:
        """What has been seen so far, by start."""
        with self._changed:
            return self._seen()

    def running(self, lease: str | None = None, service: str | None = None, host: str | None = None) -> list[Interval]:
        """The processes that run now, of the lease, service and host where given."""
        return [one for one in self.intervals if one.runs and _matches(one, lease, service, host)]

    def wait_until_running(
        self, lease: str | None = None, service: str | None = None, host: str | None = None, limit: float = LIMIT
    ) -> Interval:
        """Wait for a process like this. Raises TimeoutError."""
        return self.wait(
            lambda seen: next((one for one in seen if one.runs and _matches(one, lease, service, host)), None), limit
        )

    def wait_until_ended(self, process: Interval, limit: float = LIMIT) -> Interval:
        """Wait for the end of a process that was seen to start; it returns with its end. Raises TimeoutError."""
        return self.wait(
            lambda seen: next((one for one in seen if one[:6] == process[:6] and not one.runs), None), limit
        )

    def wait(self, condition: Callable[[list[Interval]], Value | None], limit: float = LIMIT) -> Value:
        """The condition's first true value, of the intervals by start. Raises TimeoutError with all of them."""
        deadline = time.monotonic() + limit
        with self._changed:
            while not (value := condition(self._seen())):
                if not self._changed.wait(deadline - time.monotonic()):
                    seen = "\n".join(map(str, self._seen()))
                    raise TimeoutError(f"not within {limit:.0f} s; what was seen:\n{seen}")
            return value

    def _seen(self) -> list[Interval]:
        return sorted([*self._running.values(), *self._ended], key=lambda one: one.start)

    def _watch(self) -> None:
        while True:
            for key, _events in self._selector.select():
                if key.data is None:
                    return
                key.data(key.fileobj)

    def _accept(self, listener: socket.socket) -> None:
        connection, _address = listener.accept()
        # A short line that was sent in one piece: it is there as a whole, or the process was killed before.
        self._selector.register(connection, selectors.EVENT_READ, self._begin)

    def _begin(self, connection: socket.socket) -> None:
        story = connection.recv(4096)
        if not story:
            self._forget(connection)
            return
        with self._changed:
            self._running[connection] = Interval(**json.loads(story))
            self._changed.notify_all()
        self._selector.modify(connection, selectors.EVENT_READ, self._end)
        with contextlib.suppress(BrokenPipeError):  # its end comes next
            connection.sendall(b"\n")

    def _end(self, connection: socket.socket) -> None:
        end = now()
        with self._changed:
            self._ended.append(self._running.pop(connection)._replace(end=end))
            self._changed.notify_all()
        self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        connection.close()


def _matches(one: Interval, lease: str | None, service: str | None, host: str | None) -> bool:
    return lease in (None, one.lease) and service in (None, one.service) and host in (None, one.host)
