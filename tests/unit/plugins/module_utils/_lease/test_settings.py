# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import settings
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Endpoint


def refusal(check, *arguments, **options):
    """The text of the refusal; empty where nothing is refused."""
    try:
        check(*arguments, **options)
    except BadOption as error:
        return str(error)
    return ""


CONTROL = "it has a control character or another unprintable one. Remove it"
SLASHES = "stores disagree about empty parts and about . and .. between slashes"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "it has 0 bytes. Use 1 to 1024"),
        ("k" * 1025, "it has 1025 bytes"),
        ("é" * 513, "it has 1026 bytes"),
        ("🗝" * 257, "it has 1028 bytes"),
        ("a\0b", CONTROL),
        ("a\nb", CONTROL),
        ("a\tb", CONTROL),
        ("a\x7fb", CONTROL),
        ("a\x85b", CONTROL),
        ("a\u2028b", CONTROL),
        ("a\u202eb", CONTROL),
        ("a\ud800b", CONTROL),
        ("s3://leases/jobs/a", "it is a URL. Use bucket: leases and key: jobs/a"),
        ("s3://leases", "it is a URL. Use bucket: leases and key: KEY"),
        ("https://s3.example.com/leases/a", "it is a URL. Use endpoint_url, bucket and key"),
        ("/a", SLASHES),
        ("a/", SLASHES),
        ("a//b", SLASHES),
        ("/", SLASHES),
        (".", SLASHES),
        ("..", SLASHES),
        ("a/./b", SLASHES),
        ("a/../b", SLASHES),
        ("a/..", SLASHES),
    ],
)
def test_a_key_that_stores_may_take_for_another_is_refused(key, words):
    text = refusal(settings.check_key, key)
    assert text.startswith("key is ")
    assert words in text


@pytest.mark.parametrize(
    "key", ["a", "k" * 1024, "é" * 512, "a b", "a+b%2F?#&=~", "a/b/c", "...", ".a", "a..", 'it\'s "so"', "租/🗝"]
)
def test_every_other_key_is_good(key):
    assert refusal(settings.check_key, key) == ""


@pytest.mark.parametrize("bucket", ["", "ab", "..", "a/b", "a b", "bücket", "b" * 256, "a?b", "a\nb", "abc\n", "٣٣٣"])
def test_a_bucket_that_no_store_takes_is_refused(bucket):
    text = refusal(settings.check_bucket, bucket)
    assert text.startswith("bucket is ")
    assert text.endswith("use 3 to 255 letters, digits, dots, hyphens and underscores")


ACCESS_POINT = "arn:aws:s3:eu-central-1:123456789012:accesspoint/mine"


@pytest.mark.parametrize(
    "bucket",
    [
        "abc",
        "leader-election",
        "a.b-c_D",
        "b" * 255,
        ACCESS_POINT,
        ACCESS_POINT.replace("/", ":").replace("aws", "aws-us-gov"),
        "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01ac5d28a6a232904/accesspoint/mine",
    ],
)
def test_every_other_bucket_is_good(bucket):
    assert refusal(settings.check_bucket, bucket) == ""


@pytest.mark.parametrize(
    ("bucket", "words"),
    [
        ("arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap", "it is a multi-Region access point, whose buckets"),
        ("leases--use1-az4--x-s3", "directory buckets are not supported"),
        ("leases--use1-az4--xa-s3", "directory buckets are not supported"),
        ("arn:aws:s3:::leader-election", "it is not the ARN of an access point, like arn:aws:s3:"),
        ("arn:aws:s3-object-lambda:eu-central-1:123456789012:accesspoint/mine", "it is not the ARN of an access point"),
        (ACCESS_POINT + "?x", "it is not the ARN of an access point"),
    ],
)
def test_what_stands_for_no_single_bucket_is_refused(bucket, words):
    assert words in refusal(settings.check_bucket, bucket)


@pytest.mark.parametrize(
    ("check", "bad", "good", "words"),
    [
        (settings.check_holder, ("", "h" * 256, "a\nb", "\x1b[31m"), ("h", "h" * 255, "a b", "Jürgen"), "1 to 255"),
        (settings.check_session, ("", "1234567", "s" * 129, "12345\t78"), ("12345678", "s" * 128), "8 to 128"),
        (settings.check_reason, ("r" * 1001, "a\nb"), ("", "r" * 1000, "web-2 burnt down"), "at most 1000"),
    ],
)
def test_texts_for_people_are_short_and_printable(check, bad, good, words):
    name = check.__name__.removeprefix("check_")
    texts = [refusal(check, text) for text in bad]
    assert [text for text in texts if not text.startswith(f"{name} is ") or words not in text] == []
    assert [text for text in good if refusal(check, text)] == []


