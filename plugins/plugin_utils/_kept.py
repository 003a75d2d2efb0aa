# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""What the keepers of this run publish about their leases: a file for each lease, in Ansible's own temporary folder.

All processes of a run find it there. A keeper holds a lock on its file as long as it lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import time
import typing as t

from ansible import constants
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import runtime

from . import _run

HELD, LOST, ENDED = "held", "lost", "ended"
GIVE_BACK, LET_EXPIRE = "give back", "let expire"
_POLL = 0.02
"""Seconds between two looks whether a keeper has ended."""


class Kept(t.NamedTuple):
    """A lease, as its keeper knows it. Times are readings of the controller's clock."""

    state: str
    """HELD, LOST, or ENDED: the keeper was asked to end."""
    reason: str
    """One sentence for people."""
    lease: t.Mapping[str, t.Any]
    """As results have it."""
    store: str
    """The URL of its bucket: another store may have a bucket and a lease of the same name."""
    deadline: float
    until: float
    """When the run has to begin to end, unless the lease is renewed."""
    written_at: float
    heard_at: float
    aborts: bool
    """The run ends when the lease is lost."""
    patience: float
    """Seconds that its keeper may take to end."""
    keeper: int
    """A process."""
    given_back: bool = False

    @property
    def name(self) -> str:
        return f"s3://{self.lease['bucket']}/{self.lease['key']} (term {self.lease['term']})"

    @property
    def is_held(self) -> bool:
        return self.state == HELD and _run.now() < self.deadline

    @property
    def result(self) -> dict[str, t.Any]:
        """What renew and release take as an earlier result."""
        now = _run.now()
        return dict(is_leader=True, lease=dict(self.lease), elapsed=now - self.written_at, heard=now - self.heard_at)


def known(lease: t.Mapping[str, t.Any], store: str) -> Kept | None:
    """Return what is known of a lease in a store, by its bucket, key and session; None if it had no keeper."""
    return _read(_path(lease, store))


def find(lease: t.Mapping[str, t.Any]) -> Kept | None:
    """Return what is known of the lease in a result; None if it had no keeper. Of several in different stores, it is
    the one in the store that the result names, or, where a store has two names, the one of the same acquisition.
    """
    identity, proof = _identity(lease), lease.get("conditions_proven")
    those = [kept for kept in every() if _identity(kept.lease) == identity]
    store = proof.get("store") if isinstance(proof, t.Mapping) else None
    there = [kept for kept in those if store in (None, kept.store)]
    there = there or [kept for kept in those if _acquisition(kept.lease) == _acquisition(lease)]
    return there[0] if len(there) == 1 else None


def is_held(result: t.Mapping[str, t.Any]) -> bool:
    """Tell whether a registered result of this run is still before its deadline (rule 8), or that of its keeper."""
    lease = result.get("lease")
    if result.get("is_leader") and isinstance(lease, t.Mapping):
        kept, term = find(lease), lease.get("term")
        if kept and kept.lease["term"] == term:
            return kept.is_held
        if kept and isinstance(term, int) and kept.lease["term"] > term:
            return False
    return _run.is_held(result)


def every() -> list[Kept]:
    """Return what is known of all leases that have, or had, a keeper in this run."""
    with contextlib.suppress(OSError):
        paths = [entry.path for entry in os.scandir(_folder()) if entry.name.endswith(".json")]
        return [kept for kept in map(_read, paths) if kept]
    return []


def forget(kept: Kept) -> None:
    """Let nobody go by what a keeper knew last: the run has the lease without it."""
    with contextlib.suppress(OSError):
        os.unlink(_path(kept.lease, kept.store))


def publish(kept: Kept) -> None:
    """Replace what is known of a lease. Raises OSError."""
    runtime.write(_path(kept.lease, kept.store), json.dumps(kept._asdict()))


