# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One bridge for all: the tests (where Ansible runs), the store, and a network namespace for each host."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

CONTROLLER = "10.77.0.1"
STORE = "10.77.0.2"  # of its own, so that a fault can hit the store alone
BRIDGE = "lab"
TABLE = "fault"
LISTEN = "0A"  # TCP_LISTEN in include/net/tcp_states.h of Linux


def set_up() -> None:
    """Make the bridge, with the tests' and the store's addresses on it. Namespaces of hosts will be on it."""
    pathlib.Path("/run/netns").mkdir()
    ip("link", "set", "lo", "up")
    ip("link", "add", BRIDGE, "type", "bridge")
    for address in (CONTROLLER, STORE):
        ip("address", "add", f"{address}/24", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")


def add_host(name: str, address: str) -> None:
    """Make a network namespace with the address; it outlives the host's reboots."""
    ip("netns", "add", name)
    ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    ip("link", "set", name, "master", BRIDGE, "up")
    ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
    for link in ("lo", "eth0"):
        ip("-n", name, "link", "set", link, "up")


def remove_host(name: str) -> None:
    """Remove a host's namespace; its link goes at once, not when the kernel has cleaned up."""
    ip("link", "delete", name)
    ip("netns", "delete", name)


def set_link(name: str, state: t.Literal["up", "down"]) -> None:
    """Plug a host's cable in, or pull it out, at the bridge's side."""
    ip("link", "set", name, state)


def add_rule(name: str, hook: t.Literal["input", "output"], rule: str) -> None:
    """Let what a host receives or sends meet a rule of nft."""
    chain = f"{{ type filter hook {hook} priority 0; {rule}; }}"
    _run("nsenter", f"--net=/run/netns/{name}", "nft", f"table inet {TABLE} {{ chain {hook} {chain}; }};")


def remove_rules(name: str) -> None:
    """Take all rules away."""
    _run("nsenter", f"--net=/run/netns/{name}", "nft", "delete", "table", "inet", TABLE)


def lose_from(name: str, address: str) -> None:
    """Lose what an address sends, on arrival at this side: the sender's link stays up, and its kernel tries again."""
    chain = f"{{ type filter hook input priority 0; ip saddr {address} drop; }}"
    _run("nft", f"table inet lost-{name} {{ chain input {chain}; }};")


def lose_no_more(name: str) -> None:
    """End lose_from()."""
    _run("nft", "delete", "table", "inet", f"lost-{name}")


def unsent(name: str) -> int:
    """How many connections of a host have data that has not arrived yet, also those of processes that have ended."""
    table = _run("nsenter", f"--net=/run/netns/{name}", "cat", "/proc/net/tcp")
    states_and_queues = [line.split()[3:5] for line in table.splitlines()[1:]]
    return sum(state != LISTEN and int(queues.partition(":")[0], 16) > 0 for state, queues in states_and_queues)


def ip(*arguments: str) -> None:
    """Run ip. Raises RuntimeError with what it says."""
    _run("ip", *arguments)


def _run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {result.returncode}: {result.stderr.strip()}")
    return result.stdout
