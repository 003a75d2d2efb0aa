# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""A connection that follows its credentials file, so that keys can change without a restart."""

from __future__ import annotations

import dataclasses
import os
from typing import Callable, Mapping, Optional, Tuple

from ..bad_option import BadOption
from ..connection import CannotSend, Connection, Response
from ..store import Wire
from ..store_time import Stamp
from .config import Config


class ReloadingConnection:
    """A Wire for the store: a Connection that is replaced when the file changes."""

    def __init__(self, config: Config) -> None:
        """Raises BadOption or CannotSend if the configuration cannot be used."""
        self._config = config
        self._version = _version(config)
        self._connection = connect(config)

    @property
    def origin(self) -> str:
        return self._connection.origin

    @property
    def bucket_url(self) -> str:
        return self._connection.bucket_url

    @property
    def place(self) -> str:
        """A URL that identifies the lease among those of all stores, however it is addressed.

        It includes what environment and files name, because these may change while the configuration does not.
        """
        return _place(self._connection, self._config)

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
        return self.current().send(method, headers, body, most, stamp, before_last_byte)

    def at(self, key: str) -> Wire:
        return _OtherObject(self, key)

    def current(self) -> Connection:
        """Return the connection with the credentials as they are now. Raises CannotSend."""
        version = _version(self._config)
        if version != self._version:
            self._reconnect()
            self._version = version
        return self._connection

    def _reconnect(self) -> None:
        try:
            connection = connect(self._config)
        except BadOption as error:
            raise CannotSend(str(error)) from None
        if connection.url != self._connection.url:
            raise CannotSend(
                "the lease would move from %s to %s" % (self._connection.url, connection.url),
                "Only credentials can change in place: restore the endpoint, or leave the lease on all hosts first",
            )
        self._connection = connection

    def forget(self) -> None:
        self._connection.forget()


class _OtherObject:
    """A Wire for another object of the bucket."""

    def __init__(self, connection: ReloadingConnection, key: str) -> None:
        self._connection = connection
        self._key = key

    @property
    def origin(self) -> str:
        return self._connection.origin

    def send(
        self,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        most: int,
        stamp: Stamp,
        before_last_byte: Optional[Callable[[], None]] = None,
    ) -> Response:
        connection = self._connection.current().at(self._key)
        return connection.send(method, headers, body, most, stamp, before_last_byte)

    def at(self, key: str) -> Wire:
        return _OtherObject(self._connection, key)

    def forget(self) -> None:
        self._connection.forget()


def _place(connection: Connection, config: Config) -> str:
    slots = " (%d slots)" % config.slots if config.slots else ""
    return "%s/%s%s" % (connection.bucket_url, config.key, slots)


def connect(config: Config) -> Connection:
    """Return a connection with the credentials as they are now. Raises BadOption or CannotSend."""
    path = _path(config)
    if path:
        _check_readable(path)
    return Connection(dataclasses.replace(config.endpoint, credentials_file=path), config.location)


def _path(config: Config) -> Optional[str]:
    """Return the file: the configured one, or the one that systemd provides (LoadCredential=credentials:...)."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    handed_over = os.path.join(folder, "credentials") if folder else ""
    return config.credentials_file or (handed_over if os.path.exists(handed_over) else None)


def _check_readable(path: str) -> None:
    """Raise BadOption if botocore would skip the file, and use whatever other credentials it finds."""
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise BadOption("credentials_file", path, "%s, for the user of this process" % error.strerror) from None


def _version(config: Config) -> Optional[Tuple[int, int, int]]:
    """Return a value that changes with the file; None if there is no file."""
    path = _path(config)
    try:
        found = os.stat(path) if path else None
    except OSError:
        return None
    # Times have a resolution of some milliseconds, within which a file may be emptied and written.
    return (found.st_mtime_ns, found.st_ino, found.st_size) if found else None
