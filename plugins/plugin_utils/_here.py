# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""Carries a module out in Ansible's own process, on the controller: that is ten times as fast as a Python of its own.

It is the same code with the same arguments, and so are its results. Where anything could make a difference, the module
is sent to a Python of its own, as usual: on another host, as another user, with another Python, in another environment.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import sys
import traceback
import typing as t

from ansible import constants
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.common.warnings import get_warning_messages
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import connection
from ansible_collections.leaderelection.s3.plugins.module_utils._module import KEEP_INSTEAD, Call, Keep, Result
from ansible_collections.leaderelection.s3.plugins.module_utils._options import hidden_in

if t.TYPE_CHECKING:
    from ansible.plugins.action import ActionBase

SWITCH = "s3_leader_in_process"
"""The variable that turns it off."""


class Module(t.Protocol):
    """One of the collection's modules, imported."""

    __name__: str
    SPEC: dict[str, dict[str, t.Any]]

    def carry_out(self, call: Call) -> Result: ...


ELSEWHERE = ("it runs on another host", "it runs as another user", "it has an environment of its own")
"""What makes a task mean another store by the same arguments."""
_NO_BOTOCORE = f"Ansible's Python, {sys.executable}, has no botocore"
_INSTEAD = {
    ELSEWHERE[1]: "Set become: false on it",
    ELSEWHERE[2]: "Set the environment on the tasks that need it, and for this one use the options of the module",
    _NO_BOTOCORE: f"Install boto3 for it: {sys.executable} -m pip install boto3",
}


def why_not(action: ActionBase, task_vars: dict[str, t.Any]) -> str:
    """Return what keeps a task from being carried out here, for people; '' for nothing."""
    # pylint: disable=protected-access
    task, sends_to = action._task, action._connection
    if sends_to.transport != "local":
        return ELSEWHERE[0]
    if sends_to.become is not None:
        return ELSEWHERE[1]
    if any(task.environment or ()):
        return ELSEWHERE[2]
    if not boolean(action._templar.template(task_vars.get(SWITCH, True)), strict=False):
        return f"{SWITCH} is false"
    if sys.platform == "darwin":
        return "macOS does not let a forked process use its network libraries"
    if connection.MISSING_LIBRARY is not None:
        return _NO_BOTOCORE
    python = _interpreter(action, task_vars)
    return "" if python.startswith("auto") or _is_ours(python) else f"its Python is {python}"


def instead(why_not: str) -> str:
    """Return what to do so that a task is carried out here after all, or what else keeps a lease."""
    return _INSTEAD.get(why_not, KEEP_INSTEAD)


def injects_invocation(task_vars: dict[str, t.Any]) -> bool:
    """Tell whether results have the arguments: since ansible-core 2.21, only where a setting says so."""
    try:
        return bool(constants.config.get_config_value("INJECT_INVOCATION", variables=task_vars))
    except AnsibleError:
        return True


def carry_out(
    name: str,
    module: Module,
    arguments: dict[str, t.Any],
    check_mode: bool,
    diff: bool,
    keep: Keep | None = None,
    invocation: bool = True,
) -> Result:
    """Return the result that the module would have returned. ``name`` is its full name."""
    warnings: list[str] = []
    validated = validate(module, arguments)
    params = validated.validated_parameters
    if validated.error_messages:
        result: Result = dict(failed=True, msg=_refusal(name, validated))
    else:
        try:
            result = module.carry_out(Call(params, check_mode, diff, warnings.append, keep))
        except Exception as error:  # as where a module dies
            result = dict(failed=True, msg=f"{name} failed: {error!r}", exception=traceback.format_exc())
    result.setdefault("changed", False)
    if invocation:
        result["invocation"] = dict(module_args=params)
    warnings += get_warning_messages()
    if warnings:
        result["warnings"] = warnings
    return _without(_secrets(module, params), json.loads(json.dumps(result)))


def validate(module: Module, arguments: t.Mapping[str, t.Any]) -> t.Any:
    """Return Ansible's ValidationResult for the arguments of a module."""
    return ModuleArgumentSpecValidator(module.SPEC).validate(_plain(arguments))


def _interpreter(action: ActionBase, task_vars: dict[str, t.Any]) -> str:
    host = action._task.delegate_to  # pylint: disable=protected-access
    variables = task_vars.get("ansible_delegated_vars", {}).get(host, task_vars) if host else task_vars
    python = constants.config.get_config_value("INTERPRETER_PYTHON", variables=variables)
    return str(action._templar.template(python))  # pylint: disable=protected-access


def _is_ours(python: str) -> bool:
    """Tell whether this is Ansible's own Python, by whatever name. That of a virtual environment is another one."""
    paths = [shutil.which(python) or python, sys.executable]
    theirs, ours = [(os.path.realpath(os.path.dirname(path)), os.path.realpath(path)) for path in paths]
    return theirs == ours


def _plain(value: t.Any) -> t.Any:
    """Return arguments as JSON would carry them, without the marks of Ansible; text that was encrypted is decrypted."""
    if isinstance(value, t.Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def _refusal(name: str, validated: t.Any) -> str:
    text = str(validated.error_messages[0])
    return f"Unsupported parameters for ({name}) module: {text}" if validated.unsupported_parameters else text


def _secrets(module: Module, params: dict[str, t.Any]) -> set[str]:
    hidden = {params.get(name) for name, option in module.SPEC.items() if option.get("no_log")}
    return {*filter(None, hidden), *hidden_in(params)}


def _without(secrets: set[str], result: Result) -> Result:
    """Return the result without these texts, as Ansible censors that of a module."""
    kept = {name: value for name, value in result.items() if value is None or isinstance(value, bool)}
    censored: Result = remove_values(result, secrets)
    return {**censored, **kept}
