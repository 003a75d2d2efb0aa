# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""S3 stores in memory: a correct one, and one for each oddity met in the field.

They speak path-style GET, HEAD, PUT and DELETE, check of a signature only its date, and take any bucket for existing.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import pathlib
import threading
import time
import urllib.parse
from datetime import UTC, datetime
from email.utils import formatdate
from xml.sax.saxutils import escape

from ..recorder import Request
from ..server import Answer, Exchange, LoopbackServer, error

MOST_SKEWED = 900.0
"""Seconds that the date of a signature in headers may be off, as at AWS."""


@dataclasses.dataclass(frozen=True)
class StoredObject:
    """An object; modified is in seconds since 1970 by the store's clock."""

    body: bytes
    etag: str
    modified: float


class Store(LoopbackServer):
    """A correct store: atomic, conditional, quoted MD5 ETags.

    With clock_offset (seconds) its clock, and so Date and Last-Modified, differ from this machine's.
    """

    page_size = 1000
    """Most keys in a page of a listing."""

    def __init__(self, certificate: pathlib.Path | None = None, answers_continue: bool = True) -> None:
        super().__init__(certificate, answers_continue)
        self.clock_offset = 0.0
        self._objects: dict[str, StoredObject] = {}
        self._lock = threading.RLock()

    def now(self) -> float:
        """The store's clock, in seconds since 1970."""
        return time.time() + self.clock_offset

    def get(self, key: str) -> StoredObject | None:
        """What is stored at the key, without a request."""
        with self._lock:
            return self._objects.get(key)

    def put(self, key: str, body: bytes) -> StoredObject:
        """Store without a request and without a condition."""
        with self._lock:
            self._objects[key] = stored = StoredObject(body, self.etag_of(body), self.now())
            return stored

    def remove(self, key: str) -> None:
        """Delete without a request, as an administrator or a lifecycle rule would."""
        with self._lock:
            self._objects.pop(key, None)

    def age(self, key: str, seconds: float) -> None:
        """Make the object so much older than it is."""
        with self._lock:
            stored = self._objects[key]
            self._objects[key] = dataclasses.replace(stored, modified=stored.modified - seconds)

    def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        answer = self.take(request)
        self.note(request, forwarded=True, store_status=answer.status)
        exchange.reply(answer)

    def take(self, request: Request) -> Answer:
        """Deal with a request, and with no other one meanwhile."""
        with self._lock:
            return self.dispatch(request)

    def dispatch(self, request: Request) -> Answer:
        """Deal with a request; the lock is held."""
        if refusal := self.untimely(request):
            return refusal
        if not request.key and "list-type=2" in request.path:
            return self.on_list(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(request.path).query)))
        if not request.key:
            return self.answer(200)  # about the bucket: made, there, deleted, as you like
        if request.method == "PUT":
            return self.on_put(request)
        if request.method == "DELETE":
            self.remove(request.key)
            return self.answer(204)
        return self.on_get(request)

    def untimely(self, request: Request) -> Answer | None:
        """The answer to a request whose date is too far off, or that comes after its end, else None."""
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(request.path).query))
        date = query.get("X-Amz-Date") or request.headers.get("X-Amz-Date")
        if date is None:
            return None
        late = self.now() - datetime.strptime(date + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp()
        if "X-Amz-Expires" in query:
            return self.error(403, "AccessDenied") if late > float(query["X-Amz-Expires"]) else None
        return self.error(403, "RequestTimeTooSkewed") if abs(late) > MOST_SKEWED else None

    def on_get(self, request: Request) -> Answer:
        """GET and HEAD, with If-None-Match."""
        stored = self._objects.get(request.key)
        if stored is None:
            return self.on_missing(request)
        headers = (("ETag", stored.etag), ("Last-Modified", formatdate(stored.modified, usegmt=True)))
        if request.if_none_match and self.matches(request.if_none_match, stored):
            return self.answer(304, headers)
        if request.method == "HEAD":
            return self.answer(200, headers)._replace(content_length=str(len(stored.body)))
        return self.answer(200, headers, stored.body)

    def on_list(self, query: dict[str, str]) -> Answer:
        """ListObjectsV2. The token is the last key of the page before."""
        prefix, after = query.get("prefix", ""), query.get("continuation-token", "")
        keys = sorted(key for key in self._objects if key.startswith(prefix) and key > after)
        shown = keys[: self.page_size]
        parts = [f"<EncodingType>url</EncodingType><IsTruncated>{str(keys != shown).lower()}</IsTruncated>"]
        if keys != shown:
            parts.append(f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>")
        for key in shown:
            stored = self._objects[key]
            modified = f"{datetime.fromtimestamp(stored.modified, UTC):%FT%T}.000Z"
            parts.append(
                f"<Contents><Key>{urllib.parse.quote_plus(key, safe='/')}</Key><LastModified>{modified}</LastModified>"
                f"<ETag>{escape(stored.etag)}</ETag><Size>{len(stored.body)}</Size></Contents>"
            )
        namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
        body = f'<?xml version="1.0"?>\n<ListBucketResult xmlns="{namespace}">{"".join(parts)}</ListBucketResult>'
        return self.answer(200, (("Content-Type", "application/xml"),), body.encode())

    def on_missing(self, request: Request) -> Answer:
        """The answer to a GET of a key that is not there."""
        return self.error(404, "NoSuchKey")

    def on_put(self, request: Request) -> Answer:
        """PUT under its condition."""
        if refusal := self.refusal(request, self._objects.get(request.key)):
            return refusal
        return self.answer(200, (("ETag", self.put(request.key, request.body).etag),))

    def refusal(self, request: Request, stored: StoredObject | None) -> Answer | None:
        """The answer to a PUT whose condition does not hold, else None."""
        if request.if_match is not None:
            if stored is None:
                return self.error(404, "NoSuchKey")
            if not self.matches(request.if_match, stored):
                return self.error(412, "PreconditionFailed")
        if request.if_none_match is not None and stored is not None:
            return self.error(412, "PreconditionFailed")
        return None

    def matches(self, condition: str, stored: StoredObject) -> bool:
        """Whether an ETag in a header is the object's; AWS takes it quoted and bare."""
        return condition == "*" or condition.strip('"') == stored.etag.strip('"')

    def etag_of(self, body: bytes) -> str:
        """The ETag that an object with this body gets."""
        return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'

    def answer(self, status: int, headers: tuple[tuple[str, str], ...] = (), body: bytes = b"") -> Answer:
        """An answer with the store's Date."""
        return Answer(status, "", (*self.date(), *headers), body)

    def error(self, status: int, code: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
        """An error with the store's Date."""
        return error(status, code, headers=(*self.date(), *headers))

    def date(self) -> tuple[tuple[str, str], ...]:
        """The Date header."""
        return (("Date", formatdate(self.now(), usegmt=True)),)


class RefusesQuerySignatures(Store):
    """Answers 403 to a signature in the query, as a bucket with a policy on s3:authType."""

    def untimely(self, request: Request) -> Answer | None:
        in_query = "X-Amz-Expires=" in request.path
        return self.error(403, "AccessDenied") if in_query else super().untimely(request)


class NeverExpires(Store):
    """Carries out whatever is signed, however late it comes."""

    def untimely(self, request: Request) -> Answer | None:
        return None


class IgnoresIfNoneMatch(Store):
    """Overwrites where it should refuse to create, as Garage or GCS."""

    def refusal(self, request: Request, stored: StoredObject | None) -> Answer | None:
        return super().refusal(dataclasses.replace(request, if_none_match=None), stored)


class IgnoresIfMatch(Store):
    """Replaces whatever is there."""

    def refusal(self, request: Request, stored: StoredObject | None) -> Answer | None:
        return super().refusal(dataclasses.replace(request, if_match=None), stored)


class CreatesOnIfMatch(Store):
    """Creates a missing key in spite of If-Match, as MinIO before September 2025."""

    def refusal(self, request: Request, stored: StoredObject | None) -> Answer | None:
        return None if stored is None else super().refusal(request, stored)


class RefusesMissingWith412(Store):
    """Answers 412 to If-Match on a missing key where AWS says 404, as SeaweedFS or Ozone."""

    def refusal(self, request: Request, stored: StoredObject | None) -> Answer | None:
        if request.if_match is not None and stored is None:
            return self.error(412, "PreconditionFailed")
        return super().refusal(request, stored)


class WantsBareEtags(Store):
    """Answers 412 to every quoted ETag in If-Match, as Ceph RGW."""

    def matches(self, condition: str, stored: StoredObject) -> bool:
        return condition == stored.etag.strip('"')

    def on_get(self, request: Request) -> Answer:
        quotes = request.if_none_match and dataclasses.replace(request, if_none_match=request.if_none_match.strip('"'))
        return super().on_get(quotes or request)


class HasNoConditions(Store):
    """Answers 501 to conditional writes, as Backblaze B2."""

    def refusal(self, request: Request, stored: StoredObject | None) -> Answer | None:
        return None if request.condition == "none" else self.error(501, "NotImplemented")


class HasNoDate(Store):
    """Sends no Date header."""

    def date(self) -> tuple[tuple[str, str], ...]:
        return ()


class HidesMissing(Store):
    """Answers 403 to a GET of a missing key, as AWS without s3:ListBucket."""

    def on_missing(self, request: Request) -> Answer:
        return self.error(403, "AccessDenied")


class HasRandomEtags(Store):
    """Its ETag is no MD5 of the body and differs for the same bytes, as with SSE-KMS."""

    _number = 0

    def etag_of(self, body: bytes) -> str:
        self._number += 1
        return f'"{self._number:032x}"'


class ChecksThenPuts(Store):
    """Checks the condition, and writes a little later: of several at once all win. Correct for one at a time.

    window is the time between the two, in seconds.
    """

    window = 0.05

    def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.method != "PUT" or request.condition == "none":
            super().handle(exchange)
            return
        refused = self.refusal(request, self.get(request.key))
        if refused is None:
            self.stopped.wait(self.window)
        answer = refused or self.answer(200, (("ETag", self.put(request.key, request.body).etag),))
        self.note(request, forwarded=True, store_status=answer.status)
        exchange.reply(answer)


class ServesStaleReads(Store):
    """Each third read shows what was there before the last write, as where a replica lags or a cache is on the way.

    With conditional, each third of those reads that are conditional; else of those that are not.
    """

    conditional = False

    def __init__(self, certificate: pathlib.Path | None = None, answers_continue: bool = True) -> None:
        super().__init__(certificate, answers_continue)
        self._before: dict[str, StoredObject | None] = {}
        self._reads = 0

    def put(self, key: str, body: bytes) -> StoredObject:
        with self._lock:
            self._before[key] = self._objects.get(key)
            return super().put(key, body)

    def on_get(self, request: Request) -> Answer:
        now = self._objects.get(request.key)
        self._reads += bool(request.if_none_match) == self.conditional
        if self._reads % 3 or bool(request.if_none_match) != self.conditional or now is None:
            return super().on_get(request)
        before = self._before[request.key]
        self._objects.pop(request.key)
        if before:
            self._objects[request.key] = before
        answer = super().on_get(request)
        self._objects[request.key] = now
        return answer


class FailsConditionalReads(Store):
    """Answers status to every GET with If-None-Match."""

    status = 500

    def on_get(self, request: Request) -> Answer:
        return self.error(self.status, "InternalError") if request.if_none_match else super().on_get(request)


class ExpectsNothing(Store):
    """Answers 417 to every PUT with Expect."""

    def on_put(self, request: Request) -> Answer:
        return self.error(417, "ExpectationFailed") if "Expect" in request.headers else super().on_put(request)


class FallsSilent(Store):
    """Answers nothing any more from the first conditional read on. unanswered are the keys that it was asked for."""

    def __init__(self, certificate: pathlib.Path | None = None, answers_continue: bool = True) -> None:
        super().__init__(certificate, answers_continue)
        self.unanswered: list[str] = []

    def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        if self.unanswered or (request.method == "GET" and request.if_none_match):
            self.unanswered.append(request.key)
            exchange.hold()
        else:
            super().handle(exchange)


class JudgesChecksums(Store):
    """Answers crc32 (a status) to a PUT with x-amz-checksum-crc32, and md5 to one whose Content-MD5 is all zeros."""

    crc32 = md5 = 0

    def on_put(self, request: Request) -> Answer:
        status = self.crc32 if "x-amz-checksum-crc32" in request.headers else 0
        if request.headers.get("Content-MD5") == base64.b64encode(bytes(16)).decode():
            status = self.md5
        return self.error(status, "InvalidRequest") if status else super().on_put(request)


class CarriesOutAfterTheDelete(Store):
    """The second create of a key hangs, and is carried out once the object is deleted; landed is set then."""

    def __init__(self, certificate: pathlib.Path | None = None, answers_continue: bool = True) -> None:
        super().__init__(certificate, answers_continue)
        self.landed = threading.Event()
        self._deleted = threading.Event()
        self._late = ""

    def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        with self._lock:
            second = self.count("PUT", key=request.key, condition="create") > 1
            late = request.method == "PUT" and second and request.key[-2:] == "-1" and not self._late
            if late:
                self._late = request.key
        if late and exchange.wait(self._deleted):
            self.take(request)
            self.landed.set()
            exchange.hold()
        else:
            super().handle(exchange)
            if request.method == "DELETE" and request.key == self._late:
                self._deleted.set()


class TakesOneWriteAtATime(Store):
    """Answers 429 to a write that comes within apart seconds of the last one to its key, as Cloudflare R2."""

    apart = 1.0

    def on_put(self, request: Request) -> Answer:
        stored = self._objects.get(request.key)
        if stored and self.now() < stored.modified + self.apart:
            return self.error(429, "TooManyRequests")
        return super().on_put(request)


class Throttles(Store):
    """Answers throttle_status (429 or 503) as long as throttles is above 0, counting it down."""

    throttles = 0
    throttle_status = 503
    retry_after: int | None = None

    def dispatch(self, request: Request) -> Answer:
        if self.throttles <= 0:
            return super().dispatch(request)
        self.throttles -= 1
        code = "SlowDown" if self.throttle_status == 503 else "TooManyRequests"
        headers = () if self.retry_after is None else (("Retry-After", str(self.retry_after)),)
        return self.error(self.throttle_status, code, headers)
