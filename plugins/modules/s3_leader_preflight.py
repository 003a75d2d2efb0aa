#!/usr/bin/python
# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_leader_preflight
short_description: Find out whether a store can be trusted with a lease on S3
version_added: 1.0.0
description:
  - Checks everything that a lease depends on, and returns V(safe), V(unsafe) or V(unknown). Run it once for each
    store, from where the leases will be used, and again after the store was upgraded or its bucket was changed.
  - It writes scratch objects beside the lease, named like O(key) with C(.preflight-) and a random number at the end,
    and removes them, unless it is interrupted. The lease itself is neither read nor written.
  - If the verdict is V(unsafe), what M(leaderelection.s3.s3_leader_acquire) has found out about the store before, and
    has kept in C($XDG_CACHE_HOME/leaderelection.s3/stores.json), does not count any more.
  - Several contenders write at the same instant, again and again, because a store may check conditions without
    serializing the writes. On most stores this takes seconds; on those that make contenders wait, up to a minute.
extends_documentation_fragment:
  - leaderelection.s3._attributes
  - leaderelection.s3._connection
  - leaderelection.s3._lease
options:
  contenders:
    description:
      - Number of contenders that write at the same instant. From 2 to 64.
    type: int
    default: 8
  rounds:
    description:
      - Number of rounds, each with a create and a replace. From 1 to 1000.
    type: int
    default: 10
  report_only:
    description:
      - Whether to succeed whatever the verdict is. By default, the verdicts V(unsafe) and V(unknown) fail the task.
    type: bool
    default: false
attributes:
  check_mode:
    support: partial
    details:
      - Writes nothing, so most checks cannot be made, and the verdict is V(unsafe) or V(unknown). V(unknown) fails the
        task only if the store could not even be read, because of a wrong O(endpoint_url) for example.
  diff_mode:
    support: N/A
    details:
      - This module leaves everything as it was.
  idempotent:
    support: full
    details:
      - This module leaves everything as it was. In a versioned bucket the versions of its scratch objects stay.
notes:
  - O(holder) and O(session) have no effect. They are accepted so that the defaults of the module group work for this
    module, too.
  - Besides the permissions that leases need, it uses C(s3:DeleteObject) on its scratch objects,
    C(s3:GetBucketVersioning), C(s3:GetLifecycleConfiguration), C(s3:GetBucketObjectLockConfiguration) and
    C(s3:GetReplicationConfiguration). If one of them is missing, a check says so, and the verdict does not depend on
    it.
seealso:
  - module: leaderelection.s3.s3_leader_acquire
author:
  - the leaderelection.s3 authors (@leaderelection)
"""

EXAMPLES = r"""
- name: Make sure that this store can be trusted with leases
  leaderelection.s3.s3_leader_preflight:
    bucket: leader-election
    key: jobs/migrate-db

- name: Test more thoroughly, which may take ten minutes
  leaderelection.s3.s3_leader_preflight:
    bucket: leader-election
    key: jobs/migrate-db
    contenders: 32
    rounds: 100
    report_only: true
  register: preflight

- name: Show what it found
  ansible.builtin.debug:
    msg: "{{ preflight.checks | rejectattr('verdict', 'eq', 'pass') }}"

- name: Keep the report, to paste it into an issue
  ansible.builtin.copy:
    content: "{{ preflight.report }}"
    dest: preflight.md
    mode: "0644"
  delegate_to: localhost
"""

RETURN = r"""
verdict:
  description:
    - V(safe), V(unsafe) or V(unknown). It is V(unsafe) if a check is V(fail), and V(unknown) while anything that a
      lease depends on is not known.
  returned: always
  type: str
  sample: safe
reason:
  description: The verdict in words, with what to do.
  returned: always
  type: str
  sample: the store can be trusted with a lease
checks:
  description: The checks that were made, in this order.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description:
        - One of V(access), V(create), V(create_again), V(replace), V(etag_form), V(stale_replace), V(replace_missing),
          V(etag_repeats), V(reads), V(clock), V(create_race), V(replace_race), V(late_writes), V(checksums), V(expect),
          V(cache), V(cleanup), V(versioning), V(lifecycle), V(object_lock), V(replication), V(latency), V(proxy) and
          V(known_store).
        - A check that could not be made, because an earlier one had failed, is left out.
        - V(cache) and V(proxy), which look for what changes answers on the way to the store, came with 1.1.0.
      type: str
      sample: create_again
    verdict:
      description:
        - V(pass); V(warn), which does not affect who leads; V(fail), with which several could lead, or nobody; or
          V(unknown).
      type: str
      sample: pass
    seen:
      description: What was seen.
      type: str
      sample: a create of a key that exists (If-None-Match) is refused (412)
    advice:
      description: What to do about it. Empty if nothing.
      type: str
      sample: ""
requests:
  description: The number of requests sent to S3.
  returned: always
  type: int
  sample: 244
seconds:
  description: How long it took.
  returned: always
  type: float
  sample: 34.6
report:
  description:
    - All of this as Markdown, with the name by which the store calls itself and the versions of what asked it, for an
      issue. It names no host, no bucket, no key, no account and no file, and nothing about credentials is in it.
    - Empty if the store could not be asked.
  returned: always
  type: str
  version_added: 1.1.0
  sample: |
    ### Preflight of leaderelection.s3: safe

    the store can be trusted with a lease
resource_actions:
  description: What was asked of S3, by its API's names.
  returned: when O(debug_botocore_endpoint_logs=true)
  type: list
  elements: str
  sample: ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
"""

import typing as t

from ansible_collections.leaderelection.s3.plugins.module_utils import _issue, _report
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.report import UNKNOWN, UNSAFE, WARN
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.run import (
    CONTENDERS,
    ROUNDS,
    preflight,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._module import (
    Call,
    Result,
    failed,
    opened,
    run,
    with_actions,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._options import SPEC as COMMON
from ansible_collections.leaderelection.s3.plugins.module_utils._remembered import forget

SPEC: dict[str, dict[str, t.Any]] = dict(
    COMMON,
    contenders=dict(type="int", default=CONTENDERS),
    rounds=dict(type="int", default=ROUNDS),
    report_only=dict(type="bool", default=False),
)


def carry_out(call: Call) -> Result:
    lease = opened(call)
    if isinstance(lease, str):
        return failed(_report.failure(lease, 0))
    where, how = (lease.endpoint, lease.location), (call.params["contenders"], call.params["rounds"])
    try:
        found = preflight(*where, *how, call.check_mode, lease.clock, lease.connection)
    except BadOption as error:
        return failed(_report.failure(str(error), 0))
    if found.verdict == UNSAFE:
        forget(lease.me.store)
    text = _issue.text(found, *where, lease.connection.url, *how)
    result = with_actions(_report.result(found, text), call, lease)
    for check in found.of(WARN):
        call.warn(f"{check.name}: {check.text}")
    # A dry run makes few checks, but those need an answer.
    bad = found.verdict == UNSAFE or (found.verdict == UNKNOWN and (found.doubts or not call.check_mode))
    if bad and not call.params["report_only"]:
        return failed(dict(result, msg=f"{lease.location}: {result['reason']}"))
    return result


def main() -> None:
    run(SPEC, carry_out)


if __name__ == "__main__":
    main()
