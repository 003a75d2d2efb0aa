# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranges, defaults and times stand in the code. What the documents say of them is what stands there."""

from __future__ import annotations

import dataclasses
import re
import textwrap

import pytest
import yaml
from ansible_collections.leaderelection.s3.plugins.filter import heartbeat_plan
from ansible_collections.leaderelection.s3.plugins.module_utils import _options
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import (
    durations,
    listing,
    protocol,
    record,
    settings,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import (
    command,
    config,
    daemon,
    guard,
    leases,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.config import Config
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.timing import Timing
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight import run as preflight
from support.documents import (
    MODULES,
    ROLE,
    ROOT,
    argument_spec,
    defaults_in_table,
    description,
    documented,
    role_options,
    text_of,
)

OF_ROLE, OF_LEASE = role_options()
OPTIONS = "docs/options.md"
LENGTHS = {
    **settings.LENGTHS,
    "metadata": (0, record.MAX_METADATA),
    "name": (1, leases.MAX_NAME),
    "slots": (1, record.MAX_SLOTS),
    "prefix": (0, settings.LENGTHS["key"][1]),
}
RANGES = {**settings.RANGES, **preflight.RANGES, **LENGTHS}
RANGES_OF_LEASE = {**settings.RANGES, **config.RANGES, **heartbeat_plan.RANGES, **LENGTHS}
DEFAULTS = {field.name: field.default for field in dataclasses.fields(Config)}


# -- ranges


def stated_ranges(option):
    found = re.findall(r"From (\d+) to (\d+)|[Aa]t most (\d+) (?:printable )?(?:characters|bytes)", description(option))
    return [(int(least or 0), int(most or only)) for least, most, only in found]


def expected(options, ranges):
    return {name: [ranges[name]] if name in ranges else [] for name in options}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_states_the_ranges_that_are_checked_and_no_other(name):
    options = documented(name)
    assert {option: stated_ranges(one) for option, one in options.items()} == expected(options, RANGES)


def test_the_role_states_the_ranges_that_are_checked_and_no_other():
    options = {**OF_ROLE, **OF_LEASE}
    assert {option: stated_ranges(one) for option, one in options.items()} == expected(options, RANGES_OF_LEASE)


def test_the_lookup_states_the_ranges_that_are_checked_and_no_other():
    options = documented("s3_leader", "lookup")
    ranges = {**RANGES, "_terms": RANGES["key"]}
    assert {option: stated_ranges(one) for option, one in options.items()} == expected(options, ranges)


def test_every_range_that_is_checked_is_of_an_option_that_is_documented():
    assert RANGES.keys() - {option for name in MODULES for option in documented(name)} == set()
    assert RANGES_OF_LEASE.keys() - OF_LEASE.keys() == {
        "hold_at_least",
        "keep_at_most",
        "prefix",
        "reason",
        "session",
        "wait_timeout",
    }


# -- defaults


def test_the_role_has_the_defaults_of_the_daemon():
    made = Config(name="db", key="db")
    given = {name: one["default"] for name, one in OF_LEASE.items() if name in DEFAULTS and "default" in one}
    given.update({name: durations.parsed(given[name]) for name in Timing._fields if name in given})
    assert given == {name: getattr(made, name) for name in given}
    without = {name for name in DEFAULTS if name not in given}
    assert {name for name in without if getattr(made, name) is not None} == {"name", "key", "holder", "poll_interval"}
    assert durations.parsed(OF_LEASE["hook_timeout"]["default"]) == heartbeat_plan.HOOK_TIMEOUT
    assert tuple(OF_LEASE["addressing_style"]["choices"]) == settings.ADDRESSING_STYLES


def test_the_variables_of_the_role_have_the_defaults_that_are_documented():
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    assert defaults == {name: one["default"] for name, one in OF_ROLE.items()}


def test_the_lookup_has_the_defaults_of_the_modules():
    options = documented("s3_leader", "lookup")
    assert set(options) == {"_terms", "bucket", *_options.Endpoint.__dataclass_fields__} - {"credentials_file"}
    told = {name: one.get("default") for name, one in options.items() if name != "_terms"}
    assert told == {name: _options.SPEC[name].get("default") for name in told}


def as_yaml(default):
    return yaml.safe_dump(default, default_flow_style=True).removesuffix("...\n").strip()


def wrong_in_table(path, options):
    """Options whose default the table has not. What is empty may stand there in words."""
    table = defaults_in_table(path)
    wanted = {name: as_yaml(default) for name, default in options if default not in (None, "", [], {})}
    return {
        name: table.get(name) for name, text in wanted.items() if text not in re.split("[`; ]+", table.get(name, ""))
    }


def test_the_table_of_the_modules_has_every_option_with_its_default():
    specs = [spec for name in MODULES for spec in argument_spec(name).items()]
    assert {option for option, _one in specs} - defaults_in_table(OPTIONS).keys() == set()
    assert wrong_in_table(OPTIONS, [(option, one.get("default")) for option, one in specs]) == {}


def test_the_tables_of_the_role_have_every_option_with_its_default():
    options, path = {**OF_ROLE, **OF_LEASE}, "roles/heartbeat/README.md"
    assert options.keys() - defaults_in_table(path).keys() == set()
    assert wrong_in_table(path, [(option, one.get("default")) for option, one in options.items()]) == {}


# -- times


MARGIN = protocol.MARGIN_LEAST
GROWS = (protocol.GRAIN + protocol.SKEW, (MARGIN - protocol.GRAIN - protocol.SKEW) / protocol.MARGIN_RATE)
"""What the margin of a long lease begins with, and the duration from which on it is more than the least."""
REACTION = {0.5: "half a second"}[settings.REACTION]
PARTS = (Config.stop_grace, 2 * Config.renew_interval, Config.request_timeout, settings.REACTION)
"""Of the least lease_duration by default."""
GUIDE, START, ROLE_README = "docs/heartbeat.md", "docs/getting_started.md", "roles/heartbeat/README.md"
SPECS, ACQUIRE = "roles/heartbeat/meta/argument_specs.yml", "plugins/modules/s3_leader_acquire.py"
RENEW, INFO, CONNECTION = (
    "plugins/modules/s3_leader_renew.py",
    "plugins/modules/s3_leader_info.py",
    "plugins/doc_fragments/_connection.py",
)


@pytest.mark.parametrize(
    ("document", "words", "value"),
    [
        (GUIDE, r"margin of (\S+) seconds", MARGIN),
        (GUIDE, r"([\d.]+)(?: seconds)? and a thousandth", GROWS[0]),
        (GUIDE, r"if `lease_duration` is more than ([\d.]+\d)", GROWS[1]),
        (GUIDE, r"(\S+) seconds are too long", Config.lease_duration + MARGIN),
        (GUIDE, r"request_timeout \+ (\S+)", settings.REACTION),
        (GUIDE, r"(\d[\d. +]+) = [\d.]+\d", " + ".join(f"{part:g}" for part in PARTS)),
        (GUIDE, r"\d = ([\d.]+\d)", sum(PARTS)),
        (GUIDE, r"take to stop \+ (\S+)", heartbeat_plan.SYSTEMD),
        (GUIDE, r"by default after ([\d.]*\d)", Config.lease_duration - Config.stop_grace),
        (GUIDE, r"SIGKILL (.{1,20}) before `stop_grace` is over", REACTION),
        (GUIDE, r"looks every (\S+) seconds", guard.INTERVAL),
        (GUIDE, r"first renewal after (\S+) seconds", daemon.STARTING),
        (GUIDE, r"stays out for (\S+) seconds", command.AWAY),
        (START, r"`lease_duration` \((\S+) s\)", Config.lease_duration),
        (ROLE_README, r"after (\S+) seconds at most", Config.lease_duration + MARGIN),
        (ROLE_README, r"`stop_grace` \((\S+)\)", Config.stop_grace),
        (SPECS, r"margin of (\S+) seconds", MARGIN),
        (SPECS, r"the margin is (\S+) seconds and a thousandth", GROWS[0]),
        (SPECS, r"more than (\d+)", GROWS[1]),
        (ACQUIRE, r"over (\S+) seconds later", MARGIN),
        (ACQUIRE, r"more than (\d+) seconds", GROWS[1]),
        (ACQUIRE, r"thousandth of them and ([\d.]*\d)|([\d.]+) seconds plus a thousandth", GROWS[0]),
        (ACQUIRE, r"plus (\d+)", MARGIN),
        (RENEW, r"plus (\d+)", MARGIN),
        (INFO, r"up to (\d+) seconds (?:too )?late", MARGIN),
        (INFO, r"up to (\d+) objects", listing.MOST_OBJECTS),
        (CONNECTION, r"(?:as long and|this long plus) (\d+) seconds", settings.PATIENCE),
    ],
)
def test_a_time_that_is_stated_is_the_one_that_is_kept(document, words, value):
    value = value if isinstance(value, str) else f"{value:g}"
    found = {group for match in re.finditer(words, text_of(document)) for group in match.groups() if group}
    assert found == {value}


# -- objects


def test_the_objects_of_the_net_page_are_what_is_read_and_written():
    blocks = re.findall(r"```json\n(.*?)\n```", (ROOT / "docs" / "dotnet.md").read_text(), re.DOTALL)
    theirs, ours = (record.decode(block.encode()) for block in blocks)
    assert (theirs.holder, theirs.foreign) == ("app-1", True)
    assert record.encode(ours).decode() == blocks[1]
    assert ours.lease_until == ours.renewed_at + ours.lease_duration + protocol.margin(ours.lease_duration)


# -- links


PLACES = ("*.md", "docs/*.md", "roles/*/*.md", "extensions/*/*.md")
DOCUMENTS = sorted(path.relative_to(ROOT) for place in PLACES for path in ROOT.glob(place))
OURS = re.compile(r"https://(?:github\.com/leaderelection/s3/(?:blob|tree)|raw\.\S+/leaderelection/s3)/main/(.*)")


def links(document):
    """Yield what a document links to in this repository, as it stands there, and the file or folder that it means."""
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", text, re.MULTILINE):
        link = "".join(target)
        ours = OURS.fullmatch(link)
        if ours or not re.match(r"\w+:|#", link):
            path, _hash, heading = (ours.group(1) if ours else link).partition("#")
            yield link, (ROOT if ours else (ROOT / document).parent) / path, heading


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_a_link_leads_to_what_is_there(document):
    for link, file, heading in links(document):
        assert file.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}, link


def test_every_link_of_the_readme_is_a_url_since_galaxy_shows_it_without_the_other_files():
    assert [link for link, _file, _heading in links("README.md") if not OURS.fullmatch(link)] == []


# -- plays


def test_the_guide_in_ansibles_documentation_has_the_play_of_readme():
    play = (ROOT / "README.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    assert textwrap.indent(play, "    ") in (ROOT / "docs/docsite/rst/guide.rst").read_text()
