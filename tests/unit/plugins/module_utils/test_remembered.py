# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils import _remembered
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Proof

STORE = "https://s3.example.com/bucket"
PROOF = Proof(STORE, 1795409376.0, quoted=False, dated=True)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "leaderelection.s3"


def test_nothing_is_known_at_first():
    assert _remembered.recall(STORE) is None


def test_what_was_found_out_is_known_later_for_this_store_alone(cache):
    _remembered.remember(PROOF)
    assert _remembered.recall(STORE) == PROOF
    assert _remembered.recall(STORE + "2") is None
    assert [stat.S_IMODE(path.stat().st_mode) for path in (cache, *cache.iterdir())] == [0o700, 0o600]


def test_what_is_known_of_several_stores_is_kept_for_a_day():
    other = PROOF._replace(store="https://other/bucket", at=PROOF.at + 3600)
    _remembered.remember(PROOF)
    _remembered.remember(other)
    assert (_remembered.recall(STORE), _remembered.recall(other.store)) == (PROOF, other)
    _remembered.remember(other._replace(at=PROOF.at + 86400))
    assert _remembered.recall(STORE) is None


def test_what_is_newer_takes_the_place_of_what_is_older(cache):
    _remembered.remember(PROOF)
    _remembered.remember(PROOF._replace(at=PROOF.at + 60))
    assert _remembered.recall(STORE).at == PROOF.at + 60
    assert len(list(cache.iterdir())) == 1


def test_what_is_forgotten_is_not_known_any_more_and_the_rest_is():
    other = PROOF._replace(store="https://other/bucket")
    _remembered.remember(PROOF)
    _remembered.remember(other)
    _remembered.forget(STORE)
    assert (_remembered.recall(STORE), _remembered.recall(other.store)) == (None, other)


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "127.1.2.3:9000", "[::1]:9000", "s3.localhost"])
def test_the_url_of_a_store_on_this_machine_may_mean_another_one_tomorrow(monkeypatch, host):
    here = PROOF._replace(store=f"http://{host}/bucket")
    _remembered.remember(here)
    assert _remembered.recall(here.store) is None
    with monkeypatch.context() as patch:
        patch.setattr(_remembered, "_is_here", lambda _store: False)
        _remembered.remember(here)
    assert _remembered.recall(here.store) is None


def test_who_has_no_home_remembers_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.chdir(tmp_path)
    _remembered.remember(PROOF)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_keeps_nobody_waiting(cache):
    cache.mkdir(parents=True)
    os.mkfifo(cache / "stores.json")
    assert _remembered.recall(STORE) is None
    _remembered.remember(PROOF)
    assert _remembered.recall(STORE) == PROOF


def test_where_nothing_is_known_nothing_is_written_to_forget_it(cache):
    _remembered.forget(STORE)
    assert not cache.exists()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "7", "[" * 4000, '[{"store": 7}]', "x" * 10**6, '[{"at": null}]', "[null, 7, []]", "\udcff"],
)
def test_a_file_that_cannot_be_used_is_nothing(cache, content):
    _remembered.remember(PROOF)
    next(cache.iterdir()).write_bytes(content.encode("utf-8", "surrogateescape"))
    assert _remembered.recall(STORE) is None


def test_a_file_of_another_store_is_nothing(cache):
    _remembered.remember(PROOF)
    (path,) = cache.iterdir()
    path.write_text(path.read_text().replace("bucket", "another"))
    assert _remembered.recall(STORE) is None


@pytest.mark.parametrize("there", ["a file", "a link to nowhere"])
def test_where_nothing_can_be_written_nothing_is_remembered_and_nothing_fails(cache, there):
    cache.parent.mkdir()
    if there == "a file":
        cache.write_text("")
    else:
        cache.symlink_to("/nowhere/at/all")
    _remembered.remember(PROOF)
    assert _remembered.recall(STORE) is None


def test_a_write_that_fails_midway_leaves_what_was_there(cache, monkeypatch):
    _remembered.remember(PROOF)

    def fail(*_paths):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", fail)
    _remembered.remember(PROOF._replace(at=0.0))
    assert _remembered.recall(STORE) == PROOF
    assert len(list(cache.iterdir())) == 1
