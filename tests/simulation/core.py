# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shared core as it ships, on a machine that is not real: clocks, threads and chance are the world's.

All of it runs but connection.py, which signs and sends (connection.py here stands for it), and credentials.py, which
follows a file with keys. Nothing runs as root: host.py does what the fence and the units do.
"""

from __future__ import annotations

import builtins
import email.utils
import functools
import json
import pathlib
import sys
import types
import typing as t

from ansible_collections.leaderelection.s3.plugins.module_utils import _lease

from . import machine

FOLDER = pathlib.Path(_lease.__path__[0])
MODULES = (
    "record",
    "types",
    "protocol",
    "bad_option",
    "settings",
    "clock",
    "store_time",
    "aws",
    "connection",
    "at_once",
    "store",
    "driver",
    "wording",
    "slots",
    "host/timing",
    "host/heartbeat",
    "host/leases",
    "host/config",
    "host/runtime",
    "host/systemd",
    "host/metrics",
    "host/daemon",
)

_REPLACED: dict[str, t.Any] = {
    "time": machine.Time,
    "threading": machine.Threading,
    "random": machine.Random,
    "secrets": machine.Secrets,
    "os": machine.Os,
    "fcntl": machine.Fcntl,
    "signal": machine.Signal,
    "socket": machine.Socket,
    "sys": machine.Sys,
    # Faster: Python's encoder in C knows no indent.
    "json": types.SimpleNamespace(load=json.load, loads=json.loads, dumps=lambda fields, indent=0: json.dumps(fields)),
    # Faster: the same few seconds are parsed again and again.
    "email.utils": types.SimpleNamespace(
        utils=types.SimpleNamespace(parsedate_to_datetime=functools.lru_cache(1000)(email.utils.parsedate_to_datetime))
    ),
}

MOST_SLOTS = 5
"""Fewer than a lease may have: where nobody knows how many there were, all are looked at."""
_AGAIN = {"record": ("decode",), "wording": ("plain",)}
"""Faster: the same few bodies and sentences are read again and again."""


class Change(t.NamedTuple):
    """A change to a file of the core, by its path: what stands there once, and what stands there instead."""

    file: str
    original: str
    broken: str


def load(name: str, changes: t.Sequence[Change] = ()) -> t.Any:
    """Return the core as a package of its own, with these changes.

    Raises ValueError where the code has moved on, so that a change has nothing to change.
    """
    package = _package(f"simulated core: {name}")
    package.BEGAN = 0.0
    package.host = _package(f"{package.__name__}.host")
    credentials = _package(f"{package.host.__name__}.credentials")
    credentials.ReloadingConnection = lambda _config: machine.Now.process.connect()
    for file in (f"{module}.py" for module in MODULES):
        source = (FOLDER / file).read_text(encoding="utf-8")
        for change in changes:
            if change.file == file:
                if source.count(change.original) != 1:
                    found = source.count(change.original)
                    raise ValueError(f"{change.original!r} stands {found} times in {file}: mend the mutant {name}")
                source = source.replace(change.original, change.broken)
        folder, _slash, module_name = file.removesuffix(".py").rpartition("/")
        room = getattr(package, folder) if folder else package
        module = types.ModuleType(f"{room.__name__}.{module_name}")
        module.__package__ = room.__name__
        module.__dict__["__builtins__"] = _BUILTINS
        sys.modules[module.__name__] = module
        exec(compile(source, str(FOLDER / file), "exec"), module.__dict__)
        setattr(room, module_name, module)
        if module_name == "protocol":
            module.__dict__["MAX_SLOTS"] = MOST_SLOTS
        for again in _AGAIN.get(module_name, ()):
            setattr(module, again, functools.lru_cache(1000)(getattr(module, again)))
    return package


def _package(name: str) -> t.Any:
    package = types.ModuleType(name)
    package.__path__ = []
    sys.modules[name] = package
    return package


def _import(name: str, scope: t.Any = None, locals_: t.Any = None, fromlist: t.Any = (), level: int = 0) -> t.Any:
    if level == 0 and name in _REPLACED:
        return _REPLACED[name]
    return builtins.__import__(name, scope, locals_, fromlist, level)


_BUILTINS = {**vars(builtins), "__import__": _import, "open": machine.open_file}
