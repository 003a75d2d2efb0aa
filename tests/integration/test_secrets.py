# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret gets out: not on the screen however verbose, not in a result, not into the lease."""

from __future__ import annotations

import typing as t
import urllib.parse

import pytest
from support import ports
from support.stores.odd import Store

ACQUIRE, RENEW, RELEASE, INFO = (
    f"leaderelection.s3.s3_leader_{name}" for name in ("acquire", "renew", "release", "info")
)

SECRETS = {
    "secret_key": "wJalrXUtnFEMI-the-secret-key",
    "session_token": "FwoGZXIvYXdzEBYaD-the-session-token",
    "password": "hunter2-the-password-of-the-endpoint",
}
"""They reach the playbook as variables, as from a vault."""

GIVEN = {"access_key": "AKIA-somebody", "secret_key": "{{ secret_key }}", "session_token": "{{ session_token }}"}
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIA-somebody",
    "AWS_SECRET_ACCESS_KEY": SECRETS["secret_key"],
    "AWS_SESSION_TOKEN": SECRETS["session_token"],
}


def task(name: str, module: str, **options: t.Any) -> dict[str, t.Any]:
    """A task that lets the play go on when it fails."""
    return {"name": name, module: options, "ignore_errors": True}


def look_up(name: str, **options: t.Any) -> dict[str, t.Any]:
    """A task that uses the lookup and may fail."""
    given = ", ".join(f"{option}={value}" for option, value in options.items())
    return {
        "name": name,
        "ansible.builtin.debug": {"msg": f"{{{{ lookup('leaderelection.s3.s3_leader', key, {given}) }}}}"},
        "ignore_errors": True,
    }


def leaks(run: t.Any) -> list[str]:
    """Where a secret can be seen, as the name of the secret and what is around it."""
    places = {"the output": f"{run.stdout}\n{run.stderr}"}
    places |= {f"the result of {one.task}": f"{one.result}" for one in run.results}
    return [
        f"{name} in {place}: ...{text[max(0, text.index(secret) - 100) :][:150]}"
        for place, text in places.items()
        for name, secret in SECRETS.items()
        if secret in text
    ]


@pytest.fixture
def store(open_store):
    return open_store(Store)


@pytest.mark.parametrize("pipelining", ["false", "true"])
def test_no_secret_is_shown_when_all_goes_well(run_playbook, store, key, pipelining):
    here = {"endpoint_url": store.url, "key": key, "bucket": "bucket", **GIVEN}
    run = run_playbook(
        [
            {**task("acquire", ACQUIRE, **here, metadata={"ticket": "OPS-1"}), "register": "lease"},
            task("renew", RENEW, **here, lease="{{ lease }}"),
            task("info", INFO, **here),
            look_up(
                "look up",
                endpoint_url="url",
                bucket="'bucket'",
                access_key="'AKIA-somebody'",
                secret_key="secret_key",
                session_token="session_token",
            ),
            task("release", RELEASE, **here, reason="done"),
            {"name": "show", "ansible.builtin.debug": {"var": "lease"}},
        ],
        args=["-vvvv", "--diff"],
        env={"ANSIBLE_PIPELINING": pipelining},
        key=key,
        url=store.url,
        **SECRETS,
    )
    assert run["renew"]["is_leader"] is True
    assert "leader" in f"{run['look up']['msg']}"
    assert leaks(run) == []
    queries = [urllib.parse.parse_qs(urllib.parse.urlsplit(one.path).query) for one in store.requests]
    tokens = [
        query.get("X-Amz-Security-Token", [one.headers.get("X-Amz-Security-Token")])
        for query, one in zip(queries, store.requests, strict=True)
    ]
    assert tokens == [[SECRETS["session_token"]]] * len(tokens)
    written = b"".join(request.body for request in store.requests) + store.get(key).body
    assert [name for name, secret in SECRETS.items() if secret.encode() in written] == []
    assert b"AKIA" not in written


