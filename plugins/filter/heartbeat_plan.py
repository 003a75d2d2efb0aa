# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role heartbeat sets up on a host, and why it may not: decided by the daemon's own code."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import typing as t

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.config import FOLDER, Config, check_name
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import (
    BadOption,
    Endpoint,
    Timing,
    check_range,
)

_boolean: t.Callable[[t.Any], bool] = boolean
T = t.TypeVar("T")

HOOK_TIMEOUT = 10
UNITS = "/etc/systemd/system"
DROPINS = "/usr/local/lib/systemd/system"
"""Where the role's units are, and what it adds to services: systemctl revert takes that away in /etc, and not there."""
DROPINS_AND_ABOVE = ["/", "/usr", "/usr/local", "/usr/local/lib", "/usr/local/lib/systemd", DROPINS]
"""Folders whose devices tell whether systemd finds the drop-ins when it reads units at boot: /usr is mounted then."""
SYSTEMD = 1
"""Seconds that systemd itself may take for a stop."""

_KEYS = ("access_key", "secret_key", "session_token")
_CREDENTIALS = ("credentials_file", "load_credential", "load_credential_encrypted")
_HOOKS = {"on_acquired": ["acquired.service"], "on_lost": ["lost.service"], "on_error": ["error.path", "error.service"]}
_PLACE = ("bucket", "key", "endpoint_url")
"""What tells one lease from another."""
_DRAGGED = ("ConsistsOf", "RequiredBy", "RequisiteOf", "BoundBy", "PropagatesStopTo")
"""Properties that name what systemd stops along with a unit."""
_ALWAYS = {f"{name}.target" for name in ("basic", "network", "network-online", "remote-fs", "sysinit", "time-sync")}
"""What runs on every host, so that a target may want it."""
_EARLY = {f"{name}.target" for name in ("basic", "local-fs", "paths", "sockets", "sysinit")}
"""What comes before any service that has the default dependencies."""
_STARTED = ("Wants", "Requires", "BindsTo")
"""Properties that name what systemd starts along with a unit."""
_JOB_LIMITS = ("JobTimeoutUSec", "JobRunningTimeoutUSec")
_LINES = (*_HOOKS, "load_credential", "load_credential_encrypted")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_TEMPLATE = re.compile(r"(.+)@(\.service)", re.ASCII)
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
    before: set[str]
    triggers: set[str]
    triggered_by: set[str]
    starts: set[str]
    """What a target starts."""
    dragged: set[str]
    """What is stopped along with it; a target does nothing when it stops, and so is none of these."""
    limits: t.Sequence[str]
    """How long a step of its stop may take, in systemd's words: these in turn."""
    steps: int
    rooted: bool
    """It has a root of its own, with other commands in it, or none."""
    job_limits: t.Mapping[str, str]
    """When systemd gives a job of it up, whatever became of the unit, in its words by setting."""


def heartbeat_plan(
    leases: t.Sequence[t.Mapping[str, t.Any]],
    shown: t.Sequence[t.Mapping[str, t.Any]] = (),
    missing_ok: bool = False,
    there: t.Sequence[t.Mapping[str, t.Any]] = (),
    devices: t.Sequence[str] = (),
    written: bool = False,
) -> dict[str, t.Any]:
    """Return the plan.

    ``there`` are the configurations on the host, by their paths, and ``devices`` those of DROPINS_AND_ABOVE, as far as
    they exist. When the role's drop-ins are in place (written), what systemd shows is what holds.
    """
    if isinstance(leases, (str, bytes)) or not all(isinstance(lease, t.Mapping) for lease in leases):
        raise AnsibleFilterError("leaderelection.s3.heartbeat_plan takes the role's heartbeat_leases, a list of maps")
    units = {unit.name: unit for unit in map(_unit, shown)}
    configured, begun = _by_lease(there)
    others = {name: configured[name] for name in sorted({*configured} - {str(lease["name"]) for lease in leases})}
    owners = {service: name for name, config in others.items() for service in config.get("services", [])}
    places = {_place(config): name for name, config in others.items()}
    dropins = DROPINS if set(devices[2:]) <= set(devices[:2]) else UNITS
    plan: dict[str, t.Any] = dict(leases={}, services=[], dropped=[], gone=[], files=[], patterns=[], refused=[])
    plan.update(folders=[UNITS, DROPINS], above_dropins=DROPINS_AND_ABOVE)
    for lease in leases:
        name = str(lease["name"])
        try:
            if name in plan["leases"] or name in plan["gone"]:
                raise Refusal("it is listed twice: keep one entry of it in heartbeat_leases")
            check_name(name)
            plan["patterns"] += [f"s3-leader@{name}.*", f"s3-leader-*@{name}.*", f"*s3-leader-{name}.conf"]
            if lease.get("state", "present") == "absent":
                plan["gone"].append(name)
                continue
            config = _config(lease)
            _check_place(config, configured.get(name, {}))
            _check_units(lease)
            services = [str(service) for service in lease.get("services") or []]
            _claim(places, _place(config), name, others, "the lease {} has the same bucket and key already")
            for service in services:
                _claim(owners, service, name, others, service + " belongs to the lease {} already")
            shown_units = [units[service] for service in services if service in units]
            _check_services(lease, shown_units, missing_ok)
            _check_time(lease, shown_units, config, written)
            if written:
                _check_order(shown_units)
        except (BadOption, Refusal) as error:
            plan["refused"].append(f"{name}: {error}")
            continue
        hooks = [hook for hook in _HOOKS if lease.get(hook)]
        plan["leases"][name] = dict(
            config=config,
            services=services,
            templates=[service for service in services if _TEMPLATE.fullmatch(service)],
            rooted=[unit.name for unit in shown_units if unit.rooted],
            starts=_started(shown_units, services)
            + [_unit_of(hook, name) for hook in ("on_acquired", "on_lost") if hook in hooks],
            hook_timeout=_hook_timeout(lease),
        )
        plan["services"] += services
        before = [*configured.get(name, {}).get("services", []), *begun.get(name, {}).get("services", [])]
        plan["dropped"] += [service for service in dict.fromkeys(before) if service not in services]
        plan["files"] += _files(name, services, hooks, dropins)
    return plan


