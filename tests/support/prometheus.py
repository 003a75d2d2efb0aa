# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's Prometheus and node_exporter, as processes that end with the tests."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import subprocess
import time
import typing as t
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence

import pytest

from .child_process import die_with_parent
from .ports import free_ports
from .waiting import wait_for

INTERVAL = 1
"""Seconds between two scrapes, and two evaluations of the alerts."""

Labels = dict[str, str]


class Series(t.NamedTuple):
    """The answer to a query, for one set of labels."""

    labels: Labels
    values: list[tuple[float, float]]
    """Each with its time, in seconds since 1970."""


def command(name: str) -> str:
    """Return the path of a command. Skips the test where there is none."""
    path = shutil.which(name)
    if not path:
        pytest.skip(f"no {name} command: apt-get install prometheus prometheus-node-exporter")
    return path


@contextlib.contextmanager
def node_exporter(folder: pathlib.Path, address: str, namespace: str) -> Iterator[str]:
    """Serve the text files of a folder at an address of a network namespace, from outside of the host."""
    target = f"{address}:9100"
    options = ["--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={folder}"]
    enter = ["nsenter", f"--net=/run/netns/{namespace}", "--"]
    with _process([*enter, command("prometheus-node-exporter"), f"--web.listen-address={target}", *options]):
        wait_for(lambda: _answers(f"http://{target}/metrics"), "node_exporter answers")
        yield target


class Prometheus:
    """A context manager: a server that scrapes targets, each by the name that its series have as their instance."""

    def __init__(self, folder: pathlib.Path, targets: Mapping[str, str], rules: Sequence[pathlib.Path]) -> None:
        self._folder = folder
        (port,) = free_ports(1)
        self._address = f"127.0.0.1:{port}"
        self._stack = contextlib.ExitStack()
        scraped = [{"targets": [target], "labels": {"instance": name}} for name, target in targets.items()]
        configuration = {
            "global": {"scrape_interval": f"{INTERVAL}s", "evaluation_interval": f"{INTERVAL}s"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [{"job_name": "node", "static_configs": scraped}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(configuration))  # which is YAML, too

    def __enter__(self) -> Prometheus:
        options = [f"--config.file={self._folder}/prometheus.yml", f"--storage.tsdb.path={self._folder}/data"]
        listen = f"--web.listen-address={self._address}"
        self._stack.enter_context(_process([command("prometheus"), listen, "--log.level=error", *options]))
        wait_for(lambda: _answers(f"http://{self._address}/-/ready"), "Prometheus is ready")
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def values(self, query: str, at: float | None = None) -> dict[tuple[str, ...], float]:
        """The values of a query, now or at another time, by the values of their labels in the order of their names."""
        found = self._ask("query", query=query, time=f"{at or time.time():.3f}")
        return {_key(one["metric"]): float(one["value"][1]) for one in found}

    def between(self, query: str, start: float, end: float) -> list[Series]:
        """The values of a query at each second of an interval."""
        found = self._ask("query_range", query=query, start=f"{start:.3f}", end=f"{end:.3f}", step=f"{INTERVAL}")
        return [Series(one["metric"], [(float(at), float(value)) for at, value in one["values"]]) for one in found]

    def _ask(self, what: str, **given: str) -> list[t.Any]:
        url = f"http://{self._address}/api/v1/{what}?{urllib.parse.urlencode(given)}"
        with urllib.request.urlopen(url) as answer:
            found: list[t.Any] = json.load(answer)["data"]["result"]
        return found


def _key(labels: Labels) -> tuple[str, ...]:
    return tuple(value for _name, value in sorted(labels.items()))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _process(arguments: Sequence[str]) -> Iterator[None]:
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent()) as process:
        try:
            yield
        finally:
            process.kill()


def metrics(textfile: pathlib.Path) -> dict[str, float]:
    """The values of the metrics in a file that have one."""
    lines = (line.rsplit(" ", 1) for line in textfile.read_text().splitlines() if not line.startswith("#"))
    return {name.partition("{")[0].replace("s3_leader_", ""): float(value) for name, value in lines}
