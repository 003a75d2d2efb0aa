# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for every test: a real S3 server, a proxy with faults, odd stores, ansible-playbook."""

from __future__ import annotations

import collections
import contextlib
import functools
import os
import pathlib
import signal
import sys
import typing as t
import uuid
from collections.abc import Callable, Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
if str(ROOT / "tests") not in sys.path:  # ansible-test knows no pythonpath
    sys.path.insert(0, str(ROOT / "tests"))

if t.TYPE_CHECKING:
    from support.playbook import Run, RunningPlaybook
    from support.proxy import FaultProxy
    from support.stores.ceph import Ceph
    from support.stores.odd import Store
    from support.stores.seaweedfs import SeaweedFS
    from support.stores.served import Served

IN_CI = os.environ.get("CI", "").lower() in ("1", "true")


HEARD = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture(autouse=True)
def _signals_are_heard() -> Iterator[None]:
    """A test, and what it starts, hears signals, whatever pytest was started with and an earlier test has left."""
    handlers = {number: signal.getsignal(number) for number in HEARD}

    def reset() -> None:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler == signal.SIG_IGN else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    reset()
    yield
    reset()


@pytest.fixture(autouse=True)
def _umask_is_kept() -> Iterator[None]:
    """A test leaves the umask as it was: a module that is called in this process may change it."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[SeaweedFS]:
    """One real S3 server for the whole session (with pytest-xdist: for each worker)."""
    from support.stores.seaweedfs import SeaweedFS, find_weed

    try:
        find_weed()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    with SeaweedFS() as server:
        yield server


@pytest.fixture(scope="session")
def ceph() -> Iterator[Ceph]:
    """Ceph's S3 server, for the whole session (with pytest-xdist: for each worker that needs it)."""
    from support.stores.ceph import Ceph, check

    try:
        check()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    with Ceph() as server:
        yield server


@pytest.fixture(scope="session")
def bucket(seaweedfs: SeaweedFS) -> str:
    """A bucket on the server; all tests share it, so use the key fixture."""
    seaweedfs.create_bucket("leader-election")
    return "leader-election"


@pytest.fixture
def store(request: pytest.FixtureRequest, seaweedfs: SeaweedFS) -> Served:
    """SeaweedFS; where a test asks for both, Ceph, too."""
    served: Served = request.getfixturevalue(request.param) if hasattr(request, "param") else seaweedfs
    served.create_bucket("leader-election")
    return served


@pytest.fixture
def key() -> str:
    """A lease key that nobody else uses."""
    return f"lease-{uuid.uuid4().hex}"


@pytest.fixture
def proxy(store: Served) -> Iterator[FaultProxy]:
    """A proxy in front of that store, without any fault yet."""
    from support.proxy import FaultProxy

    with FaultProxy(store.endpoint_url) as started:
        yield started


@pytest.fixture
def open_store() -> Iterator[Callable[..., Store]]:
    """Starts an odd store of the given class, with its constructor's arguments; it ends with the test."""
    with contextlib.ExitStack() as stack:

        def start(kind: type[Store], **options: t.Any) -> Store:
            return stack.enter_context(kind(**options))

        yield start


@pytest.fixture
def certificate(tmp_path: pathlib.Path) -> pathlib.Path:
    """A PEM file with a key and a certificate for 127.0.0.1 that nobody trusts."""
    from support.certificate import self_signed

    return self_signed(tmp_path)


@pytest.fixture(scope="session")
def collections_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where Ansible finds this collection: ANSIBLE_COLLECTIONS_PATH, or else a link to this checkout."""
    if given := os.environ.get("ANSIBLE_COLLECTIONS_PATH"):
        return given
    folder = tmp_path_factory.mktemp("collections")
    namespace = folder / "ansible_collections" / "leaderelection"
    namespace.mkdir(parents=True)
    (namespace / "s3").symlink_to(ROOT, target_is_directory=True)
    return str(folder)


@pytest.fixture
def start_playbook(tmp_path: pathlib.Path, collections_path: str) -> Iterator[Callable[..., RunningPlaybook]]:
    """Starts ansible-playbook and does not wait (see support.playbook.start); killed when the test ends."""
    from support import playbook

    if not playbook.ANSIBLE_PLAYBOOK.exists():
        pytest.skip("no ansible-playbook beside Python: pip install ansible-core")
    with contextlib.ExitStack() as stack:

        @functools.wraps(playbook.start)
        def start(play: t.Any, **options: t.Any) -> RunningPlaybook:
            running = playbook.start(tmp_path, play, **{"collections_path": collections_path, **options})
            stack.callback(running.kill)
            return running

        yield start


@pytest.fixture
def run_playbook(start_playbook: Callable[..., RunningPlaybook]) -> Callable[..., Run]:
    """Runs ansible-playbook to its end, within timeout seconds (120)."""

    def run(play: t.Any, timeout: float = 120.0, **options: t.Any) -> Run:
        return start_playbook(play, **options).wait(timeout)

    return run


LONG = ("keepalive", "exec", "bad_stores", "sessions", "bad_input", "wrong_clocks", "simulation")
"""Files of tests that take minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no worker is left alone with it in the end."""
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONG)


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    """Print where the time went in CI: the seconds of each file's tests, their fixtures included."""
    seconds: collections.Counter[str] = collections.Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    if IN_CI and seconds:
        terminalreporter.section("seconds by file")
        for file, spent in seconds.most_common(20):
            terminalreporter.write_line(f"{spent:8.0f}  {file}")


# Skipped in CI is untested: say so instead of staying green.


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> t.Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one; xfail stays what it is."""
    report = yield
    return _fail_skipped(report) if not hasattr(report, "wasxfail") else report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> t.Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself."""
    report = yield
    return _fail_skipped(report)


Report = t.TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def _fail_skipped(report: Report) -> Report:
    if IN_CI and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"a test must not be skipped in CI: {reason}"
    return report
