# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The lease record: the content of the object, and how it is written and read.

The JSON is a superset of what the .NET library LeaderElection.S3 1.0.1 writes (``holderId`` and
``leaseUntilUtc``), so that both can share a lease. Times are seconds since 1970 by the store's clock.
"""

from __future__ import annotations

import datetime
import json
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

SCHEMA = 1
MAX_BODY = 65536
"""Most bytes of an object that are read; a larger object is unreadable."""
MAX_HOLDER = 255
MAX_METADATA = 4096
"""Bytes of the metadata, as JSON."""
MAX_HISTORY = 8
"""Ended terms that a record names."""
MAX_HISTORY_BYTES = 24576
"""Bytes of them, as JSON. The longest names and reasons leave room for one; the older ones are left out then."""
MAX_DURATION = 86400
"""Seconds that a lease may last without a renewal: a forgotten one must become free within a day."""
MAX_SLOTS = 100
"""Slots that a lease may have: each is read to find one that is free."""
MAX_TERM = 2**53 - 1
"""The largest integer that every JSON reader keeps exact."""


class Proof(NamedTuple):
    """A store was found to enforce write conditions (rule 18), and takes writes in this way."""

    store: str
    """The URL of the bucket, as the caller that tested it reaches it."""
    at: float
    """When, by the store's clock."""
    quoted: bool = True
    """If-Match takes the ETag in quotes (rule 19)."""
    dated: bool = True
    """Signatures in the query are taken, so each write has a use-by date (rule 25)."""


RELEASED, EXPIRED, BROKEN = "released", "expired", "broken"
"""How a term ended: by its own session, by itself, or by force."""


class Ended(NamedTuple):
    """A term that has ended, for people."""

    term: int
    holder: str
    session: str
    acquired_at: Optional[float]
    ended_at: float
    how: str
    by: str = ""
    """The holder that released or broke it."""
    reason: str = ""


class Record(NamedTuple):
    """A readable lease. The holder '' means a released lease; the session '' means a record by the .NET library."""

    holder: str
    session: str
    term: int
    sequence: int
    nonce: str
    lease_duration: float
    acquired_at: Optional[float]
    renewed_at: Optional[float]
    lease_until: float
    metadata: Mapping[str, str]
    proof: Optional[Proof] = None
    """None if this acquisition has not been completed (rule 18)."""
    hold_at_least: float = 0.0
    """Seconds after the acquisition before which nobody takes the lease, even if it is released (rule 26)."""
    history: Tuple[Ended, ...] = ()
    """The last terms that have ended, the latest first."""
    successor: str = ""
    """The holder for which a released lease is reserved, for as long as it lasted (rule 27)."""
    slots: int = 0
    """How many slots the holder claimed one of (rule 30); 0 for a lease without slots."""
    slots_before: int = 0
    """In slot 1: how many slots there may have been, if it is not settled that there are ``slots`` now; else 0."""

    @property
    def released(self) -> bool:
        return self.holder == ""

    @property
    def foreign(self) -> bool:
        """Written by the .NET library, which knows neither session nor term."""
        return self.session == ""

    @property
    def completed(self) -> bool:
        """Its acquisition was, so somebody may have led by it (rules 18 and 30)."""
        return self.foreign or (self.proof is not None and not self.slots_before)


class Unreadable(NamedTuple):
    """An object that this version cannot read as a lease: it counts as held (rule 16)."""

    why: str
    is_newer: bool = False
    """It is a lease, which a newer version has written."""


def encode(record: Record) -> bytes:
    """Return the object's bytes, indented for people who look into the bucket."""
    seldom: Dict[str, Any] = {}
    if record.hold_at_least:
        seldom["holdAtLeastSeconds"] = record.hold_at_least
    if record.successor:
        seldom["successorId"] = record.successor
    if record.slots:
        seldom["slots"] = record.slots
    if record.slots_before:
        seldom["slotsBefore"] = record.slots_before
    if record.history:
        seldom["history"] = [*map(_ended_shown, record.history)]
    return json.dumps(
        {
            "schema": SCHEMA,
            "holderId": record.holder,
            "leaseUntilUtc": utc(record.lease_until),
            "leaseDurationSeconds": record.lease_duration,
            "session": record.session,
            "term": record.term,
            "sequence": record.sequence,
            "nonce": record.nonce,
            "acquiredAt": utc(record.acquired_at),
            "renewedAt": utc(record.renewed_at),
            "metadata": dict(record.metadata),
            "conditionsProven": proof_shown(record.proof),
            **seldom,
        },
        indent=2,
    ).encode("ascii")