def test_metadata_becomes_texts():
    given = {"a": "b", "n": 4711, "f": 0.5, "yes": True, 7: "seven", "u": "é\n"}
    texts = {"a": "b", "n": "4711", "f": "0.5", "yes": "True", "7": "seven", "u": "é\n"}
    assert settings.check_metadata(given) == texts
    assert settings.check_metadata({}) == {}


@pytest.mark.parametrize("value", [None, [], ["a"], {}, {"a": "b"}, b"bytes"])
def test_metadata_that_is_not_flat_is_refused(value):
    text = refusal(settings.check_metadata, {"good": "b", "bad": value})
    assert text.startswith('metadata is {"bad": ')
    assert text.endswith("use strings or numbers as its values, not lists or maps")


def test_metadata_may_have_so_many_bytes_as_json():
    most = {"a": "x" * (4096 - len('{"a": ""}'))}
    assert refusal(settings.check_metadata, most) == ""
    text = refusal(settings.check_metadata, {"a": most["a"] + "x"})
    assert "it has 4097 bytes as JSON. Use at most 4096" in text
    assert len(text) < 300


@pytest.mark.parametrize(
    ("lease_duration", "request_timeout", "fits"),
    [
        (8, 5, True),
        (7.01, 5, True),
        (7, 5, False),
        (1, 1, False),
        (3, 1, False),
        (4, 1, True),
        (62, 60, False),
        (86400, 60, True),
        (0, 5, False),
        (-1, 5, False),
        (86401, 5, False),
        (float("nan"), 5, False),
        (float("inf"), 5, False),
    ],
)
def test_rule_9_a_lease_outlasts_a_slow_request_and_the_margin(lease_duration, request_timeout, fits):
    text = refusal(settings.check_durations, lease_duration, request_timeout)
    assert (text == "") == fits
    assert fits or text.startswith("lease_duration is ")


def test_rule_9_names_both_ways_out():
    assert refusal(settings.check_durations, 7, 5) == (
        "lease_duration is 7: a single slow request would outlast it (request_timeout 5 s + clock margin 2 s). "
        "Use a lease_duration of more than 7 s, or a shorter request_timeout"
    )


@pytest.mark.parametrize(
    ("takeover", "wait_timeout", "poll_interval", "lease_duration", "words"),
    [
        ("store_clock", 0, 2, 30, ""),
        ("never", 86400, 3600, 100, ""),
        ("never", 86400, 3600, 30, "Use a lease_duration of more than 93.4 s, or a shorter wait"),
        ("observed", 33, 2, 30, ""),
        ("observed", 32, 2, 30, "wait_timeout is 32: takeover: observed has to watch"),
        ("observed", 0, 2, 30, "Use more than 32 s, or takeover: store_clock"),
        ("observed", 10011, 2, 10000, "Use more than 10011.5 s"),
        ("always", 0, 2, 30, 'takeover is "always": use one of store_clock, observed, never'),
        ("never", -1, 2, 30, "wait_timeout is -1: use 0 to 86400 seconds"),
        ("never", 86401, 2, 30, "wait_timeout is 86401: use 0 to 86400 seconds"),
        ("never", 0, 0, 30, "poll_interval is 0: use 1 to 3600 seconds"),
        ("never", 0, 3601, 30, "poll_interval is 3601: use 1 to 3600 seconds"),
    ],
)
def test_a_wait_that_cannot_bring_what_it_is_for_is_refused(
    takeover, wait_timeout, poll_interval, lease_duration, words
):
    text = refusal(settings.check_waiting, takeover, wait_timeout, poll_interval, lease_duration, request_timeout=5)
    assert words in text
    assert bool(words) == bool(text)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000",
        "https://s3.example.com",
        "https://s3.example.com/",
        "https://s3.example.com/base/path",
        "http://[::1]:9000",
        "HTTPS://S3.EXAMPLE.COM",
    ],
)
def test_a_url_of_a_store_is_good(url):
    assert refusal(Endpoint, endpoint_url=url) == ""


