# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_release
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _kept, _named
from ansible_collections.leaderelection.s3.plugins.plugin_utils._action import LeaseAction


class ActionModule(LeaseAction):
    module = s3_leader_release

    ended: _kept.Kept | None = None
    """The lease whose keeper this task has ended."""

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        if self.ended and _is_over(self.ended, result):
            _kept.released(self.ended)  # or the end of the run would say that it was not given back
        return result

    def known(self, arguments: dict[str, t.Any], elsewhere: bool) -> dict[str, t.Any] | None:
        """Let the keeper of the lease end, and release what it held last."""
        named = _named.kept(self.module, arguments, self._task.check_mode, elsewhere)
        if named and named.kept.state == _kept.HELD and not self._task.check_mode:
            last = _kept.end(named.kept, give_back=False)
            if last.state == _kept.ENDED:
                self.ended = last
                arguments.update(lease=last.result, bucket=last.lease["bucket"])
        return None


def _is_over(ended: _kept.Kept, result: t.Mapping[str, t.Any]) -> bool:
    """Tell whether the lease is released, or somebody else's."""
    if result.get("failed"):
        return False
    lease = result.get("lease") or {}
    return bool(result.get("changed")) or lease.get("term") not in (None, ended.lease["term"])
