# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event source leaderelection.s3.s3_leader, for ansible-rulebook."""

from __future__ import annotations

DOCUMENTATION = r"""
---
short_description: Tell a rulebook when leadership by leases on S3 moves
version_added: 1.1.0
description:
  - Looks at one lease, or at all below a prefix, again and again, and sends an event for each change. It needs read
    access alone, and writes nothing to the store.
  - A look at one lease is a conditional GET, which a store answers with 304 as long as nothing has changed. A look at a
    prefix is a listing, and a GET of each object whose ETag is new. A lease that expires by the listing is read before
    that is told, because a listing may be out of date.
  - The first look tells nothing. With O(state_file), that is the first one ever, and what happens while the rulebook is
    down is told when it is back, each change once. What a look has found while the rulebook is killed may be told
    again.
  - A store that fails ends nothing. The source says so, and goes on.
options:
  bucket:
    description:
      - The bucket.
      - If not set, taken from the environment variable E(S3_LEADER_BUCKET), or else V(leader-election).
    type: str
  key:
    description:
      - The key of the lease. Either this or O(prefix) is required.
    type: str
  prefix:
    description:
      - The beginning of the keys of several leases, like V(jobs/). An empty one means the whole bucket. Up to 10000
        objects may have it.
      - A lease that is new below the prefix is told of from its first term on. The slots of a lease are the leases
        below KEY/slot-.
      - On AWS, it takes the permission C(s3:ListBucket).
    type: str
  poll_interval:
    description:
      - Seconds between two looks, or a duration like V(30s) or V(1m). From 1 to 3600.
    type: str
    default: 5s
  state_file:
    description:
      - A file of this source's own, which says what was told. Its folder must exist, and the rulebook must be able to
        write to it.
      - Without it, what happens between the end of a rulebook and its next start is not told.
    type: str
  endpoint_url:
    description:
      - URL of the store, like V(https://s3.example.com:9000). If not set, AWS in O(region).
      - If not set, taken from E(AWS_URL), or else as botocore finds it.
    type: str
  access_key:
    description:
      - Access key ID. It requires O(secret_key). Without it and O(profile), botocore searches its usual sources.
    type: str
  secret_key:
    description:
      - Secret access key.
    type: str
  session_token:
    description:
      - Session token of temporary credentials.
    type: str
  profile:
    description:
      - Named profile of the AWS configuration.
    type: str
  credentials_file:
    description:
      - A file that is read instead of C(~/.aws/credentials).
    type: str
  region:
    description:
      - Region that requests are signed for.
    type: str
  validate_certs:
    description:
      - Whether to verify the store's TLS certificate.
    type: bool
    default: true
  aws_ca_bundle:
    description:
      - File with the CA certificates that may sign the store's certificate.
      - If not set, taken from E(AWS_CA_BUNDLE).
    type: str
  addressing_style:
    description:
      - Where the bucket's name goes in the URL.
    type: str
    choices: [auto, path, virtual]
    default: auto
  expected_bucket_owner:
    description:
      - ID of the AWS account that the bucket has to belong to, in quotes.
    type: str
  aws_config:
    description:
      - Arguments of C(botocore.config.Config), as for the modules of the collection.
    type: dict
  request_timeout:
    description:
      - Seconds after which a request counts as failed. From 1 to 60. A look retries errors for three times this long
        plus 3 seconds before the source says that the store fails.
    type: str
    default: 5s
notes:
  - The events are C(leader_acquired), C(leader_lost), C(leader_changed), C(lease_expired), C(lease_broken),
    C(store_error) and C(store_recovered). docs/events.md of the collection describes them and their fields.
requirements:
  - botocore >= 1.20.0, which comes with boto3, in the Python that runs ansible-rulebook
author:
  - the leaderelection.s3 authors (@leaderelection)
"""

EXAMPLES = r"""
- leaderelection.s3.s3_leader:
    bucket: leases
    key: hosts/db
    state_file: /var/lib/rulebook/db.json

- leaderelection.s3.s3_leader:
    bucket: leases
    prefix: jobs/
    poll_interval: 30s
"""

import asyncio
import importlib
import pathlib
import sys
import types
import typing as t

PACKAGE = "leaderelection_s3"


def _imported(name: str) -> t.Any:
    """Import a module of the collection by its place beside this file.

    ansible-rulebook runs this file by its path, in a Python that may know no packages of collections.
    """
    if PACKAGE not in sys.modules:
        package = types.ModuleType(PACKAGE)
        package.__path__ = [str(pathlib.Path(__file__).parents[4] / "plugins")]
        sys.modules[PACKAGE] = package
    return importlib.import_module(f"{PACKAGE}.{name}")


_event_memory = _imported("plugin_utils._event_memory")
_event_watch = _imported("plugin_utils._event_watch")


async def main(queue: asyncio.Queue[t.Any], args: dict[str, t.Any]) -> None:
    """Send events until the task is canceled. Raises BadOption or CannotSend, only at the start."""
    options = _event_watch.parsed(args)
    watch = _event_watch.Watch(options)
    memory = _event_memory.Memory(options.state_file, options.location, watch.store)
    state = memory.load()
    kept, is_kept = state, True
    while True:
        changes = await asyncio.to_thread(watch.changes, state)
        try:
            for change in changes:
                for event in change.events:
                    await queue.put(event)
                state = change.after
        finally:  # also when the task is canceled: what was told is told once
            if state is not kept:
                is_kept = _kept(memory, state, is_kept)
                kept = state if is_kept else kept
        await asyncio.sleep(options.poll_interval)


def _kept(memory: t.Any, state: t.Any, was_kept: bool) -> bool:
    """Write down what was told, and return whether that was possible. The first failure is logged."""
    try:
        memory.save(state)
    except OSError as error:
        if was_kept:
            _event_watch.LOGGER.error(
                "state_file cannot be written, so a restart may tell what was told already: %s", error
            )
        return False
    return True
