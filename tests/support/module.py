# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module run in this process: the same arguments in, the same JSON out, and no ansible-playbook."""

from __future__ import annotations

import contextlib
import io
import json
import typing as t
from collections.abc import Callable
from unittest import mock

import pytest
from ansible.module_utils import basic


def run(main: Callable[[], None], check: bool = False, diff: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
    """Run a module to its end and return its result, after Ansible has censored it.

    ``check`` and ``diff`` are the modes of the task. ``failed`` is always there.
    """
    internal = dict(_ansible_check_mode=check, _ansible_diff=diff)
    encoded = json.dumps(dict(ANSIBLE_MODULE_ARGS=dict(internal, **arguments))).encode()
    printed = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(basic, "_ANSIBLE_ARGS", encoded))
        # ansible-core 2.19 and newer want to know how values are encoded; older ones know one way.
        stack.enter_context(mock.patch.object(basic, "_ANSIBLE_PROFILE", "legacy", create=True))
        stack.enter_context(contextlib.redirect_stdout(printed))
        with pytest.raises(SystemExit) as end:
            main()
    result: dict[str, t.Any] = json.loads(printed.getvalue())
    assert result.setdefault("failed", False) == bool(end.value.code)
    return result
