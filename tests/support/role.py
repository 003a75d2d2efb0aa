# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role heartbeat puts on a host: its templates, rendered as the role does."""

from __future__ import annotations

import contextlib
import pathlib

import jinja2
import yaml
from ansible.plugins.filter import core as filters, mathstuff
from ansible.plugins.test import core as tests
from ansible_collections.leaderelection.s3.plugins.filter.heartbeat_plan import heartbeat_plan
from jinja2.defaults import DEFAULT_FILTERS

ROLE = pathlib.Path(__file__).resolve().parents[2] / "roles" / "heartbeat"
SYSTEMD = 255
TEXTFILES = "s3-leader-textfiles.service"
"""The unit that a host has where metrics are brought to node_exporter."""

_JINJA = jinja2.Environment(
    loader=jinja2.FileSystemLoader(ROLE / "templates"), trim_blocks=True, undefined=jinja2.StrictUndefined
)
_JINJA.filters = {**filters.FilterModule().filters(), **mathstuff.FilterModule().filters(), **_JINJA.filters}
_JINJA.filters["map"] = jinja2.pass_context(lambda *given, **options: list(DEFAULT_FILTERS["map"](*given, **options)))
_JINJA.filters["leaderelection.s3.heartbeat_plan"] = heartbeat_plan
_JINJA.tests = {**tests.TestModule().tests(), **_JINJA.tests}


def variables(**given):
    """The role's variables that depend on no host, and what is given in the place of some."""
    known = dict(heartbeat__systemd=SYSTEMD, heartbeat__interpreter="/usr/bin/python3")
    known["heartbeat_textfile_directory"] = "/srv/metrics"
    for name, value in yaml.safe_load((ROLE / "vars" / "main.yml").read_text()).items():
        if name not in known:
            with contextlib.suppress(jinja2.UndefinedError, jinja2.TemplateError):
                known[name] = given.get(name) or (rendered(value, known) if isinstance(value, str) else value)
    return known


def rendered(text, known):
    return _JINJA.from_string(text).render(known)


def units(lease, **given):
    """The text of each unit and each drop-in of a host that takes part in a lease, by its path. %i is the lease."""
    known = variables(**given)
    folder = known["heartbeat__units"]
    names = (*known["heartbeat__general_units"], TEXTFILES)
    found = {f"{folder}/{name}": _template(name, known) for name in names}
    found |= {path: text for path, text in files("lease_files", lease, **given).items() if not path.endswith(".json")}
    return {path: text.replace("%i", lease["name"]) for path, text in found.items()}


def files(name, lease, **given):
    """The text of each file of a lease, by its path, from the template of them all."""
    plan = heartbeat_plan([lease])
    own = dict(heartbeat__plan=plan, heartbeat__names=[*plan["leases"]], heartbeat__by_name={lease["name"]: lease})
    found: dict[str, str] = yaml.safe_load(_template(name, {**variables(**given), **own})) or {}
    return found


def tasks(name):
    """The tasks of a file, those of blocks among them."""

    def flat(found):
        for task in found:
            yield task
            yield from flat(task.get("block", []))

    return list(flat(yaml.safe_load((ROLE / "tasks" / name).read_text())))


def items(task, **known):
    """What a task loops over."""
    return value(task["loop"], **known)


def value(template, **known):
    """What a template that is one expression stands for."""
    expression = template.strip().removeprefix("{{").removesuffix("}}")
    return _JINJA.compile_expression(expression)(**{**variables(), **known})


def script(name, **given):
    """The text of what units, people and facts run."""
    return _template(name, variables(**given))


def settings(text, name):
    """All values of a setting in a unit."""
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")]


def _template(name, known):
    return _JINJA.get_template(f"{name}.j2").render(known)
