# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A playbook's run that keeps its lease while it works, and what its keeper publishes meanwhile."""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys
import typing as t
from collections.abc import Callable, Mapping

from . import guarded_work
from .playbook import RunningPlaybook
from .waiting import wait_for

DURATION = 6  # seconds of a lease
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Acquire
      leaderelection.s3.s3_leader_acquire:
        key: "{{ lease_key }}"
        holder: "{{ who }}"
        lease_duration: "{{ duration }}"
        request_timeout: 1
        wait_timeout: "{{ wait | default(0) }}"
        poll_interval: 1
        keepalive: true
        on_lost: "{{ on_lost | default('abort') }}"
        keep_at_most: "{{ keep_at_most | default(omit) }}"
      register: lease
    - name: Work
      ansible.builtin.command:
        argv: "{{ wrapper | default([]) + [interpreter, script, file, who, seconds] + how | default('') | split }}"
      when: lease.is_leader
    - name: Held
      ansible.builtin.debug:
        msg: "{{ lease is leaderelection.s3.held }}"
    - name: Renew
      leaderelection.s3.s3_leader_renew:
        key: "{{ lease_key }}"
        lease: "{{ lease }}"
        request_timeout: 1
        on_lost: report
      when: lease.is_leader
    - name: Release
      leaderelection.s3.s3_leader_release:
        key: "{{ lease_key }}"
        lease: "{{ lease }}"
      when: releases | default(true) | bool
"""


def deploy(
    start: Callable[..., RunningPlaybook],
    environment: Mapping[str, str],
    url: str,
    key: str,
    file: pathlib.Path,
    who: str,
    seconds: float,
    **variables: t.Any,
) -> RunningPlaybook:
    """Start a run that works so many seconds, if it becomes leader, and notes that in the file."""
    given = dict(lease_key=key, who=who, seconds=seconds, interpreter=sys.executable, duration=DURATION) | variables
    where = dict(environment, AWS_URL=url, AWS_ENDPOINT_URL=url)
    return start(PLAY, env=where, file=str(file), script=guarded_work.__file__, **given)


def at_work(file: pathlib.Path, run: RunningPlaybook, who: str = "alice") -> None:
    """Wait until somebody works. Raises AssertionError if their run ends without."""
    wait_for(lambda: who in guarded_work.shifts(file) or run.process.poll() is not None, f"{who} is at work")
    assert run.process.poll() is None, str(run.wait())


def published(run: RunningPlaybook) -> dict[str, t.Any]:
    """What the run's keeper has published; {} where there is nothing any more."""
    for known in (run.folder / "local").glob("*/s3-leader/*.json"):
        with contextlib.suppress(OSError):
            return t.cast("dict[str, t.Any]", json.loads(known.read_text()))
    return {}
