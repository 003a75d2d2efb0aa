# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: hosts, a store that they reach, a watcher of their services, and Ansible on them by ssh."""

from __future__ import annotations

import contextlib
import functools
import os
import typing as t
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
from support import playbook, published
from support.playbook import Run, RunningPlaybook
from support.stores.seaweedfs import SeaweedFS
from xdist.scheduler import LoadScopeScheduling

from system.cluster import Cluster
from system.lab import network
from system.lab.host import Host
from system.lab.lab import Lab
from system.lab.watcher import Watcher
from system.workloads import Workload

REPORTS = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What to ask for in ARGS of make test-system."""
    parser.addoption("--chaos-minutes", type=float, default=5, help="how long hosts are broken at random (default: 5)")
    parser.addoption("--every-systemd", action="store_true", help="each end of leadership on each Debian")
    parser.addoption("--chaos-without-hands", action="store_true", help="nobody meddles with services meanwhile")
    parser.addoption("--handovers", type=int, default=5, help="how often a host hands over to another (default: 5)")
    parser.addoption("--failovers", type=int, default=4, help="how many Prometheus watches (default: 4)")
    parser.addoption("--chaos-seed", type=int, help="which faults, in which order")


FRESH = ("role/test_scenario.py", "role/test_venv.py")
"""Files that need hosts without the role, and so no others before them."""


class ByHosts(LoadScopeScheduling):
    """Runs tests that share hosts, those of a folder or of a file, in one lab."""

    def _split_scope(self, nodeid: str) -> str:
        if any(file in nodeid for file in FRESH):
            return "fresh"
        return nodeid.partition("tests/system/")[2].partition("/")[0].partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: t.Any) -> ByHosts:
    """Choose which worker runs which test."""
    return ByHosts(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the reports of tests."""
    for text in config.stash.get(REPORTS, []):
        terminalreporter.write_line(f"\n{text}")


def pytest_testnodedown(node: t.Any) -> None:
    """Take over the reports of a worker that has ended."""
    reports = getattr(node, "workeroutput", {}).get("reports", [])
    node.config.stash.setdefault(REPORTS, []).extend(reports)


@pytest.fixture
def report(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Prints a text when all tests have run, whether they have passed or not."""
    reports: list[str] = pytestconfig.workeroutput.setdefault("reports", [])  # type: ignore[attr-defined]
    return reports.append


@pytest.fixture(scope="session")
def collections_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where Ansible finds the collection: as it is published."""
    return published.install(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab without hosts."""
    if "LAB_GROUP" not in os.environ:
        pytest.fail("these tests need namespaces of their own: make test-system")
    return Lab()


@pytest.fixture(scope="session")
def seaweedfs(lab: Lab) -> Iterator[SeaweedFS]:
    """One real S3 server, which hosts reach."""
    with SeaweedFS(address=network.STORE) as server:
        yield server


@pytest.fixture
def watcher(lab: Lab) -> Iterator[Watcher]:
    """Sees services start and end."""
    with Watcher(lab.shared) as started:
        yield started


@pytest.fixture
def hosts(lab: Lab, watcher: Watcher) -> Iterator[list[Host]]:
    """Three fresh hosts that are up: h1 with Debian 11, h2 with 12, h3 with 13."""
    with lab.hosts() as made:
        yield made
        for host in made:  # pytest shows it where a test has failed
            print(f"--- the end of the journal of {host.name}\n{host.journal('--lines=100')}")


@pytest.fixture(scope="module")
def module_watcher(lab: Lab) -> Iterator[Watcher]:
    """The watcher of a module whose tests share the hosts."""
    with Watcher(lab.shared) as started:
        yield started


@pytest.fixture(scope="module")
def booted(lab: Lab, module_watcher: Watcher) -> Iterator[list[Host]]:
    """Three hosts for all tests of a module."""
    with lab.hosts() as made:
        yield made


@pytest.fixture
def journals(booted: list[Host]) -> Iterator[None]:
    """pytest shows them where a test has failed."""
    yield
    for host in booted:
        print(f"--- the end of the journal of {host.name}\n{host.journal('--lines=60')}")


@pytest.fixture(scope="session")
def start_cluster(
    lab: Lab, seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory, collections_path: str
) -> Callable[..., t.ContextManager[Cluster]]:
    """Boots three hosts, lets them take part in leases with the given workloads, and ends them with the context."""

    def play(text: str, **options: t.Any) -> Run:
        options["collections_path"] = options.get("collections_path") or collections_path
        folder = tmp_path_factory.mktemp("play")
        running = playbook.start(folder, text, hosts=(), args=("--inventory", str(lab.inventory)), **options)
        return running.wait()

    @contextlib.contextmanager
    def start(workloads: Mapping[str, Workload], **options: t.Any) -> Iterator[Cluster]:
        with Watcher(lab.shared) as watcher, lab.hosts() as made:
            cluster = Cluster(made, watcher, seaweedfs, workloads, play, **options)
            cluster.deploy()
            cluster.wait_until_all_take_part()
            yield cluster

    return start


@pytest.fixture
def start_playbook(
    start_playbook: Callable[..., RunningPlaybook], lab: Lab, hosts: list[Host]
) -> Callable[..., RunningPlaybook]:
    """Starts ansible-playbook on the three hosts, by ssh; run_playbook does too, and waits."""

    @functools.wraps(start_playbook)
    def start(play: t.Any, args: Sequence[str] = (), **options: t.Any) -> RunningPlaybook:
        return start_playbook(play, hosts=(), args=("--inventory", str(lab.inventory), *args), **options)

    return start