@pytest.mark.parametrize("where", ["options", "environment", "aliases"])
def test_no_secret_is_shown_when_a_task_fails(run_playbook, seaweedfs, bucket, store, key, where):
    given = {
        "options": GIVEN,
        "environment": {},
        "aliases": {
            "aws_access_key": "AKIA-somebody",
            "aws_secret_key": "{{ secret_key }}",
            "aws_session_token": "{{ session_token }}",
        },
    }[where]
    closed = f"http://127.0.0.1:{ports.free_ports(1)[0]}"
    here = {"bucket": bucket, "key": key, **given}
    run = run_playbook(
        [
            task("wrong secret", ACQUIRE, **here, endpoint_url=seaweedfs.endpoint_url),
            task("unreachable", RENEW, **here, endpoint_url=closed, request_timeout=1),
            task("bad option", ACQUIRE, **here, endpoint_url=store.url, lease_duration=1),
            task("bad type", ACQUIRE, **here, endpoint_url=store.url, lease_duration="long"),
            task("no key", INFO, **{**here, "key": ""}, endpoint_url=store.url),
            task("a profile as well", RELEASE, **here, endpoint_url=store.url, profile="prod"),
            task("password", INFO, **here, endpoint_url="https://root:{{ password }}@s3.example.com"),
            task("lost", RENEW, **here, endpoint_url=store.url),
        ],
        args=["-vvvv", "--diff"],
        env=ENVIRONMENT if where == "environment" else None,
        **SECRETS,
    )
    assert {one.task for one in run.results if one.status == "ignored"} == {one.task for one in run.results}
    assert leaks(run) == []


def test_the_lookups_errors_show_no_secret(run_playbook, seaweedfs, bucket, key):
    keys = {"access_key": "'AKIA-somebody'", "secret_key": "secret_key", "session_token": "session_token"}
    here = {**keys, "bucket": f"'{bucket}'"}
    closed = f"'http://127.0.0.1:{ports.free_ports(1)[0]}'"
    run = run_playbook(
        [
            look_up("wrong secret", **here, endpoint_url="url"),
            look_up("unreachable", **here, endpoint_url=closed, request_timeout=1),
            look_up("bad option", **here, endpoint_url="url", request_timeout=0),
            look_up("bad type", **here, endpoint_url="url", request_timeout="'soon'"),
            look_up("no access key", secret_key="secret_key", endpoint_url="url"),
            look_up("a profile as well", **here, endpoint_url="url", profile="'prod'"),
            look_up("password", **here, endpoint_url="'https://root:' ~ password ~ '@s3.example.com'"),
        ],
        args=["-vvvv"],
        key=key,
        url=seaweedfs.endpoint_url,
        **SECRETS,
    )
    assert {one.task for one in run.results if one.status == "ignored"} == {one.task for one in run.results}
    assert leaks(run) == []
    words = {
        "wrong secret": "Check the credentials",
        "unreachable": "could not be reached",
        "bad option": "request_timeout is 0",
        "bad type": "request_timeout",
        "no access key": "access_key is not set",
        "a profile as well": "profile is",
        "password": "endpoint_url is",
    }
    assert {name: run[name]["msg"] for name, word in words.items() if word not in run[name]["msg"]} == {}


@pytest.mark.parametrize("variable", ["AWS_URL", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_a_password_in_the_environments_endpoint_is_refused_and_never_shown(run_playbook, key, variable):
    port = ports.free_ports(1)[0]
    run = run_playbook(
        [task("acquire", ACQUIRE, key=key, request_timeout=1), look_up("look up", request_timeout=1)],
        args=["-vvvv"],
        env={**ENVIRONMENT, variable: f"http://root:{SECRETS['password']}@127.0.0.1:{port}"},
        key=key,
    )
    assert run.statuses("acquire") == run.statuses("look up") == {"localhost": "ignored"}
    assert leaks(run) == []
    assert "user or password" in run["acquire"]["msg"]
    assert "user or password" in run["look up"]["msg"]
