# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task on the controller gives the same result whether it is carried out inside of Ansible or as a module."""

from __future__ import annotations

import re

from ansible.parsing.vault import VaultLib, VaultSecret

PLAY = """
- name: Nobody holds it
  leaderelection.s3.s3_leader_info: {key: "{{ key }}"}
- name: In check mode
  leaderelection.s3.s3_leader_acquire: {key: "{{ key }}"}
  check_mode: true
- name: Acquire
  leaderelection.s3.s3_leader_acquire: {key: "{{ key }}", metadata: {ticket: OPS-1, "{{ '{{' }} 1/0 }}": 5}}
  diff: true
  register: lease
- name: Acquire again
  leaderelection.s3.s3_leader_acquire: {object_key: "{{ key }}", lease_duration: "60"}
- name: Another one
  leaderelection.s3.s3_leader_acquire: {key: "{{ key }}", holder: web-2, session: another-one}
- name: Renew
  leaderelection.s3.s3_leader_renew: {key: "{{ key }}", lease: "{{ lease }}"}
  diff: true
- name: All below a prefix
  leaderelection.s3.s3_leader_info: {prefix: "{{ key }}"}
- name: Both a key and a prefix
  leaderelection.s3.s3_leader_info: {key: "{{ key }}", prefix: "{{ key }}"}
  ignore_errors: true
- name: Below a prefix that is refused by the store
  leaderelection.s3.s3_leader_info: {prefix: "{{ key }}", access_key: AKIA-nobody, secret_key: "{{ secret }}"}
  ignore_errors: true
- name: Preflight
  leaderelection.s3.s3_leader_preflight: {key: "{{ key }}", contenders: 2, rounds: 1}
- name: Release
  leaderelection.s3.s3_leader_release: {key: "{{ key }}", lease: "{{ lease }}", reason: "{{ '{{' }} 1/0 }}"}
  diff: true
- name: Lost
  leaderelection.s3.s3_leader_renew: {key: "{{ key }}", lease: "{{ lease }}"}
  ignore_errors: true
- name: No such option
  leaderelection.s3.s3_leader_info: {key: "{{ key }}", colour: red}
  ignore_errors: true
- name: No key
  leaderelection.s3.s3_leader_release:
  ignore_errors: true
- name: Not a number
  leaderelection.s3.s3_leader_acquire: {key: "{{ key }}", lease_duration: long}
  ignore_errors: true
- name: Out of range
  leaderelection.s3.s3_leader_acquire: {key: "{{ key }}", request_timeout: 300}
  ignore_errors: true
- name: Both names
  leaderelection.s3.s3_leader_info: {key: "{{ key }}", object_key: "{{ key }}"}
- name: Refused by the store
  leaderelection.s3.s3_leader_info: {key: "{{ key }}", access_key: AKIA-nobody, secret_key: "{{ secret }}"}
  ignore_errors: true
- name: From the vault
  leaderelection.s3.s3_leader_info: {key: "{{ key }}", access_key: "{{ user }}", secret_key: "{{ vaulted }}"}
"""
_NUMBER = re.compile(r"\d+(\.\d+)?(e-?\d+)?")
_RANDOM = re.compile(r"[0-9a-f]{32}")


def same(value):
    """Return a result without what differs from run to run: times, random numbers, and the keys that come of them."""
    if isinstance(value, dict):
        return {same(name): same(one) for name, one in value.items() if name not in ("exception", "_ansible_no_log")}
    if isinstance(value, list):
        return [same(one) for one in value]
    if isinstance(value, str):
        return _NUMBER.sub("0", _RANDOM.sub("random", value))
    return value if isinstance(value, bool) or value is None else 0


def vaulted(text):
    """Return the text as a variable that is encrypted with the password "open"."""
    vault = VaultLib([("default", VaultSecret(b"open"))])
    return {"__ansible_vault": vault.encrypt(text, vault.secrets[0][1]).decode()}


def test_the_results_are_the_same(run_playbook, seaweedfs, bucket, key, tmp_path):
    found, secret, password = {}, "wJalrXUtnFEMI-the-secret-key", tmp_path / "password"
    password.write_text("open")
    variables = dict(secret=secret, user=seaweedfs.access_key, vaulted=vaulted(seaweedfs.secret_key))
    for number, here in enumerate((True, False)):
        run = run_playbook(
            PLAY,
            env=seaweedfs.environment,
            args=["-vvv", f"--vault-password-file={password}"],
            key=f"{key}-{number}",
            s3_leader_in_process=here,
            **variables,
        ).succeeded()
        assert run["From the vault"]["lease"]["state"] == "released"
        assert [lease["state"] for lease in run["All below a prefix"]["leases"]] == ["held"]
        assert secret not in str([result.result for result in run.results])
        assert ("runs inside of Ansible" in run.stdout) is here
        found[here] = {result.task: (result.status, same(result.result)) for result in run.results}
    assert found[True].keys() == found[False].keys()
    for task, result in found[True].items():
        assert result == found[False][task], task
