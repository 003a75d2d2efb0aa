# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import re

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import CannotSend
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.config import Config
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.credentials import (
    ReloadingConnection,
    connect,
)
from support.server import Answer, LoopbackServer
from support.wire import stamp


class Server(LoopbackServer):
    def handle(self, exchange):
        exchange.reply(Answer(200, "OK"))


@pytest.fixture
def server():
    with Server() as started:
        yield started


@pytest.fixture(autouse=True)
def _nothing_else(monkeypatch, tmp_path):
    """No credentials but those of the test."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("BOTO_CONFIG", str(tmp_path / "boto"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "db.credentials"


def keys(name, secret="whatever"):
    return "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n" % (name, secret)


def configured(server, path):
    return Config(name="db", key="db", endpoint_url=server.url, credentials_file=path and str(path))


def sent_as(server, connection):
    """Who the next request is by."""
    server.forget()
    connection.send("GET", {}, b"", 10, stamp())
    return re.search(r"Credential=([^/]+)", server.requests[0].headers["Authorization"]).group(1)


def test_keys_that_were_replaced_are_gone_by_from_the_next_request_on(server, path, tmp_path):
    path.write_text(keys("first"))
    connection = ReloadingConnection(configured(server, path))
    assert sent_as(server, connection) == "first"
    path.write_text(keys("in-place"))
    assert sent_as(server, connection) == "in-place"
    (tmp_path / "new").write_text(keys("renamed"))
    (tmp_path / "new").rename(path)
    assert sent_as(server, connection) == "renamed"


@pytest.mark.parametrize("attribute", ["size", "inode", "time"])
def test_each_trace_of_a_change_is_enough(server, path, tmp_path, attribute):
    path.write_text(keys("first"))
    before = path.stat()
    connection = ReloadingConnection(configured(server, path))
    assert sent_as(server, connection) == "first"
    changed = tmp_path / "new" if attribute == "inode" else path
    changed.write_text(keys("other" if attribute != "size" else "longer"))
    os.utime(changed, ns=(0, before.st_mtime_ns + (attribute == "time")))
    changed.rename(path)
    assert sent_as(server, connection) == ("longer" if attribute == "size" else "other")


def test_a_file_that_is_the_same_is_not_read_again(server, path):
    path.write_text(keys("first"))
    connection = ReloadingConnection(configured(server, path))
    for name in ("first", "second"):
        path.write_text(keys(name))
        sent_as(server, connection)
        before = connection._connection
        assert sent_as(server, connection) == name
        assert connection._connection is before


def test_a_file_that_is_gone_sends_nothing_until_it_is_back(server, path):
    path.write_text(keys("first"))
    connection = ReloadingConnection(configured(server, path))
    path.rename(path.with_name("elsewhere"))
    server.forget()
    for _again in range(2):
        with pytest.raises(CannotSend, match=r'credentials_file is ".*db\.credentials": No such file'):
            connection.send("GET", {}, b"", 10, stamp())
    assert server.requests == []
    path.with_name("elsewhere").rename(path)
    assert sent_as(server, connection) == "first"


@pytest.mark.parametrize(
    "half",
    ["", "[default", "[default]\n", "[default]\naws_access_key_id = first\n", "the-secret", "[default]\nthe-secret\n"],
)
def test_a_file_that_is_half_written_sends_nothing_and_tells_no_secret(server, path, half):
    path.write_text(keys("first", "the-secret"))
    connection = ReloadingConnection(configured(server, path))
    path.write_text(half)
    with pytest.raises(CannotSend) as caught:
        connection.send("GET", {}, b"", 10, stamp())
    assert "the-secret" not in str(caught.value)
    assert server.requests == []
    path.write_text(keys("first", "the-secret"))
    assert sent_as(server, connection) == "first"


def test_a_file_that_cannot_be_read_is_refused_rather_than_passed_over(server, path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody-else")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "whatever")
    with pytest.raises(BadOption, match="No such file"):
        connect(configured(server, path))
    path.mkdir()
    with pytest.raises(BadOption, match="Is a directory"):
        connect(configured(server, path))


def test_new_keys_do_not_move_the_lease_to_another_store(server, path, monkeypatch):
    path.write_text(keys("first"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
    connection = ReloadingConnection(Config(name="db", key="db", credentials_file=str(path)))
    assert sent_as(server, connection) == "first"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")  # as a profile in the file may do, too
    path.write_text(keys("second-keys"))
    for _again in range(2):
        with pytest.raises(CannotSend, match=f"the lease would move from {server.url}/.* to http://127.0.0.1:1/"):
            connection.send("GET", {}, b"", 10, stamp())
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
    assert sent_as(server, connection) == "second-keys"


@pytest.mark.parametrize("key", ["jobs/a+b", "leases/a b", "leases"])
def test_a_lease_has_one_place_however_it_is_addressed(key):
    def place(style, endpoint="https://s3.example.com", key=key):
        return ReloadingConnection(Config("db", key, "leases", endpoint_url=endpoint, addressing_style=style)).place

    assert place("virtual") == place("path") == f"https://s3.example.com/leases/{key}"
    assert place("virtual") != place("path", endpoint="https://leases.s3.example.com")
    assert place("virtual", key="leases/a") != place("path", endpoint="https://leases.s3.example.com", key="a")


def test_leases_of_two_stores_two_buckets_and_two_keys_have_places_of_their_own(monkeypatch):
    def place(url="https://s3.example.com/one", bucket="leases", key="a"):
        return ReloadingConnection(Config("db", key, bucket, endpoint_url=url)).place

    places = [place(), place(url="https://s3.example.com/two"), place(bucket="other"), place(key="b"), place(url=None)]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.net")
    places += [place(url=None)]
    assert len({*places}) == 6


def test_the_environment_stays_as_it_is(server, path):
    path.write_text(keys("configured"))
    before = dict(os.environ)
    assert sent_as(server, ReloadingConnection(configured(server, path))) == "configured"
    assert dict(os.environ) == before


def test_what_systemd_hands_over_is_used_where_no_file_is_configured(server, path, tmp_path, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "credentials").write_text(keys("handed-over"))
    assert sent_as(server, ReloadingConnection(configured(server, None))) == "handed-over"
    path.write_text(keys("configured"))
    assert sent_as(server, ReloadingConnection(configured(server, path))) == "configured"


def test_without_a_file_it_is_left_to_botocore(server, tmp_path, monkeypatch):
    (tmp_path / "home").write_text(keys("home"))
    assert sent_as(server, ReloadingConnection(configured(server, None))) == "home"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "nothing"))
    assert sent_as(server, ReloadingConnection(configured(server, None))) == "home"
