# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""Translates Ansible's arguments for the core: one argument spec and one handle, for modules and lookup."""

from __future__ import annotations

import math
import typing as t

from ansible.module_utils.basic import env_fallback

from ._lease import connection, durations, settings
from ._lease.bad_option import BadOption
from ._lease.clock import Clock
from ._lease.driver import drive, fresh_nonce
from ._lease.record import MAX_DURATION, Ended, Proof, Record, from_utc, utc
from ._lease.settings import Endpoint, Location
from ._lease.store import Store
from ._lease.types import Claimant, Held, Seen, Steps

T = t.TypeVar("T")

SPEC: dict[str, dict[str, t.Any]] = dict(
    bucket=dict(type="str", default=settings.DEFAULT_BUCKET, fallback=(env_fallback, ["S3_LEADER_BUCKET"])),
    key=dict(type="str", required=True, aliases=["object_key"], no_log=False),
    holder=dict(type="str", aliases=["instance_id"]),
    session=dict(type="str"),
    endpoint_url=dict(type="str", aliases=["aws_endpoint_url"], fallback=(env_fallback, ["AWS_URL"])),
    access_key=dict(
        type="str",
        aliases=["aws_access_key_id", "aws_access_key"],
        fallback=(env_fallback, ["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"]),
        no_log=False,
    ),
    secret_key=dict(
        type="str",
        aliases=["aws_secret_access_key", "aws_secret_key"],
        fallback=(env_fallback, ["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"]),
        no_log=True,
    ),
    session_token=dict(
        type="str", aliases=["aws_session_token"], fallback=(env_fallback, ["AWS_SESSION_TOKEN"]), no_log=True
    ),
    profile=dict(type="str", aliases=["aws_profile"], fallback=(env_fallback, ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])),
    region=dict(type="str", aliases=["aws_region"], fallback=(env_fallback, ["AWS_REGION", "AWS_DEFAULT_REGION"])),
    validate_certs=dict(type="bool", default=Endpoint.validate_certs),
    aws_ca_bundle=dict(type="path", fallback=(env_fallback, ["AWS_CA_BUNDLE"])),
    addressing_style=dict(type="str", default=Endpoint.addressing_style, choices=list(settings.ADDRESSING_STYLES)),
    expected_bucket_owner=dict(type="str"),
    aws_config=dict(type="dict"),
    request_timeout=dict(type="str", default="5s"),
    debug_botocore_endpoint_logs=dict(
        type="bool", default=False, fallback=(env_fallback, ["ANSIBLE_DEBUG_BOTOCORE_LOGS"])
    ),
)
"""Connection and lease options, by the names that users of amazon.aws know."""

HANDED_OVER: dict[str, dict[str, t.Any]] = dict(lease=dict(type="dict"))
"""The option of the modules that take an earlier registered result."""

SLOTS: dict[str, dict[str, t.Any]] = dict(slots=dict(type="int"))
"""The option of the modules to which a lease may have slots."""


