# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""What earlier tasks of this user have found out about stores (rule 18), in the user's cache folder.

It spares the first acquisition of further leases in a bucket the test of the store. Nothing depends on the file:
whatever goes wrong with it, the store is tested again. So is one on this machine, because its URL does not tell which
store it is: it may end a tunnel.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import stat
import tempfile
import urllib.parse

from ._lease.protocol import PROOF_LASTS
from ._lease.record import Proof, proof_from, proof_shown

MOST = 65536
"""Bytes of the file."""


def recall(store: str) -> Proof | None:
    """Return what is known of the store with this bucket URL."""
    return next((proof for proof in _known() if proof.store == store and not _is_here(store)), None)


def remember(proof: Proof) -> None:
    """Keep it for later tasks, with what is not too old."""
    if _is_here(proof.store):
        return
    others = (one for one in _known() if one.store != proof.store and abs(one.at - proof.at) < PROOF_LASTS)
    _write([proof, *others])


def forget(store: str) -> None:
    """Let the next acquisition test the store again."""
    known = _known()
    others = [proof for proof in known if proof.store != store]
    if others != known:
        _write(others)


def _known() -> list[Proof]:
    try:
        descriptor = os.open(_path(), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, encoding="ascii") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return []
            entries = json.loads(file.read(MOST))
    except (OSError, ValueError, RecursionError):
        return []
    proofs = map(proof_from, entries if isinstance(entries, list) else ())
    return [proof for proof in proofs if proof]


def _write(proofs: list[Proof]) -> None:
    text = json.dumps([proof_shown(proof) for proof in proofs])
    path = _path()
    folder = os.path.dirname(path)
    if not os.path.isabs(path):  # nobody knows this user's home
        return
    with contextlib.suppress(OSError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(dir=folder)
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(text)
            os.replace(unfinished, path)
        except OSError:
            os.unlink(unfinished)


def _is_here(store: str) -> bool:
    host = urllib.parse.urlsplit(store).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _path() -> str:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "leaderelection.s3", "stores.json")
