#!/usr/bin/python
# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_leader_info
short_description: Show who holds a lease on S3, or each lease below a prefix
version_added: 1.0.0
description:
  - Reads the lease and returns who holds it, since when and for how long. Writes nothing.
  - With O(prefix), it reads every lease whose key begins with it.
  - With O(source=local), it returns what the heartbeat daemon on the host knows, which the role
    P(leaderelection.s3.heartbeat#role) set up. This needs no botocore, no credentials and no request to the store.
  - With O(source=store), RV(is_leader) is decided by the store's clock, so it may become V(false) up to 2 seconds too
    late. M(leaderelection.s3.s3_leader_renew) is not late.
extends_documentation_fragment:
  - leaderelection.s3._attributes
  - leaderelection.s3._attributes.info_module
  - leaderelection.s3._connection
  - leaderelection.s3._lease
options:
  source:
    description:
      - Where to look.
      - V(store) reads the object. RV(is_leader) tells whether this run leads on this host.
      - V(local) asks the daemon of the lease on the managed host, which the role P(leaderelection.s3.heartbeat#role)
        installs. RV(is_leader) tells whether that host leads, whichever run asks. If the daemon does not run,
        RV(is_leader) is V(false), and RV(reason) says so. RV(lease) has RV(lease.bucket), RV(lease.key),
        RV(lease.holder) and RV(lease.term), as the daemon last saw them; RV(lease.metadata) is empty, and all the rest
        is V(none). Connection options are not used.
    type: str
    choices: [store, local]
    default: store
  key:
    description:
      - The key of the lease object. All contenders use the same one.
      - From 1 to 1024 bytes, without empty parts and without C(.) and C(..) between slashes.
      - Required with O(source=store) unless there is a O(prefix), and ignored with O(source=local).
    type: str
    required: false
    aliases: [object_key]
  prefix:
    description:
      - The beginning of the keys of several leases, like V(jobs/). An empty one means the whole bucket. It has at most
        1024 bytes, and up to 10000 objects may have it.
      - The result has RV(leases). Whether this run leads is a question about one lease, so RV(is_leader) is V(false),
        and RV(lease) is V(none).
      - It lists the bucket, which on AWS takes the permission C(s3:ListBucket), and then reads each object. If one of
        them cannot be read, the task fails. One that vanishes meanwhile is left out.
      - Cannot be combined with O(key), nor with O(source=local).
    type: str
    version_added: 1.1.0
  slots:
    description:
      - How many slots the lease has, as for M(leaderelection.s3.s3_leader_acquire). The result has all of them as
        RV(leases). RV(lease) is the one that this run has, or else the first to be free.
      - From 1 to 100. Needs O(key).
    type: int
    version_added: 1.1.0
  name:
    description:
      - The name of the lease on the managed host, in C(s3-leader status) and in C(heartbeat_leases) of the role.
        From 1 to 50 lower-case letters, digits, C(-) and C(_), with a letter or digit first.
      - Required with O(source=local), and refused with O(source=store).
    type: str
seealso:
  - module: leaderelection.s3.s3_leader_acquire
  - plugin: leaderelection.s3.s3_leader
    plugin_type: lookup
author:
  - the leaderelection.s3 authors (@leaderelection)
"""

EXAMPLES = r"""
- name: Find out who holds the lease
  leaderelection.s3.s3_leader_info:
    key: jobs/migrate-db
  register: lease

- name: Show it
  ansible.builtin.debug:
    msg: "{{ lease.reason }}"

- name: Find out who holds each lease below jobs/
  leaderelection.s3.s3_leader_info:
    prefix: jobs/
  register: jobs

- name: Show those that are held
  ansible.builtin.debug:
    msg: "{{ item.key }} is held by {{ item.holder }} since {{ item.acquired_at }}"
  loop: "{{ jobs.leases | selectattr('state', 'equalto', 'held') }}"
  loop_control:
    label: "{{ item.key }}"

- name: Find out who holds the slots of a lease
  leaderelection.s3.s3_leader_info:
    key: restarts/shop
    slots: 3
  register: restarts

- name: Show them
  ansible.builtin.debug:
    msg: "slot {{ item.slot }} is {{ item.state }}: {{ item.holder }}"
  loop: "{{ restarts.leases }}"
  loop_control:
    label: "{{ item.key }}"

- name: Ask the daemon of this host
  leaderelection.s3.s3_leader_info:
    source: local
    name: db
  register: db

- name: Run a command on the leader only
  ansible.builtin.command: report-to-head-office --fencing-token {{ db.term }}
  changed_when: true
  when: db.is_leader
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
leases:
  description:
    - Every object whose key begins with O(prefix), sorted by key; or every slot, with O(slots). Each has what RV(lease)
      has of one lease.
    - An object that is no lease is V(unreadable) by its RV(lease.state).
  returned: success, when O(prefix) or O(slots) is set
  type: list
  elements: dict
  version_added: 1.1.0
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

from ansible_collections.leaderelection.s3.plugins.module_utils import _listed, _results
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol, slots, wording
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import runtime
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Verdict
from ansible_collections.leaderelection.s3.plugins.module_utils._module import (
    Call,
    Result,
    Task,
    failed,
    operation,
    run,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._options import SLOTS, SPEC as COMMON, in_seconds

SPEC: dict[str, dict[str, t.Any]] = dict(
    COMMON,
    source=dict(type="str", choices=["store", "local"], default="store"),
    key=dict(type="str", aliases=["object_key"], no_log=False),
    prefix=dict(type="str"),
    **SLOTS,
    name=dict(type="str"),
)


def carry_out(call: Call) -> Result:
    source, name, prefix, slotted = (call.params[option] for option in ("source", "name", "prefix", "slots"))
    try:
        check_source(source, call.params["key"], prefix, name)
        if slotted is not None and (source == "local" or prefix is not None):
            raise BadOption("slots", slotted, "they are slots of one lease in the store: it needs key")
        if source == "local":
            in_seconds(call.params)
            return _results.local(runtime.describe(name))
    except BadOption as error:
        return failed(_results.failure(str(error), 0))
    if prefix is not None:
        return _listed.carry_out(call)
    if slotted is None:
        return operation(call, inspect)
    leases: list[dict[str, t.Any]] = []
    result = operation(call, lambda task: inspect_slots(task, leases))
    return result if result.get("failed") else dict(result, leases=leases)


def check_source(source: str, key: str | None, prefix: str | None, name: str | None) -> None:
    """Raise BadOption unless leases are named as the source knows them: by key or prefix, or by a name on the host."""
    if source == "store":
        if name:
            raise BadOption("name", name, "the store does not know names on a host. Use key, or source: local")
        if key is None and prefix is None:
            way_out = "source: store needs it, or a prefix. Name the object, or use source: local with a name"
            raise BadOption("key", key, way_out)
        if key is not None and prefix is not None:
            raise BadOption("prefix", prefix, "key is set, too. Use key for one lease, or prefix for all below it")
        return
    if prefix is not None:
        raise BadOption("prefix", prefix, "the host knows its leases by name. Use name, or source: store")
    if not name:
        raise BadOption("name", name, "source: local needs it. Use a name that s3-leader status shows on the host")


def inspect(task: Task) -> Verdict:
    lease = task.lease
    return lease.drive(protocol.inspect(lease.me, lease.started, lease.endpoint.patience))


def inspect_slots(task: Task, leases: list[dict[str, t.Any]]) -> Verdict:
    """Add what each slot is to the leases."""
    lease = task.lease
    verdict = lease.drive(slots.inspect(lease.me, lease.slots, lease.started, lease.endpoint.patience))
    for slot, found in enumerate(verdict.slots, 1):
        leases.append(dict(wording.lease(found, lease.location.of(slot)), slot=slot))
    return verdict


def main() -> None:
    run(SPEC, carry_out)


if __name__ == "__main__":
    main()
