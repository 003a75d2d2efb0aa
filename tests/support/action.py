# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An action plugin run in this process, with an answer of the host's that the test makes up."""

from __future__ import annotations

import types
import typing as t
from collections.abc import Callable

from ansible.plugins.action import ActionBase

Result = dict[str, t.Any]


class Played(t.NamedTuple):
    """One task that was run."""

    result: Result
    module: str
    """The module that was sent to the host, by its full name; '' where none was."""
    arguments: Result
    """What it was sent with."""


def play(
    plugin: type[ActionBase],
    action: str,
    arguments: Result,
    answer: Result | Callable[[], Result],
    host: str | None = "web-1",
    check_mode: bool = False,
    asynchronous: int = 0,
    **variables: t.Any,
) -> Played:
    """Run a task of this action on a host; without a host it has no variables at all."""
    sent: list[tuple[str, Result]] = []

    class Plugin(plugin):  # type: ignore[misc,valid-type]
        def _execute_module(self, module_name: str, module_args: Result, task_vars: t.Any) -> Result:
            sent.append((module_name, module_args))
            return answer() if callable(answer) else dict(answer)

    mode = dict(check_mode=check_mode, diff=False, async_val=asynchronous)
    task = types.SimpleNamespace(args=arguments, action=action, environment=[], delegate_to=None, **mode)
    shell = types.SimpleNamespace(tmpdir="/tmp/there")
    connection = types.SimpleNamespace(_shell=shell, transport="ssh", become=None)
    made = Plugin(task, connection, None, None, None, None)
    result = made.run(task_vars=dict(variables, inventory_hostname=host) if host else None)
    module, told = sent[0] if sent else ("", {})
    assert len(sent) <= 1, "a task sends one module"
    return Played(result, module, told)
