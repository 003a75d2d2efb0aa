# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.metrics import (
    FAMILIES,
    OPERATIONS,
    OUTCOMES,
    Metrics,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Proof, Record, Unreadable
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Absent,
    Answer,
    Pause,
    Race,
    Raced,
    Read,
    Refused,
    Seen,
    Unchanged,
    Unknown,
    Write,
    Written,
)
from prometheus_client.parser import text_string_to_metric_families as parsed

NOW = 1000.0
WALL = 1.7e9
"""The time of day at NOW."""
READ = Read(NOW)
WRITE = Write(b"", None, NOW)


@pytest.fixture
def metrics():
    return Metrics("db", Location("leases", "jobs/db"), "web-1", 0, 34.5)


def seen(term, holder="web-1", age=0.0, **changes):
    record = Record(holder, "s", term, 1, "n", 30.0, 1.0, 1.0, 31.0, {}, Proof("", 0.0))
    return Seen(record._replace(**changes), "e1", 1.0, 1.0 + age)


def samples(metrics, now=NOW):
    """The value of each sample, by its name and the labels that not all have."""
    found = {}
    for family in parsed(metrics.text(now, WALL + now - NOW)):
        for one in family.samples:
            labels = {label: value for label, value in one.labels.items() if label not in ("name", "bucket", "key")}
            assert one.labels.keys() - labels.keys() == {"name", "bucket", "key"}
            found[(one.name.replace("s3_leader_", ""), *labels.values())] = one.value
    return found


def requests(metrics):
    """The requests that were counted."""
    counted = {key[1:]: value for key, value in samples(metrics).items() if key[0] == "requests_total"}
    return {key: value for key, value in counted.items() if value}


def test_every_metric_has_one_type_one_help_and_the_name_that_prometheus_expects(metrics):
    families = list(parsed(metrics.text(NOW, WALL)))
    expected = {name: (kind, told) for name, kind, told in FAMILIES}
    assert [family.name for family in families] == [name.replace("_total", "") for name in expected]
    assert [(family.type, family.documentation) for family in families] == list(expected.values())
    for name, (kind, _told) in expected.items():
        assert name.endswith("_total") == (kind == "counter")


def test_the_files_of_two_leases_agree_in_type_and_help(metrics):
    other = Metrics("web", Location("others", "web"), "web-2", 3, 9)
    other.leads(seen(4), 2, NOW, NOW + 1)

    def comments(one):
        return [line for line in one.text(NOW, WALL).splitlines() if line.startswith("#")]

    assert comments(other) == comments(metrics)


def test_a_label_may_have_any_character(metrics):
    key, holder = 'a"b\\n{}, é', "new\nline\\"
    (info,) = (
        family
        for family in parsed(Metrics("db", Location("leases", key), holder, 0, 1).text(NOW, WALL))
        if family.name == "s3_leader_info"
    )
    assert info.samples[0].labels == dict(name="db", bucket="leases", key=key, holder=holder)


def test_a_key_that_no_encoding_has_is_written_all_the_same():
    text = Metrics("db", Location("leases", "jobs/\ud800"), "web-1", 0, 1).text(NOW, WALL)
    assert 'key="jobs/?"' in text


def test_a_standby_claims_nothing(metrics):
    metrics.found(seen(7), 0, NOW)
    found = samples(metrics)
    assert found["is_leader",] == found["deadline_timestamp_seconds",] == 0
    assert found["last_renewal_timestamp_seconds",] == found["slot",] == 0
    assert found["slots",] == 1
    assert found["term", "0"] == 7
    assert found["takeover_seconds",] == 34.5


@pytest.mark.parametrize(
    ("lease", "until"),
    [
        (seen(7), 32),
        (seen(7, age=25.0), 7),
        (seen(7, session="", lease_until=11.0), 12),  # of the .NET library, which says itself until when
        (seen(7, holder="", successor="web-2"), 31),  # released for somebody
        (seen(7, age=33.0), None),
        (seen(7, holder=""), None),
        (Absent(1.0), None),
        (Seen(Unreadable("why"), "e", 1.0, 1.0), None),
    ],
)
def test_a_standby_tells_until_when_somebody_else_has_the_lease(metrics, lease, until):
    metrics.found(lease, 0, NOW - 3)
    told = WALL - 3 + until if until else 0
    assert samples(metrics, NOW + 1)["held_until_timestamp_seconds", "0"] == told