def decode(body: bytes) -> Union[Record, Unreadable]:
    """Read the object's content. Never raises: what is not a lease is returned as Unreadable."""
    if len(body) > MAX_BODY:
        return Unreadable("it is larger than %d bytes" % MAX_BODY)
    try:
        fields = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return Unreadable("it is not JSON")
    if not isinstance(fields, dict):
        return Unreadable("it is not a JSON object")
    schema = fields.get("schema")
    if schema is None and "session" not in fields:
        return _read(_foreign, fields)
    if isinstance(schema, int) and schema > SCHEMA:
        why = "its schema %d is newer than %d, the newest that this version knows" % (schema, SCHEMA)
        return Unreadable(why, is_newer=True)
    if schema != SCHEMA:
        return Unreadable("its field schema is not %d" % SCHEMA)
    return _read(_own, fields)


def proof_shown(proof: Optional[Proof]) -> Optional[Dict[str, Any]]:
    """Return the proof as JSON has it."""
    if proof is None:
        return None
    return dict(store=proof.store, at=utc(proof.at), quotedEtags=proof.quoted, useByDates=proof.dated)


def proof_from(value: Any) -> Optional[Proof]:
    """Read a proof. A malformed one is None: the next leader tests the store again."""
    try:
        store, at = _text(value, "store", 2048), _time(value, "at")
        return Proof(store, at, value["quotedEtags"] is True, value["useByDates"] is True)
    except (AttributeError, KeyError, TypeError, _BadField):
        return None


def with_ended(ended: Ended, history: Tuple[Ended, ...]) -> Tuple[Ended, ...]:
    """Return the history with one more term, as far as there is room for it."""
    entries: List[Ended] = []
    room = MAX_HISTORY_BYTES
    for entry in (ended, *history)[:MAX_HISTORY]:
        room -= len(json.dumps(_ended_shown(entry)))
        if room < 0:
            break
        entries.append(entry)
    return tuple(entries)


def _ended_shown(ended: Ended) -> Dict[str, Any]:
    shown = dict(
        term=ended.term,
        holderId=ended.holder,
        session=ended.session,
        acquiredAt=utc(ended.acquired_at),
        endedAt=utc(ended.ended_at),
        how=ended.how,
        by=ended.by,
        reason=ended.reason,
    )
    return {name: value for name, value in shown.items() if value not in ("", None)}


def utc(seconds: Optional[float]) -> Optional[str]:
    """Return the time as ISO 8601 in UTC with milliseconds, as both libraries write it."""
    if seconds is None:
        return None
    moment = _EPOCH + datetime.timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_utc(text: str) -> float:
    """Return the seconds since 1970 of an ISO 8601 time. .NET writes up to seven decimals.

    Raises ValueError for anything else.
    """
    match = _ISO_8601.fullmatch(text)
    if not match:
        raise ValueError("not an ISO 8601 time")
    moment = datetime.datetime.fromisoformat(match.group(1)).replace(tzinfo=datetime.timezone.utc)
    offset = match.group(3) or "Z"
    seconds = (moment - _EPOCH).total_seconds() + float(match.group(2) or 0)
    if offset != "Z":
        sign = -1 if offset[0] == "-" else 1
        seconds -= sign * (int(offset[1:3]) * 3600 + int(offset[4:6]) * 60)
    return seconds


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_ISO_8601 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?", re.ASCII)


def _read(reader: Any, fields: Dict[str, Any]) -> Union[Record, Unreadable]:
    try:
        record: Record = reader(fields)
        return record
    except _BadField as error:
        return Unreadable("its field %s is missing or malformed" % error)


