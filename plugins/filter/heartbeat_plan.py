# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role heartbeat sets up on a host, and why it may not: decided by the daemon's own code."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.config import FOLDER, Config, check_name
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.heartbeat import Timing
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import BadOption, Endpoint, check_range

_boolean: t.Callable[[t.Any], bool] = boolean

HOOK_TIMEOUT = 10
SYSTEMD = 1
"""Seconds that systemd itself may take for a stop."""

_KEYS = ("access_key", "secret_key", "session_token")
_CREDENTIALS = ("credentials_file", "load_credential", "load_credential_encrypted")
_HOOKS = {"on_acquired": ["acquired.service"], "on_lost": ["lost.service"], "on_error": ["error.path", "error.service"]}
_PLACE = ("bucket", "key", "endpoint_url")
"""What tells one lease from another."""
_DRAGGED = ("ConsistsOf", "RequiredBy", "RequisiteOf", "BoundBy", "PropagatesStopTo")
"""Properties that name what systemd stops along with a unit."""
_LINES = (*_HOOKS, "load_credential", "load_credential_encrypted")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*\.(service|timer|path|socket|mount|target)", re.ASCII)
_SPAN = re.compile(r"([0-9.]+)(us|ms|s|min|h|d|w|month|y)\b")
_SECONDS = dict(us=1e-6, ms=1e-3, s=1, min=60, h=3600, d=86400, w=604800, month=2629800, y=31557600)


class Refusal(ValueError):
    """A lease cannot be set up like that. The text says why, and the way out."""


class Unit(t.NamedTuple):
    """What systemctl show told about a unit."""

    name: str
    id: str
    """The name that systemd itself uses: it differs from an alias."""
    state: str
    after: set[str]
    triggers: set[str]
    dragged: set[str]
    """What is stopped along with it; a target does nothing when it stops, and so is none of these."""
    limit: str
    """How long a step of its stop may take, in systemd's words."""
    steps: int


def heartbeat_plan(
    leases: t.Sequence[t.Mapping[str, t.Any]],
    shown: t.Sequence[t.Mapping[str, t.Any]] = (),
    missing_ok: bool = False,
    there: t.Sequence[t.Mapping[str, t.Any]] = (),
) -> dict[str, t.Any]:
    if isinstance(leases, (str, bytes)) or not all(isinstance(lease, t.Mapping) for lease in leases):
        raise AnsibleFilterError("leaderelection.s3.heartbeat_plan takes the role's heartbeat_leases, a list of maps")
    units = {unit.name: unit for unit in map(_unit, shown)}
    configured = {str(result["item"]): result["stdout"] for result in there}
    plan: dict[str, t.Any] = dict(leases={}, services=[], gone=[], files=[], patterns=[], refused=[])
    owners: dict[str, str] = {}
    for lease in leases:
        name = str(lease["name"])
        try:
            if name in plan["leases"] or name in plan["gone"]:
                raise Refusal("it is listed twice")
            check_name(name)
            plan["patterns"] += [f"s3-leader@{name}.*", f"s3-leader-*@{name}.*", f"s3-leader-{name}.conf"]
            if lease.get("state", "present") == "absent":
                plan["gone"].append(name)
                continue
            config = _config(lease)
            _check_place(config, configured.get(name, ""))
            _check_units(lease)
            services = [str(service) for service in lease.get("services") or []]
            for service in services:
                if owners.setdefault(service, name) != name:
                    raise Refusal(f"{service} belongs to the lease {owners[service]} already")
            started = _started(lease, [units[service] for service in services if service in units], config, missing_ok)
        except (BadOption, Refusal) as error:
            plan["refused"].append(f"{name}: {error}")
            continue
        hooks = [hook for hook in _HOOKS if lease.get(hook)]
        plan["leases"][name] = dict(
            config=config,
            services=services,
            starts=started + [_unit_of(hook, name) for hook in ("on_acquired", "on_lost") if hook in hooks],
            hook_timeout=_hook_timeout(lease),
        )
        plan["services"] += services
        plan["files"] += _files(name, services, hooks)
    return plan


