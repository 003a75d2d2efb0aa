# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_release
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _kept
from ansible_collections.leaderelection.s3.plugins.plugin_utils._action import LeaseAction


class ActionModule(LeaseAction):
    module = s3_leader_release

    def known(self, arguments: dict[str, t.Any]) -> dict[str, t.Any] | None:
        """Let the keeper of the lease end, and release what it held last."""
        kept = _kept.of(arguments)
        if kept and kept.state == _kept.HELD and not self._task.check_mode:
            last = _kept.end(kept, give_back=False)
            if last.state == _kept.ENDED:
                arguments["lease"] = last.result
        return None
