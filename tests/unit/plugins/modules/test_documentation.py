# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is documented is what is there: ansible-test asks as well, minutes later."""

from __future__ import annotations

import re

import pytest
import yaml
from ansible_collections.leaderelection.s3.plugins.doc_fragments import _connection, _lease
from ansible_collections.leaderelection.s3.plugins.lookup import s3_leader as lookup
from ansible_collections.leaderelection.s3.plugins.module_utils import _listed, _options, _report, _results
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.report import Check, Report
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Absent, Verdict, Why
from support.documents import MODULES, ROOT, argument_spec, documented, module_of

LEASE_MODULES = ["s3_leader_acquire", "s3_leader_info", "s3_leader_release", "s3_leader_renew"]
CONNECTION = yaml.safe_load(_connection.ModuleDocFragment.DOCUMENTATION)["options"]
CONNECTION_OF_PLUGINS = yaml.safe_load(_connection.ModuleDocFragment.PLUGINS)["options"]
LEASE = yaml.safe_load(_lease.ModuleDocFragment.DOCUMENTATION)["options"]
BY_BOTOCORE = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}
"""Variables that modules leave to botocore's order of things, after the option's own."""


def test_the_modules_are_there():
    assert {*LEASE_MODULES, "s3_leader_preflight"} == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_options_are_documented_as_they_are(name):
    spec, options = argument_spec(name), documented(name)
    assert set(spec) == set(options)
    for option, one in spec.items():
        told = options[option]
        assert told["type"] == one["type"], option
        assert told.get("default") == one.get("default"), option
        assert told.get("required", False) == one.get("required", False), option
        assert told.get("choices") == one.get("choices"), option
        assert told.get("aliases", []) == one.get("aliases", []), option
        assert told["description"], option


@pytest.mark.parametrize("name", MODULES)
def test_secrets_are_marked_as_such(name):
    secret = {option for option, one in argument_spec(name).items() if one.get("no_log")}
    assert secret == {"secret_key", "session_token"}


SOMETIMES = {"resource_actions"}
OF_ONE_MODULE = {"s3_leader_info": {"leases"}}


@pytest.mark.parametrize("name", LEASE_MODULES)
def test_every_lease_module_returns_the_same(name):
    told, others = (yaml.safe_load(module_of(one).RETURN) for one in (name, "s3_leader_acquire"))
    own = OF_ONE_MODULE.get(name, set())
    assert told.keys() - others.keys() == own
    assert {key: one for key, one in told.items() if key not in own} == others


def test_what_is_returned_of_all_below_a_prefix_is_documented():
    told = yaml.safe_load(module_of("s3_leader_info").RETURN)
    done = _listed.result([], Location("bucket", "jobs/"), 1)
    assert set(done) - {"changed"} == set(told) - SOMETIMES
    assert told["leases"]["returned"] == "success, when O(prefix) or O(slots) is set"


def test_what_is_returned_is_documented():
    told = yaml.safe_load(module_of("s3_leader_acquire").RETURN)
    always = {"changed", "msg"}  # Ansible's own
    location = Location("bucket", "key")
    done = _results.success(Verdict(False, Why.FOUND, Absent(0.0), Absent(0.0)), location, 1, 0.0)
    assert set(done) - always == set(told) - SOMETIMES
    assert set(_results.failure("no", 0)) - always == set(told) - SOMETIMES
    assert set(done["lease"]) == set(told["lease"]["contains"])
    known = _results.local(dict(is_leader=False, term=None, reason="no"))
    assert (set(known), set(known["lease"])) == (set(done), set(done["lease"]))
    assert {name for name, one in told.items() if one["returned"] != "always"} == SOMETIMES


def test_what_a_preflight_returns_is_documented():
    told = yaml.safe_load(module_of("s3_leader_preflight").RETURN)
    done = _report.result(Report((Check("create", "pass", "seen"),), 1, 0.5), "text")
    assert set(done) - {"changed"} == set(_report.failure("no", 0)) - {"changed", "msg"}
    assert set(done) - {"changed"} == set(told) - SOMETIMES
    assert set(done["checks"][0]) == set(told["checks"]["contains"])
    assert {name for name, one in told.items() if one["returned"] != "always"} == SOMETIMES


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_in_the_action_group_and_has_its_action_plugin(name):
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]
    assert name in groups["s3_leader"]
    assert hasattr(module_of(name, "action"), "ActionModule")


def test_the_action_group_and_the_action_plugins_are_of_modules_that_exist():
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]
    actions = {file.stem for file in (ROOT / "plugins" / "action").glob("s3_leader_*.py")}
    assert set(groups["s3_leader"]) == actions == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_documents_the_group_that_it_is_in(name):
    assert (
        "leaderelection.s3._attributes"
        in yaml.safe_load(module_of(name).DOCUMENTATION)["extends_documentation_fragment"]
    )


def test_the_lookup_has_the_connection_options_of_the_modules_and_their_environment():
    options = documented("s3_leader", "lookup")
    assert {name: options[name] for name in CONNECTION} == {
        name: {**option, **CONNECTION_OF_PLUGINS.get(name, {})} for name, option in CONNECTION.items()
    }
    assert {setting for option in CONNECTION_OF_PLUGINS.values() for setting in option} == {"env", "vars"}
    assert {name: one["vars"][0]["name"] for name, one in CONNECTION_OF_PLUGINS.items()} == {
        name: f"s3_leader_{name}" for name in CONNECTION
    }


@pytest.mark.parametrize("option", sorted(CONNECTION))
def test_an_options_environment_is_the_same_for_modules_and_lookup_and_documented(option):
    fallback = _options.SPEC[option].get("fallback")
    of_module = list(fallback[1]) if fallback else []
    of_lookup = [variable["name"] for variable in CONNECTION_OF_PLUGINS.get(option, {}).get("env", ())]
    of_text = re.findall(r"E\((\w+)\)", " ".join(CONNECTION[option]["description"]))
    assert [name for name in of_lookup if name not in BY_BOTOCORE] == of_module
    assert of_text == of_lookup


def test_the_lookup_takes_the_lease_options_as_the_modules_do():
    options = yaml.safe_load(lookup.DOCUMENTATION)["options"]
    assert set(options) == {"_terms", "bucket"}
    assert options["bucket"]["default"] == LEASE["bucket"]["default"] == _options.SPEC["bucket"]["default"]
