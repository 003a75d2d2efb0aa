# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""What the lease modules share: they are called with their arguments, run one operation, and return one result.

A call comes from Ansible's module machinery, or from the action plugin on the controller (plugin_utils/_here.py).
"""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from . import _options, _results
from ._lease import connection
from ._lease.bad_option import BadOption
from ._lease.record import Unreadable
from ._lease.settings import Location
from ._lease.types import Held, Seen, StoreError, StoreUnreachable, Verdict, Why

Result = t.Dict[str, t.Any]
Keep = t.Callable[[t.Mapping[str, t.Any], str, Held], str]
"""Keeps a lease until the run ends, or returns why it cannot. Only a task inside of Ansible has it."""

KEEP_INSTEAD = (
    "On a managed host, the role leaderelection.s3.heartbeat keeps a lease; in a play, a task with "
    "delegate_to: localhost does, without become and environment"
)


class Call(t.NamedTuple):
    """How Ansible calls a module. The arguments fit its spec."""

    params: dict[str, t.Any]
    check_mode: bool
    diff: bool
    warn: t.Callable[[str], object]
    keep: Keep | None = None


class Task(t.NamedTuple):
    """What an operation needs to know about its task."""

    lease: _options.Handle
    params: dict[str, t.Any]
    """Its options, their durations in seconds."""
    check_mode: bool
    keep: Keep | None = None


class Module(AnsibleModule):
    """Ends without a secret also where the arguments do not fit the spec."""

    def fail_json(self, msg: str, **result: t.Any) -> t.NoReturn:
        self.no_log_values.update(_options.hidden_in(self.params))
        super().fail_json(msg, **result)


def run(spec: dict[str, dict[str, t.Any]], carry_out: t.Callable[[Call], Result]) -> None:
    """Run a module and exit."""
    module = Module(argument_spec=spec, supports_check_mode=True)
    module.no_log_values.update(_options.hidden_in(module.params))
    diff = module._diff  # pylint: disable=protected-access
    result = carry_out(Call(module.params, module.check_mode, diff, module.warn))
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


def operation(
    call: Call,
    operate: t.Callable[[Task], Verdict],
    lost: t.Callable[[Task, Verdict], bool] = lambda task, verdict: False,
) -> Result:
    """Carry out an operation on the lease that the arguments name. If ``lost`` returns true, it has failed."""
    lease = opened(call)
    if isinstance(lease, str):
        return failed(_results.failure(lease, 0))
    task = Task(lease, lease.params, call.check_mode, call.keep)
    try:
        verdict = operate(task)
    except (BadOption, StoreError) as error:
        text, requests = str(error), lease.store.requests
        if isinstance(error, StoreError):
            text = told(error, lease, requests, f"The lease {lease.location}: ")
        return failed(with_actions(_results.failure(text, requests), call, lease))
    result = _results.success(verdict, lease.location, lease.store.requests, lease.started, call.check_mode)
    result = with_actions(result, call, lease)
    if isinstance(verdict.lease, Seen) and isinstance(verdict.lease.record, Unreadable):
        # A mistyped key would let the same task do nothing, day after day.
        where = lease.location.of(verdict.slot)
        call.warn(f"{where} cannot be read as a lease, so nobody can lead: it is {result['reason']}")
    if call.diff and verdict.why is not Why.FOUND:
        result["diff"] = _results.difference(verdict, lease.location)
    if lost(task, verdict):
        return failed(dict(result, msg=f"The lease {lease.location} is not held: {result['reason']}"))
    return result


def opened(call: Call, kind: type[Location] = Location) -> _options.Handle | str:
    """Return the lease that the arguments name, or why they cannot be used."""
    if connection.MISSING_LIBRARY is not None:
        return str(missing_required_lib("botocore"))
    try:
        return _options.Handle(call.params, kind)
    except (BadOption, connection.CannotSend) as error:
        return str(error)


def with_actions(result: Result, call: Call, lease: _options.Handle) -> Result:
    """Return the result with what was asked of S3, if the task wants it."""
    if not call.params.get("debug_botocore_endpoint_logs"):
        return result
    return dict(result, resource_actions=sorted(lease.connection.actions))


def failed(result: Result) -> Result:
    return dict(result, failed=True)


def told(error: StoreError, lease: _options.Handle, requests: int, text: str = "") -> str:
    """Return the text, the error, and what may help."""
    text += str(error)
    if lease.endpoint.expected_bucket_owner and "answered 403" in str(error):
        owner = lease.endpoint.expected_bucket_owner
        text += f". Or the bucket does not belong to the AWS account {owner} (expected_bucket_owner)"
    if isinstance(error, StoreUnreachable):
        no_credentials = connection.NO_CREDENTIALS in error.why
        slow = "" if "could not be reached" in error.why else ", or raise request_timeout"
        url = "endpoint_url, addressing_style" if lease.endpoint.addressing_style == "virtual" else "endpoint_url"
        check = "where the credentials come from" if no_credentials else f"{url} and the network"
        text += (
            f". Given up after {requests} requests and {lease.clock.now() - lease.started:.0f} s. Check {check}{slow}"
        )
        if error.doubtful:
            text += (
                ". Whether the write of this task landed is unknown, but it made nobody leader. "
                "Check with s3_leader_info when the store answers again"
            )
    return text
