# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""What an event source has told, in a file: so it tells each change once, also over restarts."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import typing as t

from ..module_utils._lease.bad_option import BadOption
from ..module_utils._lease.settings import Location
from ._events import Failure, State, Told

FORMAT = 1
T = t.TypeVar("T")


class Memory:
    """The file, or none: then everything is forgotten with the process."""

    def __init__(self, path: str | None, below: Location, store: str) -> None:
        """``store`` is the URL of the bucket, as in the proofs of the leases."""
        self._path = path
        self._about = dict(store=store, location=str(below))

    def load(self) -> State:
        """Return what was told. Raises BadOption for a file that cannot be used."""
        if self._path is None:
            return State()
        if os.path.exists(self._path) and not (os.path.isfile(self._path) or os.path.isdir(self._path)):
            raise BadOption("state_file", self._path, "it is no regular file")
        try:
            with open(self._path, encoding="utf-8") as file:
                state = self._checked(file.read())
        except FileNotFoundError:
            state = State()
        except (OSError, UnicodeDecodeError) as error:
            raise BadOption("state_file", self._path, f"it cannot be read: {_why(error)}") from None
        try:
            self.save(state)  # now rather than after the first change
        except OSError as error:
            way_out = f"it cannot be written: {_why(error)}. Use a file in a folder that the rulebook may write to"
            raise BadOption("state_file", self._path, way_out) from None
        return state

    def save(self, state: State) -> None:
        """Replace the file as a whole. Raises OSError."""
        if self._path is None:
            return
        folder, name = os.path.split(os.path.abspath(self._path))
        handle, draft = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(self._shown(state), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise

    def _shown(self, state: State) -> dict[str, t.Any]:
        return dict(format=FORMAT, **self._about, told=state.told, failure=state.failure)

    def _checked(self, text: str) -> State:
        """Raises BadOption."""
        about, state = {}, State()
        try:
            given = json.loads(text)
            version = _a(int, given["format"])
            if version == FORMAT:
                about, state = {name: _a(str, given[name]) for name in self._about}, _state(given)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            raise BadOption("state_file", self._path, f"no event source has written it. {_ANOTHER}") from None
        if version != FORMAT:
            raise BadOption("state_file", self._path, f"another version of the collection has written it. {_ANOTHER}")
        if about != self._about:
            theirs, ours = (f"{one['location']} of {one['store']}" for one in (about, self._about))
            way_out = f"it is about {theirs}, but this source watches {ours}. Give each source its own file"
            raise BadOption("state_file", self._path, way_out)
        return state


_ANOTHER = "Remove it, or name another file; then changes before the first look are not told"


def _state(given: dict[str, t.Any]) -> State:
    told, failure = given["told"], given["failure"]
    return State(
        None if told is None else {key: None if one is None else _told(*one) for key, one in told.items()},
        None if failure is None else Failure(*(_a(str, text) for text in _a(list, failure))),
    )


def _told(holder: t.Any, session: t.Any, term: t.Any, how: t.Any, version: t.Any) -> Told:
    return Told(_a(str, holder), _a(str, session), _a(int, term), _a(str, how), _a(str, version))


def _a(wanted: type[T], value: t.Any) -> T:
    """Return the value, if it is of this type. True is no number, whatever Python says."""
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise TypeError(value)
    return value


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
