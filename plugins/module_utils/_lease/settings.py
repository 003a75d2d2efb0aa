# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Options and their checks: a value that cannot work raises an error that says what to do, before anything is sent."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import unquote, urlsplit

from .bad_option import HIDDEN, BadOption
from .protocol import MARGIN_RATE, margin
from .record import MAX_DURATION, MAX_HOLDER, MAX_METADATA, MAX_SLOTS

DEFAULT_BUCKET = "leader-election"
RANGES = dict(
    lease_duration=(1, MAX_DURATION),
    wait_timeout=(0, MAX_DURATION),
    poll_interval=(1, 3600),
    request_timeout=(1, 60),
    keep_at_most=(1, 7 * 86400),
    hold_at_least=(0, MAX_DURATION),
)
"""The minimum and the maximum of each option, in seconds."""
LENGTHS = dict(bucket=(3, 255), key=(1, 1024), holder=(1, MAX_HOLDER), session=(8, 128), reason=(0, 1000))
"""The minimum and the maximum length of each option, in characters; for a key, in bytes."""
TEXTFILE_SUFFIX = ".prom"
TAKEOVERS = ("store_clock", "observed", "never")
ADDRESSING_STYLES = ("auto", "path", "virtual")
AWS_CONFIG = ("s3", "use_fips_endpoint", "use_dualstack_endpoint", "proxies", "proxies_config", "client_cert")
"""What botocore.config.Config takes that has no option here, and does not contradict how requests are made."""
SHORTEST_INTERVAL = 1.0
"""Seconds between two renewals, at the least."""
REACTION = 0.5
"""Seconds to react. The daemon gives up this long before systemd would kill it, and the fence kills services this
long before ``stop_grace`` ends."""
RUNS_GRACE = 2.0
"""Seconds before the deadline at which a playbook's run begins to end if its lease cannot be kept."""
PATIENCE = 3
"""Errors that no deadline bounds are retried for this many request timeouts, and as many seconds for the pauses between
them. That is time for a write, the read that looks for it, and the same write again."""


@dataclass(frozen=True)
class Location:
    """Where a lease is. Its text for people is s3://bucket/key."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return "s3://%s/%s" % (self.bucket, self.key)

    def at(self, key: str) -> Location:
        """Return the location of another object in the bucket."""
        return Location(self.bucket, key)

    def of(self, slot: int) -> Location:
        """Return the location of a slot; of 0, itself."""
        return self.at("%s/slot-%d" % (self.key, slot)) if slot else self

    def checked(self) -> Location:
        """Return it. Raises BadOption for an unusable bucket or key."""
        check_bucket(self.bucket)
        check_key(self.key)
        return self


@dataclass(frozen=True)
class Endpoint:
    """How to reach the store. Raises BadOption for unusable values.

    What is None or empty comes from botocore's own chain: environment, profile, instance role.
    """

    endpoint_url: Optional[str] = None
    access_key: Optional[str] = None
    secret_key: Optional[str] = None
    session_token: Optional[str] = None
    profile: Optional[str] = None
    credentials_file: Optional[str] = None
    """Used instead of ~/.aws/credentials."""
    region: Optional[str] = None
    validate_certs: bool = True
    aws_ca_bundle: Optional[str] = None
    addressing_style: str = "auto"
    expected_bucket_owner: Optional[str] = None
    """The AWS account that the bucket has to belong to."""
    aws_config: Optional[Mapping[str, Any]] = None
    """Arguments of botocore.config.Config, of those in AWS_CONFIG."""
    request_timeout: float = 5
    """Seconds after which the outcome of a request counts as unknown."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value == "":  # templates and environments often use it for "not set"
                object.__setattr__(self, name, None)
        check_range("request_timeout", self.request_timeout)
        check_choice("addressing_style", self.addressing_style, ADDRESSING_STYLES)
        if self.expected_bucket_owner is not None and not _ACCOUNT.fullmatch(str(self.expected_bucket_owner)):
            way_out = "use the 12 digits of an AWS account, in quotes if the first is a 0"
            raise BadOption("expected_bucket_owner", self.expected_bucket_owner, way_out)
        check_aws_config(self.aws_config or {})
        if self.endpoint_url is not None:
            check_endpoint_url(self.endpoint_url)
        for name in ("access_key", "secret_key", "session_token", "region"):
            value = getattr(self, name)
            if value is not None and not (value.isascii() and value.isprintable() and value == value.strip()):
                raise BadOption(name, HIDDEN, "use printable ASCII characters, with no line end or blanks around them")
        if self.profile and (self.access_key or self.secret_key or self.session_token):
            raise BadOption(
                "profile",
                self.profile,
                "it cannot be combined with access_key, secret_key or session_token. "
                "Leave out one of the two (they may come from the environment: AWS_PROFILE, AWS_ACCESS_KEY_ID, ...)",
            )
        if bool(self.access_key) != bool(self.secret_key):
            given, missing = ("access_key", "secret_key") if self.access_key else ("secret_key", "access_key")
            raise BadOption(missing, None, "%s is, and needs it. Set both or neither" % given)

    @property
    def patience(self) -> float:
        """For how many seconds errors are retried if no deadline bounds them."""
        return PATIENCE * (self.request_timeout + 1)