def lock(lease: t.Mapping[str, t.Any], store: str) -> int:
    """Keep any other keeper of this lease from running while the returned descriptor is open. Raises OSError:
    BlockingIOError if there is one.
    """
    os.makedirs(_folder(), mode=0o700, exist_ok=True)
    descriptor = os.open(_path(lease, store) + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def renewed(kept: Kept) -> dict[str, t.Any]:
    """Return the result of a renewal, as the keeper knows it already."""
    now, term = _run.now(), kept.lease["term"]
    since = now - kept.written_at
    reason = f"still leader with term {term}, and kept while this run lasts: renewed {since:.3g} s ago"
    return dict(
        changed=False,
        is_leader=kept.is_held,
        lease=dict(kept.lease, age=since, expires_in=max(0.0, kept.lease["expires_in"] - since)),
        term=term if kept.is_held else None,
        slot=kept.lease["slot"] if kept.is_held else None,
        reason=reason if kept.is_held else kept.reason,
        requests=0,
        deadline=dict(run=_run.RUN, at=kept.deadline, heard=now) if kept.is_held else None,
    )


def ask(kept: Kept, give_back: bool) -> None:
    """Ask the keeper of a lease to end. A signal alone does not: it may come from anybody."""
    with contextlib.suppress(OSError), open(_request(kept), "w", encoding="ascii") as file:
        file.write(GIVE_BACK if give_back else LET_EXPIRE)
    _wake(kept, signal.SIGUSR1)


def asked(kept: Kept) -> str:
    """Return what the keeper was asked for: GIVE_BACK, LET_EXPIRE, or nothing."""
    try:
        with open(_request(kept), encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def await_end(kept: Kept) -> Kept:
    """Wait until a keeper that was asked to end has ended. Return what it knew last, or what the next keeper knows if
    there is one already. One that hangs is killed.
    """
    deadline = _run.now() + kept.patience
    while True:
        with _alone(kept) as alone:
            if alone:
                return _last(kept)
        now = known(kept.lease, kept.store)
        if now and now.keeper != kept.keeper:
            return now
        _wake(kept, signal.SIGKILL if _run.now() >= deadline else signal.SIGUSR1)
        time.sleep(_POLL)


def _last(kept: Kept) -> Kept:
    last = known(kept.lease, kept.store) or kept
    if last.state == HELD:  # it was dead already, or hung
        last = last._replace(state=ENDED, reason="the process that kept it had died, or did not answer")
        publish(last)
    with contextlib.suppress(OSError):
        os.unlink(_request(kept))
    return last


def released(kept: Kept) -> None:
    """Note that a lease whose keeper has ended was released, unless it has another keeper by now."""
    with contextlib.suppress(OSError), _alone(kept) as alone:
        if alone and known(kept.lease, kept.store) == kept:
            publish(kept._replace(given_back=True))


@contextlib.contextmanager
def _alone(kept: Kept) -> t.Iterator[bool]:
    """Keep keepers of the lease from running meanwhile. Yield False if one is at work."""
    try:
        descriptor = lock(kept.lease, kept.store)
    except OSError as error:  # where nobody can lock it, no keeper can
        yield not isinstance(error, BlockingIOError)
        return
    try:
        yield True
    finally:
        os.close(descriptor)


def end(kept: Kept, give_back: bool) -> Kept:
    """Let the keeper of a lease end, and whoever follows it meanwhile, and wait for that."""
    while True:
        ask(kept, give_back)
        last = await_end(kept)
        if last.keeper == kept.keeper:
            return last
        kept = last


def _request(kept: Kept) -> str:
    return f"{_path(kept.lease, kept.store)}.{kept.keeper}.ask"


def _wake(kept: Kept, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(kept.keeper, number)


def announce_end() -> None:
    """Let keepers know that the run is ending by itself, so that a lease that is lost from now on ends nothing."""
    with contextlib.suppress(OSError):
        os.close(os.open(_ending(), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def is_ending() -> bool:
    return os.path.exists(_ending())


def _ending() -> str:
    return os.path.join(_folder(), "ending")


def mark() -> str:
    """Return the file that all forked processes of the run have open while a lease is kept."""
    return os.path.join(os.path.realpath(_folder()), "run")


def _folder() -> str:
    return os.path.join(constants.DEFAULT_LOCAL_TMP, "s3-leader")  # type: ignore[attr-defined,unused-ignore]


def _identity(lease: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    return tuple(str(lease.get(name)) for name in ("bucket", "key", "session"))


def _acquisition(lease: t.Mapping[str, t.Any]) -> tuple[t.Any, ...]:
    return lease.get("term"), lease.get("acquired_at")


def _path(lease: t.Mapping[str, t.Any], store: str) -> str:
    identity = "\0".join([*_identity(lease), store])
    return os.path.join(_folder(), hashlib.sha256(identity.encode()).hexdigest()[:32] + ".json")


def _read(path: str) -> Kept | None:
    try:
        with open(path, encoding="utf-8") as file:
            return Kept(**json.load(file))
    except OSError:
        return None
