# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way of life that a service may have under a lease, one lease for each. The watcher sees all its processes."""

from __future__ import annotations

import types
import typing as t

from system.lab.watcher import command


class Workload(t.NamedTuple):
    """What a lease runs: units by name, and which of them belong to the lease."""

    units: dict[str, str]
    services: list[str]
    later: t.Mapping[str, str] = types.MappingProxyType({})
    """Drop-ins that an administrator adds when the role is through: it would refuse them."""
    options: t.Mapping[str, t.Any] = types.MappingProxyType({})
    """What its lease is told besides."""


def _service(lease: str, text: str = "", name: str = "app", with_: str = "") -> dict[str, str]:
    """Return a unit whose main process is watched; text goes below [Service]."""
    start = "" if "ExecStart=" in text else f"ExecStart={command(lease, name, *with_.split())}\n"
    return {f"{lease}-{name}.service": f"[Service]\n{start}{text}"}


def _simple(lease: str, text: str = "", with_: str = "", later: str = "") -> Workload:
    unit = f"{lease}-app.service"
    drop_in = {f"{unit}.d/zzzz-later.conf": later} if later else {}
    return Workload(_service(lease, text, with_=with_), [unit], drop_in)


def pair(lease: str) -> Workload:
    """Return two services: one stops when asked to, one has to be killed."""
    units = {**_service(lease), **_service(lease, name="slow", with_="--stubborn")}
    return Workload(units, list(units))


def _oneshot(lease: str) -> Workload:
    """It is starting for seconds, and then done."""
    start = f"ExecStart={command(lease, 'app', '--for=4')}\n"
    text = f"Type=oneshot\nRemainAfterExit=yes\n{start}ExecStop={command(lease, 'stop', '--for=1')}\n"
    return _simple(lease, text)._replace(options={"stop_timeout": 2.5})


def _pre(lease: str) -> Workload:
    return _simple(lease, f"ExecStartPre={command(lease, 'pre', '--for=3')}\n")


def _slow(lease: str) -> Workload:
    text = f"ExecStop={command(lease, 'stop', '--for=1')}\nExecStopPost={command(lease, 'post', '--for=0.7')}\n"
    return _simple(lease, text)._replace(options={"stop_timeout": 1.3})


def _reload(lease: str) -> Workload:
    return _simple(lease, f"ExecReload={command(lease, 'reload', '--for=2')}\n", "--stubborn")


# A root of its own, in which there is no /run, and so no mark.
ROOT = "RootDirectory=/mnt\nMountAPIVFS=yes\nBindReadOnlyPaths=/usr /bin /lib -/lib64 /etc /lab\n"


def _timer(lease: str) -> Workload:
    timer = f"[Timer]\nOnActiveSec=0\nOnUnitActiveSec=3\nAccuracySec=50ms\nUnit={lease}-app.service\n"
    start = f"ExecStart={command(lease, 'app', '--for=2')}\n"
    units = {f"{lease}-app.timer": timer, **_service(lease, f"Type=oneshot\n{start}")}
    return Workload(units, list(units))


def _client(lease: str) -> dict[str, str]:
    """Return a service, which belongs to no lease, that connects to the socket on every host again and again."""
    knock = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/{lease}.socket'); s.recv(1)"
    text = f'ExecStart=/usr/bin/python3 -IBc "{knock}"\nRestart=always\nRestartSec=2\n'
    unit = f"[Unit]\nStartLimitIntervalSec=0\n[Service]\n{text}[Install]\nWantedBy=multi-user.target\n"
    return {f"knocks-at-{lease}.service": unit}


def _socket(lease: str) -> Workload:
    units = {f"{lease}-app.socket": f"[Socket]\nListenStream=/run/{lease}.socket\n", **_service(lease)}
    return Workload({**units, **_client(lease)}, list(units))


def _accept(lease: str) -> Workload:
    connection = f"[Service]\nExecStart={command(lease, 'app')}\nStandardInput=socket\n"
    listens = f"[Socket]\nListenStream=/run/{lease}.socket\nAccept=yes\nMaxConnections=3\n"
    units = {f"{lease}-app.socket": listens, f"{lease}-app@.service": connection}
    return Workload({**units, **_client(lease)}, list(units))


