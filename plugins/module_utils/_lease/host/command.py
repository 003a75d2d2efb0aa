# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The command s3-leader: it runs the daemon, and answers people and units about the leases of this host."""

from __future__ import annotations

import argparse
import json
import sys

from ..bad_option import BadOption
from ..clock import Clock
from . import leases, runtime
from .arguments import duration

TYPE_CHECKING = False
if TYPE_CHECKING:  # loading it takes a tenth of the time of `s3-leader check`
    from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

UNUSABLE = 2
"""Exit status: the question could not be answered."""
AWAY = 60
"""Seconds for which a host that stepped down does not compete: the others need a few to take over."""
STEP_DOWN = "s3-leader-step-down@%s.service"
"""The unit that runs a step-down, so that it continues if the caller does not wait for its end."""


class Impossible(Exception):
    """The command cannot be carried out here. The text says why."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command. Return its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if words[:1] == ["exec"]:
            return _exec(words[1:])
        if words[:1] == ["list"]:
            return _list(words[1:])
        if words[:1] == ["webhook"]:
            return _webhook(words[1:])
        given = _parser().parse_args(words)
        answer: Callable[[argparse.Namespace], int] = given.answer
        return answer(given)
    except (BadOption, Impossible, OSError) as error:
        sys.stderr.write("s3-leader: %s\n" % error)
        return UNUSABLE
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="s3-leader", description="Leader election by leases on S3.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, answer: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(answer=answer)
        return added

    # Listed here, and parsed where they are carried out.
    commands.add_parser("exec", help="run a command as long as a lease is held")
    commands.add_parser("list", help="show the leases of a bucket, and who holds them")
    commands.add_parser(
        "webhook", help="post what a hook is told to a URL; on_acquired, on_lost and on_error may run it"
    )
    beat = command("heartbeat", _heartbeat, "take part in a lease; systemd runs it")
    beat.add_argument("name", metavar="NAME")
    beat.add_argument("--check", action="store_true", help="only check the configuration, and send nothing")
    beat.add_argument("--file", help="check this file instead of %s, and send nothing" % leases.path_of("NAME"))
    status = command("status", _status, "show the state of the leases of this host")
    status.add_argument("names", metavar="NAME", nargs="*")
    status.add_argument("--json", action="store_true", help="print JSON, for programs")
    status.add_argument("--watch", action="store_true", help="repeat every two seconds, until interrupted")
    check = command("check", _check, "exit with 0 if this host leads, with 1 if it does not, with 2 if that is unknown")
    check.add_argument("name", metavar="NAME")
    down = command("step-down", _step_down, "hand a lease over to another host, and stay away from it for a while")
    which = down.add_mutually_exclusive_group(required=True)
    which.add_argument("name", metavar="NAME", nargs="?")
    which.add_argument("--all", action="store_true", help="every lease of this host")
    down.add_argument("--to", metavar="HOLDER", help="who is to lead next; others wait for as long as a lease lasts")
    down.add_argument(
        "--for", dest="seconds", type=duration, default=AWAY, help="how long, from 1s to 7d (default: %(default)ds)"
    )
    first = command("preflight", _preflight, "find out whether the store can be trusted with a lease")
    first.add_argument("name", metavar="NAME")
    ends = command("fence", _fence, "end the services of a lease, and wait until they have ended; systemd runs it")
    ends.add_argument("name", metavar="NAME")
    ends.add_argument(
        "--abandoned", action="store_true", help="only if the host does not lead, and no other fence is at work"
    )
    command("guard", _guard, "keep stopping services that run here without their lease; systemd runs it")
    brings = command("textfiles", _textfiles, "keep bringing the daemons' metrics to node_exporter; systemd runs it")
    brings.add_argument("folder", metavar="FOLDER")
    brings.add_argument("--remove", action="store_true", help="only remove what was brought there")
    return parser


# Units run "check" and Ansible runs "status" again and again, so each command imports only what it needs.


def _exec(words: Sequence[str]) -> int:
    from .execute import by_name, options, run
    from .store_options import in_flags

    try:
        order = options.parse(words)
        return by_name.run(order) if order.name else run.run(order)
    except BadOption as error:
        sys.stderr.write("s3-leader: %s\n" % in_flags(str(error)))
        return options.USAGE


def _list(words: Sequence[str]) -> int:
    from ..connection import CannotSend
    from ..types import StoreError
    from . import list_command
    from .store_options import in_flags

    try:
        question = list_command.parse(words)
        _check_botocore()
        return list_command.run(question)
    except (BadOption, CannotSend, StoreError) as error:
        raise Impossible(in_flags(str(error))) from None


def _webhook(words: Sequence[str]) -> int:
    import os

    from . import webhook

    return webhook.run(webhook.parse(words, os.environ), Clock())


def _heartbeat(given: argparse.Namespace) -> int:
    from ..connection import CannotSend
    from . import config, daemon
    from .credentials import connect

    _check_botocore()
    try:
        if not given.check and given.file is None:
            return daemon.run(given.name)
        connect(config.load(given.name, given.file))
    except CannotSend as error:
        raise Impossible(str(error)) from None
    return 0


def _check_botocore() -> None:
    from ..connection import MISSING_LIBRARY

    if MISSING_LIBRARY is not None:
        raise Impossible("the Python library botocore is missing: install python3-boto3 (%s)" % MISSING_LIBRARY)


def _fence(given: argparse.Namespace) -> int:
    from . import fence

    fence.end(given.name, given.abandoned)
    return 0


def _guard(_given: argparse.Namespace) -> int:
    from . import guard

    guard.guard()
    return 0


def _textfiles(given: argparse.Namespace) -> int:
    from . import textfiles

    if given.remove:
        textfiles.remove(given.folder)
    else:
        textfiles.bring(given.folder)
    return 0


def _status(given: argparse.Namespace) -> int:
    from . import output

    def screen() -> str:
        leases = {name: runtime.describe(name) for name in given.names or runtime.names()}
        return json.dumps(leases, indent=2) if given.json else _screen(list(leases.values()), bool(given.names))

    return output.show(screen, given.watch)


def _screen(rows: List[Dict[str, Any]], in_full: bool) -> str:
    """Return the state of leases for people; in full, with the terms that have ended."""
    from .output import table

    if not rows:
        return "This host takes part in no lease."
    head = ("LEASE", "ROLE", "TERM", "HOLDER", "")
    states = [(row["name"], row["role"], str(row["term"] or "-"), row["holder"] or "-", row["reason"]) for row in rows]
    screen = table(head, states)
    for row in rows if in_full else ():
        if row["history"]:
            screen += "\n\nEarlier terms of %s:\n%s" % (row["name"], table(_ENDED, map(_cells, row["history"])))
    return screen


_ENDED = ("TERM", "HOLDER", "FROM", "UNTIL", "")


def _cells(ended: Dict[str, Any]) -> Tuple[str, ...]:
    how = ended["how"] + (" by " + ended["by"] if ended["by"] else "")
    end = ": ".join(filter(None, (how, ended["reason"])))
    return str(ended["term"] or "-"), ended["holder"], ended["acquired_at"] or "-", ended["ended_at"], end


def _check(given: argparse.Namespace) -> int:
    leases.check_name(given.name)
    status = runtime.status(given.name)
    if status is None:
        known = runtime.has_status(given.name)
        text = "the status of the lease %s is unreadable" if known else "no daemon of the lease %s runs here"
        raise Impossible(text % given.name)
    return 0 if status["is_leader"] else 1


def _step_down(given: argparse.Namespace) -> int:
    from ..settings import check_range

    check_range("--for", given.seconds, {"--for": (1, 7 * 24 * 3600)})
    successors = _to_hand_over(given)
    now = Clock().now()
    failed: Optional[OSError] = None
    try:
        for name, successor in successors.items():
            runtime.step_down(name, runtime.SteppedDown(now, now + given.seconds, successor))
        if _handed_over(list(successors), given.all):
            return 0
    except OSError as error:
        failed = error
    for name in successors:
        runtime.forget_step_down(name)
    if isinstance(failed, PermissionError):
        raise Impossible("%s. Only root can do this" % failed)
    if failed:
        raise failed
    return UNUSABLE


def _handed_over(names: List[str], name_them: bool) -> bool:
    """Wait until the leases are handed over, and print what that waits for. Return whether they are."""
    import subprocess

    said = dict.fromkeys(names, "")
    with subprocess.Popen(["systemctl", "start", *(STEP_DOWN % name for name in names)]) as process:
        while True:
            try:
                return process.wait(1) == 0
            except subprocess.TimeoutExpired:
                for name in names:
                    said[name] = _complain(name if name_them else "", runtime.waiting(name), said[name])


def _to_hand_over(given: argparse.Namespace) -> Dict[str, str]:
    """Return the leases that this host is to step down from, and for whom each is reserved; '' for nobody. Raises
    BadOption or Impossible.
    """
    from ..settings import check_holder

    if given.to is not None:
        check_holder(given.to)
    if not given.all:
        leases.check_name(given.name)
    names = [name for name in (runtime.names() if given.all else [given.name]) if runtime.has_status(name)]
    if not names:
        which = "a lease" if given.all else "the lease %s" % given.name
        raise Impossible("no daemon of %s runs here, so there is nothing to hand over" % which)
    known = {name: runtime.status(name) for name in names}
    led = {name: status["holder"] for name, status in known.items() if status and status["is_leader"]}
    if given.to in led.values():
        raise Impossible("%s is the holder of this host: name another one" % given.to)
    if given.to is not None and not led:
        which = "leads by no lease" if given.all else "does not lead %s" % given.name
        raise Impossible("this host %s, so it can hand over nothing to %s" % (which, given.to))
    return {name: (given.to or "") if name in led else "" for name in names}


def _complain(name: str, waits: str, said: str) -> str:
    """Print what the host waits for, unless that is already printed. Return what is printed."""
    if waits and waits != said:
        sys.stderr.write("s3-leader: %s%s\n" % (name and name + ": ", waits))
    return waits or said


def _preflight(given: argparse.Namespace) -> int:
    from ..connection import CannotSend
    from ..preflight.report import SAFE, UNKNOWN
    from ..preflight.run import preflight
    from . import config
    from .credentials import connect
    from .output import write

    _check_botocore()
    one = config.load(given.name)
    try:
        found = preflight(one.endpoint, one.location, connection=connect(one))
    except CannotSend as error:
        raise Impossible(str(error)) from None
    for check in found.checks:
        write("%-8s %-16s %s" % (check.verdict, check.name, check.text))
    write("%s: %s" % (found.verdict, found.reason))
    return 0 if found.verdict == SAFE else UNUSABLE if found.verdict == UNKNOWN else 1
