# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with the lease db, its systemd, and what the fence and the guard find there."""

from __future__ import annotations

import json
import os
import time

from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import fence, leases, mounts, runtime, units
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.units import Unit

DAEMON = "s3-leader@db.service"
GRACE = 12


class Systemd:
    """Units whose life is told by a function of the seconds since they were first asked to stop."""

    def __init__(self, monkeypatch):
        self.time = 1000.0
        self.states = {}
        self.asked = {}
        self.stops = []
        self.killed = []
        self.daemon_left = 0.0
        self.asked_to_end = []
        self.answers = True
        self.meanwhile = {}
        monkeypatch.setattr(fence, "Clock", lambda: self)
        monkeypatch.setattr(units, "look", self.look)
        monkeypatch.setattr(units, "stop", self.stop)
        self.sees_groups = True
        monkeypatch.setattr(units, "busy", lambda names: set() if self.daemon_left else set(names))
        monkeypatch.setattr(units, "sees_groups", lambda: self.sees_groups)
        monkeypatch.setattr(units, "kill", self.kill)
        monkeypatch.setattr(units, "terminate", lambda unit: self.asked_to_end.append(unit.name) or [99])
        monkeypatch.setattr(
            units,
            "guess",
            lambda names: [self._unit(name, "unknown")._replace(place=mounts.place_of(name)) for name in names],
        )
        monkeypatch.setattr(time, "monotonic", lambda: self.time)

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds
        for when in [when for when in self.meanwhile if when <= self.time]:
            self.meanwhile.pop(when)()

    def look(self, names, patience=units.PATIENCE):
        if not self.answers:
            self.time += patience
            return None
        found = [self._unit(name) for name in names if "*" not in name]
        return found + [self._unit(name) for name in self.states if "@1." in name and "app@*.service" in names]

    def stop(self, names, patience=units.PATIENCE):
        if not self.answers:
            self.time += patience
            return
        self.stops.append((self.time, list(names)))
        for name in names:
            self.asked.setdefault(name, self.time)

    def kill(self, unit):
        self.killed.append((self.time, unit.name))
        self.states[unit.name] = lambda asked: "inactive"
        return {len(self.killed): unit.name}

    def _unit(self, name, state=""):
        if name == DAEMON:
            return Unit(name, "failed" if self.daemon_left else "active", "", "", "", "", "", self.daemon_left)
        asked = self.asked.get(name)
        state = state or self.states.get(name, lambda asked: "inactive")(asked and self.time - asked)
        active, _dash, job = state.partition("-")
        return Unit(name, active, "sub", job, "", "", "", 0.0)


def host(monkeypatch, folder):
    """Return a host with the lease db, which leads."""
    monkeypatch.setattr(runtime, "FOLDER", str(folder / "run"))
    monkeypatch.setattr(leases, "FOLDER", str(folder / "etc"))
    (folder / "etc").mkdir()
    (folder / "run" / "db").mkdir(parents=True)
    (folder / "run" / "db" / "leader").touch()
    configure(folder)
    os.makedirs(mark())
    for file in ("lock", "started"):
        open(mark(file), "w").close()
    return Systemd(monkeypatch)


def configure(folder, *services, name="db", **options):
    given = {"key": f"jobs/{name}", "stop_grace": GRACE, "services": list(services or ("app.service",)), **options}
    (folder / "etc" / f"{name}.json").write_text(json.dumps(given))


def mark(file="", name="db"):
    return runtime.serving_path_of(name, file)


def ends_after(seconds):
    """It runs, and ends so long after it was asked to."""
    return lambda asked: "active" if asked is None else "deactivating" if asked < seconds else "inactive"


def looks_take(host, seconds):
    """Let systemctl take so long. Return when it was asked, as it goes on."""
    looked, look = [], host.look

    def slow(names, patience):
        looked.append(host.time)
        host.time += seconds
        return look(names)

    units.look = slow
    return looked


def never_ends(asked):
    return "active"


def events(entries):
    return [entry["S3_LEADER_EVENT"] for entry in entries]
