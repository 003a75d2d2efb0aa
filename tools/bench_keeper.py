# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to keep a lease while a playbook runs, beside ten lines of boto3 that renew as often."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile

from bench_heartbeat import LEADER, Subject, measure, print_costs, print_title, start_loop
from support import kept_run, playbook
from support.stores.seaweedfs import SeaweedFS

KEPT, LOOP = "kept", "loop"
"""A bucket for each, by which the server counts."""
PLAY = """
- name: Acquire
  leaderelection.s3.s3_leader_acquire: {bucket: kept, key: lease, keepalive: true}
- name: Work
  ansible.builtin.command: sleep 86400
"""
INTERVAL = 10
"""Seconds between two renewals of a lease of 30."""


def bench_keeper(seconds: float) -> None:
    """Measure both for so many seconds, and print a table."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        server = stack.enter_context(SeaweedFS(metrics=True))
        for bucket in (KEPT, LOOP):
            server.create_bucket(bucket)
        run = playbook.start(folder, PLAY, env=server.environment)
        stack.callback(run.kill)
        run.wait_for_start("Work")
        program = LEADER.replace("time.sleep(5)", f"time.sleep({INTERVAL})")
        subjects = {
            "keeper": Subject(kept_run.published(run)["keeper"], KEPT, "PUT"),
            "bare boto3": Subject(start_loop(program, server, LOOP, stack), LOOP, "PUT"),
        }
        costs = measure(server, subjects, seconds)
    print_title("To keep a lease")
    print_costs(costs)
