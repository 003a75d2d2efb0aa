#!/usr/bin/python
# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_leader_renew
short_description: Prove that the lease on S3 is still held, and extend it
version_added: 1.0.0
description:
  - Proves that this run still leads, and gives it another RV(lease.lease_duration) seconds, with the same RV(term).
  - Use it between steps of work that together take longer than the lease.
  - An expired lease is lost, even if nobody else has taken it. Acquire it again, with a new term.
extends_documentation_fragment:
  - leaderelection.s3._attributes
  - leaderelection.s3._connection
  - leaderelection.s3._lease
attributes:
  check_mode:
    support: full
    details:
      - It reads the lease and predicts. A lost lease is reported but is not a failure, since
        M(leaderelection.s3.s3_leader_acquire) acquires nothing in check mode.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A renewal is never RV(ignore:changed).
options:
  lease:
    description:
      - The registered result of M(leaderelection.s3.s3_leader_acquire) or M(leaderelection.s3.s3_leader_renew).
        With it, renewing is a single PUT; without it, or with one of another run, the lease is read first.
      - Pass the newest result. With an older one of this run, the task has to ask the store, which takes two more
        requests.
      - Do not register under the same name in a task that C(when) may skip, since a skipped task overwrites the result.
      - Passing a result to another run or another host also hands authority over to it. Keep the result that you pass,
        since a result with RV(is_leader=false) hands over nothing.
    type: dict
  slots:
    description:
      - How many slots the lease has, as for M(leaderelection.s3.s3_leader_acquire). They are read to find the one that
        this run has. With O(lease), which names it, this is not needed. From 1 to 100.
    type: int
    version_added: 1.1.0
  lease_duration:
    description:
      - Seconds that the lease lasts from now on without a renewal. If not set, as long as before.
      - The lease never ends before the deadline of an earlier result. So a shorter duration takes effect step by step
        with O(lease), and not at all without it.
      - From 1 to 86400, and more than O(request_timeout) plus 2.
    type: str
  on_lost:
    description:
      - What to do when the lease is lost.
      - V(fail) fails the task, and so ends the play on this host before it continues without the lease.
      - V(report) only sets RV(is_leader) to V(false).
    type: str
    choices: [fail, report]
    default: fail
seealso:
  - module: leaderelection.s3.s3_leader_acquire
  - module: leaderelection.s3.s3_leader_release
author:
  - the leaderelection.s3 authors (@leaderelection)
"""

EXAMPLES = r"""
- name: Stay leader between two long steps, or stop here
  leaderelection.s3.s3_leader_renew:
    key: jobs/migrate-db
    lease: "{{ lease }}"
  register: lease

- name: Find out whether we still lead
  leaderelection.s3.s3_leader_renew:
    key: jobs/migrate-db
    on_lost: report
  register: lease
"""

RETURN = r"""
is_leader:
  description:
    - Whether this run leads on this host. A real boolean, for use in C(when).
    - It is V(false) in a failed result, too. Where Ansible skips the task, ends it after its C(timeout), or cannot
      reach the host, the result has no such key.
  returned: always
  type: bool
  sample: true
term:
  description:
    - The fencing token while leader, else V(none). It grows with every acquisition, so that a resource that remembers
      the highest one can refuse a former leader.
  returned: always
  type: int
  sample: 1795409376
slot:
  description:
    - The slot that is held while leader, of a lease with slots; else V(none). Each slot has terms of its own, so slot
      and term together are the fencing token.
  returned: always
  type: int
  version_added: 1.1.0
  sample: 2
reason:
  description: The outcome in one sentence for people. That of a failure is in RV(ignore:msg).
  returned: always
  type: str
  sample: held by web-2 (term 1795409376) since 2026-11-23T04:49:36Z, renewed 4 s ago, free in at most 28 s
