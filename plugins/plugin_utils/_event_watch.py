# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""The options of an event source, and its looks at the store. A look blocks, so it belongs into a thread."""

from __future__ import annotations

import logging
import os
import re
import time
import typing as t

from ..module_utils._lease import durations, settings
from ..module_utils._lease.bad_option import HIDDEN, BadOption
from ..module_utils._lease.clock import Clock
from ..module_utils._lease.connection import MISSING_LIBRARY, CannotSend, Connection
from ..module_utils._lease.driver import drive
from ..module_utils._lease.listing import Below, Listing
from ..module_utils._lease.protocol import look
from ..module_utils._lease.settings import Endpoint, Location
from ..module_utils._lease.store import Store
from ..module_utils._lease.types import Found, Seen, StoreError
from ..module_utils._lease.wording import plain
from . import _events
from ._events import Change, State

LOGGER = logging.getLogger("leaderelection.s3")
POLL_INTERVAL = "5s"
TYPES: dict[str, type] = dict(
    dict.fromkeys(Endpoint.__dataclass_fields__, str),
    **dict.fromkeys(("bucket", "key", "prefix", "poll_interval", "state_file"), str),
    validate_certs=bool,
    aws_config=dict,
)
"""The options, and what each has to be. A duration may be a number, too."""
_DURATIONS = ("poll_interval", "request_timeout")
_FILES = ("aws_ca_bundle", "credentials_file", "state_file")
_SECRET = ("access_key", "secret_key", "session_token", "aws_config")
_DEFAULTS = dict(bucket="S3_LEADER_BUCKET", endpoint_url="AWS_URL", aws_ca_bundle="AWS_CA_BUNDLE")
"""The variables that stand in for options, as on the command line of s3-leader. botocore reads its own."""
_UPGRADE = "Nothing is told of it. Upgrade the collection where ansible-rulebook runs"
_SCRATCH = ".preflight-"
"""In the keys of a preflight's scratch objects, which are no leases."""
_SECONDS = re.compile(r"[\d.e+-]+ s\b")
"""In the text of a failure: how long a request was waited for is no other failure."""


class Options(t.NamedTuple):
    """The options of the source, checked."""

    location: Location
    """Of the lease; or what is below the prefix."""
    endpoint: Endpoint
    poll_interval: float
    state_file: str | None

    @property
    def key(self) -> str | None:
        """The key of the only lease; None for a prefix."""
        return None if isinstance(self.location, Below) else self.location.key


def parsed(arguments: t.Mapping[str, t.Any]) -> Options:
    """Return the options. Raises BadOption."""
    # A name may be a number: what a rulebook has goes unchecked. Those with eda_ are ansible-rulebook's own.
    given = {name: value for name, value in arguments.items() if not str(name).startswith("eda_")}
    for name, value in given.items():
        _check_type(name, value)
    given = {name: value for name, value in given.items() if value is not None}
    for name, variable in _DEFAULTS.items():
        if not given.get(name) and os.environ.get(variable):
            given[name] = os.environ[variable]
    key, prefix = given.get("key"), given.get("prefix")
    if key is None and prefix is None:
        raise BadOption("key", key, "name the lease to watch, or use prefix to watch all below it, like jobs/")
    if key is not None and prefix is not None:
        raise BadOption("prefix", prefix, "key is set, too. Use key for one lease, or prefix for all below it")
    bucket = given.get("bucket") or settings.DEFAULT_BUCKET
    location = Below(bucket, str(prefix)) if key is None else Location(bucket, key)
    for name in _DURATIONS:
        if name in given:
            given[name] = durations.seconds(name, given[name])
    endpoint = Endpoint(**{name: given[name] for name in Endpoint.__dataclass_fields__ if name in given})
    poll_interval = given.get("poll_interval", durations.parsed(POLL_INTERVAL))
    settings.check_range("poll_interval", poll_interval)
    return Options(location.checked(), endpoint, poll_interval, given.get("state_file") or None)