def test_a_lease_that_has_lapsed_was_held_until_then(metrics):
    metrics.found(seen(7), 0, NOW)
    for later in (seen(7, age=100.0), seen(7, holder=""), Absent(1.0)):
        metrics.found(later, 0, NOW + 100)
        assert samples(metrics)["held_until_timestamp_seconds", "0"] == WALL + 32


@pytest.mark.parametrize("free", [seen(7, holder=""), Absent(1.0)])
def test_a_lease_that_was_given_back_or_removed_was_held_until_that_was_first_seen(metrics, free):
    metrics.found(seen(7, lease_duration=3600.0), 0, NOW)
    metrics.found(free, 0, NOW + 10)
    metrics.found(free, 0, NOW + 20)
    assert samples(metrics)["held_until_timestamp_seconds", "0"] == WALL + 10


def test_the_latest_look_decides_until_when_a_lease_is_held(metrics):
    metrics.found(seen(7, lease_duration=3600.0), 0, NOW)
    metrics.found(seen(7), 0, NOW + 10)
    assert samples(metrics)["held_until_timestamp_seconds", "0"] == WALL + 42


def test_what_cannot_be_read_tells_nothing_of_the_lease(metrics):
    metrics.found(seen(7), 0, NOW)
    metrics.found(Seen(Unreadable("why"), "e", 1.0, 1.0), 0, NOW + 100)
    metrics.found(seen(7), 0, NOW + 200)
    found = samples(metrics)
    assert found["transitions_total",] == 0
    assert found["term", "0"] == 7


def test_before_the_first_look_nobody_was_seen_to_hold_the_lease(metrics):
    assert samples(metrics)["held_until_timestamp_seconds", "0"] == 0
    slots = samples(Metrics("db", Location("leases", "jobs/db"), "web-1", 2, 9))
    assert [value for name, value in slots.items() if name[0] == "held_until_timestamp_seconds"] == [0, 0]


def test_a_leader_holds_the_lease_for_longer_than_it_leads(metrics):
    metrics.leads(seen(7), 0, NOW - 2, NOW + 16)
    assert samples(metrics)["held_until_timestamp_seconds", "0"] == WALL + 30


def test_a_leader_tells_its_times_by_the_time_of_day(metrics):
    metrics.leads(seen(7), 0, NOW - 2, NOW + 16)
    found = samples(metrics)
    assert found["is_leader",] == 1
    assert found["deadline_timestamp_seconds",] == WALL + 16
    assert found["last_renewal_timestamp_seconds",] == WALL - 2
    assert found["updated_timestamp_seconds",] == WALL


def test_what_is_written_after_the_deadline_claims_nothing(metrics):
    metrics.leads(seen(7), 0, NOW - 2, NOW + 16)
    assert samples(metrics, NOW + 15.9)["is_leader",] == 1
    assert samples(metrics, NOW + 16)["is_leader",] == 0


def test_a_leader_that_has_ended_claims_nothing_and_remembers_its_last_renewal(metrics):
    metrics.leads(seen(7), 0, NOW - 2, NOW + 16)
    metrics.ended()
    found = samples(metrics)
    assert found["is_leader",] == found["deadline_timestamp_seconds",] == 0
    assert found["last_renewal_timestamp_seconds",] == WALL - 2


def test_each_slot_has_its_term():
    metrics = Metrics("db", Location("leases", "jobs/db"), "web-1", 2, 9)
    metrics.found(seen(3, age=10.0), 1, NOW)
    metrics.leads(seen(8), 2, NOW, NOW + 1)
    found = samples(metrics)
    assert (found["term", "1"], found["term", "2"], found["slot",], found["slots",]) == (3, 8, 2, 2)
    held_until = [found["held_until_timestamp_seconds", slot] for slot in "12"]
    assert held_until == [WALL + 22, WALL + 32]


def test_transitions_are_the_terms_that_begin_while_it_watches(metrics):
    for term in (3, 3, 4):
        metrics.found(seen(term), 0, NOW)
    assert samples(metrics)["transitions_total",] == 1
    metrics.leads(seen(5), 0, NOW, NOW + 10)
    metrics.leads(seen(5), 0, NOW + 5, NOW + 15)
    assert samples(metrics)["transitions_total",] == 2


def test_the_first_term_of_a_lease_is_a_transition_and_its_deletion_is_none(metrics):
    for lease in (Absent(1.0), seen(1), Absent(2.0), Seen(Unreadable("why"), "e", 1.0, 1.0)):
        metrics.found(lease, 0, NOW)
    assert samples(metrics)["transitions_total",] == 1


