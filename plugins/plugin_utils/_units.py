# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""systemd units as systemctl show prints them."""

from __future__ import annotations

import re
import typing as t

from . import _time_span

EARLY = {f"{name}.target" for name in ("basic", "local-fs", "paths", "sockets", "sysinit")}
"""Targets that come before any service that has the default dependencies."""
_ALWAYS = {f"{name}.target" for name in ("basic", "network", "network-online", "remote-fs", "sysinit", "time-sync")}
"""Targets that are up on every host, so that another target may want them."""
_STARTED = ("Wants", "Requires", "BindsTo")
"""Properties that name what systemd starts along with a unit."""
_DRAGGED = ("ConsistsOf", "RequiredBy", "RequisiteOf", "BoundBy", "PropagatesStopTo")
"""Properties that name what systemd stops along with a unit."""
_JOB_LIMITS = ("JobTimeoutUSec", "JobRunningTimeoutUSec")
PROPERTIES = (
    *("Id", "LoadState", "After", "Before", "Triggers", "TriggeredBy", "Accept", "RootDirectory", "RootImage"),
    *("TimeoutStopUSec", "TimeoutUSec", "TimeoutStopFailureMode", "TimeoutAbortUSec"),
    *("ExecStop", "ExecStopPre", "ExecStopPost"),
    *_STARTED,
    *_DRAGGED,
    *_JOB_LIMITS,
)
"""What systemctl show is to be asked for."""
_TEMPLATE = re.compile(r"(.+)@(\.service)", re.ASCII)


class Unit(t.NamedTuple):
    """A unit and its properties."""

    name: str
    id: str
    """The name that systemd itself uses: it differs from an alias."""
    state: str
    """LoadState, like "loaded"."""
    after: set[str]
    before: set[str]
    triggers: set[str]
    triggered_by: set[str]
    starts: set[str]
    """What a target starts."""
    dragged: set[str]
    """What is stopped along with it; a target does nothing when it stops, and so is none of these."""
    stop_limit: float
    """Seconds that a step of its stop may take; infinity without a limit."""
    stop_steps: int
    """How many times that limit applies while it stops."""
    rooted: bool
    """It has a root of its own, with other commands in it, or none."""
    job_limits: t.Mapping[str, str]
    """When systemd gives up a job of it, whatever became of the unit: time spans by setting."""

    @property
    def is_service(self) -> bool:
        return self.name.endswith(".service")

    @property
    def is_mount(self) -> bool:
        return self.name.endswith(".mount")


def read_all(names: t.Sequence[str], shown: str) -> dict[str, Unit]:
    """Return the units by these names, in whose order systemctl shows them; for a template, it shows an instance.

    Raises ValueError if it shows other than that many.
    """
    texts = shown.split("\n\n")
    if len(texts) != len(names):
        raise ValueError(f"systemctl show was asked for {len(names)} units, and shows {len(texts)}")
    return {name: read(name, text) for name, text in zip(names, texts)}


def read(name: str, text: str) -> Unit:
    """Return the unit that systemctl shows like this."""
    lines = [line.partition("=")[::2] for line in text.splitlines()]
    shown = {**dict.fromkeys(PROPERTIES, ""), **dict(lines)}  # a unit has not the properties of other kinds
    settings = [setting for setting, _value in lines]  # one line for each command
    return Unit(
        name=name,
        id=shown["Id"],
        state=shown["LoadState"],
        after=_names(shown, "After"),
        before=_names(shown, "Before"),
        triggers=_triggers(name, shown),
        triggered_by=_names(shown, "TriggeredBy"),
        starts=_starts(shown) if name.endswith(".target") else set(),
        dragged=_dragged(shown),
        stop_limit=_stop_limit(shown),
        stop_steps=_stop_steps(
            name, settings.count("ExecStop"), settings.count("ExecStopPre"), settings.count("ExecStopPost")
        ),
        rooted=bool(shown["RootDirectory"].strip("/") or shown["RootImage"]),
        job_limits={
            setting.replace("USec", "Sec"): shown[setting]
            for setting in _JOB_LIMITS
            if shown[setting] not in ("", "infinity")
        },
    )


def is_template(name: str) -> bool:
    return bool(_TEMPLATE.fullmatch(name))


def template_of(name: str) -> str:
    """Return the template of which a unit is an instance."""
    return f"{name.partition('@')[0]}@.{name.rpartition('.')[2]}"


def triggered(units: t.Iterable[Unit]) -> set[str]:
    """Return what these units start: timers, sockets and paths among them."""
    return {other for unit in units for other in unit.triggers}


def _names(shown: t.Mapping[str, str], *properties: str) -> set[str]:
    return {name for one in properties for name in shown[one].split()}


def _triggers(name: str, shown: t.Mapping[str, str]) -> set[str]:
    if shown["Accept"] == "yes":  # it shows the instances that there are now
        return {name.replace(".socket", "@.service")}
    return _names(shown, "Triggers")


def _starts(shown: t.Mapping[str, str]) -> set[str]:
    return {name for name in _names(shown, *_STARTED) - _ALWAYS if not name.endswith(".slice")}


def _dragged(shown: t.Mapping[str, str]) -> set[str]:
    return {
        name for name in _names(shown, *_DRAGGED) if not name.endswith(".target") and not name.startswith("s3-leader-")
    }


def _stop_limit(shown: t.Mapping[str, str]) -> float:
    limit = _time_span.seconds(shown["TimeoutStopUSec"] or shown["TimeoutUSec"])
    if shown["TimeoutStopFailureMode"] == "abort":  # once more, for the abort
        limit += _time_span.seconds(shown["TimeoutAbortUSec"])
    return limit


def _stop_steps(name: str, stop: int, before: int, after: int) -> int:
    """Return how many times the limit of a unit with so many commands applies while it stops.

    For a service, to each ExecStop=, once more until what is left is killed, and to each ExecStopPost= in the same way:
    TimeoutStopSec= in systemd.service(5). A socket is closed at once, but for commands of its own.
    """
    if name.endswith(".socket"):
        return before + after + 1 if before or after else 0
    return stop + 1 + (after + 1 if after else 0)
