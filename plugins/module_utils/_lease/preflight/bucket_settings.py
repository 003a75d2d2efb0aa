# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The bucket's settings and their effect on a lease: versioning, lifecycle, Object Lock, replication."""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Sequence
from xml.etree.ElementTree import Element

from ..connection import Response
from ..settings import Location
from ..store import element
from ..xml_document import all_of, name_of, one_of, parse, text_of
from .report import FAIL, PASS, UNKNOWN, WARN, Check
from .scratch import Workspace

MOST = 1048576
"""Most bytes of a configuration that are read: a lifecycle may have a thousand rules."""
RENEWALS_A_DAY = 8640
"""One each 10 s."""
SMALLEST, LARGEST = 300, 12288
"""The possible size of a lease in bytes, for rules that filter by size."""
_VERSIONS_EXPIRE = "; noncurrent versions expire after %s"
FROZEN = ("GLACIER", "DEEP_ARCHIVE")
"""Storage classes whose objects cannot be read at once."""


class Setting(NamedTuple):
    """One setting to ask the bucket for."""

    query: str
    permission: str
    """Its name in an AWS policy."""
    none: str
    """The error code for a setting that is not set; '' if S3 has none."""
    root: str
    """A part of the name of the answer's root element; stores differ in the rest."""
    judge: Callable[[Element, str], Check]


def ask(work: Workspace) -> List[Check]:
    """Check all settings. Whether versioning is a problem depends on what the lifecycle does to old versions."""
    responses = {name: work.ask_bucket(setting.query, MOST) for name, setting in SETTINGS.items()}
    checks: Dict[str, Check] = {}
    for name, response in responses.items():
        if response is None:
            checks[name] = Check(name, UNKNOWN, "no answer to ?%s" % SETTINGS[name].query)
        else:
            checks[name] = check(name, response, work.location)
    lifecycle = responses["lifecycle"]
    expiry = versions_expire_after(lifecycle, work.location.key) if lifecycle else ""
    checks["versioning"] = with_expiry(checks["versioning"], expiry)
    return list(checks.values())


def check(name: str, response: Response, location: Location) -> Check:
    """Judge the bucket's answer by what it means for the lease there."""
    setting = SETTINGS[name]
    status, code = response.status, element(response, "Code")
    answer = "the bucket %s answered %d%s" % (location.bucket, status, " " + code if code else "")
    if status == 404 and code and code == setting.none:
        return Check(name, PASS, "none is set")
    if status == 501:
        return Check(name, PASS, "the store does not implement this (501)")
    if status in (401, 403):
        return Check(name, UNKNOWN, answer, "Grant %s on the bucket to check this" % setting.permission)
    document = parse(response.body, MOST) if status == 200 else None
    if document is None or setting.root not in name_of(document):
        return Check(name, UNKNOWN, answer + " to ?%s, so this could not be checked" % setting.query)
    return setting.judge(document, location.key)


def _versioning(document: Element, _key: str) -> Check:
    status = text_of(document, "Status")
    if status == "Suspended":
        return Check("versioning", PASS, "it is suspended: each renewal replaces the previous version")
    if status != "Enabled":
        return Check("versioning", PASS, "it is off")
    return Check(
        "versioning",
        WARN,
        "it is on: a renewal every 10 s adds %d versions a day" % RENEWALS_A_DAY,
        "Give the bucket a lifecycle rule that expires noncurrent versions, and none that expires current ones",
    )


def _lifecycle(document: Element, key: str) -> Check:
    rules = _rules(document, key)
    for rule in rules:
        name = "rule %r" % text_of(rule, "ID")[:100]
        if text_of(rule, "Expiration", "Date"):
            return Check(
                "lifecycle",
                FAIL,
                "%s deletes the lease from %s on, however fresh it is" % (name, text_of(rule, "Expiration", "Date")),
                "Remove the rule, or exclude %s by its filter" % key,
            )
    for rule in rules:
        name = "rule %r" % text_of(rule, "ID")[:100]
        if text_of(rule, "Expiration", "Days"):
            return Check(
                "lifecycle",
                WARN,
                "%s deletes a lease that was not written for %s" % (name, _days(text_of(rule, "Expiration", "Days"))),
                "Exclude %s by its filter: the next lease would still have higher terms, but lose its history" % key,
            )
        for transition in all_of(rule, "Transition"):
            if text_of(transition, "StorageClass") in FROZEN:
                return Check(
                    "lifecycle",
                    WARN,
                    "%s moves an unused lease to %s, where it cannot be read"
                    % (name, text_of(transition, "StorageClass")),
                    "Exclude %s by its filter" % key,
                )
    expiry = _expiry(rules)
    return Check("lifecycle", PASS, "no rule deletes the lease" + (_VERSIONS_EXPIRE % expiry if expiry else ""))


