# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A datagram socket as systemd and the journal have one: what a service tells them."""

from __future__ import annotations

import socket
import typing as t
import uuid


class Listener:
    """A context manager. Linux keeps few messages that nobody has read: ten, by default."""

    def __init__(self) -> None:
        name = f"leaderelection.s3-{uuid.uuid4().hex}"
        self.variable = f"@{name}"
        """For NOTIFY_SOCKET."""
        self.address = f"\0{name}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no more; who waits for a message gets None."""
        self._socket.shutdown(socket.SHUT_RD)
        self._socket.close()

    def message(self, wait: bool = True) -> dict[str, str] | None:
        """The next message's assignments; None where there is none that is waited for."""
        try:
            text = self._socket.recv(1 << 20, 0 if wait else socket.MSG_DONTWAIT).decode()
        except BlockingIOError:
            return None
        return dict(line.split("=", 1) for line in text.splitlines()) or None

    def messages(self) -> list[dict[str, str]]:
        """All messages that have come and were not read yet."""
        found = []
        while (message := self.message(wait=False)) is not None:
            found.append(message)
        return found
