# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  bucket:
    description:
      - The bucket. It must exist. On AWS, the ARN of an access point leads to the same leases as its bucket. That of a
        multi-Region access point is refused, since its buckets learn of each other's writes later.
      - From 3 to 255 letters, digits, dots, hyphens and underscores.
      - If not set, taken from E(S3_LEADER_BUCKET) on the managed host.
    type: str
    default: leader-election
  key:
    description:
      - The key of the lease object. All contenders use the same one.
      - From 1 to 1024 bytes, without empty parts and without C(.) and C(..) between slashes. A backslash, an
        unprintable character and a URL are refused, too.
    type: str
    required: true
    aliases: [object_key]
  holder:
    description:
      - The contender's name, for people who look at the lease. It gives no authority.
      - If not set, the host's C(inventory_hostname), and C(user@controller) for localhost.
      - From 1 to 255 printable characters.
    type: str
    aliases: [instance_id]
  session:
    description:
      - The contender's identity, which gives authority. All tasks with the same one are the same contender, and do not
        exclude each other.
      - If not set, one for each run and host; with C(delegate_to), for the host that delegates. Set it only to hand a
        lease from one run to another.
      - From 8 to 128 printable characters that nobody else uses. Any other text is replaced by its hash.
    type: str
  debug_botocore_endpoint_logs:
    description:
      - Whether to return the calls of the S3 API that were made as RV(resource_actions). The permissions that they need
        may have other names.
      - If not set, taken from E(ANSIBLE_DEBUG_BOTOCORE_LOGS) on the managed host.
    type: bool
    default: false
"""