def _own(fields: Dict[str, Any]) -> Record:
    return Record(
        holder=_text(fields, "holderId", MAX_HOLDER),
        session=_text(fields, "session", 128, may_be_empty=False),
        term=_integer(fields, "term", 1),
        sequence=_integer(fields, "sequence", 0),
        nonce=_text(fields, "nonce", 128, may_be_empty=False),
        lease_duration=_duration(fields, "leaseDurationSeconds"),
        acquired_at=_time(fields, "acquiredAt"),
        renewed_at=_time(fields, "renewedAt"),
        lease_until=_time(fields, "leaseUntilUtc"),
        metadata=_metadata(fields.get("metadata")),
        proof=proof_from(fields.get("conditionsProven")),
        hold_at_least=_duration(fields, "holdAtLeastSeconds") if "holdAtLeastSeconds" in fields else 0.0,
        history=_history(fields.get("history")),
        successor=_successor(fields),
        slots=_slots(fields, "slots"),
        slots_before=_slots(fields, "slotsBefore"),
    )


def _foreign(fields: Dict[str, Any]) -> Record:
    # The .NET library ignores the case of names, so a hand-made record of its kind may use any.
    lowered = {name.lower(): value for name, value in fields.items()}
    named = {name: lowered.get(name.lower()) for name in ("holderId", "leaseUntilUtc")}
    return Record(
        holder=_text(named, "holderId", MAX_HOLDER),
        session="",
        term=0,
        sequence=0,
        nonce="",
        lease_duration=0,
        acquired_at=None,
        renewed_at=None,
        lease_until=_time(named, "leaseUntilUtc"),
        metadata={},
    )


class _BadField(Exception):
    """Its text is the field's name."""


def _text(fields: Mapping[str, Any], name: str, most: int, may_be_empty: bool = True) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > most or not (value or may_be_empty):
        raise _BadField(name)
    return _clean(value)


def _clean(value: str) -> str:
    """Replace lone surrogates, which JSON can carry but no output can print."""
    return value.encode("utf-8", "replace").decode("utf-8")


def _integer(fields: Mapping[str, Any], name: str, least: int) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_TERM:
        raise _BadField(name)
    return value


def _slots(fields: Mapping[str, Any], name: str) -> int:
    number = _integer(fields, name, 1) if name in fields else 0
    if number > MAX_SLOTS:
        raise _BadField(name)
    return number


def _duration(fields: Mapping[str, Any], name: str) -> float:
    value = fields.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise _BadField(name)
    if not 0 < value <= MAX_DURATION:  # refuses NaN, too
        raise _BadField(name)
    return float(value)


def _time(fields: Mapping[str, Any], name: str) -> float:
    value = fields.get(name)
    try:
        seconds = from_utc(value if isinstance(value, str) else "")
        utc(seconds)  # also refuses what could not be written again
        return seconds
    except (ValueError, OverflowError):
        raise _BadField(name) from None


def _successor(fields: Dict[str, Any]) -> str:
    # It only makes others wait, so a malformed one does not make the lease unreadable.
    try:
        return _text(fields, "successorId", MAX_HOLDER)
    except _BadField:
        return ""


def _history(value: Any) -> Tuple[Ended, ...]:
    # For people only, too: what is malformed is left out.
    entries: List[Ended] = []
    for fields in value[:MAX_HISTORY] if isinstance(value, list) else ():
        try:
            entries.append(_ended(fields))
        except (AttributeError, _BadField):
            continue
    return tuple(entries)


def _ended(fields: Mapping[str, Any]) -> Ended:
    named = {"holderId": "", "session": "", "by": "", "reason": "", **fields} if isinstance(fields, dict) else {}
    return Ended(
        term=_integer(named, "term", 0),
        holder=_text(named, "holderId", MAX_HOLDER),
        session=_text(named, "session", 128),
        acquired_at=_time(named, "acquiredAt") if "acquiredAt" in named else None,
        ended_at=_time(named, "endedAt"),
        how=_text(named, "how", 16, may_be_empty=False),
        by=_text(named, "by", MAX_HOLDER),
        reason=_text(named, "reason", 1000),
    )


def _metadata(value: Any) -> Dict[str, str]:
    # For people only, so a malformed one does not make the lease unreadable.
    if not isinstance(value, dict):
        return {}
    return {_clean(name): _clean(text) for name, text in value.items() if isinstance(text, str)}
