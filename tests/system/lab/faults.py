# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may befall a host. Each fault lasts as long as its with block.

A container has no clock of its own: a wrong clock is none of these.
"""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Iterator

from system.lab import network
from system.lab.host import Host


@contextlib.contextmanager
def link_down(host: Host) -> Iterator[None]:
    """The host's cable is out. When it is in again, ARP may take seconds to notice."""
    network.set_link(host.name, "down")
    try:
        yield
    finally:
        network.set_link(host.name, "up")


@contextlib.contextmanager
def store_silent(host: Host) -> Iterator[None]:
    """Packets to the store get lost; all else arrives."""
    with _rule(host, "output", f"ip daddr {network.STORE} drop"):
        yield


@contextlib.contextmanager
def answers_lost(host: Host) -> Iterator[None]:
    """Requests reach the store and are done, and the answers get lost: only packets without data come back."""
    with _rule(host, "input", f"ip saddr {network.STORE} tcp flags & (psh | fin) != 0 drop"):
        yield


@contextlib.contextmanager
def store_refusing(host: Host) -> Iterator[None]:
    """Connections to the store are reset."""
    with _rule(host, "output", f"ip daddr {network.STORE} meta l4proto tcp reject with tcp reset"):
        yield


@contextlib.contextmanager
def frozen(host: Host) -> Iterator[None]:
    """Nothing on the host runs."""
    host.freeze()
    try:
        yield
    finally:
        host.thaw()


@contextlib.contextmanager
def stopped(host: Host, unit: str) -> Iterator[None]:
    """The main process of the unit is stopped; if it has not been killed for that, it goes on afterwards."""
    host.run(*_kill(unit, "STOP"))
    try:
        yield
    finally:
        host.run(*_kill(unit, "CONT"), check=False)  # of no effect on another one, and there may be none


def killed(host: Host, unit: str) -> None:
    """The main process of the unit is killed; what heals that is systemd's business."""
    host.run(*_kill(unit, "KILL"))


def _kill(unit: str, signal: str) -> tuple[str, ...]:
    # by name: a process that is looked up first may be another one by then, or none
    return ("systemctl", "kill", "--kill-who=main", f"--signal={signal}", unit)


@contextlib.contextmanager
def _rule(host: Host, hook: t.Literal["input", "output"], rule: str) -> Iterator[None]:
    network.add_rule(host.name, hook, rule)
    try:
        yield
    finally:
        network.remove_rules(host.name)