def _config(lease: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the daemon's configuration, its defaults written out. Raises BadOption or Refusal."""
    if sum(bool(lease.get(option)) for option in ("access_key", *_CREDENTIALS)) > 1:
        raise Refusal(f"its credentials come from one of access_key, {', '.join(_CREDENTIALS)}, and several are given")
    keys: dict[str, t.Any] = {option: lease.get(option) for option in _KEYS}
    Endpoint(profile=lease.get("profile"), **keys)
    options = {field.name: lease.get(field.name) for field in dataclasses.fields(Config)}
    given = {option: _typed(option, value) for option, value in options.items() if value is not None and value != ""}
    if lease.get("access_key"):
        given["credentials_file"] = f"{FOLDER}/{lease['name']}.credentials"
    if "key" not in given:
        raise Refusal("key is missing: name the object that is the lease, the same one on all hosts that compete")
    config = dataclasses.asdict(Config(**given))
    if "holder" not in given:
        del config["holder"]  # the host's name, which the daemon knows
    return {option: value for option, value in config.items() if option != "name" and value is not None}


def _check_place(config: t.Mapping[str, t.Any], there: str) -> None:
    """Raise Refusal for a lease that would become another one while the group goes by it."""
    try:
        before = json.loads(there)
    except ValueError:
        return  # there is none, or none that a daemon could go by
    for option in _PLACE:
        if before.get(option) != config.get(option):
            raise Refusal(
                f"{option} is {config.get(option)}, and was {before.get(option)}: hosts that go over to it would lead "
                "beside one that has not yet. Leave the lease on all hosts first (state: absent), then take part anew"
            )


def _check_units(lease: t.Mapping[str, t.Any]) -> None:
    """Raise BadOption or Refusal for what cannot be written into a unit."""
    for option in ("stop_timeout", "hook_timeout"):
        if lease.get(option) not in (None, ""):
            check_range(option, _number(lease[option]), 1, 3600)
    for option in _LINES:
        if not str(lease.get(option) or "").isprintable():
            raise Refusal(f"{option} has to be one line, without a line end or other control characters")
    for name, value in (lease.get("environment") or {}).items():
        if not _VARIABLE.fullmatch(str(name)):
            raise Refusal(f"environment has {name!r}: a name is letters, digits and _, and begins with no digit")
        if not str(value).isprintable():
            raise Refusal(f"environment has {name}: its value has to be one line, without other control characters")


def _typed(option: str, value: t.Any) -> t.Any:
    """Return a value as JSON has to have it: older Ansible makes texts of all that comes out of a template."""
    if option in Timing._fields:
        return _number(value)
    return _boolean(value) if option == "validate_certs" else value


def _number(value: t.Any) -> float:
    number = float(value)
    return int(number) if number.is_integer() else number


def _started(
    lease: t.Mapping[str, t.Any], units: t.Sequence[Unit], config: t.Mapping[str, t.Any], missing_ok: bool
) -> list[str]:
    """Return the services that start when the host leads: those that no timer of theirs starts. Raises Refusal."""
    services = {str(service) for service in lease.get("services") or []}
    for service in sorted(services):
        if not _UNIT.fullmatch(service):
            raise Refusal(f"services: {service} is not the full name of a unit that can be bound, like nginx.service")
    limit = float(lease.get("stop_timeout") or 0)
    alone: dict[str, float] = {}
    in_turn: dict[str, float] = {}
    for unit in units:
        if unit.state == "not-found" and not missing_ok:
            raise Refusal(f"{unit.name} does not exist on this host: install it first, or take it out of services")
        if unit.state not in ("loaded", "not-found"):
            raise Refusal(f"{unit.name} cannot be started: systemd shows it as {unit.state}")
        if unit.id not in ("", unit.name):
            raise Refusal(f"{unit.name} is another name of {unit.id}: list that one")
        for other in sorted(unit.dragged - services):
            raise Refusal(
                f"{other} is stopped along with {unit.name}: list it in services, too, or nobody waits for its end"
            )
        for other in sorted(unit.triggers - services):
            raise Refusal(f"{unit.name} starts {other}: list it in services, too, or it would outlive the leadership")
        ordered = unit.after & services or any(unit.name in other.after for other in units)
        seconds = limit if limit and _is_service(unit) else _limit(unit)
        (in_turn if ordered else alone)[unit.name] = unit.steps * seconds
    if lease.get("on_lost"):
        alone["on_lost"] = _hook_timeout(lease)
    needed = max([sum(in_turn.values()), *alone.values()]) + SYSTEMD
    if needed > config["stop_grace"]:
        told = ", ".join(f"{name} {seconds:g} s" for name, seconds in {**in_turn, **alone}.items() if seconds)
        raise Refusal(
            f"stop_grace is {config['stop_grace']:g} s, and until all has stopped it may take {needed:g} s: {told}, "
            f"and {SYSTEMD} s. Set stop_timeout to what the services really need, or raise stop_grace, and "
            "lease_duration by as much"
        )
    triggered = {other for unit in units for other in unit.triggers}
    return [str(service) for service in lease.get("services") or [] if service not in triggered]


def _limit(unit: Unit) -> float:
    if unit.limit == "infinity":
        raise Refusal(f"{unit.name} may take for ever to stop (TimeoutStopSec=infinity): set stop_timeout")
    return sum(float(number) * _SECONDS[unit_of_time] for number, unit_of_time in _SPAN.findall(unit.limit))


def _is_service(unit: Unit) -> bool:
    return unit.name.endswith(".service")


def _hook_timeout(lease: t.Mapping[str, t.Any]) -> float:
    return float(lease.get("hook_timeout") or HOOK_TIMEOUT)


def _unit(result: t.Mapping[str, t.Any]) -> Unit:
    """Read what systemctl show printed.

    The limit applies to each ExecStop=, once more until what is left is killed, and to each ExecStopPost= in the same
    way: TimeoutStopSec= in systemd.service(5).
    """
    lines = [line.partition("=")[::2] for line in result["stdout_lines"]]
    shown = dict(lines)
    names = [name for name, _value in lines]
    after = names.count("ExecStopPost")
    return Unit(
        name=str(result["item"]),
        id=shown.get("Id", ""),
        state=shown.get("LoadState", ""),
        after=set(shown.get("After", "").split()),
        triggers=set(shown.get("Triggers", "").split()),
        dragged={
            other
            for name in _DRAGGED
            for other in shown.get(name, "").split()
            if not other.endswith(".target") and not other.startswith("s3-leader-")
        },
        limit=str(shown.get("TimeoutStopUSec", shown.get("TimeoutUSec", ""))),
        steps=names.count("ExecStop") + 1 + (after + 1 if after else 0),
    )


def _unit_of(hook: str, name: str) -> str:
    return f"s3-leader-{hook[3:]}@{name}.service"


def _files(name: str, services: t.Sequence[str], hooks: t.Sequence[str]) -> list[dict[str, str]]:
    """Return the files of a lease in systemd's folder, and the templates that they come from."""
    own = f"s3-leader-{name}.conf"
    files = {
        f"s3-leader@{name}.service.d/{own}": "daemon.conf",
        f"s3-leader-active@{name}.target.d/{own}": "target.conf",
    }
    for hook in hooks:
        for template in _HOOKS[hook]:
            kind, _dot, suffix = template.partition(".")
            files[f"s3-leader-{kind}@{name}.{suffix}"] = template
    for service in services:
        files[f"{service}.d/{own}"] = "service.conf"
    return [dict(lease=name, path=path, template=template) for path, template in files.items()]


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"heartbeat_plan": heartbeat_plan}
