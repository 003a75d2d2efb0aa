# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What many processes were told of one lease, at the same time and among faults, is what a lease would tell them."""

from __future__ import annotations

import random

import pytest
from support.recorder import Request
from support.stores.both import ON_BOTH_STORES
from support.stores.odd import ChecksThenPuts

from . import evidence, history
from .checker import NotLinearizable, check
from .processes import Processes, RandomFaults

PROCESSES = 12
PER_LEASE = 4
CALLS = 8
FAULTS = 0.15
ATTEMPTS = 8
"""The first one is nearly always enough."""


@ON_BOTH_STORES
def test_on_a_real_store_among_faults_every_history_is_that_of_a_lease(store, key, tmp_path):
    seed = random.SystemRandom().randrange(2**32)
    with (
        RandomFaults(store.endpoint_url, seed, FAULTS) as proxy,
        evidence.kept_on_failure(tmp_path, seed, proxy),
    ):
        environment = {**store.environment, "AWS_URL": proxy.url}
        Processes(environment, f"leader-election/{key}", tmp_path, seed).run(PROCESSES, PER_LEASE, CALLS)
        assert proxy.faults()
        calls, operations = history.load(tmp_path)
        for one in operations.values():
            check(one)
        assert len(calls) == PROCESSES * CALLS
        assert {"acquired", "held"} <= {call.result for call in calls}


def test_on_a_store_that_lets_several_win_it_is_not(open_store, tmp_path):
    store = open_store(ChecksThenPuts)
    store.window = 1.0
    environment = {"AWS_URL": store.url, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    for attempt in range(ATTEMPTS):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        Processes(environment, f"any/{attempt}", folder, seed=attempt).run(processes=8, per_lease=8, calls=3)
        try:
            for one in history.load(folder).operations.values():
                check(one)
        except NotLinearizable:
            return
    pytest.fail(f"{ATTEMPTS} histories of a store that ignores races passed for those of a lease")


def test_a_failure_keeps_what_explains_it(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, "KEPT", tmp_path / "kept")
    journals = tmp_path / "journals"
    journals.mkdir()
    for session in ("a", "b"):
        lines = [
            f'{{"at": 1.0, "invoked": "acquire", "session": "{session}", "key": "k", "term": null, "forced": false}}',
            f'{{"at": 1.1, "sent": ["of-{session}", "{session}", 7, 1, false, true, 4.0]}}',
            f'{{"at": 1.2, "told": "acquired", "seen": "of-{session}", "is_leader": true, "deadline": 5.1}}',
        ]
        (journals / f"{session}.jsonl").write_text("\n".join(lines) + "\n")
    proxy = RandomFaults("http://127.0.0.1:1", seed=42, share=0)
    for key, fault in (("k", "hang"), ("k", None), ("another", "drip")):
        request = Request("PUT", f"/bucket/{key}", key, None, "*", {}, b"")
        proxy.add(request)
        proxy.note(request, **({"fault": fault} if fault else {"status": 200}))

    with pytest.raises(NotLinearizable) as failure, evidence.kept_on_failure(journals, 42, proxy):
        check(history.load(journals).operations["k"])

    told = "\n".join(failure.value.__notes__)
    place = tmp_path / "kept" / "42"
    assert "Seed 42" in told
    assert str(place) in told
    assert told.index("of-a held by a") < told.index("of-b held by b") < told.index("request 1 for k: fault hang")
    assert "request 2" not in told
    assert "request 3" not in told
    assert len((place / evidence.REQUESTS).read_text().splitlines()) == 6
    with pytest.raises(NotLinearizable):
        check(history.load(place).operations["k"])


def test_what_a_process_was_killed_over_is_without_an_answer(tmp_path):
    lines = [
        '{"at": 1.0, "invoked": "acquire", "session": "a", "key": "k", "term": null, "forced": false}',
        '{"at": 1.1, "sent": ["nonce", "a", 7, 1, false, true, 4.0]}',
        '{"at": 1.2, "told": "acquired", "seen": "nonce", "is_leader": true, "deadl',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    calls, operations = history.load(tmp_path)
    assert [call.result for call in calls] == [history.KILLED]
    assert [(one.told, one.answered) for one in operations["k"]] == [("", history.NEVER)]