def _check_type(name: str, value: object) -> None:
    if name not in TYPES:
        # The value may be a secret key.
        raise BadOption(str(name), HIDDEN, f"this option does not exist. Use {', '.join(sorted(TYPES))}")
    wanted = TYPES[name]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not isinstance(value, wanted) and not (name in _DURATIONS and is_number):
        kind = {bool: "true or false", dict: "a map"}.get(wanted, "a string: put it in quotes")
        raise BadOption(name, HIDDEN if name in _SECRET else value, f"it has to be {kind}")
    if name in _FILES and isinstance(value, str) and not _is_path(value):
        raise BadOption(name, value, "no file can have this name. Remove the NUL character, or half a surrogate pair")


def _is_path(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


class Watch:
    """Looks at the leases again and again."""

    def __init__(self, options: Options) -> None:
        """Raises BadOption or CannotSend if the store cannot be reached with these options."""
        if MISSING_LIBRARY is not None:
            raise CannotSend(
                f"the Python library botocore is missing ({MISSING_LIBRARY})",
                "Install boto3 for the Python that runs ansible-rulebook",
            )
        self._options = options
        self._clock = Clock()
        self._known: dict[str, Seen] = {}
        self._failure = ""
        """Why the last look failed; '' if it did not."""
        self._unread: dict[str, str] = {}
        """The leases that only a newer version can read, each with why."""
        self._connection: Connection | None = Connection(options.endpoint, options.location)
        self.store: str = self._connection.bucket_url

    def changes(self, state: State) -> t.Iterable[Change]:
        """Look at the leases, and return what to tell of them after all that was told."""
        below, key = self._options.location, self._options.key
        try:
            found = self._look(state)
        except (BadOption, CannotSend, StoreError) as error:
            self._connection = None  # the next one reads the credentials again
            self._log_failure(plain(str(error)))
            return _events.failed(state, below, key, str(error), time.time())
        self._failure = ""
        self._log_unread(found)
        return _events.looked(state, below, key, found, time.time())

    def _log_failure(self, why: str) -> None:
        """Log the first failure of a series in this process, and each that is another than the one before."""
        if _SECONDS.sub("", why) != _SECONDS.sub("", self._failure):
            LOGGER.warning("%s: %s", self._options.location, why)
        self._failure = why

    def _log_unread(self, found: t.Mapping[Location, Found]) -> None:
        """Log each lease that only a newer version can read, once as long as it is one."""
        unread = {str(location): why for location, one in found.items() for why in [_events.too_new(one)] if why}
        for lease, why in unread.items():
            if self._unread.get(lease) != why:
                LOGGER.warning("%s: %s. %s", lease, why, _UPGRADE)
        self._unread = unread

    def _look(self, state: State) -> dict[Location, Found]:
        """Raises BadOption, CannotSend or StoreError."""
        options, connection = self._options, self._connected()
        if options.key is not None:
            return {options.location: self._read(connection, options.location)}
        listing = Listing(connection, options.location, options.endpoint, self._clock)
        listed = {one.location: one.found for one in listing.read(self._known) if _SCRATCH not in one.location.key}
        self._known = {location.key: seen for location, seen in listed.items()}
        found: dict[Location, Found] = {**listed}
        for key, told in sorted((state.told or {}).items()):
            # A listing that is out of date ends no term, and forgets none.
            if key not in self._known or _events.expires(told, self._known[key]):
                location = options.location.at(key)
                try:
                    found[location] = self._read(connection, location)
                except StoreError as error:
                    raise StoreError(f"{location} cannot be read: {error.why}", error.advice) from None
        return found

    def _connected(self) -> Connection:
        """Raises BadOption or CannotSend."""
        if self._connection is None:
            connection = Connection(self._options.endpoint, self._options.location)
            if connection.bucket_url != self.store:  # what was told is about the other one
                raise CannotSend(
                    f"the source would move from {self.store} to {connection.bucket_url}",
                    "Restore the endpoint, or restart the rulebook with another state_file",
                )
            self._connection = connection
        return self._connection

    def _read(self, connection: Connection, location: Location) -> Found:
        endpoint, known = self._options.endpoint, self._known.get(location.key)
        store = Store(connection.at(location.key), location, self._clock)
        steps = look(self._clock.now() + endpoint.patience, known)
        found = drive(steps, store, endpoint.request_timeout, self._clock).found
        if isinstance(found, Seen):
            self._known[location.key] = found
        else:
            self._known.pop(location.key, None)
        return found
