# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""What the lease modules share: they read their arguments, run one operation, and return one result."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from . import _options, _results
from ._lease import connection
from ._lease.bad_option import BadOption
from ._lease.settings import credentials_in
from ._lease.types import StoreError, StoreUnreachable, Verdict, Why


class Task(t.NamedTuple):
    """What an operation needs to know about its task."""

    lease: _options.Handle
    params: dict[str, t.Any]
    check_mode: bool


def run(
    own_options: dict[str, dict[str, t.Any]],
    operate: t.Callable[[Task], Verdict],
    lost: t.Callable[[Task, Verdict], bool] = lambda task, verdict: False,
    **module_options: t.Any,
) -> None:
    """Run a lease module and exit. If ``lost`` returns true, the result is a failure."""
    carry_out(read(own_options, **module_options), operate, lost)


def carry_out(
    module: AnsibleModule,
    operate: t.Callable[[Task], Verdict],
    lost: t.Callable[[Task, Verdict], bool] = lambda task, verdict: False,
) -> None:
    """Run the operation of a lease module, and exit."""
    lease = opened(module, _results.failure)
    task = Task(lease, module.params, module.check_mode)
    try:
        verdict = operate(task)
    except BadOption as error:
        module.fail_json(**_results.failure(str(error), 0))
    except StoreError as error:
        module.fail_json(**_results.failure(_told(error, lease), lease.store.requests))
    result = _results.success(verdict, lease.location, lease.store.requests, lease.started)
    if module._diff and verdict.why is not Why.FOUND:  # pylint: disable=protected-access
        result["diff"] = _results.difference(verdict, lease.location)
    if lost(task, verdict):
        module.fail_json(msg=f"The lease {lease.location} is not held any more: {result['reason']}", **result)
    module.exit_json(**result)


def read(own_options: dict[str, dict[str, t.Any]], **module_options: t.Any) -> AnsibleModule:
    """Read the arguments. Fails the module if they are invalid."""
    module = AnsibleModule(argument_spec={**_options.SPEC, **own_options}, supports_check_mode=True, **module_options)
    module.no_log_values.update(credentials_in(module.params["endpoint_url"] or ""))
    return module


def opened(module: AnsibleModule, failure: t.Callable[[str, int], dict[str, t.Any]]) -> _options.Handle:
    """Return the lease that the arguments name. Fails the module if they cannot be used."""
    if connection.MISSING_LIBRARY is not None:
        module.fail_json(**failure(missing_required_lib("botocore"), 0))
    try:
        return _options.Handle(module.params)
    except (BadOption, connection.CannotSend) as error:
        module.fail_json(**failure(str(error), 0))


def _told(error: StoreError, lease: _options.Handle) -> str:
    text = f"The lease {lease.location}: {error}"
    if isinstance(error, StoreUnreachable):
        text += (
            f". Given up after {lease.store.requests} requests and {lease.clock.now() - lease.started:.0f} s. "
            "Check endpoint_url and the network, or raise request_timeout"
        )
        if error.doubtful:
            text += (
                ". Whether the write of this task landed is unknown, but it made nobody leader. "
                "Check with s3_leader_info when the store answers again"
            )
    return text
