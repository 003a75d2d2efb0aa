# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.options import (
    CONFLICT,
    USAGE,
    parse,
)

COMMAND = ["--", "backup.sh", "--all"]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("AWS_URL", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def test_without_options_the_lease_is_waited_for_and_the_command_is_what_follows_the_dashes():
    order = parse(["--key", "a", "--", "backup.sh", "--key", "--", "b"])
    assert order.command == ["backup.sh", "--key", "--", "b"]
    assert (order.wait, order.conflict, order.name) == (float("inf"), CONFLICT, "")
    assert str(order.location) == "s3://leader-election/a"
    assert (order.lease_duration, order.stop_grace, order.takeover) == (30, 10, "store_clock")


def test_all_options_are_known(monkeypatch):
    monkeypatch.setenv("AWS_URL", "https://elsewhere.example.com")
    assert parse(["--key", "a", *COMMAND]).endpoint.endpoint_url == "https://elsewhere.example.com"
    words = "--key a --bucket b-1 --holder h --lease-duration 20 --stop-grace 5 --takeover never --metadata x=1=2"
    store = "--endpoint-url https://s3 --region r --profile p --credentials-file /c --aws-ca-bundle /ca"
    store += " --expected-bucket-owner 012345678901"
    more = "--no-validate-certs --addressing-style path --request-timeout 3 -n -E 0 --textfile /tmp/nightly.prom"
    order = parse([*words.split(), *store.split(), *more.split(), *COMMAND])
    assert (str(order.location), order.holder, order.metadata) == ("s3://b-1/a", "h", {"x": "1=2"})
    assert (order.lease_duration, order.stop_grace, order.takeover) == (20, 5, "never")
    assert (order.wait, order.conflict, order.renew_interval) == (0, 0, pytest.approx(5.75))
    assert order.textfile == "/tmp/nightly.prom"
    endpoint = order.endpoint
    assert (endpoint.endpoint_url, endpoint.region, endpoint.profile) == ("https://s3", "r", "p")
    assert (endpoint.credentials_file, endpoint.aws_ca_bundle, endpoint.validate_certs) == ("/c", "/ca", False)
    assert (endpoint.addressing_style, endpoint.request_timeout) == ("path", 3)
    assert endpoint.expected_bucket_owner == "012345678901"


def test_the_bucket_may_be_in_the_environment(monkeypatch):
    monkeypatch.setenv("S3_LEADER_BUCKET", "our-leases")
    assert parse(["--key", "a", *COMMAND]).location.bucket == "our-leases"
    assert parse(["--key", "a", "--bucket", "others", *COMMAND]).location.bucket == "others"
    monkeypatch.setenv("S3_LEADER_BUCKET", "")
    with pytest.raises(BadOption, match="bucket is"):  # as a module does: the default bucket may not be meant
        parse(["--key", "a", *COMMAND])


def test_a_lease_of_the_host_is_known_by_its_name():
    order = parse(["db", "--wait", "5", *COMMAND])
    assert (order.name, order.wait) == ("db", 5)


def test_times_are_durations():
    words = ["--wait", "1m30s", "--lease-duration", "1h", "--stop-grace", "20s", "--hold-at-least", "0.5m"]
    order = parse(["--key", "a", *words, "--request-timeout", "2s", *COMMAND])
    assert (order.wait, order.lease_duration, order.stop_grace, order.hold_at_least) == (90, 3600, 20, 30)
    assert order.endpoint.request_timeout == 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--key", "a"], "no command: put it after --"),
        (["--key", "a", "--"], "no command: put it after --"),
        (["backup.sh"], "no command: put it after --"),
        (COMMAND, "use either --key, or the NAME of a lease of this host"),
        (["db", "--key", "a", *COMMAND], "use either --key, or the NAME of a lease of this host"),
        (["db", "--bucket", "b-1", "--no-validate-certs", *COMMAND], "--bucket, --no-validate-certs: the daemon's"),
        (["--key", "a", "--wait", "nan", *COMMAND], "--wait: 'nan': use a number of seconds, or a duration like 90s"),
        (["--key", "a", "--wait", "soon", *COMMAND], "--wait: 'soon': use a number of seconds, or a duration like 90s"),
        (["jobs/backup", *COMMAND], "jobs/backup is no lease of this host: write --key jobs/backup"),
        (["--key", "a", "backup.sh", "--all"], "no command: put it after --"),
        (["--key", "a", "-n", "--wait", "3", *COMMAND], "not allowed with argument"),
        (["--key", "a", "--unknown", *COMMAND], "unrecognized arguments: --unknown"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(capsys, words, text):
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == USAGE
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--wait", "-1"], "--wait is -1: use 0 or more"),
        (["--conflict-exit-code", "256"], "--conflict-exit-code is 256: use 0 to 255"),
        (["--hold-at-least", "-1"], "--hold-at-least is -1: use 0 to 86400"),
        (["--stop-grace", "0.5"], "--stop-grace is 0.5: use 1 to 3600"),
        (["--lease-duration", "17"], "lease_duration is 17: it is too short to be kept"),
        (["--lease-duration", "7"], "a single slow request would outlast it"),
        (["--metadata", "x"], '--metadata is "x": use NAME=VALUE'),
        (["--metadata", "=x"], "use NAME=VALUE"),
        (["--bucket", "a b"], 'bucket is "a b"'),
        (["--holder", ""], 'holder is ""'),
        (["--takeover", "observed", "--wait", "32"], "has to watch a lease for 32 s. Use more"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(words, text):
    with pytest.raises(BadOption) as error:
        parse(["--key", "a", *words, *COMMAND])
    assert text in str(error.value)


def test_observing_is_possible_with_a_wait_that_is_long_enough():
    assert parse(["--key", "a", "--takeover", "observed", "--wait", "33", *COMMAND]).takeover == "observed"
