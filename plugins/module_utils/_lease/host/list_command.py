# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""s3-leader list: every lease of a bucket, or below a prefix."""

from __future__ import annotations

import argparse
import json
import math
from typing import List, NamedTuple, Sequence, Tuple

from ..clock import Clock
from ..connection import Connection
from ..listing import Below, Listed, Listing, summary
from ..protocol import free_in, record_of
from ..record import Unreadable, utc
from ..settings import Endpoint
from ..wording import lease, state
from . import output, store_options


class Question(NamedTuple):
    """What is to be listed, and how it is shown."""

    below: Below
    endpoint: Endpoint
    json: bool
    watch: bool


def parse(words: Sequence[str]) -> Question:
    """Return what the command line asks for. Raises BadOption, or SystemExit after a message."""
    parser = argparse.ArgumentParser(
        prog="s3-leader list",
        description="Show every lease of a bucket: its state, who holds it, since when, its term, and the time that it "
        "has left. Objects that are no leases are shown as unreadable. Nothing is written.",
    )
    store_options.add_bucket(parser.add_argument)
    parser.add_argument("--prefix", default="", help="show only keys that begin with it, like jobs/")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--watch", action="store_true", help="repeat every two seconds, until interrupted")
    store_options.add_endpoint(parser)
    given = parser.parse_args(words)
    below = Below(given.bucket, given.prefix).checked()
    return Question(below, store_options.endpoint(given), given.json, given.watch)


def run(question: Question) -> int:
    """Show the leases. Return the exit status. Raises BadOption, CannotSend or StoreError."""
    connection = Connection(question.endpoint, question.below)

    def screen() -> str:
        found = Listing(connection, question.below, question.endpoint, Clock()).read()
        return _document(found, question.below) if question.json else _screen(found, question.below)

    return output.show(screen, question.watch)


def _document(found: Sequence[Listed], below: Below) -> str:
    leases = [lease(one.found, one.location) for one in found]
    return json.dumps(dict(bucket=below.bucket, prefix=below.key, leases=leases), indent=2)


def _screen(found: Sequence[Listed], below: Below) -> str:
    counts = visible(summary(found, below))
    return "%s\n\n%s" % (output.table(_HEAD, map(_cells, found)), counts) if found else counts


_HEAD = ("KEY", "STATE", "HOLDER", "TERM", "SINCE", "LEFT", "")


def _cells(one: Listed) -> Tuple[str, ...]:
    """Return the row of an object. The last cell says why it is no lease."""
    record, why = one.found.record, ""
    if isinstance(record, Unreadable):
        why = "%s (%d bytes)" % (record.why, one.size)
    known = record_of(one.found)
    holder, term, acquired_at = (known.holder, known.term, known.acquired_at) if known else ("", 0, None)
    since = one.found.modified if known is None or known.released else acquired_at
    left = free_in(one.found)
    return (
        visible(one.location.key),
        state(one.found),
        visible(holder) or "-",
        str(term or "-"),
        "-" if since is None else "%sZ" % str(utc(since))[:19],
        "%ds" % math.ceil(left) if left else "-",
        visible(why),
    )


def visible(text: str) -> str:
    """Return the text with unprintable characters as escapes: anybody may have written it, and it goes to terminals."""
    shown: List[str] = []
    for character in text:
        shown.append(character if character.isprintable() else character.encode("unicode_escape").decode("ascii"))
    return "".join(shown)