def in_seconds(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the arguments, their durations in seconds. Raises BadOption for one that is none."""
    given = {name: params[name] for name in settings.RANGES if params.get(name) is not None}
    return {**params, **{name: durations.seconds(name, value) for name, value in given.items()}}


def hidden_in(params: t.Mapping[str, t.Any]) -> set[str]:
    """Return the user names and passwords in the URLs of the arguments: Ansible does not know them as secrets."""
    given = _texts([params.get("endpoint_url"), params.get("aws_config")])
    return {secret for text in given for secret in settings.credentials_in(text)}


def _texts(value: t.Any) -> t.Iterator[str]:
    """Yield all texts in it. The arguments may not have been checked yet."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (t.Mapping, list, tuple)):
        for one in value.values() if isinstance(value, t.Mapping) else value:
            yield from _texts(one)


class Handle:
    """The lease that a task's options name."""

    def __init__(self, params: t.Mapping[str, t.Any], kind: type[Location] = Location) -> None:
        """Check the options that all modules have. Raises BadOption or CannotSend if they cannot be used."""
        self.clock = Clock()
        self.started = self.clock.now()
        self.params = params = in_seconds(params)
        """The task's options, their durations in seconds."""
        self.endpoint = Endpoint(**{name: params[name] for name in Endpoint.__dataclass_fields__ if name in params})
        self.location = kind(params["bucket"], params["key"]).checked()
        self.slots: int = params.get("slots") or 0
        """How many slots the lease has, if none of them is known to be meant; else 0."""
        if params.get("slots") is not None:
            settings.check_slots(params["slots"], params["key"])
        settings.check_holder(params["holder"])
        if params["session"]:
            settings.check_session(params["session"])
        self.connection = connection.Connection(self.endpoint, self.location)
        session, self.held, slot = self._handed_over(params.get("lease") or {})
        if slot:
            self.location, self.slots = self.location.of(slot), 0
            self.connection = self.connection.at(self.location.key)
        bucket_url = self.connection.bucket_url
        self.me = Claimant(params["holder"], session or params["session"] or fresh_nonce(), bucket_url)
        self.store = Store(self.connection, self.location, self.clock)
        if self.held:
            self.store.learn_time(self.held)

    def drive(self, steps: Steps[T], slot: int = 0) -> T:
        """Run an operation on the lease, or on one of its slots. Raises StoreError."""
        return drive(steps, self.store.of(slot), self.endpoint.request_timeout, self.clock)

    def _handed_over(self, result: t.Mapping[str, t.Any]) -> tuple[str | None, Held | None, int]:
        """Read a registered result: return the session that it gives authority to, the lease that it proves held, and
        the slot that it is, 0 for none.

        A result with ``is_leader`` false gives and proves nothing. A result of another run, whose age is unknown, does
        not prove the lease held: the store has to be asked.
        """
        if result and "is_leader" not in result:
            raise BadOption("lease", result, _WHOLE_RESULT)
        if not result.get("is_leader"):
            return None, None, 0
        try:
            lease = result["lease"]
            texts = {name: _text(lease[name]) for name in ("bucket", "key", "holder", "session", "etag")}
            renewed_at = _time(lease["renewed_at"])
            record = Record(
                holder=texts["holder"],
                session=texts["session"],
                term=int(lease["term"]),
                sequence=int(lease["sequence"]),
                nonce="",
                lease_duration=float(lease["lease_duration"]),
                acquired_at=_time(lease["acquired_at"]),
                renewed_at=renewed_at,
                lease_until=renewed_at,
                metadata=settings.check_metadata(lease["metadata"]),
                proof=_proof(lease.get("conditions_proven")),
                hold_at_least=float(lease.get("hold_at_least") or 0),
                history=tuple(map(_ended, lease.get("history") or ())),
                slots=int(lease.get("slots") or 0),
            )
            slot = int(lease.get("slot") or 0)
            if record.slots:
                settings.check_slots(record.slots, "-")
            settings.check_range("lease_duration", record.lease_duration)
            settings.check_range("hold_at_least", record.hold_at_least)
            elapsed, heard = (
                None if result.get(name) is None else _seconds(result[name]) for name in ("elapsed", "heard")
            )
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            raise BadOption("lease", result, _WHOLE_RESULT) from None
        location = Location(texts["bucket"], texts["key"])
        if _CENSORED in str(location):
            # Ansible censors results where a secret is part of the bucket's or the key's name.
            return None, None, 0
        slot = slot if location == self.location.of(slot) else 0
        if location != self.location.of(slot):
            raise BadOption("lease", str(location), f"it is not the lease that this task names, {self.location}")
        if elapsed is None or heard is None or not texts["etag"]:
            return record.session, None, slot
        seen = Seen(record, texts["etag"], modified=renewed_at, store_time=renewed_at)
        return record.session, Held(seen, self.started + record.lease_duration - elapsed, self.started - heard), slot


_WHOLE_RESULT = "pass the whole registered result of s3_leader_acquire or s3_leader_renew"
_CENSORED = "********"


def _proof(given: t.Mapping[str, t.Any] | None) -> Proof | None:
    if given is None:
        return None
    return Proof(
        _text(given["store"]),
        _time(given["at"]),
        given["quoted_etags"] is True,
        given["use_by_dates"] is True,
    )


def _ended(given: t.Mapping[str, t.Any]) -> Ended:
    return Ended(
        term=int(given["term"]),
        acquired_at=None if given["acquired_at"] is None else _time(given["acquired_at"]),
        ended_at=_time(given["ended_at"]),
        **{name: _text(given[name]) for name in ("holder", "session", "how", "by", "reason")},
    )


def _time(value: t.Any) -> float:
    seconds = from_utc(_text(value))
    for end in (-MAX_DURATION, 2 * MAX_DURATION):
        utc(seconds + end)  # or what is counted from it would be no time
    return seconds


def _seconds(value: t.Any) -> float:
    seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError(value)
    return seconds


def _text(value: t.Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
