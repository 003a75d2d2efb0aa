# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import http.server
import re
import socket
import threading
import time
import urllib.parse

import botocore.exceptions
import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import (
    CannotSend,
    Connection,
    GivenUp,
    NoAnswer,
    Response,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Endpoint, Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.store_time import Stamp
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError, SSLError
from support.server import Answer, LoopbackServer
from support.stores.odd import Store
from support.wire import stamp

KEYS = {"access_key": "AKIA-somebody", "secret_key": "whatever"}


pytestmark = pytest.mark.usefixtures("aws")


def url(bucket="bucket", key="jobs/a", **options):
    return Connection(Endpoint(**{**KEYS, **options}), Location(bucket, key)).url


@pytest.fixture
def serve():
    """Starts a server that gives the same answer to everything."""
    started = []

    def start(answer=Answer(200, "OK"), handle=None):  # noqa: B008
        class Server(LoopbackServer):
            def handle(self, exchange):
                handle(exchange) if handle else exchange.reply(answer)

        server = Server()
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def connection_to(server, key="jobs/a", **options):
    return Connection(
        Endpoint(**{**KEYS, "endpoint_url": server.url, "request_timeout": 1, **options}), Location("bucket", key)
    )


# -- The URL ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, r"https://bucket\.s3(\.us-east-1)?\.amazonaws\.com/jobs/a"),
        ({"region": "eu-central-1"}, r"https://bucket\.s3\.eu-central-1\.amazonaws\.com/jobs/a"),
        ({"region": "cn-north-1"}, r"https://bucket\.s3\.cn-north-1\.amazonaws\.com\.cn/jobs/a"),
        ({"region": "us-gov-west-1"}, r"https://bucket\.s3\.us-gov-west-1\.amazonaws\.com/jobs/a"),
        (
            {"region": "eu-central-1", "addressing_style": "path"},
            r"https://s3\.eu-central-1\.amazonaws\.com/bucket/jobs/a",
        ),
        (
            {"region": "eu-central-1", "bucket": "with.dots"},
            r"https://s3\.eu-central-1\.amazonaws\.com/with\.dots/jobs/a",
        ),
        ({"region": "eu-central-1", "bucket": "UPPER"}, r"https://s3\.eu-central-1\.amazonaws\.com/UPPER/jobs/a"),
    ],
)
def test_without_an_endpoint_it_is_aws_of_the_region(options, expected):
    assert re.fullmatch(expected, url(**options))


@pytest.mark.parametrize(
    ("endpoint_url", "style", "expected"),
    [
        ("http://127.0.0.1:9000", "auto", "http://127.0.0.1:9000/bucket/jobs/a"),
        ("http://127.0.0.1:9000/", "auto", "http://127.0.0.1:9000/bucket/jobs/a"),
        ("https://s3.example.com", "auto", "https://s3.example.com/bucket/jobs/a"),
        ("https://s3.example.com", "path", "https://s3.example.com/bucket/jobs/a"),
        ("https://s3.example.com", "virtual", "https://bucket.s3.example.com/jobs/a"),
        ("https://s3.example.com:9000/", "virtual", "https://bucket.s3.example.com:9000/jobs/a"),
        ("https://s3.example.com/base/path/", "auto", "https://s3.example.com/base/path/bucket/jobs/a"),
        ("https://s3.example.com/base", "virtual", "https://bucket.s3.example.com/base/jobs/a"),
        ("http://[::1]:9000", "auto", "http://[::1]:9000/bucket/jobs/a"),
    ],
)
def test_the_bucket_goes_where_the_addressing_style_says(endpoint_url, style, expected):
    assert url(endpoint_url=endpoint_url, addressing_style=style) == expected