def _mount(lease: str) -> Workload:
    """Its service works below the mount point, as a user of it outside of the lease may, too.

    It has a source of its own, as a remote file system has.
    """
    place = f"srv-{lease}.mount"
    mount = f"[Mount]\nWhat=lab:/{lease}\nWhere=/srv/{lease}\nType=tmpfs\nTimeoutSec=2\n"
    text = f"ExecStart={command(lease, 'app')}\nWorkingDirectory=/srv/{lease}\n"
    unit = f"[Unit]\nRequiresMountsFor=/srv/{lease}\n[Service]\n{text}"
    units = {place: mount, f"{lease}-app.service": unit}
    return Workload(units, list(units), options={"stop_timeout": 3})


def _template(lease: str) -> Workload:
    unit = f"[Service]\nExecStart={command(lease, 'app-%i')}\n"
    return Workload({f"{lease}-app@.service": unit}, [f"{lease}-app@1.service", f"{lease}-app@2.service"])


def _group(lease: str) -> Workload:
    target = f"[Unit]\nWants={lease}-one.service {lease}-two.service\n"
    unit = {}
    for name in ("one", "two"):
        ordered = f"After={lease}-one.service\n" if name == "two" else ""
        start = f"ExecStart={command(lease, name)}\n"
        unit[f"{lease}-{name}.service"] = f"[Unit]\nPartOf={lease}-all.target\n{ordered}[Service]\n{start}"
    units = {f"{lease}-all.target": target, **unit}
    return Workload(units, list(units), options={"stop_timeout": 2.5})


def _command(lease: str) -> Workload:
    """Beside its service, a command that something outside of the lease runs under it again and again, on every host.
    It does not end when it is asked to.
    """
    start = f"ExecStart=/usr/local/bin/s3-leader exec {lease} -- {command(lease, 'command', '--stubborn')}\n"
    text = f"[Unit]\nStartLimitIntervalSec=0\n[Service]\n{start}Restart=always\nRestartSec=3\n"
    unit = {f"runs-under-{lease}.service": f"{text}[Install]\nWantedBy=multi-user.target\n"}
    return Workload({**_service(lease), **unit}, [f"{lease}-app.service"])


# Seconds. Some of the workloads need most of stop_grace.
TIMES = dict(lease_duration=13, renew_interval=2, stop_grace=6.5, poll_interval=2, request_timeout=1.5, stop_timeout=5)
WORKLOADS: dict[str, t.Callable[[str], Workload]] = {
    "simple": _simple,
    "oneshot": _oneshot,
    "pre": _pre,
    "notify": lambda lease: _simple(lease, "Type=notify\n", "--ready-after=3"),
    "slow": _slow,
    "stubborn": lambda lease: _simple(lease, with_="--stubborn"),
    "failing": lambda lease: _simple(
        lease, "Restart=always\nRestartSec=0.3\n[Unit]\nStartLimitIntervalSec=0\n", "--for=1.2 --fail"
    ),
    "reload": _reload,
    "extend": lambda lease: _simple(lease, "Type=notify\n", "--ready-after=0 --extend=8"),
    "abort": lambda lease: _simple(
        lease, "", "--stubborn", "[Service]\nTimeoutStopSec=4\nTimeoutStopFailureMode=abort\nTimeoutAbortSec=5\n"
    ),
    "patient": lambda lease: _simple(lease, "", "--stubborn", "[Service]\nTimeoutStopSec=10\n"),
    "job": lambda lease: _simple(lease, "", "--stubborn", "[Unit]\nJobTimeoutSec=2\n"),
    "process": lambda lease: _simple(lease, "KillMode=process\n", "--child"),
    "rooted": lambda lease: _simple(lease, ROOT),
    "timer": _timer,
    "socket": _socket,
    "accept": _accept,
    "mount": _mount,
    "template": _template,
    "group": _group,
    "command": _command,
}
