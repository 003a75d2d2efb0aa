# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _kept


def held(result: t.Any) -> bool:
    if not isinstance(result, t.Mapping) or "is_leader" not in result:
        raise AnsibleFilterError(
            "leaderelection.s3.held tests the registered result of s3_leader_acquire or s3_leader_renew, but was given "
            f"{type(result).__name__} without is_leader"
        )
    return _kept.is_held(result)


class TestModule:
    def tests(self) -> dict[str, t.Callable[[t.Any], bool]]:
        return {"held": held}
