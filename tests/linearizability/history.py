# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a session asked of a lease and was told: written line by line while it happens, and read when all is over.

A line is in the file before what it tells of goes on, so that a SIGKILL takes nothing back: a call without a result
may or may not have had its effect. All times are seconds of the one clock that the processes of a machine share.
"""

from __future__ import annotations

import collections
import json
import math
import pathlib
import typing as t

from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Record, decode
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Found,
    Held,
    Race,
    Seen,
    Step,
    Steps,
    StoreError,
    Verdict,
    Write as WriteStep,
    overheard,
)

NEVER = math.inf
ABSENT = ""
"""Stands for the nonce of a lease that does not exist."""
KILLED = "killed"
FAILED = "failed"


class Version(t.NamedTuple):
    """What a write makes of the lease; its nonce is its name."""

    nonce: str
    session: str
    term: int
    sequence: int
    released: bool
    proven: bool
    duration: float


class Write(t.NamedTuple):
    """An attempt to change the lease. An acquire that is confirmed too late makes several."""

    session: str
    version: Version
    invoked: float
    answered: float = NEVER
    """NEVER: nobody was told, so it may have taken effect at any time since, or not at all."""
    told: str = ""
    deadline: float | None = None
    """Until then the session was told that it leads."""
    forced: bool = False


class Look(t.NamedTuple):
    """A call that told how the lease stands, and changed nothing by that."""

    session: str
    seen: str
    invoked: float
    answered: float
    told: str
    is_leader: bool = False
    term: int | None = None
    """The term that the session believed to hold, where it said so."""
    forced: bool = False


Operation = t.Union[Write, Look]


class Call(t.NamedTuple):
    """One call of the core, for the statistics. What became of it is a Why, KILLED or FAILED."""

    key: str
    operation: str
    result: str
    invoked: float
    answered: float


class History(t.NamedTuple):
    """What all sessions asked and were told, by lease."""

    calls: list[Call]
    operations: dict[str, list[Operation]]


class Recorder:
    """Appends to the file of one session."""

    def __init__(self, path: pathlib.Path, session: str, clock: Clock) -> None:
        self._file = path.open("ab", buffering=0)
        self._session = session
        self._clock = clock

    def invoked(self, key: str, operation: str, held: Held | None = None, forced: bool = False) -> None:
        """Note that a call is about to begin; the lines that follow are about it."""
        record = held.seen.record if held else None
        term = record.term if isinstance(record, Record) else None
        self._write(invoked=operation, session=self._session, key=key, term=term, forced=forced)

    def watched(self, steps: Steps[Verdict]) -> Steps[Verdict]:
        """Hand the steps on, and note each new write before it is sent."""
        nonces: set[str] = set()

        def note(step: Step) -> None:
            bodies = (step.body,) if isinstance(step, WriteStep) else step.bodies if isinstance(step, Race) else ()
            for record in map(decode, bodies):
                if isinstance(record, Record) and record.nonce not in nonces:
                    nonces.add(record.nonce)
                    self._write(sent=_version(record))

        return overheard(steps, before=note)

    def answered(self, verdict: Verdict) -> None:
        """Note how the call ended."""
        self._write(
            told=verdict.why.value,
            seen=_nonce(verdict.lease),
            is_leader=verdict.is_leader,
            deadline=verdict.deadline,
        )

    def failed(self, error: StoreError) -> None:
        """Note that the call ended with an error."""
        self._write(told=FAILED, error=str(error), doubtful=error.doubtful)

    def _write(self, **fields: t.Any) -> None:
        self._file.write(json.dumps({"at": self._clock.now(), **fields}).encode() + b"\n")


def load(folder: pathlib.Path) -> History:
    """Read the files of all sessions."""
    history = History([], collections.defaultdict(list))
    for path in sorted(folder.glob("*.jsonl")):
        call: list[dict[str, t.Any]] = []
        for line in lines(path):
            if "invoked" in line and call:
                _add(history, call)
                call = []
            call.append(line)
        if call:
            _add(history, call)
    return history


def lines(path: pathlib.Path) -> t.Iterator[dict[str, t.Any]]:
    """Yield what a session noted. What it was killed in the midst of writing down, nobody has acted upon."""
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield json.loads(line)


def _add(history: History, call: list[dict[str, t.Any]]) -> None:
    first, last = call[0], call[-1]
    key, session, forced = first["key"], first["session"], first["forced"]
    result: dict[str, t.Any] = last if "told" in last else {"told": KILLED, "at": NEVER}
    told = result["told"]
    history.calls.append(Call(key, first["invoked"], told, first["at"], result["at"]))
    writes = [Write(session, Version(*line["sent"]), line["at"], forced=forced) for line in call if "sent" in line]
    operations = history.operations[key]
    if told not in (KILLED, FAILED):
        deadline = result["deadline"]
        changes = deadline is not None or told in ("released", "broken")
        told_of = next((turn for turn, one in enumerate(writes) if one.version.nonce == result["seen"]), None)
        if changes and told_of is not None:
            writes[told_of] = writes[told_of]._replace(answered=result["at"], told=told, deadline=deadline)
        else:
            seen, leads, answered = result["seen"], result["is_leader"], result["at"]
            operations.append(Look(session, seen, first["at"], answered, told, leads, first["term"], forced))
    operations.extend(writes)


def _version(record: Record) -> Version:
    return Version(
        record.nonce,
        record.session,
        record.term,
        record.sequence,
        record.released,
        record.proof is not None,
        record.lease_duration,
    )


def _nonce(found: Found) -> str:
    if not isinstance(found, Seen):
        return ABSENT
    return found.record.nonce if isinstance(found.record, Record) else "unreadable"
