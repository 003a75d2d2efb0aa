# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts may have the boto3 of their old distribution, which knows no conditional PUT."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from support import proxy as faults


@pytest.fixture(scope="module")
def old_python() -> str:
    """A Python with an old boto3."""
    python = os.environ.get("OLD_BOTO3_PYTHON")
    if not python:
        pytest.skip("OLD_BOTO3_PYTHON names no Python with an old boto3: make test sets it")
    return python


PLAY = """
    - name: acquire
      leaderelection.s3.s3_leader_acquire: {key: "{{ key }}"}
      register: lease
    - name: refused
      leaderelection.s3.s3_leader_acquire: {key: "{{ key }}", session: somebody-else}
    - name: renew
      leaderelection.s3.s3_leader_renew: {key: "{{ key }}", lease: "{{ lease }}"}
      register: lease
    - name: held
      ansible.builtin.debug: {msg: "{{ lease is leaderelection.s3.held }}"}
    - name: info
      leaderelection.s3.s3_leader_info: {key: "{{ key }}"}
    - name: release
      leaderelection.s3.s3_leader_release: {key: "{{ key }}", lease: "{{ lease }}"}
    - name: acquire anew
      leaderelection.s3.s3_leader_acquire: {key: "{{ key }}"}
"""


def stored(server, bucket, key) -> dict:
    return json.loads(server.client().get_object(Bucket=bucket, Key=key)["Body"].read())


def test_its_boto3_knows_no_conditional_put(old_python):
    code = "import botocore.session as s; m = s.get_session().get_service_model('s3'); "
    code += "print('IfMatch' in m.operation_model('PutObject').input_shape.members)"
    assert (
        subprocess.run([old_python, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
    )


def test_a_lease_is_acquired_renewed_read_and_released(run_playbook, seaweedfs, bucket, key, old_python):
    run = run_playbook(PLAY, s3=dict(seaweedfs.options, bucket=bucket), python=old_python, key=key).succeeded()
    term = run["acquire"]["term"]
    assert (run["acquire"]["is_leader"], run["acquire"]["changed"]) == (True, True)
    assert run["refused"]["is_leader"] is False
    assert (run["renew"]["is_leader"], run["renew"]["term"], run["renew"]["requests"]) == (True, term, 1)
    assert run["held"]["msg"] is True
    assert run["info"]["is_leader"] is True
    assert run["info"]["lease"]["sequence"] == run["acquire"]["lease"]["sequence"] + 1
    assert run["release"]["changed"] is True
    assert (run["acquire anew"]["is_leader"], run["acquire anew"]["term"]) == (True, term + 1)
    assert stored(seaweedfs, bucket, key)["session"] == run["acquire"]["lease"]["session"]


@pytest.mark.parametrize(
    "fault",
    [faults.drop_answer(), faults.drop_request(), faults.hang_after_commit(), faults.drip(), faults.answer(412, True)],
    ids=lambda fault: fault.name,
)
def test_a_lost_answer_is_found_out(run_playbook, seaweedfs, bucket, proxy, key, old_python, fault):
    proxy.on("PUT", fault)
    run = run_playbook(
        """
        - name: acquire
          leaderelection.s3.s3_leader_acquire: {key: "{{ key }}"}
        """,
        s3=dict(seaweedfs.options, endpoint_url=proxy.url, bucket=bucket, request_timeout=2),
        python=old_python,
        key=key,
    ).succeeded()
    result = run["acquire"]
    assert result["is_leader"] is True
    landed = [json.loads(one.body) for one in proxy.select("PUT", store_status=200)]
    assert landed[-1] == stored(seaweedfs, bucket, key)
    assert [one["sequence"] for one in landed] == [1, 2, 3]
    assert all("X-Amz-Expires=" in one.path for one in proxy.select("PUT"))
    assert {one["session"] for one in landed} == {result["lease"]["session"]}
    assert landed[-1]["term"] == result["term"]


def test_a_preflight_finds_the_store_safe(run_playbook, seaweedfs, bucket, key, old_python):
    play = """
    - name: preflight
      leaderelection.s3.s3_leader_preflight: {key: "{{ key }}", contenders: 3, rounds: 1}
    """
    run = run_playbook(play, s3=dict(seaweedfs.options, bucket=bucket), python=old_python, key=key).succeeded()
    assert run["preflight"]["verdict"] == "safe"