def test_a_program_that_goes_on_leading_after_a_reload_counts_no_transition(metrics):
    metrics.leads(seen(5), 0, NOW, NOW + 10)
    assert samples(metrics)["transitions_total",] == 0


def test_a_renewal_is_late_when_less_than_a_third_of_the_time_to_lead_was_left(metrics):
    metrics.leads(seen(7), 0, NOW, NOW + 18)
    metrics.leads(seen(7), 0, NOW + 12, NOW + 30)
    assert samples(metrics)["late_renewals_total",] == 0
    metrics.leads(seen(7), 0, NOW + 24.1, NOW + 42)
    assert samples(metrics)["late_renewals_total",] == 1


def test_the_time_to_lead_is_that_of_the_last_renewal(metrics):
    metrics.leads(seen(7), 0, NOW, NOW + 60)
    metrics.leads(seen(7), 0, NOW + 41, NOW + 50)
    assert samples(metrics)["late_renewals_total",] == 1
    metrics.leads(seen(7), 0, NOW + 46, NOW + 60)
    assert samples(metrics)["late_renewals_total",] == 1


def test_leading_again_after_the_end_is_no_late_renewal(metrics):
    metrics.leads(seen(7), 0, NOW, NOW + 18)
    metrics.ended()
    metrics.leads(seen(9), 0, NOW + 100, NOW + 118)
    assert samples(metrics)["late_renewals_total",] == 0


@pytest.mark.parametrize(
    ("step", "outcome", "counted"),
    [
        (READ, seen(1), {("read", "ok"): 1}),
        (READ, Absent(1.0), {("read", "ok"): 1}),
        (READ, Unchanged(1.0), {("read", "ok"): 1}),
        (WRITE, Written("e", 1.0), {("write", "ok"): 1}),
        (WRITE, Unknown("412", precondition_failed=True), {("write", "conflict"): 1}),
        (WRITE, Unknown("409", conflict=True), {("write", "conflict"): 1}),
        (READ, Unknown("503", throttled=True), {("read", "throttled"): 1}),
        (WRITE, Unknown("no answer within 3 s"), {("write", "unknown"): 1}),
        (WRITE._replace(dated=False), Refused("403"), {("write", "refused"): 1}),
        (READ, Refused("403"), {("read", "refused"): 1}),
        # The store may not take such signatures: the same write without a use-by date follows.
        (WRITE, Refused("403"), {("write", "ok"): 1}),
        (WRITE._replace(expired=True), Refused("403"), {("write", "ok"): 1}),
        (Race((b"", b""), None, NOW, True, True), Raced((Refused("403"), Refused("403"))), {("write", "ok"): 2}),
        (Race((b"",), None, NOW, True, False), Raced((Refused("403"),)), {("write", "refused"): 1}),
        (READ, Unknown("it could not be reached", sent=False), {("read", "unknown"): 1}),
        (Pause(1, 2), Unknown("a pause"), {}),
        (
            Race((b"", b""), None, NOW, True, True),
            Raced((Written("e", 1.0), Unknown("412", precondition_failed=True))),
            {("write", "ok"): 1, ("write", "conflict"): 1},
        ),
    ],
)
def test_every_request_is_counted_by_operation_and_outcome(metrics, step, outcome, counted):
    metrics.requested(step, Answer(outcome, NOW, NOW + 0.1))
    assert requests(metrics) == counted
    durations = {key[1]: value for key, value in samples(metrics).items() if key[0] == "request_duration_seconds_count"}
    for operation in OPERATIONS:
        assert durations[operation] == sum(value for (one, _outcome), value in counted.items() if one == operation)


def test_counters_exist_before_anything_is_counted_so_that_a_rate_sees_the_first(metrics):
    found = samples(metrics)
    assert all(found["requests_total", operation, outcome] == 0 for operation in OPERATIONS for outcome in OUTCOMES)


def test_a_request_is_in_each_bucket_that_it_is_not_slower_than(metrics):
    for seconds in (0.25, 0.3, 99):
        metrics.requested(READ, Answer(Unchanged(1.0), NOW, NOW + seconds))
    found = samples(metrics)
    buckets = {
        bound: found["request_duration_seconds_bucket", "read", bound] for bound in ("0.1", "0.25", "0.5", "10.0")
    }
    assert buckets == {"0.1": 0, "0.25": 1, "0.5": 2, "10.0": 2}
    assert found["request_duration_seconds_bucket", "read", "+Inf"] == 3
    assert found["request_duration_seconds_count", "read"] == 3
    assert found["request_duration_seconds_sum", "read"] == pytest.approx(99.55)