def check_bucket(bucket: str) -> None:
    """Raise BadOption for a name that no store accepts for a bucket (S3 user guide, bucket naming rules), and for what
    stands for something else than one bucket.
    """
    if _ACCESS_POINT.fullmatch(bucket):
        if not bucket.split(":")[3]:  # they have no region
            raise BadOption(
                "bucket",
                bucket,
                "it is a multi-Region access point, whose buckets learn of each other's writes later, so that each "
                "could have a leader. Use one of these buckets",
            )
        return
    if bucket.startswith("arn:"):
        way_out = "it is not the ARN of an access point, like arn:aws:s3:eu-central-1:123456789012:accesspoint/leases"
        raise BadOption("bucket", bucket, way_out)
    if bucket.endswith(("--x-s3", "--xa-s3")):
        raise BadOption("bucket", bucket, "directory buckets are not supported. Use a general purpose bucket")
    if not _BUCKET.fullmatch(bucket):
        raise BadOption(
            "bucket", bucket, "use %d to %d letters, digits, dots, hyphens and underscores" % LENGTHS["bucket"]
        )


def check_key(key: str) -> None:
    """Raise BadOption for a key that a store or a proxy may refuse, or mistake for another one."""
    size, (least, most) = len(key.encode("utf-8", "replace")), LENGTHS["key"]
    if not least <= size <= most:
        raise BadOption("key", key, "it has %d bytes. Use %d to %d" % (size, least, most))
    if not key.isprintable():
        raise BadOption("key", key, "it has a control character or another unprintable one. Remove it")
    scheme, separator, rest = key.partition("://")
    if separator:
        bucket, _slash, name = rest.partition("/")
        way_out = "it is a URL. Use bucket: %s and key: %s" % (bucket or "BUCKET", name or "KEY")
        raise BadOption("key", key, way_out if scheme == "s3" else "it is a URL. Use endpoint_url, bucket and key")
    if "\\" in key:
        raise BadOption("key", key, "some stores treat a backslash as a slash. Use a slash, or neither")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise BadOption(
            "key",
            key,
            "stores disagree about empty parts and about . and .. between slashes, "
            "so two runners could use different objects. Use a key like jobs/migrate-db",
        )


def check_holder(holder: str) -> None:
    if not _fits("holder", holder):
        raise BadOption("holder", holder, "use %d to %d printable characters" % LENGTHS["holder"])


def check_session(session: str) -> None:
    if not _fits("session", session):
        way_out = "use %d to %d printable characters that nobody else uses" % LENGTHS["session"]
        raise BadOption("session", session, way_out)


def check_slots(slots: int, key: str, name: str = "slots") -> None:
    """Raise BadOption for a number of slots that is out of range, or whose objects would have too long a key."""
    if isinstance(slots, bool) or not 1 <= slots <= MAX_SLOTS:  # True is an int, too
        raise BadOption(name, slots, "use 1 to %d" % MAX_SLOTS)
    check_key(Location("", key).of(slots).key)


def check_textfile(path: str, name: str = "textfile") -> None:
    """Raise BadOption for a file that cannot be written, or that node_exporter would not read."""
    folder = os.path.dirname(os.path.abspath(path))
    if not path.endswith(TEXTFILE_SUFFIX) or os.path.basename(path) == TEXTFILE_SUFFIX:
        raise BadOption(name, path, "node_exporter reads no other files than *%s" % TEXTFILE_SUFFIX)
    if not os.path.isdir(folder):
        raise BadOption(name, path, "there is no folder %s: create it" % folder)
    if not os.access(folder, os.W_OK | os.X_OK) or os.path.isdir(path):
        raise BadOption(name, path, "it cannot be written: let %s be writable for this user" % folder)


def check_reason(reason: str) -> None:
    if not _fits("reason", reason):
        raise BadOption("reason", reason, "use at most %d printable characters" % LENGTHS["reason"][1])


def _fits(name: str, text: str) -> bool:
    least, most = LENGTHS[name]
    return least <= len(text) <= most and text.isprintable()


def check_metadata(metadata: Mapping[Any, Any]) -> Dict[str, str]:
    """Return the metadata as strings. Raises BadOption if it is not flat, or too large."""
    texts: Dict[str, str] = {}
    for name, value in metadata.items():
        if not isinstance(value, (str, int, float)):
            raise BadOption("metadata", {name: value}, "use strings or numbers as its values, not lists or maps")
        texts[str(name)] = str(value)
    size = len(json.dumps(texts).encode("ascii"))
    if size > MAX_METADATA:
        raise BadOption("metadata", metadata, "it has %d bytes as JSON. Use at most %d" % (size, MAX_METADATA))
    return texts