@pytest.mark.parametrize("style", ["auto", "virtual"])
def test_a_url_that_ends_with_the_bucket_is_refused_since_the_lease_would_be_another_one(style):
    with pytest.raises(BadOption, match="it ends with the name of the bucket"):
        url(endpoint_url="http://127.0.0.1:9000/bucket/", addressing_style=style)
    assert url(endpoint_url="http://h/my-bucket") == "http://h/my-bucket/bucket/jobs/a"


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a b", "a%20b"),
        ("a+b", "a%2Bb"),
        ("100%", "100%25"),
        ("a%2Fb", "a%252Fb"),
        ("a?b&c=d#e", "a%3Fb%26c%3Dd%23e"),
        ("~a/-_.b", "~a/-_.b"),
        ("ü/🗝", "%C3%BC/%F0%9F%97%9D"),
        ("'\"()!*;:@,[]{}|\\^`<>$", "%27%22%28%29%21%2A%3B%3A%40%2C%5B%5D%7B%7D%7C%5C%5E%60%3C%3E%24"),
    ],
)
def test_a_key_is_percent_encoded_as_the_signature_wants_it(key, path):
    assert url(key=key, endpoint_url="http://h") == f"http://h/bucket/{path}"


def test_a_request_has_the_encoded_path_on_the_wire(serve):
    server = serve()
    connection_to(server, key="a b+c%/🗝?d#e~").send("GET", {}, b"", 10, stamp())
    assert server.requests[0].path == "/bucket/a%20b%2Bc%25/%F0%9F%97%9D%3Fd%23e~"
    assert server.requests[0].key == "a b+c%/🗝?d#e~"


