# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import config, leases
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.config import Config
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.timing import Timing
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import REACTION

ALL = {
    "bucket": "leases",
    "key": "jobs/db",
    "holder": "web-1",
    "lease_duration": 60,
    "renew_interval": 7.5,
    "stop_grace": 20,
    "poll_interval": 3,
    "request_timeout": 4,
    "metadata": {"rack": 7},
    "endpoint_url": "https://s3.example.com",
    "region": "eu-west-1",
    "profile": "leases",
    "validate_certs": False,
    "aws_ca_bundle": "/etc/ssl/own.pem",
    "addressing_style": "path",
    "expected_bucket_owner": "012345678901",
    "credentials_file": "/etc/s3-leader/db.credentials",
}


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(leases, "FOLDER", str(tmp_path))
    return tmp_path


@pytest.fixture
def load(folder):
    """Loads what is given, written as JSON, or text or bytes as they are."""

    def load(given):
        if not isinstance(given, (str, bytes)):
            given = json.dumps(given)
        (folder / "db.json").write_bytes(given if isinstance(given, bytes) else given.encode())
        return config.load("db")

    return load


def refusal(call, *arguments):
    try:
        call(*arguments)
    except BadOption as error:
        return str(error)
    return ""


def test_every_option_of_the_file_is_gone_by(load):
    loaded = load(ALL)
    assert {option: getattr(loaded, option) for option in ALL} == {**ALL, "metadata": {"rack": "7"}}
    assert loaded.name == "db"
    assert str(loaded.location) == "s3://leases/jobs/db"
    assert loaded.timing == Timing(60, 7.5, 20, 3, 4)
    endpoint = loaded.endpoint
    shared = [option for option in ALL if hasattr(endpoint, option)]
    assert {option: getattr(endpoint, option) for option in shared} == {option: ALL[option] for option in shared}
    assert len(shared) == 9


@pytest.mark.parametrize("missing", [{}, dict.fromkeys(set(ALL) - {"key"})])
def test_what_is_missing_or_null_has_its_default(load, missing):
    loaded = load({**missing, "key": "db"})
    assert loaded == Config(name="db", key="db")
    assert loaded.holder == os.uname().nodename
    assert loaded.timing == Timing(30, 5, 12, 1, 3)


def test_another_file_can_be_looked_at(folder):
    (folder / "other").write_text('{"key": "elsewhere"}')
    assert config.load("db", str(folder / "other")).key == "elsewhere"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "it is not JSON"),
        ('{"key": "db"', "it is not JSON"),
        ("key: db", "it is not JSON"),
        (b'{"key": "\xff"}', "it is not JSON"),
        ("[" * 100000, "it is not JSON"),
        ("[]", "it has to be an object with at least a key"),
        ('"key"', "it has to be an object with at least a key"),
        ("{}", "it has to be an object with at least a key"),
        ('{"key": null}', "it has to be an object with at least a key"),
    ],
)
def test_what_is_no_configuration_is_refused_with_its_path(load, folder, given, words):
    text = refusal(load, given)
    assert text.startswith("configuration is ")
    assert words in text


def test_a_file_that_cannot_be_read_is_refused_with_its_path(folder):
    assert refusal(config.load, "db") == (
        f'configuration is "{folder}/db.json": No such file or directory. The role heartbeat writes it'
    )
    (folder / "db.json").mkdir()
    assert "Is a directory" in refusal(config.load, "db")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("lease_duration", "30", "it has to be a number of seconds"),
        ("renew_interval", True, "it has to be a number of seconds"),
        ("stop_grace", [12], "it has to be a number of seconds"),
        ("poll_interval", {}, "it has to be a number of seconds"),
        ("validate_certs", "no", "it has to be true or false"),
        ("validate_certs", 0, "it has to be true or false"),
        ("metadata", ["a"], "it has to be an object"),
        ("bucket", 7, "it has to be a string"),
        ("holder", ["web-1"], "it has to be a string"),
        ("endpoint_url", False, "it has to be a string"),
        ("lease_duration", float("nan"), "use 1 to 86400 seconds"),
        ("lease_duration", float("inf"), "use 1 to 86400 seconds"),
        ("renew_interval", 0.5, "use 1 to 3600 seconds"),
        ("stop_grace", 0, "use 1 to 3600 seconds"),
        ("stop_grace", -1, "use 1 to 3600 seconds"),
        ("poll_interval", 61, "use 1 to 60 seconds"),
        ("takeover_delay", -1, "use 0 to 3600 seconds"),
        ("takeover_delay", 3601, "use 0 to 3600 seconds"),
        ("request_timeout", 61, "use 1 to 60 seconds"),
        ("bucket", "a/b", "use 3 to 255 letters"),
        ("key", "/db", "stores disagree"),
        ("holder", "", "use 1 to 255 printable characters"),
        ("holder", "web\n1", "use 1 to 255 printable characters"),
        ("metadata", {"a": ["b"]}, "use strings or numbers as its values"),
        ("endpoint_url", "s3.example.com", "use a URL"),
        ("addressing_style", "host", "use one of auto, path, virtual"),
        ("credentials_file", "db.credentials", "use an absolute path"),
        ("credentials_file", "/etc/\0", "use an absolute path"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_its_name(load, option, value, words):
    text = refusal(load, {"key": "db", option: value})
    assert text.startswith(option + " is ")
    assert words in text


@pytest.mark.parametrize("option", ["secret_key", "name", "lease_durration", "takeover"])
def test_an_option_that_there_is_not_is_refused_and_its_value_not_told(load, option):
    text = refusal(load, {"key": "db", option: "hunter2"})
    assert text.startswith(option + " is ***: this option does not exist")
    assert "hunter2" not in text


def test_two_renewals_have_to_fit_in_before_the_services_must_begin_to_stop():
    least = 12 + 2 * 5 + 3 + REACTION
    assert Config(name="db", key="db", lease_duration=least).lease_duration == least
    text = refusal(lambda: Config(name="db", key="db", lease_duration=least - 0.1))
    assert text.startswith("lease_duration is 25.4: two renewals have to fit in")
    assert "Use 25.5 s or more" in text


@pytest.mark.parametrize("name", ["", "A", "../db", "a\n"])
def test_a_name_that_units_cannot_have_is_refused_before_its_file_is_looked_for(folder, name):
    assert refusal(config.load, name, str(folder / "no file")).startswith("name is ")
