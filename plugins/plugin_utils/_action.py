# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""The controller's half of the lease modules: it adds the run's session, and converts the deadline to its own clock.

An action plugin imports its module, so that Ansible's main process has loaded all of it before it forks its workers.
"""

from __future__ import annotations

import contextlib
import os
import re
import typing as t

from ansible import context
from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.validation import check_type_dict
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.protocol import MARGIN_RATE
from ansible_collections.leaderelection.s3.plugins.module_utils._module import Keep
from ansible_collections.leaderelection.s3.plugins.module_utils._results import failure

from . import _here, _kept, _run

display = Display()

LEAST_PYTHON = (3, 8)
"""The oldest Python that can run a module on a host."""


class LeaseAction(ActionBase):
    """Runs the module of the same name: on the host, or here if that is the controller."""

    module: _here.Module
    keep: Keep | None = None
    failure = staticmethod(failure)
    """Makes the result of a task whose module returned none."""

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        try:
            super().run(tmp, task_vars)
        except AnsibleActionFail as error:
            instead = ". Leave it out, and use wait_timeout to wait for the lease" if self._task.async_val else ""
            return dict(self.failure(f"{str(error).rstrip('.')}{instead}", 0), failed=True)
        host = (task_vars or {}).get("inventory_hostname", "localhost")
        arguments = self.arguments(dict(self._task.args), host, task_vars or {})
        why_not = _here.why_not(self, task_vars or {})
        known = self.known(arguments, why_not in _here.ELSEWHERE)
        if known is not None:
            return known
        began = _run.now()
        result = self._carry_out(arguments, task_vars or {}, why_not)
        if "is_leader" in result:
            self._set_deadline(result, began)
            if result["is_leader"] and _lapsed(self._task.args.get("lease"), result):
                self.too_late(result)
            if result.get("deadline") is not None:
                last = _kept.find(result["lease"])
                if last and last.state != _kept.HELD:
                    _kept.forget(last)
        elif result.get("failed"):
            # The module was refused, or died, before it returned its result: add the keys that every result has.
            too_old = self._python_too_old() if "module_stderr" in result else ""
            if too_old:
                return dict(self.failure(too_old, 0), failed=True)
            result = {**self.failure(str(result.get("msg", "the module failed")), 0), **result}
        return result

    def _python_too_old(self) -> str:
        """Return what to do about a host whose Python cannot even read the module; '' if that is not the reason."""
        python = str(self._used_interpreter or "").lstrip("#!").strip()
        if not python:
            return ""
        told = self._low_level_execute_command(f"{python} -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'")
        found = re.fullmatch(r"(\d+)\.(\d+)", str(told.get("stdout", "")).strip())
        if not found or (int(found[1]), int(found[2])) >= LEAST_PYTHON:
            return ""
        return (
            f"Python {found[0]} on this host is too old ({python}): the modules of leaderelection.s3 need "
            f"{'.'.join(map(str, LEAST_PYTHON))} or later. Set ansible_python_interpreter to a newer one that has "
            "boto3, or let the controller do it: delegate_to: localhost"
        )

    def _carry_out(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any], why_not: str) -> dict[str, t.Any]:
        name = f"leaderelection.s3.{self.module.__name__.rpartition('.')[2]}"
        display.vvv(f"{name} runs in a Python of its own: {why_not}" if why_not else f"{name} runs inside of Ansible")
        if why_not:
            if self.keep and boolean(arguments.get("keepalive") or False, strict=False):
                text = f"keepalive is true, but this task cannot keep a lease: {why_not}. {_here.instead(why_not)}"
                return dict(self.failure(text, 0), failed=True)
            result: dict[str, t.Any] = self._execute_module(name, arguments, task_vars=task_vars)
            return result
        modes = self._task.check_mode, self._task.diff
        invocation = _here.injects_invocation(task_vars)
        return _here.carry_out(name, self.module, arguments, *modes, self.keep, invocation)

    def known(self, arguments: dict[str, t.Any], elsewhere: bool) -> dict[str, t.Any] | None:
        """Return the result if the keeper of the lease knows it, else None. Set the arguments that it knows better.

        ``elsewhere``: the task is carried out in another environment.
        """
        return None

    def arguments(self, arguments: dict[str, t.Any], host: str, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Add holder and session, if the user has not set them."""
        for name in ("holder", "instance_id"):  # an empty alias would hide the name
            if not arguments.get(name):
                arguments.pop(name, None)
        if not arguments.keys() & {"holder", "instance_id"}:
            arguments["holder"] = _run.holder(host)
        given = arguments.get("session")
        arguments["session"] = _run.session(host) if given in (None, "") else _run.session_of(given)
        if isinstance(arguments.get("lease"), str):
            with contextlib.suppress(TypeError):  # the module refuses it
                arguments["lease"] = check_type_dict(arguments["lease"])
        if isinstance(arguments.get("lease"), t.Mapping):
            arguments["lease"] = _handed_over(arguments["lease"])
        return arguments

    def _set_deadline(self, result: dict[str, t.Any], began: float) -> None:
        # Counted from before the task was sent, so never later than the host's own (rule 6). While the host waited
        # for the lease, the two clocks may have run at different rates.
        after = result.get("deadline")
        if after is None:
            return
        waited = max(0.0, after - result["lease"]["lease_duration"])
        at = began + after - waited * MARGIN_RATE
        heard = _run.now()
        result["deadline"] = dict(run=_run.RUN, at=at, heard=heard)
        if heard >= at:
            self.too_late(result)

    def too_late(self, result: dict[str, t.Any]) -> None:
        """Withdraw leadership from a result that came after its deadline (rule 8)."""
        result.update(
            is_leader=False,
            term=None,
            slot=None,
            deadline=None,
            reason="not leader: the host's answer came after the deadline of the lease",
        )