SERVICES = (
    "[services mine]\ns3 =\n  endpoint_url = http://service\n[services others]\nec2 =\n  endpoint_url = http://ec2"
)
IGNORED = {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "True"}
AWS = "https://s3.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    ("variables", "config", "option", "expected"),
    [
        ({"AWS_ENDPOINT_URL": "http://all"}, "", None, "http://all"),
        ({"AWS_ENDPOINT_URL_S3": "http://s3", "AWS_ENDPOINT_URL": "http://all"}, "", None, "http://s3"),
        ({"AWS_ENDPOINT_URL": "http://all"}, "endpoint_url = http://file", None, "http://all"),
        ({}, "endpoint_url = http://file", None, "http://file"),
        ({"AWS_ENDPOINT_URL_S3": "http://s3"}, "", "http://option", "http://option"),
        ({"AWS_ENDPOINT_URL_S3": "", "AWS_ENDPOINT_URL": "http://all"}, "", None, "http://all"),
        ({}, f"services = mine\nendpoint_url = http://file\n{SERVICES}", None, "http://service"),
        ({}, f"services = others\nendpoint_url = http://file\n{SERVICES}", None, "http://file"),
        ({}, "services = odd\nendpoint_url = http://file\n[services odd]\ns3 = http://odd", None, "http://file"),
        ({"AWS_ENDPOINT_URL": "http://all"}, f"services = mine\n{SERVICES}", None, "http://all"),
        ({"AWS_ENDPOINT_URL": "http://all", **IGNORED}, "", None, AWS),
        ({"AWS_ENDPOINT_URL": "http://all"}, "ignore_configured_endpoint_urls = true", None, AWS),
        (IGNORED, "", "http://option", "http://option"),
        ({"AWS_USE_FIPS_ENDPOINT": "true"}, "", None, AWS.replace("s3.", "s3-fips.")),
        ({}, "use_dualstack_endpoint = true", None, AWS.replace("s3.", "s3.dualstack.")),
    ],
)
def test_the_endpoint_is_looked_for_in_option_environment_and_configuration(
    monkeypatch, aws, variables, config, option, expected
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    aws(f"[default]\n{config}\n")
    assert url(endpoint_url=option, addressing_style="path") == f"{expected}/bucket/jobs/a"


def test_a_proxy_that_is_given_is_asked(serve):
    proxy = serve()
    connection = connection_to(proxy, endpoint_url="http://store.invalid", aws_config={"proxies": {"http": proxy.url}})
    assert connection.send("GET", {}, b"", 10, stamp()).status == 200
    assert [request.headers["Host"] for request in proxy.requests] == ["store.invalid"]


def test_no_proxy_is_one_that_is_given(serve, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert connection_to(serve(), aws_config={"proxies": {}}).send("GET", {}, b"", 10, stamp()).status == 200


def test_a_certificate_for_the_store_comes_as_one_file_or_as_two(certificate):
    for given, passed in ((str(certificate), str(certificate)), (["/a.pem", "/a.key"], ("/a.pem", "/a.key"))):
        endpoint = Endpoint(**KEYS, endpoint_url="https://h", aws_config={"client_cert": given})
        session = Connection(endpoint, Location("bucket", "a"))._connected()
        files = (session._cert_file, session._key_file)
        assert files == (passed if isinstance(passed, tuple) else (passed, None))


def test_a_profile_of_the_environment_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nope")
    with pytest.raises(BadOption, match='profile is "nope": neither'):
        url()


def test_the_owner_that_the_bucket_has_to_have_is_sent_and_signed(serve):
    server = serve()
    connection_to(server, expected_bucket_owner="012345678901").send("PUT", {}, b"body", 10, stamp())
    connection_to(server).send("PUT", {}, b"body", 10, stamp())
    with_owner, without = server.requests
    assert with_owner.headers["x-amz-expected-bucket-owner"] == "012345678901"
    assert "x-amz-expected-bucket-owner" in with_owner.headers["Authorization"]
    assert "x-amz-expected-bucket-owner" not in without.headers


def test_a_connection_notes_what_it_asks_of_s3(serve):
    connection = connection_to(serve())
    connection.send("GET", {}, b"", 10, stamp())
    connection.send("PUT", {}, b"body", 10, stamp())
    connection.at("other").send("DELETE", {}, b"", 10, stamp())
    connection.at("", "versioning").send("GET", {}, b"", 10, stamp())
    connection.at("", "list-type=2&prefix=jobs").send("GET", {}, b"", 10, stamp())
    of_buckets = {"s3:GetBucketVersioning", "s3:ListObjectsV2"}
    assert connection.actions == {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", *of_buckets}


@pytest.mark.parametrize("bad", ["nonsense", "http://root:hunter2@h", "http://h/?a=b"])
@pytest.mark.parametrize("place", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "config"])
def test_an_endpoint_from_elsewhere_is_checked_as_the_option_is(monkeypatch, aws, place, bad):
    if place == "config":
        aws(f"[default]\nendpoint_url = {bad}\n")
    else:
        monkeypatch.setenv(place, bad)
    with pytest.raises(BadOption) as caught:
        url()
    assert "hunter2" not in str(caught.value)


def test_a_region_that_aws_does_not_have_is_refused_with_the_way_out():
    with pytest.raises(BadOption, match=r'region is "a region": .*endpoint_url'):
        url(region="a region")


# -- Region, credentials, trust ---------------------------------------------------------------------------------------


def signed_for(server, **options):
    """Credential and region that a request is signed with."""
    server.forget()
    connection_to(server, **options).send("GET", {}, b"", 10, stamp())
    scope = re.search(r"Credential=([^,]+)", server.requests[0].headers["Authorization"])
    access_key, _date, region, service, _end = scope.group(1).split("/")
    assert service == "s3"
    return access_key, region


def test_the_region_is_looked_for_in_option_and_configuration(serve, aws, monkeypatch):
    server = serve()
    assert signed_for(server)[1] == "us-east-1"
    aws(
        "[default]\nregion = eu-west-1\n"
        "[profile prod]\nregion = eu-west-2\naws_access_key_id = P\naws_secret_access_key = s\n"
    )
    assert signed_for(server)[1] == "eu-west-1"
    assert signed_for(server, profile="prod", access_key=None, secret_key=None) == ("P", "eu-west-2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    assert signed_for(server)[1] == "eu-west-3"
    assert signed_for(server, region="eu-north-1")[1] == "eu-north-1"


def test_credentials_come_from_the_options_or_from_botocores_chain(serve, monkeypatch):
    server = serve()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert signed_for(server)[0] == "AKIA-somebody"
    assert signed_for(server, access_key=None, secret_key=None)[0] == "AKIA-environment"


def test_an_unknown_profile_is_refused():
    with pytest.raises(
        BadOption, match=r'profile is "nobody": neither ~/.aws/config nor ~/.aws/credentials has this profile'
    ):
        url(profile="nobody", access_key=None, secret_key=None, endpoint_url="http://h", region="r")


@pytest.mark.parametrize("option", ["endpoint_url", "access_key", "profile", "region", "aws_ca_bundle"])
def test_an_option_that_is_empty_is_as_good_as_none(monkeypatch, option):
    """As an environment variable that is set to nothing is, and default('') in a playbook."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://environment")
    options = {"secret_key": ""} if option == "access_key" else {}
    assert (
        Connection(Endpoint(**{option: ""}, **options), Location("bucket", "a")).url == "https://environment/bucket/a"
    )


def test_without_credentials_nothing_is_sent(serve):
    server = serve()
    connection = connection_to(server, access_key=None, secret_key=None)
    with pytest.raises(CannotSend, match=r"no credentials.*access_key and secret_key"):
        connection.send("GET", {}, b"", 10, stamp())
    assert server.requests == []


def test_credentials_that_cannot_be_fetched_now_may_be_fetched_later(serve, aws):
    aws("[default]\ncredential_process = /bin/false\n")
    connection = connection_to(serve(), access_key=None, secret_key=None)
    with pytest.raises(NoAnswer, match="credentials could not be fetched"):
        connection.send("GET", {}, b"", 10, stamp())


def test_a_broken_configuration_is_no_stack_trace(aws):
    aws("this is no ini file")
    with pytest.raises((CannotSend, BadOption)):
        url(access_key=None, secret_key=None)


@pytest.mark.parametrize("source", ["option", "config", "environment"])
def test_a_ca_file_is_looked_for_in_option_environment_and_configuration(
    open_store, certificate, aws, monkeypatch, source
):
    store = open_store(Store, certificate=certificate)
    if source == "config":
        aws(f"[default]\nca_bundle = {certificate}\n")
    if source == "environment":
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with_option = {"aws_ca_bundle": str(certificate)} if source == "option" else {}
    assert connection_to(store, **with_option).send("GET", {}, b"", 1000, stamp()).status == 404


def test_without_the_ca_a_certificate_is_not_trusted(open_store, certificate):
    store = open_store(Store, certificate=certificate)
    with pytest.raises(
        CannotSend, match=f"certificate of {store.url} is not trusted .self-signed certificate.*set aws_ca_bundle"
    ):
        connection_to(store).send("GET", {}, b"", 10, stamp())
    assert connection_to(store, validate_certs=False).send("GET", {}, b"", 1000, stamp()).status == 404


def test_a_ca_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadOption, match=r"aws_ca_bundle is .*this file does not exist"):
        url(aws_ca_bundle=str(tmp_path / "missing.pem"), endpoint_url="https://h")


# -- One signed request -----------------------------------------------------------------------------------------------


def test_the_conditions_and_the_body_are_signed(serve):
    server = serve()
    connection = connection_to(server, session_token="token")
    connection.send("PUT", {"If-Match": '"e1"', "Content-Type": "application/json"}, b"body", 10, stamp())
    connection.send("PUT", {"If-None-Match": "*"}, b"body", 10, stamp())
    connection.send("GET", {"If-None-Match": '"e1"'}, b"", 10, stamp())
    replace, create, read = (
        set(re.search("SignedHeaders=([^,]+)", one.headers["Authorization"]).group(1).split(";"))
        for one in server.requests
    )
    assert {"host", "x-amz-date", "x-amz-content-sha256", "content-md5", "x-amz-security-token", "if-match"} <= replace
    assert {"if-none-match", "content-md5"} <= create
    assert "if-none-match" in read
    assert server.requests[0].headers["Content-MD5"] == base64.b64encode(hashlib.md5(b"body").digest()).decode()
    assert [one.headers["X-Amz-Content-SHA256"] for one in server.requests] == [
        hashlib.sha256(body).hexdigest() for body in (b"body", b"body", b"")
    ]
    assert [one.body for one in server.requests] == [b"body", b"body", b""]


def test_a_put_has_neither_expect_nor_a_trailing_checksum(serve):
    server = serve()
    connection_to(server).send("PUT", {"If-None-Match": "*"}, b"body", 10, stamp())
    headers = {name.lower(): value for name, value in server.requests[0].headers.items()}
    assert "expect" not in headers
    assert "transfer-encoding" not in headers
    assert not [name for name in headers if "checksum" in name or "trailer" in name]
    assert headers["content-length"] == "4"


def test_a_real_store_accepts_the_signature(seaweedfs, bucket, key):
    connection = Connection(Endpoint(**seaweedfs.options), Location(bucket, f"{key}/ü b+c%?~"))
    assert connection.send("PUT", {"If-None-Match": "*"}, b"body", 1000, stamp()).status == 200
    assert connection.send("PUT", {"If-None-Match": "*"}, b"body", 1000, stamp()).status == 412
    assert connection.send("GET", {}, b"", 1000, stamp()).body == b"body"


@pytest.mark.parametrize("status", [200, 301, 302, 307, 400, 403, 404, 408, 409, 412, 429, 500, 502, 503, 504])
def test_rule_11_one_call_is_one_request_whatever_the_answer(serve, monkeypatch, status):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    monkeypatch.setenv("AWS_RETRY_MODE", "standard")
    server = serve(Answer(status, "", (("Location", "/elsewhere"), ("Retry-After", "0")), b"x"))
    assert connection_to(server).send("PUT", {"If-Match": '"e1"'}, b"body", 10, stamp()).status == status
    assert server.count() == 1


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_rule_11_one_call_is_one_request_when_the_connection_breaks(serve, method):
    server = serve(handle=lambda exchange: exchange.close())
    with pytest.raises(NoAnswer, match="closed the connection before it answered"):
        connection_to(server).send(method, {}, b"body" if method == "PUT" else b"", 10, stamp())
    assert server.count() == 1


def test_a_request_has_the_date_that_it_is_given():
    with Store() as store:
        connection = connection_to(store)
        connection.send("GET", {}, b"", 10, Stamp(at=86400.0))
        connection.send("PUT", {"If-None-Match": "*"}, b"body", 10, Stamp(at=86400.0, lasts=7))
        in_headers, in_query = store.requests
    assert in_headers.headers["X-Amz-Date"] == "19700102T000000Z"
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(in_query.path).query)
    assert (query["X-Amz-Date"], query["X-Amz-Expires"]) == (["19700102T000000Z"], ["7"])
    assert "Authorization" not in in_query.headers


def test_a_signature_in_the_query_covers_conditions_and_body_and_leaves_the_body_out_of_the_url():
    with Store() as store:
        connection_to(store, session_token="token").send("PUT", {"If-Match": '"e1"'}, b"the body", 10, stamp(7))
        (request,) = store.requests
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
    assert {"host", "if-match", "content-md5"} <= set(query["X-Amz-SignedHeaders"][0].split(";"))
    assert query["X-Amz-Security-Token"] == ["token"]
    assert request.body == b"the body"
    assert "the" not in request.path
    assert request.headers["Content-MD5"] == base64.b64encode(hashlib.md5(b"the body").digest()).decode()


def test_a_real_store_carries_out_a_write_that_is_signed_in_the_query_until_its_time_is_over(seaweedfs, bucket, key):
    connection = Connection(Endpoint(**seaweedfs.options), Location(bucket, f"{key}/ü b+c%?~"))
    create = ("PUT", {"If-None-Match": "*"}, b"body", 1000)
    assert connection.send(*create, Stamp(time.time() - 10, 5)).status == 403
    assert connection.send("GET", {}, b"", 1000, stamp()).status == 404
    assert connection.send(*create, stamp(5)).status == 200
    assert connection.send(*create, stamp(5)).status == 412
    assert connection.send("GET", {}, b"", 1000, stamp()).body == b"body"


def test_what_its_caller_gives_up_before_the_last_byte_is_not_carried_out():
    def give_up():
        raise GivenUp

    with Store() as store:
        connection = connection_to(store)
        with pytest.raises(GivenUp):
            connection.send("PUT", {}, b"body", 10, stamp(5), give_up)
        assert connection.send("GET", {}, b"", 1000, stamp()).status == 404
        assert connection.send("PUT", {}, b"body", 10, stamp(5), lambda: None).status == 200


class Breaks:
    """An HTTP client that fails after so many parts of the body: the second one is its last byte."""

    def __init__(self, parts, error):
        self._parts, self._error = parts, error

    def send(self, request):
        for _part in range(self._parts):
            assert request.body.read(8192)
        raise self._error


def breaking(parts, kind, **options):
    connection = Connection(Endpoint(**KEYS, endpoint_url="https://h", **options), Location("bucket", "a"))
    connection._http = Breaks(parts, kind(endpoint_url="https://h", error="it broke"))
    return connection


@pytest.mark.parametrize("kind", [EndpointConnectionError, ConnectionClosedError, ReadTimeoutError, SSLError])
@pytest.mark.parametrize(("parts", "sent"), [(0, False), (1, False), (2, True)])
def test_rule_12_a_write_of_which_the_last_byte_was_not_sent_is_not_in_doubt(kind, parts, sent):
    with pytest.raises(NoAnswer) as error:
        breaking(parts, kind).send("PUT", {}, b"body", 10, stamp(5), lambda: None)
    assert error.value.sent is sent


def test_rule_12_a_write_whose_body_is_not_held_back_may_have_been_sent():
    with pytest.raises(NoAnswer) as error:
        breaking(0, ConnectionClosedError).send("PUT", {}, b"body", 10, stamp(5))
    assert error.value.sent


def test_rule_12_a_write_that_was_sent_is_in_doubt_though_the_ca_file_is_just_being_written(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    with pytest.raises(CannotSend, match="contains no certificate"):
        breaking(1, SSLError, aws_ca_bundle=str(bundle)).send("PUT", {}, b"body", 10, stamp(5), lambda: None)
    with pytest.raises(NoAnswer, match="TLS connection to https://h broke"):
        breaking(2, SSLError, aws_ca_bundle=str(bundle)).send("PUT", {}, b"body", 10, stamp(5), lambda: None)


def test_what_is_given_up_is_reset_and_not_delivered():
    """The kernel drops what it has not sent when the socket is closed, or when nobody acknowledges it for too long."""
    endings = []

    class Ends(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            try:
                endings.append(self.connection.recv(1))
            except ConnectionResetError:
                endings.append("reset")
            ended.set()

        def log_message(self, format, *args):
            pass

    ended = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ends) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        endpoint = Endpoint(**KEYS, endpoint_url=f"http://127.0.0.1:{server.server_address[1]}", request_timeout=1)
        connection = Connection(endpoint, Location("bucket", "a"))
        with pytest.raises(NoAnswer):
            connection.send("GET", {}, b"", 10, stamp())
        assert ended.wait(10)
        server.shutdown()
    assert endings == ["reset"]
    assert (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000) in connection._connected()._socket_options


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"endpoint_url": "http://127.0.0.1:9000/"}, "http://127.0.0.1:9000/bucket"),
        ({"endpoint_url": "http://s3.example.com", "addressing_style": "virtual"}, "http://s3.example.com/bucket"),
        ({"region": "eu-central-1"}, "https://s3.eu-central-1.amazonaws.com/bucket"),
    ],
)
def test_the_bucket_has_one_url_whatever_configured_it(options, expected, monkeypatch):
    assert Connection(Endpoint(**KEYS, **options), Location("bucket", "a/b")).bucket_url == expected
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.com")
    assert Connection(Endpoint(**KEYS), Location("bucket", "a/b")).bucket_url == "https://s3.example.com/bucket"


# -- The answer -------------------------------------------------------------------------------------------------------


def test_an_answer_has_its_headers_in_lower_case(serve):
    server = serve(Answer(200, "OK", (("ETag", '"e1"'), ("X-Odd-Case", "Kept")), b"body"))
    response = connection_to(server).send("GET", {}, b"", 10, stamp())
    assert isinstance(response, Response)
    assert (response.status, response.body) == (200, b"body")
    assert (response.headers["etag"], response.headers["x-odd-case"]) == ('"e1"', "Kept")


@pytest.mark.parametrize(("length", "read"), [(9, 9), (10, 10), (11, 11), (12, 11), (10_000_000, 11)])
def test_of_a_long_answer_one_byte_more_than_wanted_is_read(serve, length, read):
    server = serve(Answer(200, "OK", (), b"x" * length))
    assert len(connection_to(server).send("GET", {}, b"", 10, stamp()).body) == read


def test_after_a_long_answer_the_next_one_is_its_own(serve):
    answers = iter([Answer(200, "OK", (), b"x" * 100_000), Answer(200, "OK", (), b"next")])
    connection = connection_to(serve(handle=lambda exchange: exchange.reply(next(answers))))
    connection.send("GET", {}, b"", 10, stamp())
    assert connection.send("GET", {}, b"", 10, stamp()).body == b"next"


@pytest.mark.parametrize("sent", [b"", b"half of"])
def test_an_answer_that_broke_off_is_none(serve, sent):
    server = serve(Answer(200, "OK", (), sent, content_length="20"))
    with pytest.raises(NoAnswer, match="was cut off"):
        connection_to(server).send("GET", {}, b"", 100, stamp())


def test_an_answer_in_chunks_is_whole_or_none(serve):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    pieces = iter([b"4\r\nbody\r\n0\r\n\r\n", b"4\r\nbody\r\n", b"4\r\nbo"])

    def handle(exchange):
        exchange._handler.wfile.write(head + next(pieces))

    connection = connection_to(serve(handle=handle))
    assert connection.send("GET", {}, b"", 100, stamp()).body == b"body"
    for _turn in range(2):
        with pytest.raises(NoAnswer, match="was cut off"):
            connection.send("GET", {}, b"", 100, stamp())


@pytest.mark.parametrize(
    "junk", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"220 mail ESMTP\r\n"]
)
def test_what_is_no_http_is_no_answer(serve, junk):
    def handle(exchange):
        exchange._handler.wfile.write(junk)

    with pytest.raises(NoAnswer):
        connection_to(serve(handle=handle)).send("GET", {}, b"", 100, stamp())


def test_a_silent_server_is_no_answer(serve):
    server = serve(handle=lambda exchange: exchange.hold())
    with pytest.raises(NoAnswer, match=f"{server.url} did not answer in time"):
        connection_to(server).send("GET", {}, b"", 10, stamp())
    assert server.count() == 1


def test_a_closed_port_and_an_unknown_name_are_no_answer():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name, why in ((f"127.0.0.1:{port}", "nothing listens there"), ("nobody-made-me.invalid", "its name ")):
        connection = Connection(
            Endpoint(**KEYS, endpoint_url=f"http://{name}", request_timeout=1), Location("bucket", "a")
        )
        with pytest.raises(NoAnswer, match=f"http://{name} could not be reached: {why}"):
            connection.send("GET", {}, b"", 10, stamp())


def test_a_store_that_speaks_plain_http_is_told_from_one_that_cannot_be_reached(serve):
    server = serve()
    connection = connection_to(server, endpoint_url=server.url.replace("http:", "https:"))
    with pytest.raises(CannotSend, match=r"does not speak TLS.*let endpoint_url begin with http://"):
        connection.send("GET", {}, b"", 10, stamp())


def test_a_login_that_has_ended_says_how_to_log_in(serve, aws):
    sso = "sso_start_url = https://x.awsapps.com/start\nsso_region = r\nsso_account_id = 1\nsso_role_name = role\n"
    aws("[default]\n" + sso)
    connection = connection_to(serve(), access_key=None, secret_key=None)
    with pytest.raises(CannotSend, match=r"SSO.*Log in with aws sso login"):
        connection.send("GET", {}, b"", 10, stamp())


def test_a_proxy_that_is_not_there_is_no_answer_and_its_password_stays_out(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://root:hunter2@127.0.0.1:9")
    connection = Connection(
        Endpoint(**KEYS, endpoint_url="http://s3.example.com", request_timeout=1), Location("bucket", "a")
    )
    with pytest.raises(NoAnswer, match=r"the proxy to http://s3\.example\.com could not be reached") as caught:
        connection.send("GET", {}, b"", 10, stamp())
    assert "hunter2" not in str(caught.value)


def test_every_error_that_has_words_is_one_that_botocore_has():
    from ansible_collections.leaderelection.s3.plugins.module_utils._lease import connection

    assert [name for name in connection._WORDS if not hasattr(botocore.exceptions, name)] == []


def test_after_forget_the_next_request_has_a_connection_of_its_own():
    peers = []

    class Keeping(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            peers.append(self.client_address)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keeping) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        endpoint = Endpoint(**KEYS, endpoint_url=f"http://127.0.0.1:{server.server_address[1]}", request_timeout=5)
        connection = Connection(endpoint, Location("bucket", "a"))
        for _turn in range(2):
            connection.send("GET", {}, b"", 10, stamp())
        connection.forget()
        connection.send("GET", {}, b"", 10, stamp())
        server.shutdown()
    assert peers[1] != peers[2]


# -- Other objects of the bucket, and a write that waits ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"endpoint_url": "http://127.0.0.1:9000"}, "http://127.0.0.1:9000/bucket/"),
        ({"region": "eu-central-1", "addressing_style": "virtual"}, "https://bucket.s3.eu-central-1.amazonaws.com/"),
    ],
)
def test_another_object_and_the_bucket_itself_are_reached_the_same_way(options, expected):
    connection = Connection(Endpoint(**{**KEYS, **options}), Location("bucket", "jobs/a"))
    assert connection.at("jobs/b c").url == f"{expected}jobs/b%20c"
    assert connection.at("", "object-lock").url == f"{expected}?object-lock"
    assert connection.url == f"{expected}jobs/a"


def test_credentials_are_looked_up_once_for_all_objects_of_a_bucket(monkeypatch, serve):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "whatever")
    server = serve()
    connection = Connection(Endpoint(endpoint_url=server.url, region="us-east-1"), Location("bucket", "jobs/a"))
    others = [connection.at(f"jobs/{number}") for number in range(3)]
    assert {id(other._session) for other in others} == {id(connection._session)}
    assert [other.send("GET", {}, b"", 0, stamp()).status for other in others] == [200] * 3


def test_the_last_byte_waits_and_the_body_arrives_whole():
    order = []

    class Watches(Store):
        def handle(self, exchange):
            order.append("arrived")
            super().handle(exchange)

    with Watches() as store:
        answer = connection_to(store).send("PUT", {}, b"body", 0, stamp(), lambda: order.append("called"))
        assert answer.status == 200
        assert store.get("jobs/a").body == b"body"
    assert order == ["called", "arrived"]


def test_a_given_checksum_takes_the_place_of_the_right_one():
    with Store() as store:
        connection_to(store).send("PUT", {"Content-MD5": "AAAA"}, b"body", 0, stamp())
        assert store.requests[0].headers["Content-MD5"] == "AAAA"
