# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""One lease object on S3: maps every result of a conditional GET or PUT to one of the protocol's outcomes."""

from __future__ import annotations

import datetime
import email.utils
import re
from typing import Callable, Dict, Mapping, Optional, Protocol, Sequence

from .at_once import Write, at_once
from .clock import Clock, GivenUp
from .connection import CannotSend, NoAnswer, Response
from .record import MAX_BODY, decode
from .settings import Location
from .store_time import Stamp, StoreTime
from .types import Absent, Held, Outcome, Raced, Refused, Seen, Unchanged, Unknown, Written


class Wire(Protocol):
    """What a store sends through: a Connection, or a wrapper of one."""

    def send(
        self,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        most: int,
        stamp: Stamp,
        before_last_byte: Optional[Callable[[], None]] = None,
    ) -> Response:
        """Raises NoAnswer, CannotSend or GivenUp."""

    def at(self, key: str) -> Wire:
        """Return what sends for another object of the bucket."""

    def forget(self) -> None:
        """Send the next request over a new connection."""

    @property
    def origin(self) -> str:
        """The store for people, like https://s3.example.com."""


class Store:
    """Reads and writes one object, with one attempt per call (rule 11).

    ``until`` is always the reading of the clock at which the caller turns away.
    """

    most = MAX_BODY
    """Bytes of an answer that are read."""

    def __init__(self, connection: Wire, location: Location, clock: Clock, time: Optional[StoreTime] = None) -> None:
        self._connection = connection
        self._location = location
        self._clock = clock
        self.time = time or StoreTime(clock)
        self.sent = 0
        """Number of requests sent for this object."""
        self._slots: Dict[int, Store] = {}

    @property
    def requests(self) -> int:
        """Number of requests sent for it and its slots."""
        return self.sent + sum(store.requests for store in self._slots.values())

    def of(self, slot: int) -> Store:
        """Return the store of a slot's object (slots.py); of 0, itself."""
        if slot and slot not in self._slots:
            location = self._location.of(slot)
            self._slots[slot] = Store(self._connection.at(location.key), location, self._clock, self.time)
        return self._slots[slot] if slot else self

    def read(self, until: float, known: Optional[str] = None) -> Outcome:
        """Return Seen, Absent, Unknown or Refused; or Unchanged if the object still has the known ETag."""
        headers = {"If-None-Match": '"%s"' % known} if known else {}
        return self._send("GET", headers, b"", until)

    def write(
        self,
        body: bytes,
        replaces: Optional[str],
        until: float,
        quoted: bool = True,
        dated: bool = True,
        expired: bool = False,
        hold: Optional[Callable[[], None]] = None,
    ) -> Outcome:
        """Return Written, Unknown or Refused. ``replaces`` is the ETag to replace, None to create (rule 1).

        ``hold`` is called before the last byte is sent, and may wait.
        """
        headers = {"Content-Type": "application/json"}
        if replaces is None:
            headers["If-None-Match"] = "*"
        else:
            headers["If-Match"] = '"%s"' % replaces if quoted else replaces
        return self._send("PUT", headers, body, until, dated, expired, hold)

    def race(self, bodies: Sequence[bytes], replaces: Optional[str], until: float, quoted: bool, dated: bool) -> Raced:
        """Make these writes at the same instant (rule 18)."""

        def contender(body: bytes) -> Write:
            return lambda hold: self.write(body, replaces, until, quoted, dated, hold=hold)

        outcomes = at_once([contender(body) for body in bodies], until - self._clock.now(), self._clock)
        return Raced(tuple(outcomes))

    def learn_time(self, held: Held) -> None:
        """Learn the store's time from a lease that is held: renewing it may be the first request."""
        self.time.saw(held.seen.store_time, held.written_at, held.heard_at)

    def forget_connection(self) -> None:
        self._connection.forget()

    def _send(
        self,
        method: str,
        headers: Dict[str, str],
        body: bytes,
        until: float,
        dated: bool = False,
        expired: bool = False,
        hold: Optional[Callable[[], None]] = None,
    ) -> Outcome:
        def before_last_byte() -> None:
            if hold is not None:
                hold()
            if self._clock.now() >= until:
                raise GivenUp()

        first = True
        while True:
            stamp, asked = self.time.stamp(until, dated, expired), self._clock.now()
            try:
                self.sent += 1
                response = self._connection.send(method, headers, body, self.most, stamp, before_last_byte)
            except NoAnswer as error:
                return Unknown(str(error), sent=error.sent)
            except GivenUp:
                return Unknown("it was given up before it was sent", sent=False)
            except CannotSend as error:
                self.sent -= 1
                return Refused(error.why, error.advice)
            date = http_date(response, "date")
            if date is not None:
                self.time.saw(date, asked, self._clock.now())
            refused = date is not None and response.status in (400, 401, 403) and stamp.refuses(date)
            if expired or not refused:
                return self._outcome(method, headers, response, date)
            if not first or self._clock.now() >= until:
                return Unknown("%s, since its date was too far off" % self._answered(response))
            first = False  # the answer has told the store's time

    def _outcome(self, method: str, headers: Mapping[str, str], response: Response, date: Optional[float]) -> Outcome:
        unchanged = response.status == 304 and method == "GET" and "If-None-Match" in headers
        if response.status != 200 and not unchanged:
            return self._no_success(method, response)
        if unchanged and date is not None:
            return Unchanged(date)
        etag = response.headers.get("etag", "")
        if method == "PUT":
            # It has landed. If the answer lacks something that is needed, the read that follows says what is wrong.
            lacks = date is None or not etag.strip('"') or etag.startswith("W/")
            return Unknown(self._answered(response)) if lacks or date is None else Written(etag.strip('"'), date)
        if date is None:
            return self._no_date()
        if not etag.strip('"'):
            return Unknown("%s answered without an ETag" % self._connection.origin)
        modified = http_date(response, "last-modified")
        if modified is None:
            return Refused("%s answers without a usable Last-Modified" % self._connection.origin)
        if etag.startswith("W/"):
            return Refused(
                "%s answers with a weak ETag, which no write can be conditional on" % self._connection.origin,
                "Check for a proxy that changes answers, for example by compressing them",
            )
        return Seen(decode(response.body), etag.strip('"'), modified, date)

    def _answered(self, response: Response) -> str:
        code = element(response, "Code")
        return "%s answered %d%s" % (self._connection.origin, response.status, " " + code if code else "")

    def _no_date(self) -> Refused:
        return Refused(
            "%s answers without a usable Date, but leases need the store's clock" % self._connection.origin,
            "Check for a proxy that removes it",
        )

    def _no_success(self, method: str, response: Response) -> Outcome:
        status, code = response.status, element(response, "Code")
        if method == "GET" and status == 404 and code == "NoSuchKey":
            date = http_date(response, "date")
            return self._no_date() if date is None else Absent(date)
        answer = self._answered(response)
        if status == 404 and code != "NoSuchBucket" and method == "PUT":
            return Unknown(answer)  # rule 13: the read that follows decides
        landed = method == "PUT" and 200 <= status < 300
        passing = (
            status in (304, 408, 409, 412, 425, 429) or code == "RequestTimeout" or (status >= 500 and status != 501)
        )
        if landed or passing:
            return Unknown(
                answer,
                precondition_failed=status == 412,
                conflict=status == 409 or (status == 500 and code == _OVERTAKEN),
                throttled=status in (429, 503),
            )
        return Refused(answer, self._advice(method, status, code, response))

    def _advice(self, method: str, status: int, code: str, response: Response) -> str:
        region = response.headers.get("x-amz-bucket-region") or element(response, "Region")
        if code == "NoSuchBucket":
            return "Create the bucket %s, or set bucket to one that exists" % self._location.bucket
        if region and (300 <= status < 400 or code == "AuthorizationHeaderMalformed"):
            return "The bucket of %s is in another region: set region to %s" % (self._location, region)
        if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"):
            return "Check the credentials: access_key, secret_key, session_token, profile, or their other sources"
        if status == 404 or not (code or status == 501):
            return NOT_S3
        return self._way_out(method, status)

    def _way_out(self, method: str, status: int) -> str:
        if status == 501:
            return "This store does not implement conditional writes, so it cannot hold a lease"
        if status == 403 and method == "GET":
            return (
                "Grant s3:GetObject on %s. Without s3:ListBucket, S3 gives the same answer if the lease does not exist "
                "yet: grant s3:ListBucket on the bucket, or create the lease first with credentials that have it"
                % self._location
            )
        if status in (401, 403):
            return "Grant s3:PutObject and s3:GetObject on %s" % self._location
        return "The lease %s was left unchanged" % self._location


NOT_S3 = "This is not an S3 answer: check endpoint_url, and proxies on the way"
_OVERTAKEN = "UnknownError"
"""Ceph RGW's code for errors that it has no code for: also for a write that another one has overtaken (ECANCELED)."""
_LATEST = 250_000_000_000.0
"""In the year 9892: what is counted from a date has to be one, too."""


def http_date(response: Response, name: str) -> Optional[float]:
    """Return the time in a header, in seconds since 1970; None if there is no usable one."""
    try:
        moment = email.utils.parsedate_to_datetime(response.headers[name])
        # A time without a zone is UTC in HTTP, but would be local time here.
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)).timestamp()
    except (KeyError, OverflowError, TypeError, ValueError):
        return None
    return seconds if 0 < seconds < _LATEST else None


def element(response: Response, name: str) -> str:
    """Return the text of an element of S3's flat XML error; '' if it is missing, or not a plain word."""
    match = re.search(rb"<%b>\s*([\w.-]{1,100})\s*</%b>" % (name.encode(), name.encode()), response.body)
    return match.group(1).decode("ascii") if match else ""
