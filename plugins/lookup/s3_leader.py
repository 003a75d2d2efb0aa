# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: s3_leader
short_description: Show who holds a lease on S3, as the controller sees it
version_added: 1.0.0
description:
  - Reads leases on the controller and returns who holds them. Writes nothing.
  - What options say of the environment on the managed host is, for a lookup, the controller's.
  - Neither C(module_defaults) nor C(environment) of a task or play reaches a lookup. Set the variables of the options
    instead, in the inventory or in C(vars).
author:
  - the leaderelection.s3 authors (@leaderelection)
extends_documentation_fragment:
  - leaderelection.s3._connection
  - leaderelection.s3._connection.plugins
options:
  _terms:
    description: The keys of the leases. From 1 to 1024 bytes each.
    type: list
    elements: str
    required: true
  bucket:
    description: The bucket. From 3 to 255 letters, digits, dots, hyphens and underscores.
    type: str
    default: leader-election
    env:
      - name: S3_LEADER_BUCKET
    vars:
      - name: s3_leader_bucket
seealso:
  - module: leaderelection.s3.s3_leader_info
"""

EXAMPLES = r"""
- name: Show who holds the lease
  ansible.builtin.debug:
    msg: "{{ lookup('leaderelection.s3.s3_leader', 'jobs/migrate-db').reason }}"
"""

RETURN = r"""
_raw:
  description:
    - For each key, what M(leaderelection.s3.s3_leader_info) returns. Its C(is_leader) tells whether this run leads on
      the host of the task.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.leaderelection.s3.plugins.module_utils import _options, _results
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import connection, protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import StoreError
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _run


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: t.Any = None, **kwargs: t.Any) -> list[dict[str, t.Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        if connection.MISSING_LIBRARY is not None:
            raise AnsibleLookupError(
                "The lookup leaderelection.s3.s3_leader needs botocore, which comes with boto3, on the controller"
            )
        host = (variables or {}).get("inventory_hostname", "localhost")
        asks = dict(self.get_options(), holder=_run.holder(host), session=_run.session(host))
        return [self._read(dict(asks, key=str(key))) for key in terms]

    def _read(self, params: dict[str, t.Any]) -> dict[str, t.Any]:
        try:
            lease = _options.Handle(params)
            verdict = lease.drive(protocol.inspect(lease.me, lease.started, lease.endpoint.patience))
        except (BadOption, connection.CannotSend, StoreError) as error:
            raise AnsibleLookupError(f"The lease {params['key']} could not be read: {error}") from None
        return _results.success(verdict, lease.location, lease.store.requests, lease.started)
