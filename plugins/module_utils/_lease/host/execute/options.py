# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The options of s3-leader exec."""

from __future__ import annotations

import argparse
import math
import os
from typing import Dict, List, Mapping, NamedTuple, NoReturn, Sequence

from ... import settings
from ...bad_option import BadOption
from ...protocol import margin
from ...settings import Endpoint, Location
from .. import store_options
from ..arguments import duration
from ..config import ENDPOINT

USAGE, UNAVAILABLE, CONFLICT, LOST = 64, 69, 75, 79
"""Exit statuses: the options are unusable; the store could not be asked, or refuses; somebody else has the lease; the
lease was lost while the command ran. sysexits.h has the first three, and ends before the last."""
STOP_GRACE = 10
"""Default of --stop-grace in seconds."""
_RANGES = {
    "stop_grace": (1, 3600),
    "hold_at_least": settings.RANGES["hold_at_least"],
    "conflict_exit_code": (0, 255),
}


class Order(NamedTuple):
    """What is to be run, and under which lease."""

    command: Sequence[str]
    wait: float
    """Seconds to wait for the lease; infinity for no limit."""
    conflict: int
    """The exit status if somebody else has it."""
    name: str
    """The lease of this host's daemon; '' for one that this command acquires itself. Then the others count, too."""
    location: Location
    endpoint: Endpoint
    holder: str
    lease_duration: float
    stop_grace: float
    hold_at_least: float
    takeover: str
    metadata: Mapping[str, str]
    slots: int = 0
    """How many may hold it at the same time; 0 for a lease without slots."""
    textfile: str = ""
    """Where to tell Prometheus of the lease; '' for nowhere."""

    @property
    def renew_interval(self) -> float:
        """Raises BadOption if the lease is too short to be kept."""
        return settings.keeping(self.lease_duration, self.endpoint.request_timeout, self.stop_grace)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage()
        self.exit(USAGE, "%s: %s\n" % (self.prog, message))


def parse(arguments: Sequence[str]) -> Order:
    """Return what the command line asks for. Raises BadOption, or SystemExit after a message."""
    parser = _parser()
    end = arguments.index("--") if "--" in arguments else len(arguments)
    command = list(arguments[end + 1 :])
    if not command and not {"-h", "--help"} & {*arguments}:
        parser.error("no command: put it after --, like: s3-leader exec --key jobs/backup -- backup.sh --all")
    given = parser.parse_args(arguments[:end])
    if bool(given.name) == bool(given.key):
        parser.error("use either --key, or the NAME of a lease of this host")
    if given.name and "/" in given.name:
        parser.error("%s is no lease of this host: write --key %s" % (given.name, given.name))
    if given.name:
        unused = [name for name, default in _of_a_key(parser).items() if getattr(given, name) != default]
        if unused:
            parser.error("%s: the daemon's configuration has it" % ", ".join(map(store_options.flag, unused)))
    if not given.wait >= 0:
        raise BadOption("--wait", given.wait, "use 0 or more")
    for name, least_and_most in _RANGES.items():
        if not least_and_most[0] <= getattr(given, name) <= least_and_most[1]:
            raise BadOption(store_options.flag(name), getattr(given, name), "use %g to %g" % least_and_most)
    order = Order(
        command=command,
        wait=given.wait,
        conflict=given.conflict_exit_code,
        name=given.name or "",
        location=Location(given.bucket, given.key or "-").checked(),
        endpoint=store_options.endpoint(given),
        holder=given.holder,
        lease_duration=given.lease_duration,
        stop_grace=given.stop_grace,
        hold_at_least=given.hold_at_least,
        takeover=given.takeover,
        metadata=settings.check_metadata(_pairs(given.metadata)),
        slots=given.slots or 0,
        textfile="" if given.textfile is None else os.path.abspath(given.textfile),
    )
    if given.slots is not None:
        settings.check_slots(given.slots, order.location.key, "--slots")
    if given.textfile is not None:
        settings.check_textfile(given.textfile, "--textfile")
    settings.check_holder(order.holder)
    settings.check_durations(order.lease_duration, order.endpoint.request_timeout)
    order.renew_interval  # noqa: B018  (checks that renewals fit in)
    needed = order.lease_duration + margin(order.lease_duration)
    if order.takeover == "observed" and order.wait <= needed:
        raise BadOption("--wait", order.wait, "--takeover observed has to watch a lease for %g s. Use more" % needed)
    return order


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="s3-leader exec",
        usage="s3-leader exec [options] (NAME | --key KEY) -- COMMAND [ARGUMENT ...]",
        description="Run a command as long as a lease is held. With --key, s3-leader acquires the lease itself, keeps "
        "it while the command runs, and gives it back. With the NAME of a lease that this host takes part in by the "
        "role heartbeat, the command runs while this host leads. A command whose lease is lost is ended before the "
        "lease is over.",
        epilog="Exit status: the command's own; 128 and the number of the signal that ended it; 126 or 127 if it "
        "cannot be started; %d if somebody else has the lease; %d if the lease was lost; %d if the store cannot be "
        "used; %d for unusable options." % (CONFLICT, LOST, UNAVAILABLE, USAGE),
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="a lease that s3-leader status shows on this host")
    option = parser.add_mutually_exclusive_group().add_argument
    option("-w", "--wait", type=duration, default=math.inf, help="how long, like 90s or 10m (default: no limit)")
    option(
        "-n", "--no-wait", action="store_const", dest="wait", const=0.0, help="give up at once if somebody else has it"
    )
    option = parser.add_argument
    option("-E", "--conflict-exit-code", type=int, default=CONFLICT, help="the exit status then (default: %(default)d)")
    lease = parser.add_argument_group("a lease that this command acquires itself")
    option = lease.add_argument
    option("--key", help="the object that is the lease")
    store_options.add_bucket(option)
    option("--holder", default=os.uname().nodename, help="who holds it, for people (default: the host's name)")
    option(
        "--lease-duration",
        type=duration,
        default=30,
        help="default: %(default)ds; with the other defaults, 18s or more",
    )
    option(
        "--stop-grace",
        type=duration,
        default=STOP_GRACE,
        help="how long before the end of a lost lease the command gets SIGTERM; just before the end, SIGKILL "
        "(default: %(default)ds)",
    )
    option("--slots", type=int, metavar="N", help="let N hold it at the same time; all have to name the same number")
    option("--hold-at-least", type=duration, default=0, help="how long after its acquisition nobody takes it again")
    option("--takeover", choices=settings.TAKEOVERS, default="store_clock", help="default: %(default)s")
    option("--metadata", metavar="NAME=VALUE", action="append", default=[], help="a note in the lease, for people")
    option("--textfile", metavar="PATH.prom", help="write metrics for node_exporter to this file")
    store_options.add_endpoint(parser)
    return parser


def _of_a_key(parser: argparse.ArgumentParser) -> Dict[str, object]:
    """Return the options that only a lease has which the command acquires itself, with their defaults."""
    names = ("bucket", "holder", "slots", "lease_duration", "stop_grace", "hold_at_least", "takeover", "metadata")
    return {name: parser.get_default(name) for name in (*names, "textfile", *ENDPOINT)}


def _pairs(given: List[str]) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not (name and equals):
            raise BadOption("--metadata", one, "use NAME=VALUE")
        found[name] = value
    return found
