# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  bucket:
    description:
      - The bucket. It has to exist.
      - From 3 to 255 letters, digits, dots, hyphens and underscores.
    type: str
    default: leader-election
  key:
    description:
      - The object that is the lease. All that compete name the same one.
      - From 1 to 1024 bytes, without empty parts and without C(.) and C(..) between slashes.
    type: str
    required: true
    aliases: [object_key]
  holder:
    description:
      - Who asks, for the people who wonder who has the lease. It gives no authority.
      - The host's C(inventory_hostname) where it is not given, and C(user@controller) for localhost.
      - From 1 to 255 printable characters.
    type: str
    aliases: [instance_id]
  session:
    description:
      - What authority goes by. All who name the same one are the same claimant, and do not exclude each other.
      - One for each run and host where it is not given. Only set it to hand a lease from one run to another.
      - From 8 to 128 printable characters.
    type: str
"""
