# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
import types

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.leaderelection.s3.plugins.module_utils import _options
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import connection
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _here

pytestmark = pytest.mark.usefixtures("aws")

NAME = "leaderelection.s3.s3_leader_info"
KEYS = dict(access_key="AKIA-somebody", secret_key="wJalrXUtnFEMI-the-secret-key")


def action(transport="local", become=None, environment=(), delegate_to=None):
    return types.SimpleNamespace(
        _connection=types.SimpleNamespace(transport=transport, become=become),
        _task=types.SimpleNamespace(environment=list(environment), delegate_to=delegate_to),
        _templar=Templar(loader=DataLoader()),
    )


# -- Where a task runs


@pytest.mark.parametrize("python", [None, "auto", "auto_silent", sys.executable])
def test_a_task_on_the_controller_runs_here(python):
    variables = dict(ansible_python_interpreter=python) if python else {}
    assert _here.why_not(action(environment=[{}, None]), variables) == ""


def test_its_own_python_may_have_another_name(tmp_path, monkeypatch):
    for name in ("python3", "python3.11"):
        (tmp_path / name).symlink_to(sys.executable)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "python3").symlink_to(sys.executable)  # of another virtual environment
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    assert _here.why_not(action(), dict(ansible_python_interpreter=str(tmp_path / "python3.11"))) == ""
    other = str(tmp_path / "other" / "python3")
    assert _here.why_not(action(), dict(ansible_python_interpreter=other)) == f"its Python is {other}"


@pytest.mark.parametrize(
    ("why", "task", "variables"),
    [
        ("another host", dict(transport="ssh"), {}),
        ("another user", dict(become="sudo"), {}),
        ("an environment", dict(environment=[{}, {"AWS_PROFILE": "ops"}]), {}),
        ("/usr/bin/python9", {}, dict(ansible_python_interpreter="/usr/bin/python9")),
        ("s3_leader_in_process is false", {}, dict(s3_leader_in_process=False)),
        ("s3_leader_in_process is false", {}, dict(s3_leader_in_process="no")),
    ],
)
def test_where_something_could_make_a_difference_the_module_runs(why, task, variables):
    assert why in _here.why_not(action(**task), variables)


def test_a_delegated_task_goes_by_the_python_of_the_host_that_it_runs_on():
    variables = dict(
        ansible_python_interpreter="/usr/bin/python9",
        ansible_delegated_vars={"localhost": dict(ansible_python_interpreter=sys.executable)},
    )
    assert _here.why_not(action(delegate_to="localhost"), variables) == ""
    assert "python9" in _here.why_not(action(), variables)


def test_on_macos_the_module_runs(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "macOS" in _here.why_not(action(), {})


def test_without_botocore_here_the_module_runs_which_may_have_it(monkeypatch):
    monkeypatch.setattr(connection, "MISSING_LIBRARY", ImportError("no botocore"))
    assert "botocore" in _here.why_not(action(), {})


# -- What becomes of it


def carry_out(work=lambda call: {}, check_mode=False, diff=False, **arguments):
    module = types.SimpleNamespace(SPEC=dict(_options.SPEC, metadata=dict(type="dict", default={})), carry_out=work)
    return _here.carry_out(NAME, module, dict(key="jobs/a", **arguments), check_mode, diff)


def test_the_module_is_called_with_its_arguments_and_the_mode():
    calls = []
    carry_out(lambda call: calls.append(call) or {}, check_mode=True, diff=True, aws_region="here", validate_certs="no")
    ((params, check_mode, diff, _warn, keep),) = calls
    assert (params["key"], params["region"], params["validate_certs"], params["bucket"]) == (
        *("jobs/a", "here", False),
        "leader-election",
    )
    assert check_mode
    assert diff
    assert keep is None


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("Unsupported parameters for (leaderelection.s3.s3_leader_info) module: colour", dict(colour="red")),
        ("value of addressing_style must be one of: auto, path, virtual", dict(addressing_style="odd")),
        ("is not a valid boolean", dict(validate_certs="long")),
    ],
)
def test_arguments_that_do_not_fit_are_refused_as_ansible_refuses_them(message, arguments):
    result = carry_out(**arguments)
    assert result["failed"]
    assert message in result["msg"]


def test_what_a_module_warns_of_is_in_its_result():
    assert carry_out(lambda call: call.warn("mind the gap") or {})["warnings"] == ["mind the gap"]
    assert "warnings" not in carry_out()


def test_a_result_is_as_it_would_be_if_it_had_been_sent():
    result = carry_out(lambda call: dict(is_leader=True, checks=(1, 2), lease=None))
    assert (result["is_leader"], result["checks"], result["lease"], result["changed"]) == (True, [1, 2], None, False)
    assert result["invocation"]["module_args"]["key"] == "jobs/a"


def test_no_secret_is_in_a_result():
    text = "refused wJalrXUtnFEMI-the-secret-key and hunter2"
    proxies = {"http": "http://eve:swordfish@127.0.0.1"}
    url = "http://bob:hunter2@127.0.0.1"
    result = carry_out(lambda call: dict(msg=text), endpoint_url=url, aws_config={"proxies": proxies}, **KEYS)
    assert "FEMI" not in str(result)
    assert "hunter2" not in str(result)
    assert "swordfish" not in str(result)
    assert result["invocation"]["module_args"]["access_key"] == "AKIA-somebody"


@pytest.mark.parametrize("config", ["bob:hunter2@h", ["bob:hunter2@h"], 5])
def test_an_argument_that_is_no_dictionary_is_refused_without_a_secret(config):
    result = carry_out(aws_config=config)
    assert result["failed"]
    assert "aws_config" in result["msg"]
    assert "hunter2" not in str(result)


def test_a_secret_that_reads_like_an_answer_does_not_turn_it_round():
    result = carry_out(lambda call: dict(is_leader=True, failed=False), access_key="AKIA-somebody", secret_key="True")
    assert result["is_leader"] is True


def test_a_module_that_dies_fails_the_task_and_tells_no_secret():
    def dies(_call):
        raise LookupError(f"no {KEYS['secret_key']}")

    result = carry_out(dies, **KEYS)
    assert result["failed"]
    assert "LookupError" in result["msg"]
    assert "LookupError" in result["exception"]
    assert "FEMI" not in str(result)


class Encrypted:
    """As Ansible's own class, it is no str."""

    def __str__(self):
        return KEYS["secret_key"]


class Marked(str):
    __slots__ = ("tags",)


def test_arguments_lose_the_marks_of_ansible_and_what_is_encrypted_is_decrypted():
    calls = []
    metadata = {Marked("ticket"): Marked("OPS-1"), "hosts": (1, 2.5, None, True)}
    carry_out(
        lambda call: calls.append(call.params) or {},
        access_key="AKIA",
        secret_key=Encrypted(),
        metadata=metadata,
        profile=None,
    )
    assert calls[0]["secret_key"] == KEYS["secret_key"]
    assert calls[0]["metadata"] == {"ticket": "OPS-1", "hosts": [1, 2.5, None, True]}
    assert {type(text) for item in list(calls[0]["metadata"].items())[:1] for text in item} == {str}
