# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_info
from ansible_collections.leaderelection.s3.plugins.plugin_utils._action import LeaseAction


class ActionModule(LeaseAction):
    module = s3_leader_info
