# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The protocol with one rule broken each, by the rule's number: what the simulation must catch."""

from __future__ import annotations

import pathlib
import types
import typing as t

from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol

MUTANTS: dict[str, tuple[str, str]] = {
    "rule 3: the term stays": ("term=term_of(found) + 1 if", "term=term_of(found) if"),
    "rule 4: a release forgets the term": ("term=term_of(found) or int(now),", "term=1,"),
    "rule 5: whosever lease is released": ("if not ours and not (force and _identity(found) == aim):", "if False:"),
    "rule 8: a late renewal counts": ("if result.at >= lapses_at:", "if False:"),
    "rule 12: no answer is taken for success": (
        "        doubtful = True\n",
        "        return Landed(Seen(draft, '', 0, 0), body, anchor, answer.at)\n",
    ),
    "rule 14: the observer is hasty": ("+ margin(record.lease_duration) - unchanged_for", "- 1 - unchanged_for"),
    "rule 15: no margin": ("+ margin(record.lease_duration) - found.age", "- found.age"),
    "rule 17: the holder's name is enough": ("record.session == me.session", "record.holder == me.holder"),
}
"""What stands in protocol.py, and what stands there instead."""


def mutant(name: str) -> t.Any:
    """Return the protocol module with this one change. Raises ValueError where the code has moved on."""
    original, broken = MUTANTS[name]
    path = pathlib.Path(str(protocol.__file__))
    source = path.read_text(encoding="utf-8")
    if source.count(original) != 1:
        raise ValueError(f"{original!r} stands {source.count(original)} times in {path.name}: mend the mutant")
    module = types.ModuleType(protocol.__name__)
    module.__package__ = protocol.__package__
    exec(compile(source.replace(original, broken), str(path), "exec"), module.__dict__)
    return module
