# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What intervals and faults tell is read from them as it is."""

from __future__ import annotations

import typing as t

from system.figures import Cause, Fault, Limits, Spell, failovers, table, violations
from system.lab.intervals import Interval

HOSTS = ("h1", "h2", "h3")
LIMITS = Limits(duration=10, margin=2, renew_interval=2)


def on(host: str, start: float, end: float, term: str, service: str = "app") -> Interval:
    return Interval(lease="db", service=service, host=host, pid=1, term=term, start=start, end=end)


def fault(began: float, cause: Cause = "broken", host: str = "h1", **changes: t.Any) -> Fault:
    values = dict(
        kind=cause, cause=cause, host=host, lease="db", began=began, ended=began + 1, leading=True, clean=True
    )
    return Fault(**{**values, **changes})


def test_two_hosts_at_a_time_are_a_violation() -> None:
    assert len(violations([on("h1", 1, 5, "1"), on("h2", 4, 9, "2")])) == 1


def test_a_term_that_does_not_rise_is_a_violation() -> None:
    assert violations([on("h1", 1, 5, "2"), on("h2", 6, 9, "3"), on("h1", 10, 12, "4")]) == []
    assert len(violations([on("h1", 1, 5, "2"), on("h2", 6, 9, "2")])) == 1
    assert len(violations([on("h1", 1, 5, "2"), on("h2", 6, 9, "1")])) == 1


def test_a_service_without_a_term_is_a_violation() -> None:
    assert "no term" in violations([on("h1", 1, 5, "")])[0]


def test_after_a_crash_time_counts_from_the_fault_and_after_a_planned_stop_from_the_end_of_the_services() -> None:
    services = [on("h1", 1, 5, "1"), on("h1", 1, 7, "1", "slow"), on("h2", 9, 20, "2"), on("h2", 9.5, 20, "2", "slow")]
    assert [one.seconds for one in failovers(services, [fault(4)], [], HOSTS)] == [5]
    assert [one.seconds for one in failovers(services, [fault(4, "planned")], [], HOSTS)] == [2]


def test_the_cause_is_the_last_fault_of_the_leader_while_it_led_that_does_harm() -> None:
    services = [on("h1", 1, 9, "1"), on("h2", 12, 20, "2")]
    befell = [fault(0.5), fault(2), fault(6, kind="this"), fault(7, "harmless"), fault(8, host="h2"), fault(10)]
    assert [one.kind for one in failovers(services, befell, [], HOSTS)] == ["this"]


def test_a_handover_is_fair_only_if_the_leader_was_well_and_another_host_was_left_alone_until_it_was_over() -> None:
    services = [on("h1", 1, 6, "1"), on("h2", 12, 20, "2")]

    def fair(*spells: Spell, **changes: t.Any) -> bool:
        return failovers(services, [fault(5, **changes)], spells, HOSTS)[0].fair

    assert fair(Spell("h3", 7, 8), Spell("h2", 2, 4), Spell("h2", 13, 14))
    assert not fair(Spell("h3", 7, 8), Spell("h2", 2, 5.5))
    assert not fair(Spell("h3", 1, 30), Spell("h2", 11, 14))
    assert not fair(clean=False)


def test_the_table_counts_a_fault_for_each_lease_and_tells_which_handovers_took_too_long() -> None:
    services = [on("h1", 1, 6, "1"), on("h2", 16, 20, "2"), on("h3", 21, 30, "3")]
    befell = [fault(5), fault(5, lease="web", leading=False), fault(1.5, kind="stop", cause="planned")]
    befell += [fault(18, "planned", host="h2", kind="stop")]
    text = table(services, befell, failovers(services, befell, [], HOSTS), LIMITS)
    assert "smallest gap 1.00 s" in text
    hit, _handovers, seconds = (
        {line[:20].strip(): line[20:].split() for line in part.splitlines()} for part in text.split("\n\n")
    )
    assert hit["broken"] == ["2", "1"]
    assert hit["all"] == ["4", "3"]
    assert seconds["stop"] == ["1", "1.00", "1.00", "1.00", "2.50", "0"]
    assert seconds["after all crashes"] == ["1", "11.00", "11.00", "11.00", "14.00", "0"]
