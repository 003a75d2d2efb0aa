# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import NoAnswer
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.conditions import accepted
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.late_writes import late_writes
from support.stores.odd import NeverExpires, RefusesQuerySignatures, Store


@pytest.mark.parametrize(
    ("kind", "verdict", "words"),
    [
        (Store, "pass", "after its use-by date is refused (403)"),
        (NeverExpires, "warn", "after its use-by date is carried out"),
        (RefusesQuerySignatures, "warn", "signatures in the query are refused, so writes have no use-by date"),
    ],
)
def test_it_is_told_whether_late_writes_are_refused(workspace, kind, verdict, words):
    work = workspace(kind)
    accepted(work, "create", work.scratch(), work.draft(), None)
    check = late_writes(work)
    assert (check.name, check.verdict) == ("late_writes", verdict)
    assert words in check.text


def test_a_store_that_takes_signatures_in_headers_only_has_its_conditions_tested_with_those(workspace):
    work = workspace(RefusesQuerySignatures)
    check, _seen = accepted(work, "create", work.scratch(), work.draft(), None)
    assert (check.verdict, work.form.dated) == ("pass", False)


def test_a_late_write_without_an_answer_tells_nothing(workspace):
    def silent(request):
        if request.method == "PUT":
            raise NoAnswer("no answer")

    work = workspace()
    accepted(work, "create", work.scratch(), work.draft(), None)
    work.connection.faults.append(silent)
    check = late_writes(work)
    assert (check.verdict, check.seen.endswith("got no answer")) == ("unknown", True)


def test_a_store_that_is_silent_about_the_object_is_unknown(workspace):
    work = workspace()
    accepted(work, "create", work.scratch(), work.draft(), None)
    work.connection.faults.append(lambda request: work.connection.store.error(500, "InternalError"))
    assert late_writes(work).verdict == "unknown"


def test_without_the_stores_time_nothing_is_known(workspace):
    assert late_writes(workspace()).verdict == "unknown"
