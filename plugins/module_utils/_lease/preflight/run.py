# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Find out whether a store can be trusted with a lease, before anybody leads by it (rule 18).

Everything is tested on scratch objects beside the lease; the lease itself is neither read nor written. The preflight
makes and interprets requests with the same code as leases do.
"""

from __future__ import annotations

from typing import List, Optional

from ..bad_option import BadOption
from ..clock import Clock
from ..connection import MOST_AT_ONCE, Connection
from ..settings import Endpoint, Location
from . import bucket_settings, habits, known_stores, proxies
from .conditions import accepted, access, refused
from .late_writes import late_writes
from .races import races
from .reads import reads_and_clock
from .report import WARN, Check, Report
from .scratch import Workspace

CONTENDERS, ROUNDS = 8, 10
RANGES = dict(contenders=(2, MOST_AT_ONCE), rounds=(1, 1000))
"""The minimum and the maximum of each option."""


def preflight(
    endpoint: Endpoint,
    location: Location,
    contenders: int = CONTENDERS,
    rounds: int = ROUNDS,
    dry_run: bool = False,
    clock: Optional[Clock] = None,
    connection: Optional[Connection] = None,
) -> Report:
    """Check everything that a lease at this key depends on. A dry run writes nothing.

    ``contenders`` write at the same instant, in ``rounds`` rounds each for create and for replace. The location must
    have been checked already. An existing ``connection`` to this key is used. Raises BadOption, or CannotSend if no
    connection can be made.
    """
    for name, value in (("contenders", contenders), ("rounds", rounds)):
        least, most = RANGES[name]
        if not least <= value <= most:
            raise BadOption(name, value, "use %d to %d" % (least, most))
    clock = clock or Clock()
    work = Workspace(connection or Connection(endpoint, location), endpoint, location, clock)
    started = clock.now()
    checks: List[Check] = []
    usable = False
    try:
        first, usable = access(work)
        checks.append(first)
        if usable and not dry_run:
            _write_and_read(work, checks, contenders, rounds)
    finally:
        cleaned = work.clean_up()
    checks += [cleaned] if cleaned else []
    if usable and not work.silent:
        checks += bucket_settings.ask(work)
    answered = [habits.latency(work), proxies.ask(work), known_stores.ask(work)]
    checks += [check for check in answered if check]
    return Report(tuple(checks), len(work.log.sent), clock.now() - started, known_stores.server(work))


def _write_and_read(work: Workspace, checks: List[Check], contenders: int, rounds: int) -> None:
    """Run all checks that need writes, and add their results to ``checks``."""
    hidden = checks[-1].verdict == WARN  # reading a missing key may give 403
    scratch = work.scratch()
    first, second = work.draft(), work.draft()
    check, created = accepted(work, "create", scratch, first, None)
    checks.append(check)
    if created is None:
        return
    check, left = refused(work, "create_again", scratch, None, "a create of a key that exists (If-None-Match)")
    checks.append(check)
    check, replaced = accepted(work, "replace", scratch, second, left or created.etag)
    checks.append(check)
    if replaced is None:
        return
    checks.append(habits.etag_form(work))
    check, left = refused(
        work, "stale_replace", scratch, created.etag, "a replace of a version that is gone (If-Match)"
    )
    checks.append(check)
    check, _left = refused(
        work,
        "replace_missing",
        work.scratch("-missing"),
        created.etag,
        "a replace of a missing key (If-Match)",
        exists=False,
        hidden=hidden,
    )
    checks.append(check)
    check, repeated = habits.etag_repeats(work, scratch, first, created.etag, left or replaced.etag)
    checks.append(check)
    if repeated:
        checks += reads_and_clock(work, scratch, repeated)
    reading = None if work.silent else proxies.read(work, scratch)
    if not work.silent:
        checks += races(work, contenders, rounds)
    if not work.silent:
        checks += [late_writes(work), habits.checksums(work), habits.expect(work)]
    if not work.silent:
        checks.append(proxies.cache(work, scratch, reading))
