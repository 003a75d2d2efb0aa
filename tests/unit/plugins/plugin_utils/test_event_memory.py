# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import re

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.listing import Below
from ansible_collections.leaderelection.s3.plugins.plugin_utils._event_memory import Memory
from ansible_collections.leaderelection.s3.plugins.plugin_utils._events import Failure, State, Told

BELOW = Below("leases", "jobs/")
STORE = "https://s3.example.com/leases"
STATE = State(
    {
        "jobs/a": Told("web-1", "session-1", 7, "", ""),
        "jobs/ü": Told("web-2", "", 0, "expired", "etag"),
        "jobs/c": None,
    },
    Failure("2026-11-23T04:49:36.000Z", "it answered 503"),
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.json"


@pytest.fixture
def memory(path):
    return Memory(str(path), BELOW, STORE)


@pytest.mark.parametrize("state", [STATE, State(), State({})])
def test_what_is_saved_is_loaded(memory, state):
    memory.save(state)
    assert memory.load() == state


def test_without_a_file_nothing_was_told(memory, path):
    assert memory.load() == State()
    assert path.exists()  # so it can be written


def test_without_a_path_nothing_is_kept():
    memory = Memory(None, BELOW, STORE)
    memory.save(STATE)
    assert memory.load() == State()


def test_a_file_is_replaced_as_a_whole(memory, path, monkeypatch, tmp_path):
    memory.save(State())

    def fail(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        memory.save(STATE)
    assert [*tmp_path.iterdir()] == [path]
    assert memory_of(path)["told"] is None


class Canceled(BaseException):
    pass


def test_a_draft_does_not_stay_if_its_writing_is_ended_from_outside(memory, path, monkeypatch, tmp_path):
    memory.save(State())

    def end(*_args):
        raise Canceled

    monkeypatch.setattr(os, "fsync", end)
    with pytest.raises(Canceled):
        memory.save(STATE)
    assert [*tmp_path.iterdir()] == [path]


def test_a_draft_is_hidden_and_beside_its_file(memory, path, monkeypatch, tmp_path):
    """Beside it, since only within a file system is a file replaced at once."""
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _file: seen.extend(tmp_path.iterdir()))
    memory.save(STATE)
    (draft,) = seen
    assert draft != path
    assert draft.name.startswith(".state.json.")


def test_a_file_is_named_from_where_the_rulebook_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Memory("state.json", BELOW, STORE).save(STATE)
    assert Memory(str(tmp_path / "state.json"), BELOW, STORE).load() == STATE
    assert [one.name for one in tmp_path.iterdir()] == ["state.json"]


def memory_of(path):
    return json.loads(path.read_text())


def changed(**fields):
    """What a source would have written, but for these fields."""
    shown = dict(format=1, store=STORE, location=str(BELOW), told=STATE.told, failure=None)
    return json.dumps({**shown, **fields})


SOUND = ["web-1", "session-1", 7, "released", "etag"]
MALFORMED = [
    [*SOUND[:place], wrong, *SOUND[place + 1 :]]
    for place in range(5)
    for wrong in ("7" if place == 2 else 7, None, True, [], {}, 7.5)
]


def test_what_is_sound_is_loaded(memory, path):
    path.write_text(changed(told={"jobs/a": SOUND}))
    assert memory.load() == State({"jobs/a": Told(*SOUND)})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        changed(told=7),
        *(changed(told=told) for told in ([], "", 0, False)),
        *(changed(told={"jobs/a": told}) for told in ({}, [], "", 0, False, True, "abcde", ["web-1"])),
        *(changed(told={"jobs/a": told}) for told in MALFORMED),
        *(changed(failure=failure) for failure in ({}, [], "", 0, False, 7, "ab", ["now"], ["now", 7], [7, "no"])),
        *(changed(format=version) for version in (None, True, False, [], 1.5, "1")),
        changed(format="pdf"),
        '{"format": 1}',
    ],
)
def test_what_no_source_has_written_is_refused(memory, path, text):
    path.write_text(text)
    with pytest.raises(BadOption, match=r"no event source has written it\. Remove it, or name another file"):
        memory.load()
    assert path.read_text() == text


def test_what_is_no_text_is_refused(memory, path):
    path.write_bytes(b"\xff")
    with pytest.raises(BadOption, match="it cannot be read"):
        memory.load()


@pytest.mark.parametrize(
    "text",
    [changed(format=2), changed(format=2, told=7, location=None), '{"format": 2}', '{"format": 2, "leases": []}'],
)
def test_the_file_of_another_version_is_refused_whatever_else_it_has(memory, path, text):
    path.write_text(text)
    with pytest.raises(BadOption, match="another version of the collection has written it"):
        memory.load()


@pytest.mark.parametrize(
    ("below", "store"),
    [(Below("leases", "hosts/"), STORE), (BELOW, "https://s3.eu-central-1.amazonaws.com/leases")],
)
def test_the_file_of_another_source_is_refused(memory, path, below, store):
    Memory(str(path), below, store).save(STATE)
    told = f"it is about {below} of {store}, but this source watches {BELOW} of {STORE}. Give each source its own file"
    with pytest.raises(BadOption, match=re.escape(told)):
        memory.load()


def test_a_folder_that_is_not_there_is_refused_before_anything_happens(tmp_path):
    path = str(tmp_path / "none" / "state.json")
    with pytest.raises(BadOption, match=re.escape(f'state_file is "{path}": it cannot be written: No such file')):
        Memory(path, BELOW, STORE).load()


def test_what_is_no_regular_file_is_refused_and_not_waited_for(memory, path):
    os.mkfifo(path)
    with pytest.raises(BadOption, match="it is no regular file"):
        memory.load()
    assert path.is_fifo()


def test_a_folder_in_the_files_place_is_refused(tmp_path):
    with pytest.raises(BadOption, match="it cannot be read: Is a directory"):
        Memory(str(tmp_path), BELOW, STORE).load()
