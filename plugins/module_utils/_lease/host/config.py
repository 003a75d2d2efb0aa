# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The configuration of a lease that a host takes part in: /etc/s3-leader/NAME.json, with the role's option names."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, fields
from typing import Any, Dict, Mapping, Optional, Sequence

from .. import settings
from ..bad_option import HIDDEN, BadOption
from ..settings import DEFAULT_BUCKET, REACTION, Endpoint, Location
from .leases import check_name, path_of
from .timing import Timing

RANGES = dict(renew_interval=(1, 3600), stop_grace=(1, 3600), poll_interval=(1, 60), takeover_delay=(0, 3600))
"""The minimum and the maximum of each option, in seconds; settings.RANGES has those of the other times."""
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*\.(service|timer|path|socket|mount|target)", re.ASCII)
_BINDABLE = "use the full names of services, timers, paths, sockets, mounts or targets, like nginx.service"
_TIMES = Timing._fields
ENDPOINT = (
    "endpoint_url",
    "profile",
    "credentials_file",
    "region",
    "validate_certs",
    "aws_ca_bundle",
    "addressing_style",
    "expected_bucket_owner",
    "request_timeout",
)
"""What tells how to reach the store, but for the keys themselves."""


@dataclass(frozen=True)
class Config:
    """The daemon's configuration. Raises BadOption for values that cannot be used, or do not add up."""

    name: str
    key: str
    bucket: str = DEFAULT_BUCKET
    holder: str = field(default_factory=lambda: os.uname().nodename)
    lease_duration: float = 30
    renew_interval: float = 5
    stop_grace: float = 12
    poll_interval: float = 1
    request_timeout: float = 3
    takeover_delay: float = 0
    slots: Optional[int] = None
    """How many hosts may hold the lease at the same time, each one slot of it; None for a lease without slots."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    services: Sequence[str] = field(default_factory=list)
    """The units that run only on the leader. A template stands for its instances."""
    credentials_file: Optional[str] = None
    """In the format of ~/.aws/credentials. If None, botocore finds the credentials."""
    endpoint_url: Optional[str] = None
    profile: Optional[str] = None
    region: Optional[str] = None
    validate_certs: bool = Endpoint.validate_certs
    aws_ca_bundle: Optional[str] = None
    addressing_style: str = Endpoint.addressing_style
    expected_bucket_owner: Optional[str] = None

    def __post_init__(self) -> None:
        self.location.checked()
        if self.slots is not None:
            settings.check_slots(self.slots, self.key)
        settings.check_holder(self.holder)
        object.__setattr__(self, "metadata", settings.check_metadata(self.metadata))
        self.endpoint  # noqa: B018  (checks its part)
        path = self.credentials_file
        if path and not (path.startswith("/") and path.isprintable()):
            raise BadOption("credentials_file", path, "use an absolute path, like /etc/s3-leader/db.credentials")
        for service in self.services:
            if not _UNIT.fullmatch(service):
                raise BadOption("services", service, _BINDABLE)
        settings.check_durations(self.lease_duration, self.request_timeout)
        for name in RANGES:
            settings.check_range(name, getattr(self, name), RANGES)
        needed = self.stop_grace + 2 * self.renew_interval + self.request_timeout + REACTION
        if self.lease_duration < needed:
            raise BadOption(
                "lease_duration",
                self.lease_duration,
                "two renewals have to fit in before the services must begin to stop (stop_grace %g s + 2 x "
                "renew_interval %g s + request_timeout %g s + %g s). Use %g s or more, or shorten the others"
                % (self.stop_grace, self.renew_interval, self.request_timeout, REACTION, needed),
            )

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(**{name: getattr(self, name) for name in ENDPOINT})

    @property
    def timing(self) -> Timing:
        return Timing(**{name: getattr(self, name) for name in _TIMES})

    @property
    def location(self) -> Location:
        return Location(self.bucket, self.key)


def load(name: str, path: Optional[str] = None) -> Config:
    """Read the configuration of a lease. Raises BadOption if it cannot be used."""
    check_name(name)
    path = path or path_of(name)
    try:
        with open(path, encoding="utf-8") as file:
            given = json.load(file)
    except OSError as error:
        raise BadOption("configuration", path, "%s. The role heartbeat writes it" % error.strerror) from None
    except (ValueError, RecursionError) as error:
        raise BadOption("configuration", path, "it is not JSON (%s)" % error) from None
    return _config(name, path, given)


def _config(name: str, path: str, given: Any) -> Config:
    known = {one.name: one for one in fields(Config)}
    if not isinstance(given, dict) or given.get("key") is None:
        raise BadOption("configuration", path, "it has to be an object with at least a key")
    for option, value in given.items():
        if option == "name" or option not in known:
            # The value may be a secret key.
            raise BadOption(option, HIDDEN, "this option does not exist. Remove it from %s" % path)
        _check_type(option, value)
    options: Dict[str, Any] = {option: value for option, value in given.items() if value is not None}
    return Config(name=name, **options)


def _check_type(option: str, value: object) -> None:
    if value is None:
        return  # not set
    if option in _TIMES:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        wanted = "a number of seconds"
    elif option == "slots":
        good, wanted = isinstance(value, int) and not isinstance(value, bool), "a number"
    elif option == "validate_certs":
        good, wanted = isinstance(value, bool), "true or false"
    elif option == "services":
        good, wanted = isinstance(value, list) and all(isinstance(one, str) for one in value), "a list of units"
    elif option == "metadata":
        good, wanted = isinstance(value, dict), "an object"
    else:
        good, wanted = isinstance(value, str), "a string"
    if not good:
        raise BadOption(option, value, "it has to be %s" % wanted)
