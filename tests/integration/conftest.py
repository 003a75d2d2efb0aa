# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: the daemon as a process, and a second real S3 server."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import typing as t
from collections.abc import Callable, Iterator, Mapping

import pytest
from support.daemon import TIMES, Daemon

Make = Callable[..., Daemon]


@pytest.fixture(autouse=True)
def _nothing_remembered(tmp_path_factory, monkeypatch):
    """What a test finds out about a store is no other's: the next store may get the same port."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


HERE, MODULE = "inside of Ansible", "as a module"
"""The two ways in which a task on the controller is carried out."""
BOTH_WAYS = {f"test_{name}" for name in ("bad_input", "bad_stores", "lost_answers", "proofs_of_a_store", "sessions")}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Play the plays of some files both ways."""
    if "way" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".")[2] in BOTH_WAYS:
        metafunc.parametrize("way", [HERE, MODULE])


@pytest.fixture
def stores_python() -> str:
    """The Python beside which the stores of requirements/stores.txt are installed."""
    python = os.environ.get("STORES_PYTHON")
    if not python:
        pytest.skip("STORES_PYTHON names no Python with the stores of requirements/stores.txt: make test sets it")
    return python


@pytest.fixture
def way() -> str:
    return HERE


@pytest.fixture
def start_playbook(start_playbook, way):
    """Starts ansible-playbook, whose tasks go this way unless the test decides."""
    return functools.partial(start_playbook, s3_leader_in_process=way == HERE)


@pytest.fixture
def make(store, key, proxy, tmp_path) -> Iterator[Make]:
    """Makes the daemon of a host; it reaches the store through the proxy, and is killed when the test ends."""
    configuration = dict(TIMES, bucket="leader-election", key=key, endpoint_url=proxy.url, region=store.region)
    keys = f"[default]\naws_access_key_id={store.access_key}\naws_secret_access_key={store.secret_key}\n"
    with contextlib.ExitStack() as stack:

        def make(holder: str, environment: Mapping[str, str] | None = None, **changes: t.Any) -> Daemon:
            daemon = Daemon(tmp_path / holder, {**configuration, "holder": holder, **changes}, keys, environment)
            stack.callback(daemon.close)
            daemon.start()
            return daemon

        yield make


@pytest.fixture
def stored(store, key) -> Callable[[], dict[str, t.Any]]:
    """What really stands in the store."""
    s3 = store.client()
    return lambda: json.loads(s3.get_object(Bucket="leader-election", Key=key)["Body"].read())
