# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role heartbeat sets up on a host, and what it refuses and why: the daemon's own code decides."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import re
import typing as t

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import durations
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.config import (
    RANGES as DAEMONS_RANGES,
    Config,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.leases import FOLDER, check_name
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.timing import Timing
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import (
    Endpoint,
    check_endpoint_url,
    check_range,
)
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _unit_files, _units
from ansible_collections.leaderelection.s3.plugins.plugin_utils._units import Unit

Lease = t.Mapping[str, t.Any]
"""An entry of heartbeat_leases."""
Configuration = t.Mapping[str, t.Any]
"""What the daemon reads."""
Places = t.Collection[t.Sequence[t.Any]]
"""The leases that a host takes part in, each by what tells it from others."""

HOOK_TIMEOUT = 10
RANGES = dict(stop_timeout=(1, 3600), hook_timeout=(1, 3600))
"""The minimum and the maximum of each option, in seconds; config.py and settings.py have the daemon's options."""
SYSTEMD = 1
"""Seconds that systemd itself may take for a stop."""

_boolean: t.Callable[[t.Any], bool] = boolean
_KEYS = ("access_key", "secret_key", "session_token")
_CREDENTIALS = ("credentials_file", "load_credential", "load_credential_encrypted")
_PLACE = ("bucket", "key", "endpoint_url", "slots")
"""What tells one lease from another."""
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Where connection.py looks for an endpoint, in this order, if no option names one."""
_LINES = (*_unit_files.HOOKS, "load_credential", "load_credential_encrypted")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class Refusal(ValueError):
    """A lease cannot be set up like that. The text says why, and the way out."""


def heartbeat_plan(
    leases: t.Sequence[Lease],
    shown: str = "",
    missing_ok: bool = False,
    there: t.Iterable[str] = (),
    devices: t.Sequence[str] = (),
    written: bool = False,
    group: t.Iterable[Places] = (),
    whole: bool = True,
) -> dict[str, t.Any]:
    """Return the plan.

    ``shown`` is what systemctl shows of the services of the plan that was made without it. ``there`` has the lines of
    the configurations on the host; the path of each stands in the line before its first one.
    ``devices`` has the device numbers of the folders in DROPINS_AND_ABOVE that exist. When the role's drop-ins are in
    place (``written``), systemd shows the settings that apply.
    ``group`` has the ``places`` of the plan of each host in the play, this one included. If it lacks some hosts (not
    ``whole``), this one polls no more often than it does now.
    """
    if isinstance(leases, (str, bytes)) or not all(isinstance(lease, t.Mapping) for lease in leases):
        raise AnsibleFilterError("leaderelection.s3.heartbeat_plan takes the role's heartbeat_leases, a list of maps")
    units = _units.read_all(heartbeat_plan(leases)["services"], shown) if shown else {}
    configured, begun = _by_lease(there)
    listed = {str(lease["name"]) for lease in leases}
    claims = Claims({name: config for name, config in configured.items() if name not in listed})
    dropins = _unit_files.dropin_folder(devices)
    plan: dict[str, t.Any] = dict(leases={}, services=[], dropped=[], gone=[], files=[], patterns=[], refused=[])
    plan.update(places=[])
    group = [*group]
    plan.update(folders=[_unit_files.UNITS, _unit_files.DROPINS], above_dropins=_unit_files.DROPINS_AND_ABOVE)
    plan.update(properties=[*_units.PROPERTIES])
    for lease in leases:
        name = str(lease["name"])
        try:
            if name in plan["leases"] or name in plan["gone"]:
                raise Refusal("it is listed twice: keep one entry of it in heartbeat_leases")
            check_name(name)
            plan["patterns"] += _unit_files.patterns(name)
            if lease.get("state", "present") == "absent":
                plan["gone"].append(name)
                continue
            config = _config(lease)
            if not _sets(lease, "poll_interval"):
                hosts = sum([*_place(config)] in places for places in group)
                now = configured.get(name, {}).get("poll_interval")
                at_least = now if isinstance(now, (int, float)) and not whole else 0
                config["poll_interval"] = _poll_interval(config, hosts, at_least)
            services: list[str] = config["services"]
            own_units = [units[service] for service in services if service in units]
            _check_place(config, configured.get(name, {}))
            _check_unit_settings(lease)
            claims.claim(name, config)
            _check_services(services, own_units, missing_ok)
            _check_time_to_stop(lease, config, own_units, written)
            if written:
                _check_order(own_units)
        except (BadOption, Refusal) as error:
            plan["refused"].append(f"{name}: {error}")
            continue
        hooks = [hook for hook in _unit_files.HOOKS if lease.get(hook)]
        plan["leases"][name] = dict(
            config=config,
            services=services,
            templates=[service for service in services if _units.is_template(service)],
            rooted=[unit.name for unit in own_units if unit.rooted],
            starts=_starting(name, services, own_units, hooks),
            hook_timeout=_hook_timeout(lease),
            stop_timeout=_stop_timeout(lease),
            time_to_end=_timing(config).time_to_end,
        )
        plan["places"].append([*_place(config)])
        plan["services"] += services
        plan["dropped"] += _dropped(services, configured.get(name, {}), begun.get(name, {}))
        plan["files"] += _unit_files.files(name, services, hooks, dropins)
    return plan


# -- what it takes


def _by_lease(there: t.Iterable[str]) -> tuple[dict[str, Configuration], dict[str, Configuration]]:
    """Return the configurations that are there, and those by which the host began to lead: the fence has kept them."""
    texts: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in there:
        if line.startswith("/"):  # as no line of JSON does
            lines = texts[line] = []
        else:
            lines.append(line)
    configured, begun = {}, {}
    for name, lines in texts.items():
        path = pathlib.PurePath(name)
        if str(path.parent) == FOLDER:
            configured[path.stem] = _parsed("\n".join(lines))
        else:
            begun[path.parent.name] = _parsed("\n".join(lines))
    return configured, begun


def _parsed(text: str) -> Configuration:
    """Return the configuration in this text; an empty one if there is none that a daemon could use."""
    try:
        there = json.loads(text)
    except ValueError:
        return {}
    return there if isinstance(there, dict) else {}


def _config(lease: Lease) -> dict[str, t.Any]:
    """Return the daemon's configuration, its defaults written out. Raises BadOption or Refusal."""
    if sum(bool(lease.get(option)) for option in ("access_key", *_CREDENTIALS)) > 1:
        raise Refusal(f"several of access_key, {', '.join(_CREDENTIALS)} are set: keep one of them")
    keys: dict[str, t.Any] = {option: lease.get(option) for option in _KEYS}
    Endpoint(profile=lease.get("profile"), **keys)
    options = {field.name: lease.get(field.name) for field in dataclasses.fields(Config)}
    given = {option: _typed(option, value) for option, value in options.items() if _sets(lease, option)}
    given.update(_endpoint_in_environment(lease) if "endpoint_url" not in given else {})
    if lease.get("access_key"):
        given["credentials_file"] = f"{FOLDER}/{lease['name']}.credentials"
    if "key" not in given:
        raise Refusal("key is missing: set it to the key of the lease object, the same on all hosts that compete")
    config = dataclasses.asdict(Config(**given))
    if "holder" not in given:
        del config["holder"]  # the host's name, which the daemon knows
    return {option: value for option, value in config.items() if option != "name" and value is not None}


def _sets(lease: Lease, option: str) -> bool:
    return lease.get(option) not in (None, "")


def _poll_interval(config: Configuration, hosts: int, at_least: float) -> float:
    """Return how often a standby polls, in seconds, if it is one of so many hosts.

    The polls of N - 1 standbys come at random times in an interval of P, so the first one after a release comes P / N
    later on average. Two hosts that poll each second see it half a second later. So does any number of hosts if P
    is N / 2, and together they poll less than twice a second.

    Half of the lease is the most. Then a successor polls while the lease is reserved for it (a poll may come half an
    interval late), and if only one host is left, it sees the last renewal of a dead leader at most that much later.
    """
    least, most = DAEMONS_RANGES["poll_interval"]
    lease_duration: float = config["lease_duration"]
    return max(least, min(max(hosts / 2, at_least), lease_duration / 2, most))


def _endpoint_in_environment(lease: Lease) -> dict[str, str]:
    """Return the endpoint that the daemon's environment names. Written out, it can't change without being noticed."""
    environment = lease.get("environment") or {}
    for name in ENDPOINT_VARIABLES:
        if environment.get(name):
            return {"endpoint_url": check_endpoint_url(str(environment[name]), f"environment: {name}")}
    return {}


def _typed(option: str, value: t.Any) -> t.Any:
    """Return a value as JSON has to have it: older Ansible makes texts of all that comes out of a template."""
    if option in Timing._fields:
        return durations.seconds(option, value)
    if option == "slots" and isinstance(value, str) and value.isdecimal():
        return int(value)
    if option == "services":
        return [str(service) for service in value]
    if option == "expected_bucket_owner":
        return str(value)  # who leaves out the quotes writes a number
    return _boolean(value) if option == "validate_certs" else value


def _timing(config: Configuration) -> Timing:
    return Timing(**{name: config[name] for name in Timing._fields})


def _hook_timeout(lease: Lease) -> float:
    return durations.seconds("hook_timeout", lease.get("hook_timeout") or HOOK_TIMEOUT)


def _stop_timeout(lease: Lease) -> float:
    """Return 0 where each unit keeps its own."""
    return durations.seconds("stop_timeout", lease.get("stop_timeout") or 0)


# -- what it refuses


class Claims:
    """What only one lease of a host may have: its object in a store, and each of its services."""

    def __init__(self, earlier: t.Mapping[str, Configuration]) -> None:
        """``earlier`` are leases from an earlier run, which this one does not name."""
        self._earlier = earlier
        self._owners: dict[t.Hashable, str] = {}
        for name, config in sorted(earlier.items()):
            for thing in (_place(config), *config.get("services", [])):
                self._owners[thing] = name

    def claim(self, name: str, config: Configuration) -> None:
        """Let a lease have what it needs. Raises Refusal where another one has it."""
        self._take(name, _place(config), "the lease {} has the same bucket and key already")
        for service in config["services"]:
            self._take(name, service, service + " belongs to the lease {} already")

    def _take(self, name: str, thing: t.Hashable, told: str) -> None:
        owner = self._owners.setdefault(thing, name)
        if owner == name:
            return
        way_out = ": list it in one of them"
        if owner in self._earlier:
            way_out = (
                f". This host takes part in that lease. To leave it, add an entry with name: {owner} and state: absent"
            )
        raise Refusal(told.format(owner) + way_out)


def _place(config: Configuration) -> tuple[t.Any, ...]:
    return tuple(config.get(option) for option in _PLACE)


def _check_place(config: Configuration, before: Configuration) -> None:
    """Raise Refusal for a lease that would become another one while the hosts still use it."""
    for option in _PLACE if before else ():
        if before.get(option) != config.get(option):
            raise Refusal(
                f"{option} is {config.get(option)}, and was {before.get(option)}: a host with the new value could lead "
                "beside one with the old. First leave the lease on all hosts (state: absent), then add it again"
            )


def _check_unit_settings(lease: Lease) -> None:
    """Raise BadOption or Refusal for what cannot be written into a unit."""
    for option in RANGES:
        if _sets(lease, option):
            check_range(option, durations.seconds(option, lease[option]), RANGES)
    for option in _LINES:
        if not str(lease.get(option) or "").isprintable():
            raise Refusal(f"{option} has to be one line, without a line end or other control characters")
    for name, value in (lease.get("environment") or {}).items():
        if not _VARIABLE.fullmatch(str(name)):
            raise Refusal(f"environment has {name!r}: use letters, digits and _, and no digit first")
        if not str(value).isprintable():
            raise Refusal(f"environment has {name}: its value has to be one line, without other control characters")


def _check_services(services: t.Sequence[str], units: t.Sequence[Unit], missing_ok: bool) -> None:
    """Raise Refusal for what cannot be bound to the lease."""
    for unit in units:
        _check_state(unit, missing_ok)
        _check_identity(unit, units)
        _check_company(unit, {*services})
        for setting, limit in unit.job_limits.items():
            raise Refusal(
                f"{unit.name} has {setting}={limit}: after that time, systemd would count its stop as done, even if "
                f"something still runs. Set {setting}=infinity in [Unit] with systemctl edit {unit.name}"
            )


def _check_state(unit: Unit, missing_ok: bool) -> None:
    """Raise Refusal for what cannot be started."""
    if unit.state == "not-found" and not missing_ok:
        raise Refusal(f"{unit.name} does not exist on this host: install it first, or take it out of services")
    if unit.state not in ("loaded", "not-found"):
        way_out = "unmask it" if unit.state == "masked" else f"see systemctl status {unit.name}"
        raise Refusal(
            f"{unit.name} cannot be started: systemd shows it as {unit.state}. Take it out of services, or {way_out}"
        )


def _check_identity(unit: Unit, units: t.Sequence[Unit]) -> None:
    """Raise Refusal for a name that stands for other units."""
    if _units.is_template(unit.name):
        if unit.name not in _units.triggered(units):
            raise Refusal(
                f"{unit.name} is a template, and no socket in services starts it: list its instances instead, or "
                "add its socket with Accept=yes"
            )
    elif unit.id not in ("", unit.name):
        raise Refusal(f"{unit.name} is another name of {unit.id}: list that one")


def _check_company(unit: Unit, services: set[str]) -> None:
    """Raise Refusal if systemd starts or stops a unit of the lease together with one that is not in the lease."""
    for other in sorted(other for other in unit.dragged if not {other, _units.template_of(other)} & services):
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


def _check_time_to_stop(lease: Lease, config: Configuration, units: t.Sequence[Unit], written: bool) -> None:
    """Raise Refusal where the services may need longer to stop than stop_grace."""
    limits = {unit.name: _stop_limit(unit, lease, written) for unit in units}
    for unit in units:
        if math.isinf(limits[unit.name]):
            raise Refusal(f"{unit.name} may take forever to stop (its timeout is infinity). {_ways_out(unit)}")
    in_turn, alone = _times_to_stop(units, limits, config["services"])
    if lease.get("on_lost"):
        alone["on_lost"] = _hook_timeout(lease)
    needed = max([sum(in_turn.values()), *alone.values()]) + SYSTEMD
    if needed > config["stop_grace"]:
        told = ", ".join(f"{name} {seconds:g} s" for name, seconds in {**in_turn, **alone}.items() if seconds)
        raise Refusal(
            f"stop_grace is {config['stop_grace']:g} s, but stopping everything may take {needed:g} s: {told}, "
            f"and {SYSTEMD} s for systemd. Set stop_timeout to what the services really need, or raise stop_grace, and "
            "lease_duration by as much" + "".join(f". {_ways_out(unit)}" for unit in units if unit.is_mount)
        )


def _stop_limit(unit: Unit, lease: Lease, written: bool) -> float:
    """Return the seconds that a step of a unit's stop may take once the role has set it up."""
    timeout = _stop_timeout(lease)
    return timeout if timeout and unit.is_service and not written else unit.stop_limit


def _times_to_stop(
    units: t.Sequence[Unit], limits: t.Mapping[str, float], services: t.Sequence[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the seconds that each unit may take to stop: of those that stop in turn, and of those that do not."""
    in_turn: dict[str, float] = {}
    alone: dict[str, float] = {}
    for unit in units:
        is_ordered = unit.after & {*services} or any(unit.name in other.after for other in units)
        (in_turn if is_ordered else alone)[unit.name] = unit.stop_steps * limits[unit.name]
    return in_turn, alone


def _ways_out(unit: Unit) -> str:
    """Return how the time that a unit may take to stop is set."""
    if unit.is_mount:
        return f"For {unit.name}, set TimeoutSec= of the unit, or x-systemd.mount-timeout= in /etc/fstab"
    return f"Set stop_timeout, and check with systemctl cat {unit.name} that no drop-in overrides it"


def _check_order(units: t.Sequence[Unit]) -> None:
    """Raise Refusal for a unit that would stop after the daemon: the daemon has to stop after every unit.

    The drop-ins have removed the default dependencies.
    """
    for unit in units:
        for other in sorted(unit.before & _units.EARLY):
            raise Refusal(
                f"{unit.name} has Before={other}: at shutdown, systemd would stop the daemon first, but the daemon "
                "waits for this unit. Remove Before= from it or, for a mount in /etc/fstab, add the options noauto and "
                "nofail"
            )


# -- what it plans


def _starting(name: str, services: t.Sequence[str], units: t.Sequence[Unit], hooks: t.Sequence[str]) -> list[str]:
    """Return what starts when the host leads: the services that no timer or socket of theirs starts, and the hooks."""
    hook_units = [_unit_files.hook_unit(hook, name) for hook in ("on_acquired", "on_lost") if hook in hooks]
    return [service for service in services if service not in _units.triggered(units)] + hook_units


def _dropped(services: t.Sequence[str], *before: Configuration) -> list[str]:
    """Return the services that a lease had in its earlier configurations, and no longer has."""
    had = [service for config in before for service in config.get("services", [])]
    return [service for service in dict.fromkeys(had) if service not in services]


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"heartbeat_plan": heartbeat_plan}