def _by_lease(
    there: t.Sequence[t.Mapping[str, t.Any]],
) -> tuple[dict[str, dict[str, t.Any]], dict[str, dict[str, t.Any]]]:
    """Return the configurations that are there, and those by which the host began to lead: the fence has kept them."""
    configured, begun = {}, {}
    for result in there:
        path = pathlib.PurePath(str(result["item"]))
        if str(path.parent) == FOLDER:
            configured[path.stem] = _parsed(result["stdout"])
        else:
            begun[path.parent.name] = _parsed(result["stdout"])
    return configured, begun


def _place(config: t.Mapping[str, t.Any]) -> tuple[t.Any, ...]:
    return tuple(config.get(option) for option in _PLACE)


def _claim(owners: dict[T, str], thing: T, name: str, others: t.Container[str], told: str) -> None:
    """Let a lease have what only one may have. Raises Refusal where another one has it, maybe from an earlier run."""
    other = owners.setdefault(thing, name)
    if other == name:
        return
    way_out = ": list it in one of them"
    if other in others:
        way_out = f", in which this host takes part. To leave it, add an entry with name: {other} and state: absent"
    raise Refusal(told.format(other) + way_out)


def _config(lease: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the daemon's configuration, its defaults written out. Raises BadOption or Refusal."""
    if sum(bool(lease.get(option)) for option in ("access_key", *_CREDENTIALS)) > 1:
        raise Refusal(f"several of access_key, {', '.join(_CREDENTIALS)} are set: keep one of them")
    keys: dict[str, t.Any] = {option: lease.get(option) for option in _KEYS}
    Endpoint(profile=lease.get("profile"), **keys)
    options = {field.name: lease.get(field.name) for field in dataclasses.fields(Config)}
    given = {option: _typed(option, value) for option, value in options.items() if value is not None and value != ""}
    if lease.get("access_key"):
        given["credentials_file"] = f"{FOLDER}/{lease['name']}.credentials"
    if "key" not in given:
        raise Refusal("key is missing: set it to the key of the lease object, the same on all hosts that compete")
    config = dataclasses.asdict(Config(**given))
    if "holder" not in given:
        del config["holder"]  # the host's name, which the daemon knows
    return {option: value for option, value in config.items() if option != "name" and value is not None}


def _parsed(configuration: str) -> dict[str, t.Any]:
    """Return a configuration that is there; nothing where there is none, or none that a daemon could go by."""
    try:
        there = json.loads(configuration)
    except ValueError:
        return {}
    return there if isinstance(there, dict) else {}


def _check_place(config: t.Mapping[str, t.Any], before: t.Mapping[str, t.Any]) -> None:
    """Raise Refusal for a lease that would become another one while the group goes by it."""
    for option in _PLACE if before else ():
        if before.get(option) != config.get(option):
            raise Refusal(
                f"{option} is {config.get(option)}, and was {before.get(option)}: a host with the new value could lead "
                "beside one with the old. First leave the lease on all hosts (state: absent), then add it again"
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
    if option == "services":
        return [str(service) for service in value]
    return _boolean(value) if option == "validate_certs" else value


def _number(value: t.Any) -> float:
    number = float(value)
    return int(number) if number.is_integer() else number


def _started(units: t.Sequence[Unit], services: t.Sequence[str]) -> list[str]:
    """Return the services that start when the host leads: those that no timer or socket of theirs starts."""
    return [service for service in services if service not in _triggered(units)]


def _triggered(units: t.Sequence[Unit]) -> set[str]:
    return {other for unit in units for other in unit.triggers}


def _check_services(lease: t.Mapping[str, t.Any], units: t.Sequence[Unit], missing_ok: bool) -> None:
    """Raise Refusal for what cannot be bound to the lease."""
    services = {str(service) for service in lease.get("services") or []}
    for unit in units:
        if unit.state == "not-found" and not missing_ok:
            raise Refusal(f"{unit.name} does not exist on this host: install it first, or take it out of services")
        if unit.state not in ("loaded", "not-found"):
            way_out = "unmask it" if unit.state == "masked" else f"see systemctl status {unit.name}"
            raise Refusal(
                f"{unit.name} cannot be started: systemd shows it as {unit.state}. Take it out of services, or "
                f"{way_out}"
            )
        if _TEMPLATE.fullmatch(unit.name):
            if unit.name not in _triggered(units):
                raise Refusal(
                    f"{unit.name} is a template, and no socket in services starts it: list its instances instead, or "
                    "add its socket with Accept=yes"
                )
        elif unit.id not in ("", unit.name):
            raise Refusal(f"{unit.name} is another name of {unit.id}: list that one")
        for other in sorted(other for other in unit.dragged if not {other, _template_of(other)} & services):
            raise Refusal(
                f"{other} is stopped along with {unit.name}: list it in services, too, or nobody waits for its end"
            )
        for other in sorted((unit.triggers | unit.starts) - services):
            raise Refusal(f"{unit.name} starts {other}: list {other} in services, too, or it would outlive leadership")
        for other in sorted(unit.triggered_by - services):
            way_out = "list it in services, too, or mask it"
            if other.endswith(".automount"):
                way_out = "take x-systemd.automount out of /etc/fstab, or mask it"
            raise Refusal(f"{other} starts {unit.name} even if the host does not lead: {way_out}")
        for setting, limit in unit.job_limits.items():
            raise Refusal(
                f"{unit.name} has {setting}={limit}: after that time, systemd would take its stop for done, whatever "
                f"still runs. Set {setting}=infinity in [Unit] with systemctl edit {unit.name}"
            )


def _check_order(units: t.Sequence[Unit]) -> None:
    """Raise Refusal for what would stop after the daemon, which stops after it. The drop-ins took the defaults out."""
    for unit in units:
        for other in sorted(unit.before & _EARLY):
            raise Refusal(
                f"{unit.name} has Before={other}: at shutdown, systemd would stop the daemon first, which waits for "
                "this unit. Remove Before= from it or, for a mount in /etc/fstab, add the options noauto and nofail"
            )


def _check_time(
    lease: t.Mapping[str, t.Any], units: t.Sequence[Unit], config: t.Mapping[str, t.Any], written: bool
) -> None:
    """Raise Refusal where the services may need longer to stop than stop_grace."""
    services = {str(service) for service in lease.get("services") or []}
    timeout = float(lease.get("stop_timeout") or 0)
    alone: dict[str, float] = {}
    in_turn: dict[str, float] = {}
    for unit in units:
        ordered = unit.after & services or any(unit.name in other.after for other in units)
        seconds = timeout if timeout and _is_service(unit) and not written else _limit(unit)
        (in_turn if ordered else alone)[unit.name] = unit.steps * seconds
    if lease.get("on_lost"):
        alone["on_lost"] = _hook_timeout(lease)
    needed = max([sum(in_turn.values()), *alone.values()]) + SYSTEMD
    if needed > config["stop_grace"]:
        told = ", ".join(f"{name} {seconds:g} s" for name, seconds in {**in_turn, **alone}.items() if seconds)
        raise Refusal(
            f"stop_grace is {config['stop_grace']:g} s, but stopping everything may take {needed:g} s: {told}, "
            f"and {SYSTEMD} s for systemd. Set stop_timeout to what the services really need, or raise stop_grace, and "
            "lease_duration by as much"
            + "".join(f". {_ways_out(unit)}" for unit in units if unit.name.endswith(".mount"))
        )


def _limit(unit: Unit) -> float:
    if "infinity" in unit.limits:
        raise Refusal(f"{unit.name} may take forever to stop (its timeout is infinity). {_ways_out(unit)}")
    return sum(map(_seconds, unit.limits))


def _ways_out(unit: Unit) -> str:
    """Return how the time that a unit may take to stop is set."""
    if unit.name.endswith(".mount"):
        return f"For {unit.name}, set TimeoutSec= of the unit, or x-systemd.mount-timeout= in /etc/fstab"
    return f"Set stop_timeout, and check with systemctl cat {unit.name} that no drop-in overrides it"


def _template_of(unit: str) -> str:
    """Return the template of which a unit is an instance."""
    return f"{unit.partition('@')[0]}@.{unit.rpartition('.')[2]}"


def _seconds(span: str) -> float:
    return sum(float(number) * _SECONDS[unit_of_time] for number, unit_of_time in _SPAN.findall(span))


def _is_service(unit: Unit) -> bool:
    return unit.name.endswith(".service")


def _hook_timeout(lease: t.Mapping[str, t.Any]) -> float:
    return float(lease.get("hook_timeout") or HOOK_TIMEOUT)


def _unit(result: t.Mapping[str, t.Any]) -> Unit:
    """Read what systemctl show printed; of a template, about an instance."""
    lines = [line.partition("=")[::2] for line in result["stdout_lines"]]
    shown = dict(lines)
    names = [name for name, _value in lines]
    name = str(result["item"])
    limits = [str(shown.get("TimeoutStopUSec", shown.get("TimeoutUSec", "")))]
    if shown.get("TimeoutStopFailureMode") == "abort":
        limits.append(str(shown.get("TimeoutAbortUSec", "")))
    triggers = set(shown.get("Triggers", "").split())
    if shown.get("Accept") == "yes":  # it shows the instances that there are now
        triggers = {name.replace(".socket", "@.service")}
    return Unit(
        name=name,
        id=shown.get("Id", ""),
        state=shown.get("LoadState", ""),
        after=set(shown.get("After", "").split()),
        before=set(shown.get("Before", "").split()),
        triggers=triggers,
        triggered_by=set(shown.get("TriggeredBy", "").split()),
        starts={
            other
            for setting in _STARTED
            for other in shown.get(setting, "").split()
            if name.endswith(".target") and other not in _ALWAYS and not other.endswith(".slice")
        },
        dragged={
            other
            for name in _DRAGGED
            for other in shown.get(name, "").split()
            if not other.endswith(".target") and not other.startswith("s3-leader-")
        },
        limits=limits,
        steps=_steps(name, names.count("ExecStop"), names.count("ExecStopPre"), names.count("ExecStopPost")),
        rooted=bool(shown.get("RootDirectory", "").strip("/") or shown.get("RootImage")),
        job_limits={
            setting.replace("USec", "Sec"): shown[setting]
            for setting in _JOB_LIMITS
            if shown.get(setting, "infinity") != "infinity"
        },
    )


def _steps(name: str, stop: int, before: int, after: int) -> int:
    """Return how many times the limit of a unit applies while it stops.

    For a service, to each ExecStop=, once more until what is left is killed, and to each ExecStopPost= in the same way:
    TimeoutStopSec= in systemd.service(5). A socket is closed at once, but for commands of its own.
    """
    if name.endswith(".socket"):
        return before + after + 1 if before or after else 0
    return stop + 1 + (after + 1 if after else 0)


def _unit_of(hook: str, name: str) -> str:
    return f"s3-leader-{hook[3:]}@{name}.service"


def _files(name: str, services: t.Sequence[str], hooks: t.Sequence[str], dropins: str) -> list[dict[str, str]]:
    """Return the files of a lease in systemd's folders, and the templates that they come from."""
    own = f"s3-leader-{name}.conf"
    files = {
        f"{UNITS}/s3-leader@{name}.service.d/{own}": "daemon.conf",
        f"{UNITS}/s3-leader-active@{name}.target.d/{own}": "target.conf",
    }
    for hook in hooks:
        for template in _HOOKS[hook]:
            kind, _dot, suffix = template.partition(".")
            files[f"{UNITS}/s3-leader-{kind}@{name}.{suffix}"] = template
    for service in services:
        files[f"{dropins}/{service}.d/zzz-{own}"] = "service.conf"  # after those of others
    return [dict(lease=name, path=path, template=template) for path, template in files.items()]


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"heartbeat_plan": heartbeat_plan}
