# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The scratch objects of a preflight: beside the lease, with unique names, and removed at the end."""

from __future__ import annotations

import secrets
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, TypeVar

from ..clock import Clock, GivenUp, NotStarted, Overdue
from ..connection import CannotSend, Connection, NoAnswer, Response
from ..driver import drive, fresh_nonce
from ..protocol import WRITES_APART, Form, View, look, record_of
from ..record import MAX_BODY, Record
from ..settings import Endpoint, Location
from ..store import Store
from ..store_time import Stamp, StoreTime
from ..types import Found, Steps, StoreUnreachable
from .recording import Log, RecordingConnection
from .report import PASS, WARN, Check

T = TypeVar("T")


def scratch_name(key: str) -> str:
    """Return the prefix of all scratch objects' names: the key, shortened where they would be too long."""
    folder, slash, name = key.rpartition("/")
    # File systems allow 255 bytes between two slashes, S3 1024 in all; what is added needs less than 40.
    short = folder + slash + name.encode("utf-8")[:200].decode("utf-8", "ignore")
    return "%s.preflight-%s" % (short.encode("utf-8")[:984].decode("utf-8", "ignore"), secrets.token_hex(8))


class Scratch(NamedTuple):
    """A scratch object. ``name`` is the end of its key."""

    name: str
    wire: RecordingConnection
    store: Store


class Workspace:
    """What the checks of one preflight share: the scratch objects, and the log of requests."""

    def __init__(self, connection: Connection, endpoint: Endpoint, location: Location, clock: Clock) -> None:
        self.connection = connection
        self.timeout, self._patience = endpoint.request_timeout, endpoint.patience
        self.clock = clock
        self.location, self._name = location, scratch_name(location.key)
        self.log = Log()
        self.time = StoreTime(clock)
        self.form = Form()
        """How the store takes writes, as far as that is known."""
        self.silent = False
        """The store has stopped answering, so further requests make no sense."""

    @property
    def until(self) -> float:
        """Until when an operation that begins now may retry."""
        return self.clock.now() + self._patience

    def scratch(self, name: str = "") -> Scratch:
        wire = self._wire(self._name + name, name)
        return Scratch(name, wire, Store(wire, self._all_scratch, self.clock, self.time))

    def draft(self) -> Record:
        return Record(
            holder="preflight",
            session="preflight",
            term=1,
            sequence=1,
            nonce=fresh_nonce(),
            lease_duration=1,
            acquired_at=0,
            renewed_at=0,
            lease_until=0,
            metadata={"note": "a scratch object of a preflight: remove it if it is still there after an hour"},
        )

    def drive(self, steps: Steps[T], scratch: Scratch) -> T:
        """Run an operation. Raises StoreError."""
        try:
            return drive(steps, scratch.store, self.timeout, self.clock)
        except StoreUnreachable as error:
            self.silent = scratch.wire.last is None
            if not self.silent:
                raise
            advice = "Check endpoint_url and the network, or raise request_timeout"
            raise StoreUnreachable(str(error), advice) from None

    def look(self, scratch: Scratch) -> View:
        """Read a scratch object. Raises StoreError."""
        return self.drive(look(self.until), scratch)

    def exchange(
        self,
        wire: RecordingConnection,
        method: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        most: int = MAX_BODY,
        more_time: float = 0.0,
        stamp: Optional[Stamp] = None,
        before_last_byte: Optional[Callable[[], None]] = None,
    ) -> Optional[Response]:
        """Send one request. Return its answer, or None if none came in time."""

        def send(until: float) -> Response:
            dated = stamp or self.time.stamp(until, dated=False)
            return wire.send(method, headers, body, most, dated, before_last_byte)

        try:
            return self.clock.bounded(send, self.timeout + more_time)
        except (NoAnswer, CannotSend, GivenUp, Overdue, NotStarted):
            return None

    def ask_bucket(self, query: str, most: int) -> Optional[Response]:
        """Read a setting of the bucket. Return the answer, or None if none came in time."""
        wire = RecordingConnection(self.connection.at("", query), "", self.log, self.clock)
        return self.exchange(wire, "GET", {}, most=most)

    def latencies(self) -> List[float]:
        """Return how long requests without a concurrent one took, in seconds, the lowest first."""
        return sorted(answer.seconds for answer in self.log.answered if answer.alone)

    def clean_up(self) -> Optional[Check]:
        """Remove all objects that were or may have been written. Return the check; None if there were none."""
        if not self.log.written:
            return None
        names = list(dict.fromkeys(self.log.written))
        left = self._remove(names)
        late = [name for name in names if name in self.log.open]
        if late and not self.silent:
            # A write that got no answer may have been carried out since.
            self.clock.sleep(self.timeout)
            left.update(self._remove(late))
        return self._cleaned({name: status for name, status in left.items() if status not in (200, 204, 404)})

    def _cleaned(self, left: Mapping[str, int]) -> Check:
        where = self.location.at(self._name + "*")
        if 0 in left.values():
            seen = "the store did not answer, so scratch objects may be left at %s" % where
            return Check("cleanup", WARN, seen, "Remove them")
        if left:
            statuses = ", ".join("%d" % status for status in dict.fromkeys(left.values()))
            number = "1 scratch object is" if len(left) == 1 else "%d scratch objects are" % len(left)
            advice = "Remove what is left"
            if not {401, 403}.isdisjoint(left.values()):
                advice = "Grant s3:DeleteObject on %s, and remove what is left" % self._all_scratch
            return Check("cleanup", WARN, "%s left at %s (%s)" % (number, where, statuses), advice)
        if any("x-amz-version-id" in answer.response.headers for answer in self.log.answered):
            seen = "the scratch objects were deleted; the bucket keeps their versions at %s" % where
            return Check("cleanup", PASS, seen)
        return Check("cleanup", PASS, "the scratch objects were removed")

    def _remove(self, names: List[str]) -> Dict[str, int]:
        """Delete these scratch objects, and retry failures. Return the last status of each; 0 for no answer."""
        statuses = dict.fromkeys(names, 0)
        tries = 2
        for name in names:
            wire = self._wire(self._name + name, name)
            for left in reversed(range(tries)):
                response = self.exchange(wire, "DELETE", {})
                statuses[name] = status = response.status if response else 0
                if (status and status != 429 and status < 500) or (not status and self.silent):
                    break
                if not left:
                    tries = 1  # the others will fail, too
                elif status:
                    self.clock.sleep(WRITES_APART)
            if not statuses[name]:
                self.silent = True
                break
        return statuses

    def _wire(self, key: str, name: str) -> RecordingConnection:
        return RecordingConnection(self.connection.at(key), name, self.log, self.clock)

    @property
    def _all_scratch(self) -> Location:
        """A pattern for the scratch objects of every run, for a policy."""
        return self.location.at(self._name.rpartition("-")[0] + "-*")


def is_of(draft: Record, found: Found) -> bool:
    """Tell whether the object found is this draft."""
    record = record_of(found)
    return record is not None and record.nonce == draft.nonce
