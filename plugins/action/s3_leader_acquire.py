# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_acquire
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _end_run, _keeper, _kept
from ansible_collections.leaderelection.s3.plugins.plugin_utils._action import LeaseAction, metadata

_end_run.watch()


class ActionModule(LeaseAction):
    module = s3_leader_acquire
    keep = staticmethod(_keeper.start)

    def arguments(self, arguments: dict[str, t.Any], host: str, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        arguments = super().arguments(arguments, host, task_vars)
        arguments["metadata"] = metadata(arguments.get("metadata"), task_vars)
        return arguments

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        if "reason" in result and not result["is_leader"]:
            result.setdefault("msg", result["reason"])  # what Ansible prints where failed_when or until fails the task
        return result

    def too_late(self, result: dict[str, t.Any]) -> None:
        super().too_late(result)
        kept = _kept.find(result["lease"])
        if kept and kept.state == _kept.HELD:
            _kept.end(kept, give_back=True)
