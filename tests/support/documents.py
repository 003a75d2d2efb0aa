# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as the documents have them, and as the code does."""

from __future__ import annotations

import contextlib
import importlib
import pathlib
import re
from unittest import mock

import yaml
from ansible_collections.leaderelection.s3.plugins.module_utils import _module

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles" / "heartbeat"
PLUGINS = "ansible_collections.leaderelection.s3.plugins"
MODULES = sorted(file.stem for file in (ROOT / "plugins" / "modules").glob("s3_leader_*.py"))


def module_of(name, kind="modules"):
    return importlib.import_module(f"{PLUGINS}.{kind}.{name}")


def documented(name, kind="modules"):
    """All options of a plugin: its own, and those of its fragments, of which the first has the last word."""
    document = yaml.safe_load(module_of(name, kind).DOCUMENTATION)
    options = document.get("options", {})
    for fragment in document["extends_documentation_fragment"]:
        for option, told in fragment_options(fragment).items():
            options[option] = told | options.get(option, {})
    return options


def fragment_options(name):
    """The options of a fragment, by the name that plugins give it."""
    stem, _dot, variable = name.removeprefix("leaderelection.s3.").partition(".")
    text = getattr(module_of(stem, "doc_fragments").ModuleDocFragment, variable.upper() or "DOCUMENTATION")
    return yaml.safe_load(text).get("options", {})


def argument_spec(name):
    """What a module tells AnsibleModule of its options."""

    class Caught(Exception):
        pass

    with mock.patch.object(_module, "Module", side_effect=Caught) as made, contextlib.suppress(Caught):
        module_of(name).main()
    return made.call_args.kwargs["argument_spec"]


def role_options():
    """The options of the role, and those of each of its leases."""
    specs = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())
    options = specs["argument_specs"]["main"]["options"]
    return options, options["heartbeat_leases"]["options"]


def description(option):
    lines = option["description"]
    return lines if isinstance(lines, str) else " ".join(lines)


def text_of(path):
    """A document in one line, so that no line end parts its words."""
    return " ".join((ROOT / path).read_text().split())


def defaults_in_table(path):
    """The second column of a document's tables, by the option that the first one has in backticks.

    Where a row is of as many options as it has defaults, each has its own.
    """
    found = {}
    for line in (ROOT / path).read_text().splitlines():
        names, _bar, rest = line.removeprefix("|").partition("|")
        options = re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", names)) if line.startswith("|") else []
        cell = rest.partition("|")[0].strip()
        cells = cell.split(", ")
        if len(cells) != len(options):
            cells = [cell] * len(options)
        found.update(zip(options, cells, strict=True))
    return found
