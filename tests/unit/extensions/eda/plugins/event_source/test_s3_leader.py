# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import asyncio
import json
import logging
import os
import pathlib
import re
import runpy
import subprocess
import sys

import pytest
import yaml
from support.documents import ROOT, description
from support.leases import somebody_elses
from support.stores.odd import Store

SOURCE = ROOT / "extensions" / "eda" / "plugins" / "event_source" / "s3_leader.py"
SCHEMA = json.loads((SOURCE.parent / "schemas" / "s3_leader.json").read_text())
HELD = dict(leaseDurationSeconds=60)


@pytest.fixture(scope="module")
def source():
    """What ansible-rulebook has of the file, which it runs by its path."""
    return runpy.run_path(str(SOURCE))


@pytest.fixture
def store(open_store):
    return open_store(Store)


@pytest.fixture
def options(store, tmp_path):
    return dict(
        bucket="leases",
        key="jobs/a",
        poll_interval=1,
        endpoint_url=store.url,
        access_key="key",
        secret_key="the-secret",
        region="us-east-1",
        state_file=str(tmp_path / "state.json"),
    )


class Rulebook:
    """Runs the source as ansible-rulebook does, and takes one event at a time."""

    def __init__(self, source, options):
        self.queue = asyncio.Queue(1)
        self.task = asyncio.create_task(source["main"](self.queue, options))

    async def take(self, number):
        """The types of the next events."""
        return [(await asyncio.wait_for(self.queue.get(), 60))["type"] for _number in range(number)]

    async def end(self):
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


async def until(condition):
    """Wait for a condition, with a limit that no healthy run comes near."""

    async def wait():
        while not condition():
            await asyncio.sleep(0.02)

    await asyncio.wait_for(wait(), 60)


async def first_look(options):
    """Wait until the source has looked for the first time, and has written that down."""
    file = pathlib.Path(options["state_file"])
    await until(lambda: file.exists() and json.loads(file.read_text())["told"] is not None)


def test_each_change_is_told_once_also_over_a_restart(source, store, options):
    async def play():
        rulebook = Rulebook(source, options)
        await first_look(options)
        store.put("jobs/a", somebody_elses(**HELD))
        assert await rulebook.take(2) == ["leader_acquired", "leader_changed"]
        await rulebook.end()
        store.put("jobs/a", somebody_elses(**HELD, term=42, holderId="web-2"))
        rulebook = Rulebook(source, options)
        assert await rulebook.take(3) == ["leader_lost", "leader_acquired", "leader_changed"]
        await rulebook.end()
        rulebook = Rulebook(source, options)
        seen = len(store.requests)
        await until(lambda: len(store.requests) >= seen + 2)
        assert rulebook.queue.empty()
        await rulebook.end()

    asyncio.run(play())


def test_an_event_that_nobody_has_taken_is_told_after_a_restart(source, store, options):
    async def play():
        rulebook = Rulebook(source, options)
        await first_look(options)
        store.put("jobs/a", somebody_elses(**HELD))
        await until(rulebook.queue.full)  # the second one waits
        await rulebook.end()
        rulebook = Rulebook(source, options)
        assert await rulebook.take(2) == ["leader_acquired", "leader_changed"]
        await rulebook.end()

    asyncio.run(play())


def test_what_was_told_before_the_source_was_ended_is_not_told_again(source, store, options):
    async def play():
        store.put("jobs/a", somebody_elses(**HELD))
        rulebook = Rulebook(source, options)
        await first_look(options)
        store.put("jobs/a", somebody_elses(**HELD, term=42, holderId="web-2"))
        assert await rulebook.take(1) == ["leader_lost"]
        await until(rulebook.queue.full)  # the last one of the look waits
        await rulebook.end()
        rulebook = Rulebook(source, options)
        assert await rulebook.take(2) == ["leader_acquired", "leader_changed"]
        await rulebook.end()

    asyncio.run(play())


def test_a_store_that_fails_ends_nothing(source, store, options, caplog):
    async def play():
        store.stop()
        rulebook = Rulebook(source, {**options, "request_timeout": 1})
        assert await rulebook.take(1) == ["store_error"]
        assert not rulebook.task.done()
        await rulebook.end()

    asyncio.run(play())
    (warning,) = caplog.records
    assert (warning.levelname, warning.getMessage()[:20]) == ("WARNING", "s3://leases/jobs/a: ")
    assert "the-secret" not in caplog.text