@pytest.mark.parametrize(
    "url",
    [
        "s3.example.com",
        "127.0.0.1:9000",
        "//s3.example.com",
        "ftp://s3.example.com",
        "s3://bucket",
        "http://",
        "http:///path",
        "https://s3.example.com:port",
        "https://s3.example.com:99999",
        "https://s3.example.com/?a=b",
        "https://s3.example.com/#a",
        "https://[::1",
        "https://s3 .example.com",
        "https://s3.example.com/a b",
    ],
)
def test_a_url_of_no_store_is_refused_with_an_example(url):
    text = refusal(Endpoint, endpoint_url=url)
    assert text.startswith("endpoint_url is ")
    assert text.endswith("use a URL like https://s3.example.com:9000")


def test_a_password_before_a_host_without_a_scheme_is_refused_unseen():
    assert "hunter2" not in refusal(Endpoint, endpoint_url="root:hunter2@s3.example.com")


@pytest.mark.parametrize(
    "user", ["root:hunter2", "hunter2", ":hunter2", "root:hunter2@x", "root:hun?ter2", "a:b#hunter2"]
)
def test_a_password_in_the_url_is_refused_unseen(user):
    text = refusal(Endpoint, endpoint_url=f"https://{user}@s3.example.com")
    assert text.startswith("endpoint_url is ")
    assert "hunter2" not in text
    assert "hun?ter2" not in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"access_key": "a"}, "secret_key is not set: access_key is, and needs it. Set both or neither"),
        ({"secret_key": "b"}, "access_key is not set: secret_key is, and needs it. Set both or neither"),
        ({"access_key": "a", "secret_key": ""}, "secret_key is not set"),
        (
            {"profile": "prod", "access_key": "a", "secret_key": "b"},
            'profile is "prod": it cannot be combined with access_key, secret_key or',
        ),
        ({"profile": "prod", "session_token": "t"}, "Leave out one of the two"),
        ({"request_timeout": 0}, "request_timeout is 0: use 1 to 60 seconds"),
        ({"request_timeout": 61}, "request_timeout is 61: use 1 to 60 seconds"),
        ({"addressing_style": "dns"}, 'addressing_style is "dns": use one of auto, path, virtual'),
        ({"expected_bucket_owner": "12345"}, 'expected_bucket_owner is "12345": use the 12 digits of an AWS account'),
        ({"expected_bucket_owner": "alice"}, "use the 12 digits of an AWS account, in quotes if the first is a 0"),
        ({"aws_config": {"retries": {}}}, 'aws_config is "retries": use s3, use_fips_endpoint, use_dualstack_endpoint'),
        ({"aws_config": {"s3": "path"}}, 'aws_config is "s3": it has to be a dictionary'),
        ({"aws_config": {"proxies": "http://p"}}, 'aws_config is "proxies": it has to be a dictionary'),
        ({"aws_config": {"proxies": {"http": 5}}}, 'aws_config is "proxies": it has to have the URL of a proxy'),
        ({"aws_config": {"client_cert": ["/a.pem"]}}, 'aws_config is "client_cert": it has to be a file, or a list'),
        ({"aws_config": {"client_cert": 5}}, 'aws_config is "client_cert": it has to be a file, or a list of two'),
    ],
)
def test_connection_options_that_contradict_each_other_are_refused(options, words):
    assert words in refusal(Endpoint, **options)


def test_a_refusal_shows_no_secret():
    texts = [
        refusal(Endpoint, secret_key="the-secret"),
        refusal(Endpoint, profile="prod", access_key="a", secret_key="the-secret", session_token="the-token"),
        refusal(Endpoint, profile="prod", session_token="the-token"),
    ]
    assert all(texts)
    assert not any("the-secret" in text or "the-token" in text for text in texts)


def test_errors_are_retried_for_three_request_timeouts():
    assert Endpoint(request_timeout=7).patience == 24


@pytest.mark.parametrize("option", ["access_key", "secret_key", "session_token", "region"])
def test_a_line_end_that_a_file_left_behind_is_refused_by_name_and_unseen(option):
    given = {"access_key": "AKIA", "secret_key": "the-secret", "session_token": "the-token", "region": "r"}
    text = refusal(Endpoint, **{**given, option: given[option] + "\n"})
    assert text.startswith(f"{option} is ")
    assert "the-secret" not in text
    assert "the-token" not in text


def test_a_textfile_is_a_file_that_can_be_written_and_that_node_exporter_reads(tmp_path):
    settings.check_textfile(str(tmp_path / "nightly.prom"))


@pytest.mark.parametrize("name", ["nightly", "", ".prom", "missing/nightly.prom", "folder.prom"])
def test_another_one_is_refused(tmp_path, name):
    (tmp_path / "folder.prom").mkdir()
    with pytest.raises(BadOption, match=r"^textfile is"):
        settings.check_textfile(str(tmp_path / name))