def versions_expire_after(lifecycle: Response, key: str) -> str:
    """Return after what time noncurrent versions of the lease expire; '' if they do not."""
    document = parse(lifecycle.body, MOST) if lifecycle.status == 200 else None
    return _expiry(_rules(document, key)) if document is not None else ""


def with_expiry(versioning: Check, expiry: str) -> Check:
    """Return the check of versioning, given that noncurrent versions expire after this time ('': never)."""
    if versioning.verdict != WARN or not expiry:
        return versioning
    return Check(versioning.name, PASS, versioning.seen + _VERSIONS_EXPIRE % expiry)


def _expiry(rules: Sequence[Element]) -> str:
    noncurrent = [text_of(rule, "NoncurrentVersionExpiration", "NoncurrentDays") for rule in rules]
    return next((_days(text) for text in noncurrent if text), "")


def _rules(document: Element, key: str) -> List[Element]:
    """Return the enabled rules that may apply to the lease."""
    return [rule for rule in all_of(document, "Rule") if text_of(rule, "Status") == "Enabled" and _matches(rule, key)]


def _days(number: str) -> str:
    return number + (" day" if number == "1" else " days")


def _matches(rule: Element, key: str) -> bool:
    """Tell whether a rule may apply to the lease, which has no tags."""
    filters = one_of(rule, "Filter")
    both = one_of(filters, "And")
    parts: List[Element] = [rule] + [part for part in (filters, both) if part is not None]
    for part in parts:
        if one_of(part, "Tag") is not None:
            return False
        if not key.startswith(text_of(part, "Prefix")):
            return False
        more, less = text_of(part, "ObjectSizeGreaterThan"), text_of(part, "ObjectSizeLessThan")
        if (more.isdigit() and int(more) >= LARGEST) or (less.isdigit() and int(less) <= SMALLEST):
            return False
    return True


def _object_lock(document: Element, _key: str) -> Check:
    retention = one_of(document, "Rule", "DefaultRetention")
    if retention is None:
        return Check("object_lock", PASS, "no default retention is set")
    days, years = text_of(retention, "Days"), text_of(retention, "Years")
    kept = _days(days) if days else years + (" year" if years == "1" else " years") if years else "some time"
    return Check(
        "object_lock",
        WARN,
        "every version is kept for %s: a renewal every 10 s adds %d a day that nobody can remove"
        % (kept, RENEWALS_A_DAY),
        "Use a bucket without default retention for leases",
    )


def _replication(document: Element, key: str) -> Check:
    if not _rules(document, key):
        return Check("replication", PASS, "no rule applies to the lease")
    return Check(
        "replication",
        WARN,
        "the lease is copied to another bucket, later and without conditions",
        "Let all runners use this bucket, and never the copy",
    )


SETTINGS: Dict[str, Setting] = {
    "versioning": Setting("versioning", "s3:GetBucketVersioning", "", "Versioning", _versioning),
    "lifecycle": Setting(
        "lifecycle",
        "s3:GetLifecycleConfiguration",
        "NoSuchLifecycleConfiguration",
        "Lifecycle",
        _lifecycle,
    ),
    "object_lock": Setting(
        "object-lock",
        "s3:GetBucketObjectLockConfiguration",
        "ObjectLockConfigurationNotFoundError",
        "ObjectLock",
        _object_lock,
    ),
    "replication": Setting(
        "replication",
        "s3:GetReplicationConfiguration",
        "ReplicationConfigurationNotFoundError",
        "Replication",
        _replication,
    ),
}