def check_durations(lease_duration: float, request_timeout: float) -> None:
    """Raise BadOption for a time budget that does not add up (rule 9)."""
    check_range("lease_duration", lease_duration)
    spent = request_timeout + margin(lease_duration)
    if spent >= lease_duration:
        raise BadOption(
            "lease_duration",
            lease_duration,
            "a single slow request would outlast it (request_timeout %g s + clock margin %g s). "
            "Use a lease_duration of more than %g s, or a shorter request_timeout"
            % (request_timeout, margin(lease_duration), spent),
        )


def check_waiting(
    takeover: str, wait_timeout: float, poll_interval: float, lease_duration: float, request_timeout: float
) -> None:
    """Raise BadOption for a wait that cannot succeed."""
    check_choice("takeover", takeover, TAKEOVERS)
    check_range("wait_timeout", wait_timeout)
    check_range("poll_interval", poll_interval)
    least = request_timeout + margin(lease_duration) + wait_timeout * MARGIN_RATE
    if lease_duration <= least:
        raise BadOption(
            "wait_timeout",
            wait_timeout,
            "in a wait this long, clock rates that differ by a thousandth could use up the lease. "
            "Use a lease_duration of more than %g s, or a shorter wait" % least,
        )
    needed = lease_duration + margin(lease_duration)
    if takeover == "observed" and wait_timeout <= needed:
        raise BadOption(
            "wait_timeout",
            wait_timeout,
            "takeover: observed has to watch a lease for its full duration before it takes it over, "
            "so it could never take over from a dead holder. Use more than %g s, or takeover: store_clock" % needed,
        )


def keeping(lease_duration: float, request_timeout: float, stop_grace: float = RUNS_GRACE) -> float:
    """Return how often to renew a lease that is kept while something runs, in seconds. That begins to end
    ``stop_grace`` before the lease does. Raises BadOption if a renewal and its repetition do not fit in before.
    """
    left = lease_duration - stop_grace - request_timeout - REACTION
    if left < 2 * SHORTEST_INTERVAL:
        raise BadOption(
            "lease_duration",
            lease_duration,
            "it is too short to be kept: two renewals have to fit in before what runs under it begins to end "
            "(request_timeout %g s + %g s for that). Use %g s or more, or a shorter request_timeout"
            % (request_timeout, stop_grace, math.ceil(lease_duration - left + 2 * SHORTEST_INTERVAL)),
        )
    return min(lease_duration / 3, left / 2)


def check_range(name: str, value: float, ranges: Optional[Mapping[str, Tuple[float, float]]] = None) -> None:
    """Raise BadOption for a time that is out of the option's range."""
    least, most = (ranges or RANGES)[name]
    if not least <= value <= most:
        raise BadOption(name, value, "use %g to %g seconds" % (least, most))


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BadOption(name, value, "use one of " + ", ".join(choices))


def check_endpoint_url(url: str, name: str = "endpoint_url") -> str:
    """Return the URL. Raises BadOption if it is not a store's; a password in it is not shown."""
    if credentials_in(url):
        raise BadOption(name, HIDDEN, "it contains a user or password. Use access_key and secret_key")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment
        parts.port  # noqa: B018  (raises for an invalid port)
    except ValueError:
        good = None
    if not good or any(character.isspace() or not character.isprintable() for character in url):
        raise BadOption(name, url, "use a URL like https://s3.example.com:9000")
    return url


def credentials_in(url: str) -> List[str]:
    """Return what is before the @ of a URL, and its parts: none of it may be shown."""
    before, at, _host = url.rpartition("@")
    if not at:
        return []
    before = before.partition("//")[2] if "//" in before else before  # a proxy needs no scheme
    return [text for text in (before, before.partition(":")[2], unquote(before.partition(":")[2])) if text]


def check_aws_config(config: Mapping[str, Any]) -> None:
    """Raise BadOption for what botocore's own client goes by, but a request for a lease must not."""
    for name, value in config.items():
        if name not in AWS_CONFIG:
            way_out = "use %s, or the options of this task, such as request_timeout" % ", ".join(AWS_CONFIG)
            raise BadOption("aws_config", name, way_out)
        if name in ("s3", "proxies", "proxies_config") and not isinstance(value, Mapping):
            raise BadOption("aws_config", name, "it has to be a dictionary")
        if name == "proxies" and not all(isinstance(url, str) for url in value.values()):
            raise BadOption("aws_config", name, "it has to have the URL of a proxy for each scheme")
        if name == "client_cert" and not (isinstance(value, str) or _is_pair(value)):
            raise BadOption("aws_config", name, "it has to be a file, or a list of two: the certificate, and its key")


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(file, str) for file in value)


_ACCESS_POINT = re.compile(r"arn:[a-z-]+:s3(-outposts)?:[a-z0-9-]*:[0-9]{12}:[A-Za-z0-9:/.-]{1,180}", re.ASCII)
_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)
_BUCKET = re.compile(r"[A-Za-z0-9._-]{%d,%d}" % LENGTHS["bucket"], re.ASCII)
