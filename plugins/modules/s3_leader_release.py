#!/usr/bin/python
# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_leader_release
short_description: Give the lease on S3 back, or break one by force
version_added: 1.0.0
description:
  - Gives the lease back, so that others can take it at once. Do so after the work has stopped, in C(always).
  - Releases only what this run holds on this host. Somebody else's lease is left alone, which is not a failure.
  - The object stays, and keeps the term, so that fencing tokens never decrease.
extends_documentation_fragment:
  - leaderelection.s3._attributes
  - leaderelection.s3._connection
  - leaderelection.s3._lease
attributes:
  check_mode:
    support: full
    details:
      - It reads the lease and predicts.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  lease:
    description:
      - The registered result of M(leaderelection.s3.s3_leader_acquire) or M(leaderelection.s3.s3_leader_renew).
        With it, releasing is a single PUT; without it, or with one of another run, the lease is read first.
      - A result with RV(is_leader=false) is ignored.
    type: dict
  slots:
    description:
      - How many slots the lease has, as for M(leaderelection.s3.s3_leader_acquire). They are read to find the one that
        this run has. With O(lease), which names it, this is not needed. From 1 to 100.
    type: int
    version_added: 1.1.0
  force:
    description:
      - Break the lease, whoever holds it. Its holder and whoever leads next are told who broke it, when and why.
      - Its holder may act as leader until its next renewal or its deadline. Make sure that it is dead, or that the
        resource checks the fencing token.
      - To break a slot, name its O(key), such as V(restarts/shop/slot-2), and no O(slots).
    type: bool
    default: false
  force_foreign:
    description:
      - With O(force=true), also replace an object that cannot be read as a lease. Look at it first. It may be data that
        somebody needs, at a mistyped O(key), or a lease of a later version of this collection.
    type: bool
    default: false
    version_added: 1.0.0
  reason:
    description:
      - The reason, for people who look at the lease later. Of at most 1000 printable characters.
    type: str
    default: ""
seealso:
  - module: leaderelection.s3.s3_leader_acquire
  - module: leaderelection.s3.s3_leader_info
author:
  - the leaderelection.s3 authors (@leaderelection)
"""

EXAMPLES = r"""
- name: Give the lease back
  leaderelection.s3.s3_leader_release:
    key: jobs/migrate-db
    lease: "{{ lease }}"

- name: Break the lease of a host that is known to be dead
  leaderelection.s3.s3_leader_release:
    key: jobs/migrate-db
    force: true
    reason: web-2 burnt down, OPS-4712
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
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.driver import fresh_nonce
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import check_reason
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Verdict, Why
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.wording import sentence
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
    force=dict(type="bool", default=False),
    force_foreign=dict(type="bool", default=False),
    reason=dict(type="str", default=""),
)


def carry_out(call: Call) -> Result:
    result = operation(call, release)
    if call.params["force"] and result["lease"] and result["lease"]["state"] == "absent":
        call.warn("Nothing was broken, because there is no object at this key: is it the right one?")
    return result


def check(task: Task) -> None:
    """Raise BadOption for arguments that cannot be used."""
    check_reason(task.params["reason"])
    if task.params["force_foreign"] and not task.params["force"]:
        raise BadOption("force_foreign", True, "it needs force=true as well")
    if task.params["force"] and task.lease.slots:
        way_out = f"with slots, it would have to say which. Use the key of one, like {task.lease.location.of(1).key}"
        raise BadOption("force", True, f"{way_out}, and no slots")


def release(task: Task) -> Verdict:
    check(task)
    lease, params = task.lease, task.params
    started, patience, reason = lease.started, lease.endpoint.patience, params["reason"]
    if lease.slots:
        releasing = slots.release(lease.me, lease.slots, started, patience, fresh_nonce, reason, task.check_mode)
    else:
        releasing = protocol.release(
            lease.me,
            lease.held,
            started,
            patience,
            fresh_nonce,
            params["force"],
            reason,
            task.check_mode,
            params["force_foreign"],
        )
    verdict = lease.drive(releasing)
    if params["force"] and verdict.why is Why.UNREADABLE:
        raise BadOption("force", True, f"{task.lease.location} is {sentence(verdict)}")
    return verdict


def main() -> None:
    run(SPEC, carry_out)


if __name__ == "__main__":
    main()
