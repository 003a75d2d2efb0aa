# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports for servers."""

from __future__ import annotations

import contextlib
import random
import socket


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Different TCP ports of the address that are free right now.

    They come from below Linux's range for outgoing connections (32768 and up), so that none of those takes one.
    """
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in random.SystemRandom().sample(range(20000, 32000), 1000):
            probe = stack.enter_context(socket.socket())
            try:
                probe.bind((address, port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise OSError("no free ports between 20000 and 32000")
