# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What is set on the bucket, and what it does to a lease: versioning, lifecycle, Object Lock, replication."""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence
from xml.etree import ElementTree

from ..connection import Response
from ..settings import Location
from ..store import element
from .report import FAIL, PASS, UNKNOWN, WARN, Check
from .scratch import Workspace

MOST = 1048576
"""Bytes of a configuration that are read: a lifecycle may have a thousand rules."""
RENEWALS_A_DAY = 8640
"""One each 10 s."""
SMALLEST, LARGEST = 300, 12288
"""Bytes that a lease may have, for rules that choose by size."""
_VERSIONS_EXPIRE = "; noncurrent versions expire after %s"
FROZEN = ("GLACIER", "DEEP_ARCHIVE")
"""Storage classes whose objects cannot be read at once."""


class Setting(NamedTuple):
    """A question to the bucket. The rest of the query is read with it."""

    query: str
    permission: str
    """By its name in an AWS policy."""
    none: str
    """The code of the error that says that nothing is set; '' where there is none."""
    root: str
    """A part of what the answer's document is called; stores differ in the rest."""
    judge: Callable[[ElementTree.Element, str], Check]


def ask(work: Workspace) -> List[Check]:
    """Read all settings. What the lifecycle does to old versions decides what versioning means."""
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
    """Say what an answer of the bucket means for the lease there."""
    setting = SETTINGS[name]
    status, code = response.status, element(response, "Code")
    answer = "the bucket %s answered %d%s" % (location.bucket, status, " " + code if code else "")
    if status == 404 and code and code == setting.none:
        return Check(name, PASS, "none is set")
    if status == 501:
        return Check(name, PASS, "the store has no such thing (501)")
    if status in (401, 403):
        return Check(name, UNKNOWN, answer, "Grant %s on the bucket to have this checked" % setting.permission)
    document = _document(response.body) if status == 200 else None
    if document is None or setting.root not in _name(document):
        return Check(name, UNKNOWN, answer + " to ?%s, which tells nothing" % setting.query)
    return setting.judge(document, location.key)


def _document(body: bytes) -> Optional[ElementTree.Element]:
    if len(body) > MOST or b"<!" in body:  # no configuration declares entities
        return None
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return None


def _name(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2]


def _all(node: Optional[ElementTree.Element], name: str) -> Iterator[ElementTree.Element]:
    for child in node if node is not None else ():
        if _name(child) == name:
            yield child


def _one(node: Optional[ElementTree.Element], *path: str) -> Optional[ElementTree.Element]:
    for name in path:
        node = next(_all(node, name), None)
    return node


def _text(node: Optional[ElementTree.Element], *path: str) -> str:
    found = _one(node, *path)
    return (found.text or "").strip() if found is not None else ""


def _versioning(document: ElementTree.Element, _key: str) -> Check:
    status = _text(document, "Status")
    if status == "Suspended":
        return Check("versioning", PASS, "it is suspended: a renewal replaces the version before it")
    if status != "Enabled":
        return Check("versioning", PASS, "it is off")
    return Check(
        "versioning",
        WARN,
        "it is on: a renewal each 10 s leaves %d versions a day behind" % RENEWALS_A_DAY,
        "Give the bucket a lifecycle rule that expires noncurrent versions, and none that expires current ones",
    )


def _lifecycle(document: ElementTree.Element, key: str) -> Check:
    rules = _rules(document, key)
    for rule in rules:
        name = "rule %r" % _text(rule, "ID")[:100]
        if _text(rule, "Expiration", "Date"):
            return Check(
                "lifecycle",
                FAIL,
                "%s deletes the lease from %s on, however fresh it is" % (name, _text(rule, "Expiration", "Date")),
                "Remove the rule, or have its filter leave out %s" % key,
            )
    for rule in rules:
        name = "rule %r" % _text(rule, "ID")[:100]
        if _text(rule, "Expiration", "Days"):
            return Check(
                "lifecycle",
                WARN,
                "%s deletes a lease that was not written for %s" % (name, _days(_text(rule, "Expiration", "Days"))),
                "Have its filter leave out %s: the next lease goes on with higher terms, but its history is lost" % key,
            )
        for transition in _all(rule, "Transition"):
            if _text(transition, "StorageClass") in FROZEN:
                return Check(
                    "lifecycle",
                    WARN,
                    "%s moves a lease that is not used to %s, where it cannot be read"
                    % (name, _text(transition, "StorageClass")),
                    "Have its filter leave out %s" % key,
                )
    expiry = _expiry(rules)
    return Check("lifecycle", PASS, "no rule deletes the lease" + (_VERSIONS_EXPIRE % expiry if expiry else ""))


def versions_expire_after(lifecycle: Response, key: str) -> str:
    """Return after which time noncurrent versions of the lease expire, '' where they do not."""
    document = _document(lifecycle.body) if lifecycle.status == 200 else None
    return _expiry(_rules(document, key)) if document is not None else ""


def with_expiry(versioning: Check, expiry: str) -> Check:
    """Return what versioning means where noncurrent versions expire after this time, or, with '', do not."""
    if versioning.verdict != WARN or not expiry:
        return versioning
    return Check(versioning.name, PASS, versioning.seen + _VERSIONS_EXPIRE % expiry)


def _expiry(rules: Sequence[ElementTree.Element]) -> str:
    noncurrent = [_text(rule, "NoncurrentVersionExpiration", "NoncurrentDays") for rule in rules]
    return next((_days(text) for text in noncurrent if text), "")


def _rules(document: ElementTree.Element, key: str) -> List[ElementTree.Element]:
    """Return the enabled rules that may take in the lease."""
    return [rule for rule in _all(document, "Rule") if _text(rule, "Status") == "Enabled" and _matches(rule, key)]


def _days(number: str) -> str:
    return number + (" day" if number == "1" else " days")


def _matches(rule: ElementTree.Element, key: str) -> bool:
    """Whether a rule may take in the lease, which has no tags."""
    filters = _one(rule, "Filter")
    both = _one(filters, "And")
    parts: List[ElementTree.Element] = [rule] + [part for part in (filters, both) if part is not None]
    for part in parts:
        if _one(part, "Tag") is not None:
            return False
        if not key.startswith(_text(part, "Prefix")):
            return False
        more, less = _text(part, "ObjectSizeGreaterThan"), _text(part, "ObjectSizeLessThan")
        if (more.isdigit() and int(more) >= LARGEST) or (less.isdigit() and int(less) <= SMALLEST):
            return False
    return True


def _object_lock(document: ElementTree.Element, _key: str) -> Check:
    retention = _one(document, "Rule", "DefaultRetention")
    if retention is None:
        return Check("object_lock", PASS, "no default retention is set")
    days, years = _text(retention, "Days"), _text(retention, "Years")
    kept = _days(days) if days else years + (" year" if years == "1" else " years") if years else "some time"
    return Check(
        "object_lock",
        WARN,
        "every version is kept for %s: a renewal each 10 s adds %d a day that nobody can remove"
        % (kept, RENEWALS_A_DAY),
        "Use a bucket without default retention for leases",
    )


def _replication(document: ElementTree.Element, key: str) -> Check:
    if not _rules(document, key):
        return Check("replication", PASS, "no rule takes in the lease")
    return Check(
        "replication",
        WARN,
        "the lease is copied to another bucket, later and without conditions",
        "Have all runners use this bucket, and never the copy",
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
