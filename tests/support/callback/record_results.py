# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Appends every task's start and result as a line of JSON to the file $RECORD_RESULTS."""

from __future__ import annotations

import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record_results
type: notification
short_description: Appends every task's start and result as a line of JSON to a file
description:
  - For tests. The file is named by the environment variable E(RECORD_RESULTS).
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "record_results"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_start(self, host, task):
        self._write(host, task, "started", {})

    def v2_runner_on_ok(self, result):
        values = _of(result, "result")
        self._write(_of(result, "host"), _of(result, "task"), "changed" if values.get("changed") else "ok", values)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        status = "ignored" if ignore_errors else "failed"
        self._write(_of(result, "host"), _of(result, "task"), status, _of(result, "result"))

    def v2_runner_on_skipped(self, result):
        self._write(_of(result, "host"), _of(result, "task"), "skipped", _of(result, "result"))

    def v2_runner_on_unreachable(self, result):
        self._write(_of(result, "host"), _of(result, "task"), "unreachable", _of(result, "result"))

    def _write(self, host, task, status, values):
        entry = {
            "host": host.get_name(),
            "task": task.get_name(),
            "action": task.action,
            "status": status,
            "time": time.time(),
            "result": values,
        }
        line = json.dumps(entry, default=str) + "\n"
        # One write, so that a reader sees whole lines only.
        file = os.open(os.environ["RECORD_RESULTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)


def _of(result, name):
    """An attribute of a task result; core before 2.19 has it with an underscore only."""
    return getattr(result, name) if hasattr(result, name) else getattr(result, f"_{name}")
