# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""What earlier tasks of this user have found out about a store (rule 18), in the user's cache folder.

It spares the first acquisition of further leases in a bucket the test of the store. Nothing depends on it: whatever
goes wrong with the file, the store is tested again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile

from ._lease.record import Proof, proof_from, proof_shown


def recall(store: str) -> Proof | None:
    """Return what is known of the store with this bucket URL."""
    try:
        with open(_path(store), encoding="ascii") as file:
            proof = proof_from(json.loads(file.read(4096)))
    except (OSError, ValueError, RecursionError):
        return None
    return proof if proof and proof.store == store else None


def remember(proof: Proof) -> None:
    """Keep it for later tasks."""
    path = _path(proof.store)
    folder = os.path.dirname(path)
    with contextlib.suppress(OSError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(dir=folder)
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                json.dump(proof_shown(proof), file)
            os.replace(unfinished, path)
        except OSError:
            os.unlink(unfinished)


def _path(store: str) -> str:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "leaderelection.s3", hashlib.sha256(store.encode()).hexdigest()[:32] + ".json")
