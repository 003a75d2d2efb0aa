# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import (
    BROKEN,
    EXPIRED,
    MAX_BODY,
    MAX_HISTORY,
    MAX_SLOTS,
    MAX_TERM,
    RELEASED,
    Ended,
    Proof,
    Record,
    Unreadable,
    decode,
    encode,
    from_utc,
    utc,
)
from hypothesis import given, strategies as st

RECORD = Record(
    holder="web-1",
    session="s" * 32,
    term=7,
    sequence=3,
    nonce="n" * 32,
    lease_duration=30.0,
    acquired_at=1795409376.0,
    renewed_at=1795409386.5,
    lease_until=1795409418.5,
    metadata={"playbook": "site.yml"},
)


def changed(**fields):
    """Return the bytes of a good record with these fields changed; None removes one."""
    body = json.loads(encode(RECORD))
    for name, value in fields.items():
        if value is None:
            del body[name]
        else:
            body[name] = value
    return json.dumps(body).encode()


texts = st.text(max_size=50)
records = st.builds(
    Record,
    holder=texts,
    session=st.text(min_size=1, max_size=50),
    term=st.integers(1, MAX_TERM),
    sequence=st.integers(0, MAX_TERM),
    nonce=st.text(min_size=1, max_size=50),
    lease_duration=st.floats(0.001, 86400),
    acquired_at=st.integers(0, 4 * 10**9).map(float),
    renewed_at=st.integers(0, 4 * 10**9).map(float),
    lease_until=st.integers(0, 4 * 10**9).map(float),
    metadata=st.dictionaries(texts, texts, max_size=5),
    proof=st.none() | st.builds(Proof, store=texts, at=st.integers(0, 4 * 10**9).map(float)),
    hold_at_least=st.just(0.0) | st.floats(0.001, 86400),
    history=st.lists(
        st.builds(
            Ended,
            term=st.integers(0, MAX_TERM),
            holder=texts,
            session=texts,
            acquired_at=st.none() | st.integers(0, 4 * 10**9).map(float),
            ended_at=st.integers(0, 4 * 10**9).map(float),
            how=st.sampled_from([RELEASED, EXPIRED, BROKEN]),
            by=texts,
            reason=texts,
        ),
        max_size=MAX_HISTORY,
    ).map(tuple),
    successor=texts,
    slots=st.integers(0, MAX_SLOTS),
    slots_before=st.integers(0, MAX_SLOTS),
)


@given(records)
def test_what_is_encoded_is_decoded_to_the_same_record(record):
    assert decode(encode(record)) == record


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise_an_error(body):
    decode(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(json.loads(encode(RECORD)))), json_values)
def test_no_value_in_any_field_raises_an_error(name, value):
    decode(changed(**{name: value}) if value is not None else changed(**{name: None}))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"schema": 2}, "newer than 1"),
        ({"schema": "1"}, "schema is not 1"),
        ({"schema": None}, "schema is not 1"),
        ({"term": 0}, "term"),
        ({"term": True}, "term"),
        ({"term": 1.5}, "term"),
        ({"term": 2**60}, "term"),
        ({"sequence": -1}, "sequence"),
        ({"session": ""}, "session"),
        ({"nonce": None}, "nonce"),
        ({"holderId": None}, "holderId"),
        ({"holderId": "x" * 300}, "holderId"),
        ({"leaseDurationSeconds": 0}, "leaseDurationSeconds"),
        ({"leaseDurationSeconds": -30}, "leaseDurationSeconds"),
        ({"leaseDurationSeconds": 86401}, "leaseDurationSeconds"),
        ({"leaseDurationSeconds": "30"}, "leaseDurationSeconds"),
        ({"leaseUntilUtc": "tomorrow"}, "leaseUntilUtc"),
        ({"renewedAt": 17}, "renewedAt"),
    ],
)
def test_a_malformed_field_makes_it_unreadable_and_is_named(fields, why):
    found = decode(changed(**fields))
    assert isinstance(found, Unreadable)
    assert why in found.why


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b"[" * 100_000,
        b'{"schema": 1, "leaseDurationSeconds": NaN}',
        b'{"holderId": "x"}',
        b" " * (MAX_BODY + 1),
        b"9" * 5000,
    ],
)
def test_what_is_no_lease_is_unreadable(body):
    assert isinstance(decode(body), Unreadable)


def test_an_infinite_duration_is_unreadable():
    assert isinstance(decode(changed(leaseDurationSeconds=float("inf"))), Unreadable)


def test_unknown_fields_of_the_same_schema_are_passed_over():
    assert decode(changed(color="green")) == RECORD


@pytest.mark.parametrize("successor", [7, "x" * 256, ["app-2"]])
def test_a_malformed_successor_keeps_nobody_from_the_lease(successor):
    assert decode(changed(successorId=successor)) == RECORD


def test_malformed_metadata_does_not_hide_who_holds_the_lease():
    assert decode(changed(metadata=["a"])) == RECORD._replace(metadata={})


def test_a_lone_surrogate_becomes_printable():
    record = decode(changed(holderId="a\ud800b"))
    assert isinstance(record, Record)
    assert record.holder.encode() == b"a?b"


def test_a_record_by_the_dotnet_library_is_foreign_and_names_its_own_end():
    record = decode(b'{"holderId":"web-9","leaseUntilUtc":"2026-11-23T04:49:36.1234567Z"}')
    assert isinstance(record, Record)
    assert record.foreign
    assert (record.holder, record.term) == ("web-9", 0)
    assert record.lease_until == pytest.approx(from_utc("2026-11-23T04:49:36.123Z"), abs=0.001)


def test_the_dotnet_library_reads_names_in_any_case_and_so_do_we():
    record = decode(b'{"HolderId":"web-9","LeaseUntilUtc":"2026-11-23T04:49:36Z"}')
    assert isinstance(record, Record)
    assert record.holder == "web-9"


def test_the_dotnet_library_can_read_what_we_write():
    body = json.loads(encode(RECORD))
    assert body["holderId"] == "web-1"
    assert body["leaseUntilUtc"] == "2026-11-23T04:50:18.500Z"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T00:00:01", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:00:00-01:00", 0),
        ("0001-01-01T00:00:00", -62135596800),
    ],
)
def test_times_are_read_as_both_libraries_write_them(text, seconds):
    assert from_utc(text) == seconds


@pytest.mark.parametrize("text", ["", "now", "1970-01-01", "1970-13-01T00:00:00Z", "1970-01-01T00:00:00Z trailing"])
def test_anything_else_is_no_time(text):
    with pytest.raises(ValueError, match=r"."):
        from_utc(text)


def test_times_are_written_with_milliseconds():
    assert utc(1795409386.5) == "2026-11-23T04:49:46.500Z"
