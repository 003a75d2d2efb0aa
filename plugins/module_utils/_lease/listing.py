# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Every lease below a prefix: one listing of the bucket (ListObjectsV2), and a read of each object in it.

The result is whole, or there is none. Nothing is written.
"""

from __future__ import annotations

import collections
import contextlib
import threading
from dataclasses import dataclass
from types import MappingProxyType
from typing import Counter, Deque, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import quote, unquote_plus, urlencode

from .bad_option import BadOption
from .clock import Clock
from .connection import Connection, Response
from .driver import drive
from .protocol import free_in, look
from .record import MAX_BODY, Unreadable, from_utc, utc
from .settings import LENGTHS, Endpoint, Location, check_bucket, check_key
from .store import NOT_S3, Store
from .store_time import StoreTime
from .types import Absent, Outcome, Refused, Seen, StoreError, StoreRefused
from .wording import state
from .xml_document import all_of, content_of, name_of, parse, text_of

MOST_OBJECTS = 10000
"""Most objects below a prefix."""
MOST_PAGE = 4194304
"""Most bytes of a page: it has up to 1000 keys of 1024 bytes, each of which may take three characters."""
AT_ONCE = 8
"""Reads in flight at the same time. Each has a connection of its own."""


@dataclass(frozen=True)
class Below(Location):
    """All objects whose key begins with ``key``; with '', the whole bucket. Its text is s3://bucket/prefix."""

    def checked(self) -> Below:
        """Return it. Raises BadOption for an unusable bucket or prefix."""
        check_bucket(self.bucket)
        size, most = len(self.key.encode("utf-8", "replace")), LENGTHS["key"][1]
        if size > most:
            raise BadOption("prefix", self.key, "it has %d bytes. Use at most %d" % (size, most))
        if not self.key.isprintable():
            raise BadOption("prefix", self.key, "it has a control character or another unprintable one. Remove it")
        if "://" in self.key:
            raise BadOption("prefix", self.key, "it is a URL. Use bucket and a prefix like jobs/")
        return self


class Object(NamedTuple):
    """An object as the listing shows it. Its time is by the store's clock."""

    key: str
    size: int
    etag: str
    modified: float


class Page(NamedTuple):
    """A part of the listing."""

    objects: Sequence[Object]
    following: str
    """The token of the next page; '' on the last one."""
    store_time: float


class Listed(NamedTuple):
    """What an object was found to be. It need not be a lease."""

    location: Location
    found: Seen
    size: int
    """Bytes, by the listing."""


class Listing:
    """Reads every lease below a prefix, which stands in the place of a key."""

    def __init__(self, connection: Connection, below: Location, endpoint: Endpoint, clock: Clock) -> None:
        self._connection = connection
        self._below = below
        self._endpoint = endpoint
        self._clock = clock
        self._time = StoreTime(clock)
        self._stores: List[Store] = []

    @property
    def requests(self) -> int:
        """Number of requests sent."""
        return sum(store.requests for store in self._stores)

    def read(self, known: Mapping[str, Seen] = MappingProxyType({})) -> List[Listed]:
        """Return what is there, by key. An object that vanishes meanwhile is left out. Raises StoreError.

        ``known`` is what an earlier look has found, by key: what still has its ETag is not read again.
        """
        objects: Dict[str, Object] = {}
        tokens = {""}
        page = self._page("")
        while True:
            objects.update((one.key, one) for one in page.objects)
            if len(objects) > MOST_OBJECTS or len(tokens) > MOST_OBJECTS:
                raise StoreRefused(
                    "there are more than %d objects below %s" % (MOST_OBJECTS, self._below),
                    "Use a longer prefix, below which there are fewer",
                )
            if not page.following:
                return self._read_all([objects[key] for key in sorted(objects)], page.store_time, known)
            if page.following in tokens:
                raise StoreRefused(
                    "%s cannot be listed: %s begins the list anew, again and again"
                    % (self._below, self._connection.origin),
                    NOT_S3,
                )
            tokens.add(page.following)
            page = self._page(page.following)

    def _page(self, token: str) -> Page:
        query = [("list-type", "2"), ("encoding-type", "url"), ("prefix", self._below.key)]
        if token:
            query.append(("continuation-token", token))
        connection = self._connection.at("", urlencode(query, quote_via=quote, safe=""))
        pages = _Pages(connection, self._below, self._clock, self._time)
        self._look(pages, "%s cannot be listed" % self._below)
        if pages.page is None:
            raise TypeError("a page was read without its content")
        return pages.page

    def _read_all(self, objects: Sequence[Object], store_time: float, known: Mapping[str, Seen]) -> List[Listed]:
        found: Dict[str, Optional[Seen]] = {}
        errors: List[Exception] = []
        todo: Deque[Object] = collections.deque(objects)

        def work() -> None:
            while not errors:
                try:
                    one = todo.popleft()
                except IndexError:
                    return
                try:
                    found[one.key] = self._read(one, store_time, known.get(one.key))
                except Exception as error:  # pylint: disable=broad-exception-caught
                    errors.append(error)

        threads = [threading.Thread(target=work, daemon=True) for _number in range(min(AT_ONCE, len(objects)) - 1)]
        started = []
        for thread in threads:
            with contextlib.suppress(RuntimeError):  # there are too many threads: fewer do it, too
                thread.start()
                started.append(thread)
        work()
        for thread in started:
            thread.join()
        if errors:
            raise errors[0]
        read = ((one, found[one.key]) for one in objects)
        return [Listed(self._below.at(one.key), seen, one.size) for one, seen in read if seen is not None]

    def _read(self, one: Object, store_time: float, known: Optional[Seen]) -> Optional[Seen]:
        """Return what the object is, or None if it has vanished. Raises StoreError."""
        if known is not None and known.etag == one.etag:
            return known._replace(store_time=store_time)
        no_lease = _no_lease(one)
        if no_lease is not None:
            return Seen(no_lease, one.etag, one.modified, store_time)
        location = self._below.at(one.key)
        store = Store(self._connection.at(one.key), location, self._clock, self._time)
        return self._look(store, "%s cannot be read" % location, known)

    def _look(self, store: Store, failed: str, known: Optional[Seen] = None) -> Optional[Seen]:
        self._stores.append(store)
        until = self._clock.now() + self._endpoint.patience
        try:
            found = drive(look(until, known), store, self._endpoint.request_timeout, self._clock).found
        except StoreError as error:
            raise type(error)("%s: %s" % (failed, error.why), error.advice) from None
        return None if isinstance(found, Absent) else found