def test_a_state_file_that_cannot_be_written_any_more_ends_nothing_and_is_logged_once(
    source, store, options, tmp_path, caplog
):
    folder = tmp_path / "folder"
    folder.mkdir()
    options["state_file"] = str(folder / "state.json")

    async def play():
        rulebook = Rulebook(source, options)
        await first_look(options)
        (folder / "state.json").unlink()
        folder.rmdir()
        for term in (42, 43):
            store.put("jobs/a", somebody_elses(**HELD, term=term, holderId=f"web-{term}"))
            await rulebook.take(2)
        folder.mkdir()
        await until((folder / "state.json").exists)
        await rulebook.end()

    asyncio.run(play())
    assert [one.levelno for one in caplog.records if "state_file cannot be written" in one.message] == [logging.ERROR]


@pytest.mark.parametrize(
    ("elsewhere", "url"),
    [
        (dict(endpoint_url="http://127.0.0.1:9"), "http://127.0.0.1:9/leases"),
        (dict(endpoint_url=None, region="eu-central-1"), "https://s3.eu-central-1.amazonaws.com/leases"),
    ],
    ids=["another endpoint", "a region of AWS"],
)
def test_the_state_file_of_another_store_is_refused_before_anything_is_sent(
    source, store, options, elsewhere, url, monkeypatch
):
    for name in ("AWS_URL", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)

    async def play():
        rulebook = Rulebook(source, options)
        await first_look(options)
        await rulebook.end()
        await source["main"](asyncio.Queue(), {**options, **elsewhere})

    with pytest.raises(ValueError, match="state_file is ") as refused:
        asyncio.run(play())
    about = "it is about {0} of {1}/leases, but this source watches {0} of {2}"
    assert about.format("s3://leases/jobs/a", store.url, url) in str(refused.value)


@pytest.mark.parametrize("missing", [dict(key=None), dict(poll_interval="soon"), dict(state_file="/none/state.json")])
def test_bad_options_end_the_source_before_anything_is_sent(source, store, options, missing):
    with pytest.raises(ValueError, match=next(iter(missing))) as refused:
        asyncio.run(source["main"](asyncio.Queue(), {**options, **missing}))
    assert "the-secret" not in str(refused.value)
    assert store.requests == []


def test_it_needs_no_packages_of_collections():
    """ansible-rulebook's Python may have none: neither in its path nor by Ansible's finder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); assert not any('ansible' in name for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code, str(SOURCE)], env=environment, cwd="/", check=True, timeout=60)


# -- What is documented is what is there


def documented(source):
    return yaml.safe_load(source["DOCUMENTATION"])["options"]


def test_options_schema_and_documentation_agree(source):
    options, types = documented(source), source["_event_watch"].TYPES
    assert set(options) == set(types) == set(SCHEMA["properties"])
    names = {str: "string", bool: "boolean", dict: "object"}
    short = {str: "str", bool: "bool", dict: "dict"}
    for name, wanted in types.items():
        shown = SCHEMA["properties"][name]["type"]
        assert names[wanted] in (shown if isinstance(shown, list) else [shown])
        assert options[name]["type"] == short[wanted]
        assert options[name].get("default") == SCHEMA["properties"][name].get("default"), name
        assert options[name].get("choices") == SCHEMA["properties"][name].get("enum"), name
    assert options["poll_interval"]["default"] == source["_event_watch"].POLL_INTERVAL
    secret = {name for name, shown in SCHEMA["properties"].items() if shown.get("format") == "password"}
    assert secret == {"access_key", "secret_key", "session_token"}
    assert SCHEMA["additionalProperties"] is False


def test_ranges_are_those_that_are_checked(source):
    ranges = source["_event_watch"].settings.RANGES
    for name in ("poll_interval", "request_timeout"):
        assert "From {} to {}.".format(*ranges[name]) in description(documented(source)[name])


def test_examples_can_be_used(source):
    for example in yaml.safe_load(source["EXAMPLES"]):
        source["_event_watch"].parsed(example["leaderelection.s3.s3_leader"])


def test_the_collection_says_that_it_has_event_sources():
    extensions = yaml.safe_load((ROOT / "meta" / "extensions.yml").read_text())["extensions"]
    assert [ROOT / "extensions" / one["args"]["ext_dir"] for one in extensions] == [SOURCE.parent]


def test_the_page_about_events_has_every_option_event_and_field(source):
    page = (ROOT / "docs" / "events.md").read_text()
    rows = "\n".join(line.split("|")[1] for line in page.splitlines() if line.startswith("|"))
    events = source["_event_watch"]._events
    own = set(source["_event_watch"].TYPES) - set(source["_event_watch"].Endpoint.__dataclass_fields__)
    kinds = re.findall(r"C\((\w+)\)", " ".join(yaml.safe_load(source["DOCUMENTATION"])["notes"]))
    assert len(kinds) == 7
    for name in [*own, *kinds, *events.FIELDS]:
        assert f"`{name}`" in rows, name