def _lapsed(handed_over: t.Any, result: t.Mapping[str, t.Any]) -> bool:
    """Tell whether the renewal of this earlier result was heard of only after its deadline (rule 22).

    The host has counted from the moment at which the task reached it. A lease that was written in between had another
    deadline. A renewal is one write, or several if the store had to be tested.
    """
    if not isinstance(handed_over, t.Mapping) or not isinstance(handed_over.get("lease"), t.Mapping):
        return False
    left, before, now = _run.time_left(handed_over), handed_over["lease"], result["lease"]
    if left is None or left > 0 or before.get("term") != now["term"]:
        return False
    tested = before.get("conditions_proven") != now.get("conditions_proven")
    return before.get("sequence") == now["sequence"] - 1 or (tested and before.get("sequence") != now["sequence"])


def _handed_over(result: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Reduce a registered result to what the module needs. Add, by this run's clock, the seconds since the lease was
    written, and since the controller has heard of it.
    """
    if result.get("skipped"):
        return {}
    if "is_leader" not in result:
        return dict(result)  # the module refuses it
    lease = result.get("lease")
    left = _run.time_left(result)
    elapsed = heard = None
    if left is not None and isinstance(lease, t.Mapping) and isinstance(lease.get("lease_duration"), (int, float)):
        elapsed = max(0.0, lease["lease_duration"] - left)
        heard_at = result["deadline"].get("heard")
        heard = max(0.0, _run.now() - heard_at) if isinstance(heard_at, (int, float)) else None
    return dict(is_leader=result.get("is_leader"), lease=lease, elapsed=elapsed, heard=heard)


def metadata(given: t.Any, task_vars: t.Mapping[str, t.Any]) -> t.Any:
    """Add to the user's metadata, for people, what run this is: two of the same user on the same host look alike."""
    if given is not None and not isinstance(given, t.Mapping):
        return given
    added = dict(user=_run.user(), pid=str(_run.PID), started=_run.STARTED)
    playbooks = context.CLIARGS.get("args")
    if isinstance(playbooks, (list, tuple)) and playbooks:  # for ad-hoc commands it is a string
        added["playbook"] = os.path.basename(str(playbooks[0]))
    return {**added, **_awx_job(task_vars), **(given or {})}


def _awx_job(task_vars: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return which job of AWX or its relatives this is. They set the variables under either name:
    https://docs.ansible.com/projects/awx/en/latest/userguide/job_templates.html#launch-a-job-template
    """

    def told(name: str) -> str:
        return str(task_vars.get(f"awx_{name}") or task_vars.get(f"tower_{name}") or "")[:200]

    job = told("job_id")
    if not job:
        return {}
    found = dict(awx_job=job, awx_template=told("job_template_name"), awx_user=told("user_name"))
    host = os.environ.get("AWX_HOST", "").rstrip("/")
    if host:
        found["awx_url"] = f"{host}/#/jobs/playbook/{job}"
    return {name: value for name, value in found.items() if value}
