#!/usr/bin/python
# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_leader_acquire
short_description: Become or stay the leader that holds a lease on S3
version_added: 1.0.0
description:
  - Tries to acquire a lease, a small object in an S3 bucket, for this playbook run on this host.
    Of all contenders, one is told that it is the leader.
  - Not getting the lease is a result and not a failure. Use RV(is_leader) in C(when).
  - A run that already holds the lease renews it, and stays leader with the same RV(term).
  - The leader has RV(lease.lease_duration) seconds. Use O(keepalive=true) on the controller to have more. Elsewhere,
    longer work needs a longer O(lease_duration), or M(leaderelection.s3.s3_leader_renew) in between. Give
    the lease back with M(leaderelection.s3.s3_leader_release).
  - A renewal before expiry keeps others out. After expiry the holder must stop acting as leader, and others take over
    2 seconds later (for a lease of more than 500 seconds, 1.5 seconds plus a thousandth of it). By default, the
    store's clock decides.
extends_documentation_fragment:
  - leaderelection.s3._attributes
  - leaderelection.s3._connection
  - leaderelection.s3._lease
attributes:
  check_mode:
    support: full
    details:
      - It only reads the lease, does not wait for it, and predicts the result, so others may still be faster. Every
        contender that could lead is told that it leads. There is no RV(deadline), so the test
        P(leaderelection.s3.held#test) is false.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - It is idempotent within a run. Another run is another contender.
options:
  lease_duration:
    description:
      - Seconds that the leader may work without a renewal, and that all others wait after it has crashed.
      - If this run already holds the lease, the lease is not shortened.
      - From 1 to 86400, and more than O(request_timeout) plus 2.
    type: str
    default: 30s
  slots:
    description:
      - How many may hold the lease at the same time. The lease is then one of the objects C(key/slot-1), C(key/slot-2)
        and so on, each a lease of its own. RV(slot) tells which.
      - All contenders have to name the same number. While somebody holds a slot, a contender that names another number
        is refused, and told who it is.
      - A run keeps the slot that it has. To find a free one takes a read for each slot, and one more after a slot was
        taken.
      - A claim without O(slots) at the same O(key) is for another lease, and does not see who holds the slots. Not
        every store can have both, so use the key of a lease with slots for nothing else.
      - From 1 to 100. Without it, the lease has no slots, and one contender holds it.
    type: int
    version_added: 1.1.0
  wait_timeout:
    description:
      - Seconds to keep trying while somebody else holds the lease. With V(0), it tries once.
      - From 0 to 86400.
    type: str
    default: 0s
  poll_interval:
    description:
      - Seconds between two reads while waiting, varied at random by a half. From 1 to 3600.
    type: str
    default: 2s
  takeover:
    description:
      - How to find out that a lease has expired because its leader was lost and did not release it.
      - V(store_clock) compares two times from the store itself, when the object was written and when the store
        answered. No host's clock is involved.
      - V(observed) waits until this task itself has seen the lease unchanged for its full duration. It is for stores
        whose own nodes disagree about the time, and needs a O(wait_timeout) longer than O(lease_duration) and the
        time after which others take over.
      - V(never) takes only a lease that was released, or that does not exist yet.
    type: str
    choices: [store_clock, observed, never]
    default: store_clock
  metadata:
    description:
      - What the lease tells people about this run. A flat map of strings, of at most 4096 bytes as JSON.
      - C(playbook), C(user), C(pid) and C(started) of the run are added if they are not given. In a job of AWX, or of
        what is made of it, so are C(awx_job), C(awx_template), C(awx_user) and C(awx_url).
    type: dict
    default: {}
  hold_at_least:
    description:
      - Seconds after the acquisition in which nobody takes the lease again, even if it is released before. It is for
        jobs so short that another host, whose clock or schedule is a little late, would run them once more.
      - If the leader crashes, O(lease_duration) decides. From 0 to 86400.
    type: str
    default: 0s
  keepalive:
    description:
      - Renew the lease from now on, until it is released or the run of the playbook ends, in a process of its own on
        the controller. When the run ends, the lease is given back, unless something may still be at work; it expires
        then.
      - It needs Linux, and a task that runs on the controller itself, without C(become) and C(environment). On a
        managed host, use the role P(leaderelection.s3.heartbeat#role), or C(delegate_to=localhost).
      - O(lease_duration) has to have room for two renewals and the end of the run. With the default O(request_timeout),
        the least is 10.
    type: bool
    default: false
  keep_at_most:
    description:
      - With O(keepalive=true), seconds for which the lease is renewed at most. From 1 to 604800. Without it, there is
        no limit but the end of the run.
    type: str
  on_lost:
    description:
      - With O(keepalive=true), what to do if the lease is lost, or cannot be renewed before its deadline.
      - V(abort) ends the run of the playbook before the deadline, with its local processes. Other hosts may go on with
        what was sent to them; let what they change refuse a RV(term) that is lower than the highest it has seen.
      - V(report) does nothing. The test P(leaderelection.s3.held#test) and M(leaderelection.s3.s3_leader_renew) tell.
    type: str
    choices: [abort, report]
    default: abort
  textfile:
    description:
      - With O(keepalive=true), a file on the controller, for node_exporter to read. It tells Prometheus that the lease
        is held, until when, and how the store behaves, from each renewal to the end of the run, and stays then.
      - An absolute path that ends in C(.prom), in a folder in which the user of the run may write. Two runs at a time
        need one of their own each.
      - If it cannot be written later, that is told to syslog once, and the lease is kept.
    type: path
    version_added: 1.1.0
seealso:
  - module: leaderelection.s3.s3_leader_renew
  - module: leaderelection.s3.s3_leader_release
  - module: leaderelection.s3.s3_leader_info
author:
  - the leaderelection.s3 authors (@leaderelection)
"""

EXAMPLES = r"""
- name: Become the leader if possible, and stay leader until the lease is given back
  leaderelection.s3.s3_leader_acquire:
    key: jobs/migrate-db
    keepalive: true
  register: lease

- name: Do the work only as leader
  when: lease.is_leader
  block:
    - name: Migrate, and let the database refuse a former leader
      ansible.builtin.command: migrate-db --fencing-token {{ lease.term }}
      changed_when: true
  always:
    - name: Give the lease back
      leaderelection.s3.s3_leader_release:
        key: jobs/migrate-db
        lease: "{{ lease }}"

- name: Show who holds the lease instead
  ansible.builtin.debug:
    msg: "{{ lease.reason }}"
  when: not lease.is_leader

- name: Wait up to ten minutes for another deployment to end, and fail if it does not
  leaderelection.s3.s3_leader_acquire:
    key: deploy/shop
    keepalive: true
    wait_timeout: 10m
    metadata:
      ticket: OPS-4711
  register: lease
  failed_when: not lease.is_leader

- name: Let at most three runs deploy at the same time
  leaderelection.s3.s3_leader_acquire:
    key: deploy/any-shop
    slots: 3
    keepalive: true
    wait_timeout: 1h
  register: lease
  failed_when: not lease.is_leader
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

import os
import typing as t

from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol, slots
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.driver import fresh_nonce
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import (
    TAKEOVERS,
    check_durations,
    check_metadata,
    check_range,
    check_textfile,
    check_waiting,
    keeping,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Held, Seen, Verdict, Want
from ansible_collections.leaderelection.s3.plugins.module_utils._module import (
    KEEP_INSTEAD,
    Call,
    Result,
    Task,
    operation,
    run,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._options import SLOTS, SPEC as COMMON
from ansible_collections.leaderelection.s3.plugins.module_utils._remembered import recall, remember

SPEC: dict[str, dict[str, t.Any]] = dict(
    COMMON,
    **SLOTS,
    lease_duration=dict(type="str", default="30s"),
    wait_timeout=dict(type="str", default="0s"),
    poll_interval=dict(type="str", default="2s"),
    takeover=dict(type="str", default="store_clock", choices=list(TAKEOVERS)),
    metadata=dict(type="dict", default={}),
    hold_at_least=dict(type="str", default="0s"),
    keepalive=dict(type="bool", default=False),
    keep_at_most=dict(type="str"),
    on_lost=dict(type="str", default="abort", choices=["abort", "report"]),
    textfile=dict(type="path"),
)

_NOT_HERE = "only a task that runs inside of Ansible, on the controller, can keep a lease"


def carry_out(call: Call) -> Result:
    return operation(call, acquire)


def acquire(task: Task) -> Verdict:
    lease, params = task.lease, task.params
    duration = params["lease_duration"]
    if params["keepalive"]:
        keeping(duration, lease.endpoint.request_timeout)
    check_durations(duration, lease.endpoint.request_timeout)
    check_waiting(
        params["takeover"], params["wait_timeout"], params["poll_interval"], duration, lease.endpoint.request_timeout
    )
    check_range("hold_at_least", params["hold_at_least"])
    if params["textfile"] is not None:
        _check_textfile(params["textfile"], params["keepalive"])
    if params["keepalive"]:
        if task.keep is None:
            raise BadOption("keepalive", True, f"{_NOT_HERE}. {KEEP_INSTEAD}")
        if params["keep_at_most"] is not None:
            check_range("keep_at_most", params["keep_at_most"])
    want = Want(
        lease_duration=float(duration),
        patience=lease.endpoint.patience,
        wait_timeout=params["wait_timeout"],
        poll_interval=params["poll_interval"],
        takeover=params["takeover"],
        metadata=check_metadata(params["metadata"]),
        hold_at_least=float(params["hold_at_least"]),
        proof=recall(lease.me.store),
        slots=lease.slots,
    )
    verdict = lease.drive(slots.acquire(lease.me, want, lease.started, fresh_nonce, task.check_mode))
    proof = protocol.proof_of(verdict.lease, lease.me)
    if verdict.is_leader and proof and proof != want.proof and not task.check_mode:
        remember(proof)
    if (
        params["keepalive"]
        and task.keep
        and not task.check_mode
        and verdict.deadline
        and isinstance(verdict.lease, Seen)
    ):
        _keep(task, Held(verdict.lease, verdict.deadline, lease.clock.now()), verdict.slot)
    return verdict


def _check_textfile(path: str, is_kept: bool) -> None:
    if not is_kept:
        raise BadOption("textfile", path, "who keeps the lease writes it: set keepalive to true")
    if not os.path.isabs(path):
        raise BadOption("textfile", path, "use an absolute path")
    check_textfile(path)


def _keep(task: Task, held: Held, slot: int) -> None:
    """Keep the lease, or the slot. Raises BadOption if that is impossible; then it is given back."""
    lease = task.lease
    params = dict(task.params, key=lease.location.of(slot).key, slots=None)
    why_not = task.keep(params, lease.me.store, held) if task.keep else _NOT_HERE
    if why_not:
        lease.drive(protocol.release(lease.me, held, lease.clock.now(), lease.endpoint.patience, fresh_nonce), slot)
        raise BadOption("keepalive", True, f"{why_not}. The lease was given back. {KEEP_INSTEAD}")


def main() -> None:
    run(SPEC, carry_out)


if __name__ == "__main__":
    main()
