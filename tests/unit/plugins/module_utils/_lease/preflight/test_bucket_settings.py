# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import Response
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.bucket_settings import (
    SETTINGS,
    check,
    versions_expire_after,
    with_expiry,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Location

KEY = "jobs/migrate-db"
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def judge(name, body, status=200, key=KEY):
    return check(name, Response(status, {}, body.encode() if isinstance(body, str) else body), Location("bucket", key))


def error(code):
    return f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>"


def rules(rule, status="Enabled", filters="<Filter/>"):
    rules = f"<Rule><ID>r1</ID><Status>{status}</Status>{filters}{rule}</Rule>"
    return f'<LifecycleConfiguration xmlns="{NAMESPACE}">{rules}</LifecycleConfiguration>'


def lifecycle(rule, **options):
    return judge("lifecycle", rules(rule, **options))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_missing_permission_is_named(name):
    found = judge(name, error("AccessDenied"), 403)
    assert found.verdict == "unknown"
    assert SETTINGS[name].permission in found.advice


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if setting.none])
def test_what_is_not_set_passes(name):
    assert judge(name, error(SETTINGS[name].none), 404).verdict == "pass"


@pytest.mark.parametrize("name", SETTINGS)
def test_what_the_store_does_not_have_passes(name):
    assert judge(name, error("NotImplemented"), 501).verdict == "pass"


NONSENSE = {
    "empty": b"",
    "a listing": b"<ListBucketResult/>",
    "a page": b"<html>",
    "no XML": b"{}",
    "binary": bytes(range(256)),
    "entities": b"<!DOCTYPE x [<!ENTITY a 'b'>]><LifecycleConfiguration/>",
    "too long": b"<LifecycleConfiguration>" + b" " * 2_000_000 + b"</LifecycleConfiguration>",
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("what", NONSENSE)
def test_an_answer_that_is_none_is_unknown(name, what):
    assert judge(name, NONSENSE[what]).verdict == "unknown"


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("status", [404, 400, 405, 500])
def test_an_error_that_says_nothing_is_unknown(name, status):
    assert judge(name, error("Whatever"), status).verdict == "unknown"
    assert judge(name, "", status).verdict == "unknown"


@pytest.mark.parametrize(
    ("status", "verdict"),
    [("", "pass"), ("<Status>Suspended</Status>", "pass"), ("<Status>Enabled</Status>", "warn")],
)
@pytest.mark.parametrize("root", ["VersioningConfiguration", "GetBucketVersioningResponse"])
def test_versioning_warns_of_what_renewals_leave_behind(root, status, verdict):
    found = judge("versioning", f'<{root} xmlns="{NAMESPACE}">{status}</{root}>')
    assert found.verdict == verdict
    assert verdict == "pass" or "8640 versions a day" in found.seen


EXPIRES_VERSIONS = "<NoncurrentVersionExpiration><NoncurrentDays>{}</NoncurrentDays></NoncurrentVersionExpiration>"
DAYS = "<Expiration><Days>30</Days></Expiration>"
DATE = "<Expiration><Date>2026-01-01T00:00:00.000Z</Date></Expiration>"


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (DAYS, "warn"),
        (DATE, "fail"),
        ("<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>", "warn"),
        ("<Transition><Days>1</Days><StorageClass>STANDARD_IA</StorageClass></Transition>", "pass"),
        ("<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>", "pass"),
        ("<NoncurrentVersionExpiration><NoncurrentDays>2</NoncurrentDays></NoncurrentVersionExpiration>", "pass"),
        ("<AbortIncompleteMultipartUpload/>", "pass"),
    ],
)
def test_a_lifecycle_rule_is_judged_by_what_it_does_to_the_lease(rule, verdict):
    found = lifecycle(rule)
    assert found.verdict == verdict
    assert verdict == "pass" or "r1" in found.seen
    assert verdict == "pass" or KEY in found.advice


def test_a_rule_that_is_switched_off_does_nothing():
    assert lifecycle(DATE, status="Disabled").verdict == "pass"


@pytest.mark.parametrize(("days", "words"), [(1, "after 1 day"), (2, "after 2 days")])
def test_it_is_told_how_long_versions_stay(days, words):
    assert lifecycle(EXPIRES_VERSIONS.format(days)).seen.endswith(words)


@pytest.mark.parametrize(("filters", "verdict"), [("", "pass"), ("<Prefix>logs/</Prefix>", "warn")])
def test_versions_that_a_rule_expires_are_no_matter(filters, verdict):
    on = f'<VersioningConfiguration xmlns="{NAMESPACE}"><Status>Enabled</Status></VersioningConfiguration>'
    answer = Response(200, {}, rules(EXPIRES_VERSIONS.format(1), filters=filters).encode())
    found = with_expiry(judge("versioning", on), versions_expire_after(answer, KEY))
    assert found.verdict == verdict
    assert ("after 1 day" in found.seen) == (verdict == "pass")


@pytest.mark.parametrize(("status", "body"), [(404, b""), (200, b"<!nothing"), (200, b"")])
def test_where_no_rules_can_be_read_versions_do_not_expire(status, body):
    assert versions_expire_after(Response(status, {}, body), KEY) == ""


@pytest.mark.parametrize(
    ("filters", "matches"),
    [
        ("<Filter/>", True),
        ("", True),
        ("<Prefix></Prefix>", True),
        ("<Prefix>jobs/</Prefix>", True),
        ("<Prefix>logs/</Prefix>", False),
        ("<Filter><Prefix>jobs/migrate</Prefix></Filter>", True),
        ("<Filter><Prefix>jobs/other</Prefix></Filter>", False),
        ("<Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter>", False),
        ("<Filter><And><Prefix>jobs/</Prefix><Tag><Key>a</Key><Value>b</Value></Tag></And></Filter>", False),
        ("<Filter><And><Prefix>jobs/</Prefix><ObjectSizeLessThan>1048576</ObjectSizeLessThan></And></Filter>", True),
        ("<Filter><ObjectSizeGreaterThan>131072</ObjectSizeGreaterThan></Filter>", False),
        ("<Filter><ObjectSizeLessThan>100</ObjectSizeLessThan></Filter>", False),
    ],
)
def test_a_rule_counts_where_its_filter_takes_in_the_lease(filters, matches):
    assert lifecycle(DAYS, filters=filters).verdict == ("warn" if matches else "pass")


def test_object_lock_warns_where_each_version_is_kept():
    lock = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>{}</ObjectLockConfiguration>"
    rule = "<Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>7</Days></DefaultRetention></Rule>"
    assert judge("object_lock", lock.format("")).verdict == "pass"
    found = judge("object_lock", lock.format(rule))
    assert (found.verdict, "7 days" in found.seen) == ("warn", True)


@pytest.mark.parametrize(
    ("prefix", "status", "verdict"),
    [("", "Enabled", "warn"), ("logs/", "Enabled", "pass"), ("", "Disabled", "pass")],
)
def test_replication_warns_where_the_lease_is_copied(prefix, status, verdict):
    rule = f"<Rule><Status>{status}</Status><Filter><Prefix>{prefix}</Prefix></Filter></Rule>"
    body = f"<ReplicationConfiguration><Role>r</Role>{rule}</ReplicationConfiguration>"
    assert judge("replication", body).verdict == verdict
