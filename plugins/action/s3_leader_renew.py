# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_renew
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _kept, _named
from ansible_collections.leaderelection.s3.plugins.plugin_utils._action import LeaseAction


class ActionModule(LeaseAction):
    module = s3_leader_renew

    def known(self, arguments: dict[str, t.Any], elsewhere: bool) -> dict[str, t.Any] | None:
        """Return what the keeper of the lease knows, unless it is to last for longer than that renews it for."""
        named = _named.kept(self.module, arguments, self._task.check_mode, elsewhere)
        if named is None:
            return None
        kept, params = named
        result = _kept.renewed(kept)
        if params["debug_botocore_endpoint_logs"]:
            result["resource_actions"] = []
        if kept.state == _kept.LOST and arguments.get("lease"):
            return self._unless_lost(result)
        if not kept.is_held:
            return None
        if (params["lease_duration"] or 0) <= kept.lease["lease_duration"]:
            return result
        arguments.update(lease=kept.result, bucket=kept.lease["bucket"])
        return None

    def too_late(self, result: dict[str, t.Any]) -> None:
        super().too_late(result)
        self._unless_lost(result)

    def _unless_lost(self, result: dict[str, t.Any]) -> dict[str, t.Any]:
        """Make a failure of this result, unless a loss is only to be reported. Return it."""
        if (self._task.args.get("on_lost") or "fail") == "fail" and not self._task.check_mode:
            result.update(failed=True, msg=f"The lease is lost: {result['reason']}")
        return result
