# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _kept

_NAME = "leaderelection.s3.held"
_display = Display()


def held(result: t.Any) -> bool:
    if not isinstance(result, t.Mapping) or "is_leader" not in result:
        raise AnsibleFilterError(
            f"{_NAME} tests the registered result of s3_leader_acquire or s3_leader_renew, but {_given(result)}"
        )
    is_held = _kept.is_held(result)
    if result["is_leader"] and result.get("deadline") is None and not is_held:
        _display.warning(
            f"{_NAME} is false for a result that says that this run leads, because the result has no deadline. Test "
            "that of s3_leader_acquire or s3_leader_renew; s3_leader_info returns none, nor does any in check mode"
        )
    return is_held


def _given(result: t.Any) -> str:
    """Return what was given instead of a result, and the way out."""
    if not isinstance(result, t.Mapping):
        return "was given no dictionary" if result is not None else "was given nothing"
    if "results" in result:
        return "the task ran in a loop: test each of its results"
    if result.get("skipped"):
        return f"the task was skipped, so it tells nothing: write 'lease is not skipped and lease is {_NAME}'"
    return "was given a dictionary without is_leader"


class TestModule:
    def tests(self) -> dict[str, t.Callable[[t.Any], bool]]:
        return {"held": held}