lease:
  description:
    - The lease as last known, by the store's clock. V(none) if the task failed to find out.
  returned: always
  type: dict
  contains:
    bucket:
      description: The bucket.
      type: str
      sample: leader-election
    key:
      description: The object's key.
      type: str
      sample: jobs/migrate-db
    slot:
      description: The slot that the object is, of a lease with slots; else V(none).
      type: int
      version_added: 1.1.0
      sample: 2
    slots:
      description: How many slots its holder named, or its last holder; V(none) for a lease without slots.
      type: int
      version_added: 1.1.0
      sample: 3
    state:
      description:
        - One of V(absent), V(held), V(expired), V(released) and V(unreadable).
        - An unreadable object counts as held until O(leaderelection.s3.s3_leader_release#module:force_foreign)
          replaces it.
      type: str
      sample: held
    holder:
      description: Who holds the lease, for people. Empty if it is released, V(none) if no holder is known.
      type: str
      sample: web-2
    session:
      description: The ID of the run that holds it on that host. It gives authority, but is not a secret.
      type: str
      sample: 5f2f2b0f6d1f4f5a9a5d0a5f5b1f2c3d
    term:
      description: The fencing token of the current or last holder.
      type: int
      sample: 1795409376
    sequence:
      description: How many times the record was written in this term.
      type: int
      sample: 3
    etag:
      description: The version of the object.
      type: str
      sample: 9dd4e461268c8034f5c8564e155c67a6
    lease_duration:
      description: Seconds that the lease lasts without a renewal.
      type: float
      sample: 30
    hold_at_least:
      description: Seconds after the acquisition in which nobody takes the lease again, even if it is released.
      type: float
      sample: 0
    successor:
      description:
        - The holder for which the lease is reserved, if it was released by C(s3-leader step-down --to). Others may take
          it when it has been released for as long as RV(lease.lease_duration).
      type: str
      sample: web-3
    acquired_at:
      description: When the term began, in UTC.
      type: str
      sample: "2026-11-23T04:49:36.000Z"
    renewed_at:
      description: When the lease was last written, in UTC.
      type: str
      sample: "2026-11-23T04:49:56.000Z"
    age:
      description: Seconds since the lease was last written.
      type: float
      sample: 4
    expires_in:
      description: Seconds until others may take the lease; V(0) if they may now, V(none) if never.
      type: float
      sample: 28
    metadata:
      description: What the holder tells people about its run.
      type: dict
      sample: {playbook: site.yml, user: alice, pid: "4711", started: "2026-11-23T04:49:35Z"}
    conditions_proven:
      description:
        - How the store was found to enforce conditional writes when this lease was acquired. An acquisition within a
          day relies on it if it reaches the bucket by the same URL. V(none) if the acquisition was not completed.
      type: dict
      contains:
        store:
          description: The URL of the bucket.
          type: str
          sample: https://s3.example.com/leader-election
        at:
          description: When, in UTC.
          type: str
          sample: "2026-11-23T04:49:36.000Z"
        quoted_etags:
          description: Whether the store takes ETags in quotes.
          type: bool
          sample: true
        use_by_dates:
          description:
            - Whether writes have a use-by date, because the store was seen to refuse one that came after its own.
          type: bool
          sample: true
    history:
      description:
        - The last terms that have ended, the latest first. Up to 8, and fewer where names and reasons are long.
      type: list
      elements: dict
      contains:
        term:
          description: The term.
          type: int
          sample: 1795409376
        holder:
          description: Who held the lease.
          type: str
          sample: web-2
        session:
          description: The ID of the run that held it on that host.
          type: str
          sample: 5f2f2b0f6d1f4f5a9a5d0a5f5b1f2c3d
        acquired_at:
          description: Since when, in UTC. V(none) if the .NET library held it.
          type: str
          sample: "2026-11-23T04:49:36.000Z"
        ended_at:
          description: Until when, in UTC.
          type: str
          sample: "2026-11-23T05:02:11.000Z"
        how:
          description:
            - V(released) by its holder, V(expired), or V(broken) with
              O(leaderelection.s3.s3_leader_release#module:force).
          type: str
          sample: broken
        by:
          description: Who released or broke it. Empty if it expired.
          type: str
          sample: alice@laptop
        reason:
          description: Why, in the words of who released or broke it. May be empty.
          type: str
          sample: web-2 burnt down, OPS-4712
requests:
  description: The number of requests sent to S3.
  returned: always
  type: int
  sample: 2
resource_actions:
  description: What was asked of S3, by its API's names.
  returned: when O(debug_botocore_endpoint_logs=true)
  type: list
  elements: str
  sample: ["s3:GetObject", "s3:PutObject"]
deadline:
  description:
    - When leadership ends without a renewal, for the test P(leaderelection.s3.held#test), which tells whether it has
      passed. V(none) if nothing was acquired or renewed.
  returned: always
  type: dict
  contains:
    run:
      description: The run whose clock it is.
      type: str
      sample: 0a4a3f0b6d1f4f5a9a5d0a5f5b1f2c3d
    at:
      description: A reading of the controller's clock, in seconds. It counts from before the task was sent.
      type: float
      sample: 86432.1
    heard:
      description: A reading of the controller's clock when the result arrived, in seconds.
      type: float
      sample: 86402.4
"""

import typing as t

from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol, slots
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.driver import fresh_nonce
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import check_durations
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Verdict
from ansible_collections.leaderelection.s3.plugins.module_utils._module import Call, Result, Task, operation, run
from ansible_collections.leaderelection.s3.plugins.module_utils._options import (
    HANDED_OVER,
    SLOTS,
    SPEC as COMMON,
)

SPEC: dict[str, dict[str, t.Any]] = dict(
    COMMON,
    **HANDED_OVER,
    **SLOTS,
    lease_duration=dict(type="str"),
    on_lost=dict(type="str", default="fail", choices=["fail", "report"]),
)


def carry_out(call: Call) -> Result:
    return operation(call, renew, lost)


def check(task: Task) -> None:
    """Raise BadOption for arguments that cannot be used."""
    if task.params["lease_duration"] is not None:
        check_durations(task.params["lease_duration"], task.lease.endpoint.request_timeout)


def renew(task: Task) -> Verdict:
    check(task)
    lease, given = task.lease, task.params["lease_duration"]
    duration, patience = float(given) if given else None, lease.endpoint.patience
    if lease.slots:
        renewing = slots.renew(lease.me, lease.slots, duration, lease.started, patience, fresh_nonce, task.check_mode)
    else:
        renewing = protocol.renew(lease.me, lease.held, duration, lease.started, patience, fresh_nonce, task.check_mode)
    return lease.drive(renewing)


def lost(task: Task, verdict: Verdict) -> bool:
    return not verdict.is_leader and task.params["on_lost"] == "fail" and not task.check_mode


def main() -> None:
    run(SPEC, carry_out)


if __name__ == "__main__":
    main()