def _no_lease(one: Object) -> Optional[Unreadable]:
    """Return why the object can be no lease, whatever it contains: then it is not read."""
    if one.size > MAX_BODY:
        return Unreadable("it is larger than %d bytes" % MAX_BODY)
    try:
        check_key(one.key)
    except BadOption:
        return Unreadable("no lease can have this key")
    return None


class _Pages(Store):
    """A page of the listing. To the protocol, it is an object that is no lease."""

    most = MOST_PAGE
    page: Optional[Page] = None

    def _outcome(self, method: str, headers: Mapping[str, str], response: Response, date: Optional[float]) -> Outcome:
        if response.status != 200:
            return self._no_success("LIST", response)
        if date is None:
            return self._no_date()
        try:
            self.page = parsed(response.body, self._location.key, date)
        except ValueError as error:
            return Refused("%s answered 200, but %s" % (self._connection.origin, error), NOT_S3)
        return Seen(Unreadable("it is a listing"), "", date, date)

    def _way_out(self, method: str, status: int) -> str:
        if status in (401, 403):
            return "Grant s3:ListBucket on the bucket %s" % self._location.bucket
        return "This store may be unable to list objects (ListObjectsV2). Ask for each lease by its key"


def parsed(body: bytes, prefix: str, store_time: float) -> Page:
    """Read a page of a listing. Raises ValueError, whose text says what is wrong with it.

    Source: docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
    """
    root = parse(body, MOST_PAGE)
    if root is None or name_of(root) != "ListBucketResult":
        raise ValueError("with no listing")
    encoded = text_of(root, "EncodingType") == "url"
    objects = []
    for node in all_of(root, "Contents"):
        key = content_of(node, "Key")
        try:
            key = unquote_plus(key, errors="strict") if encoded else key
            size, modified = int(text_of(node, "Size")), from_utc(text_of(node, "LastModified"))
            utc(modified)  # also refuses what could not be shown
        except (ValueError, OverflowError):
            raise ValueError("its listing is malformed") from None
        if not key or not key.startswith(prefix):
            raise ValueError("its listing has a key that does not begin with the prefix")
        objects.append(Object(key, size, text_of(node, "ETag").strip('"'), modified))
    truncated, following = text_of(root, "IsTruncated"), content_of(root, "NextContinuationToken")
    if truncated not in ("true", "false"):
        raise ValueError("its listing is malformed")
    if truncated == "true" and not following:
        raise ValueError("its listing goes on without a continuation token")
    return Page(objects, following if truncated == "true" else "", store_time)


def summary(leases: Sequence[Listed], below: Location) -> str:
    """Return how many objects there are, and in which states, in one sentence for people."""
    where = "below %s" % below.key if below.key else "in the bucket %s" % below.bucket
    if not leases:
        return "no objects %s" % where
    counts: Counter[str] = collections.Counter(_kind(one.found) for one in leases)
    kinds = ", ".join("%d %s" % (counts[kind], kind) for kind in _KINDS if counts[kind])
    return "%d %s %s: %s" % (len(leases), "object" if len(leases) == 1 else "objects", where, kinds)


_KINDS: Tuple[str, ...] = ("held", "held back", "free", "expired", "not a lease")


def _kind(found: Seen) -> str:
    kind = state(found)
    if kind == "released":
        return "held back" if free_in(found) else "free"
    return "not a lease" if kind == "unreadable" else kind
