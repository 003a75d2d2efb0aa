# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store that cannot be used makes nobody leader, and says what to mend; what stands in it is left alone."""

from __future__ import annotations

import datetime
import json
import typing as t

import pytest
from support import ports
from support.recorder import Request
from support.refusals import complaints_about, no_traceback
from support.server import Answer, Exchange, LoopbackServer
from support.stores import packaged
from support.stores.odd import (
    HasNoConditions,
    HasNoDate,
    HasRandomEtags,
    HidesMissing,
    IgnoresIfMatch,
    IgnoresIfNoneMatch,
    RefusesMissingWith412,
    Store,
    Throttles,
    WantsBareEtags,
)

ACQUIRE, RENEW, RELEASE, INFO = (
    f"leaderelection.s3.s3_leader_{name}" for name in ("acquire", "renew", "release", "info")
)
FAST = {"ANSIBLE_PIPELINING": "true"}
"""For playbooks of many tasks."""

RECORD: dict[str, t.Any] = {
    "schema": 1,
    "holderId": "web-9",
    "leaseUntilUtc": "2026-11-23T04:49:36.000Z",
    "leaseDurationSeconds": 30,
    "session": "somebody-else",
    "term": 7,
    "sequence": 2,
    "nonce": "0",
    "acquiredAt": "2026-11-23T04:49:00.000Z",
    "renewedAt": "2026-11-23T04:49:04.000Z",
    "metadata": {},
}
RELEASED = json.dumps({**RECORD, "holderId": ""}).encode()
"""A lease that is free: a task that goes on in spite of what it met would write."""

Options = dict[str, t.Any]


def task(name: str, module: str, options: Options) -> dict[str, t.Any]:
    """A task that lets the play go on when it fails."""
    return {"name": name, module: options, "register": "result", "ignore_errors": True}


def to(store: LoopbackServer, key: str, **options: t.Any) -> Options:
    """Options that reach the store."""
    return {
        "endpoint_url": store.url,
        "access_key": "anybody",
        "secret_key": "whatever",
        "region": "us-east-1",
        "bucket": "bucket",
        "key": key,
        **options,
    }


class AsksForAnotherRegion(Store):
    """Answers as AWS where the bucket is in another region."""

    def dispatch(self, request: Request) -> Answer:
        return self.error(301, "PermanentRedirect", (("x-amz-bucket-region", "eu-central-1"),))


class BreaksOff(Store):
    """Closes the connection before the body that it announced is complete."""

    def on_get(self, request: Request) -> Answer:
        whole = super().on_get(request)
        return whole._replace(content_length=str(len(whole.body) + 1))


class ThrottlesWrites(Throttles):
    """Throttles PUTs only."""

    def dispatch(self, request: Request) -> Answer:
        return super().dispatch(request) if request.method == "PUT" else Store.dispatch(self, request)


class StandsStill(Store):
    """Its clock has stopped, so that a test knows what it says."""

    time = 0.0

    def now(self) -> float:
        return self.time


class WebServer(LoopbackServer):
    """Something that knows nothing of S3."""

    page = Answer(404, "Not Found", (), b"<html><title>404 Not Found</title></html>")

    def handle(self, exchange: Exchange) -> None:
        exchange.reply(self.page)


DATED = (("Date", "Mon, 23 Nov 2026 04:49:36 GMT"), ("Content-Type", "text/html"))

# -- Credentials and permissions --------------------------------------------------------------------------------------


def test_a_bucket_or_credentials_that_do_not_fit_are_named(run_playbook, seaweedfs, bucket, key):
    s3 = seaweedfs.client()
    before = s3.put_object(Bucket=bucket, Key=key, Body=RELEASED)["ETag"]
    admin = {**seaweedfs.options, "bucket": bucket, "key": key}
    credentials = ("access_key", "secret_key", "Check the credentials")
    cases: dict[str, tuple[str, Options, tuple[str, ...]]] = {}
    for module in (ACQUIRE, RENEW, RELEASE, INFO):
        cases[f"missing bucket, {module}"] = (
            module,
            {**admin, "bucket": "nobody-made-me"},
            ("s3://nobody-made-me/", "Create the bucket", "set bucket to one that exists"),
        )
    cases |= {
        "wrong secret": (ACQUIRE, {**admin, "secret_key": "wrong"}, credentials),
        "unknown access key": (ACQUIRE, {**admin, "access_key": "nobody"}, credentials),
        "may not write": (
            ACQUIRE,
            {**admin, **seaweedfs.options_of("read-only")},
            ("403", "Grant s3:PutObject", f"s3://{bucket}/{key}"),
        ),
        "may not read": (
            INFO,
            {**admin, **seaweedfs.options_of("stranger")},
            ("403", "Grant s3:GetObject", f"s3://{bucket}/{key}"),
        ),
    }
    run = run_playbook(
        [
            *(task(name, module, options) for name, (module, options, _words) in cases.items()),
            task("may read", INFO, {**admin, **seaweedfs.options_of("read-only")}),
            task("needs no list", ACQUIRE, {**admin, **seaweedfs.options_of("no-list"), "key": f"{key}-new"}),
        ],
        env=FAST,
    )
    assert "".join(complaints_about(run, name, words) for name, (_module, _options, words) in cases.items()) == ""
    assert no_traceback(run)
    assert run["may read"]["lease"]["state"] == "released"
    assert run["needs no list"]["is_leader"] is True
    assert s3.head_object(Bucket=bucket, Key=key)["ETag"] == before


def test_a_new_lease_that_reads_as_forbidden_asks_for_list_permission(run_playbook, open_store, key):
    store = open_store(HidesMissing)
    run = run_playbook([task(module, module, to(store, key)) for module in (ACQUIRE, RENEW, RELEASE, INFO)])
    words = ("403 AccessDenied", "s3:ListBucket", "create the lease first")
    assert "".join(complaints_about(run, module, words) for module in (ACQUIRE, RENEW, RELEASE, INFO)) == ""
    assert store.count("PUT") == 0


# -- The way there ----------------------------------------------------------------------------------------------------


def test_what_cannot_be_reached_is_named_with_its_address(run_playbook, key):
    closed = f"http://127.0.0.1:{ports.free_ports(1)[0]}"
    urls = {"closed port": closed, "unknown name": "http://nobody-made-me.invalid:9000"}
    options = {"access_key": "anybody", "secret_key": "whatever", "region": "us-east-1", "request_timeout": 1}
    run = run_playbook(
        [task(name, ACQUIRE, {**options, "key": key, "endpoint_url": url}) for name, url in urls.items()]
    )
    assert "".join(complaints_about(run, name, (url, "could not be reached")) for name, url in urls.items()) == ""
    assert no_traceback(run)


def test_tls_needs_a_certificate_that_is_trusted(run_playbook, open_store, certificate, key):
    store = open_store(Store, certificate=certificate)
    run = run_playbook(
        [
            task("untrusted", ACQUIRE, to(store, key)),
            task("trusted", ACQUIRE, to(store, key, aws_ca_bundle=str(certificate))),
            task("unchecked", INFO, to(store, key, validate_certs=False)),
            task("again", INFO, to(store, key)),
        ]
    )
    words = (store.url, "certificate", "not trusted", "aws_ca_bundle")
    assert complaints_about(run, "untrusted", words) == ""
    assert run["untrusted"]["lease"] is None
    assert run["trusted"]["is_leader"] is True
    assert run["unchecked"]["is_leader"] is True
    assert complaints_about(run, "again", words) == ""
    assert no_traceback(run)


def test_http_where_https_is_spoken_and_the_reverse_say_so(run_playbook, open_store, certificate, key):
    plain, secure = open_store(Store), open_store(Store, certificate=certificate)
    urls = {"plain to TLS": secure.url.replace("https", "http"), "TLS to plain": plain.url.replace("http", "https")}
    run = run_playbook(
        [task(name, ACQUIRE, to(plain, key, endpoint_url=url, request_timeout=1)) for name, url in urls.items()]
    )
    assert "".join(complaints_about(run, name, (url, "endpoint_url")) for name, url in urls.items()) == ""
    assert no_traceback(run)
    assert plain.requests == secure.requests == []


def test_a_bucket_in_another_region_names_the_region(run_playbook, open_store, key):
    run = run_playbook([task("acquire", ACQUIRE, to(open_store(AsksForAnotherRegion), key))])
    assert complaints_about(run, "acquire", ("301", "another region", "set region to eu-central-1")) == ""


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (WebServer.page._replace(headers=DATED), ("404", "not an S3 answer", "endpoint_url")),
        (WebServer.page, ("404", "not an S3 answer", "endpoint_url")),
        (Answer(200, "OK", DATED, b"<html>Welcome</html>"), ("without an ETag",)),
        (Answer(302, "Found", (*DATED, ("Location", "/login"))), ("302", "endpoint_url")),
        (Answer(400, "Bad Request", DATED, b"<html>Bad Request</html>"), ("400", "endpoint_url")),
        (Answer(405, "Method Not Allowed", DATED), ("405", "endpoint_url")),
    ],
    ids=["404", "404 without Date", "200", "302", "400", "405"],
)
def test_a_web_server_is_never_a_free_lease(run_playbook, open_store, key, page, words):
    server = open_store(WebServer)
    server.page = page
    run = run_playbook([task("acquire", ACQUIRE, to(server, key, request_timeout=1))])
    assert complaints_about(run, "acquire", (server.url, *words)) == ""
    assert server.count("PUT") == 0
    assert no_traceback(run)


def test_a_page_with_an_etag_counts_as_held(run_playbook, open_store, key):
    server = open_store(WebServer)
    headers = (*DATED, ("ETag", '"5f-1"'), ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT"))
    server.page = Answer(200, "OK", headers, b"<html>Welcome</html>")
    run = run_playbook([task("acquire", ACQUIRE, to(server, key))])
    assert run["acquire"]["is_leader"] is False
    assert run["acquire"]["lease"]["state"] == "unreadable"
    assert server.count("PUT") == 0


# -- Stores that do not do what a lease needs -------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "condition"), [(IgnoresIfNoneMatch, "If-None-Match"), (IgnoresIfMatch, "If-Match")])
def test_a_store_that_ignores_conditions_makes_nobody_leader(run_playbook, open_store, key, kind, condition):
    store = open_store(kind)
    run = run_playbook([task("acquire", ACQUIRE, to(store, key))])
    words = (condition, "several could lead at once", "conditional writes")
    assert complaints_about(run, "acquire", words) == ""
    assert store.count("PUT", condition="none") == 0


@pytest.mark.parametrize(("name", "claim"), [("rclone", "AmazonS3"), ("juicefs", "MinIO")])
def test_a_store_that_calls_itself_another_makes_nobody_leader(run_playbook, stores_python, key, name, claim):
    """Two servers that people run, and that ignore conditions."""
    server = getattr(packaged, name)(stores_python)
    keys = dict(access_key=packaged.ACCESS_KEY, secret_key=server.secret_key, region="us-east-1")
    with packaged.serve(server) as url:
        s3 = packaged.client(url, server.secret_key)
        assert s3.list_buckets()["ResponseMetadata"]["HTTPHeaders"]["server"] == claim
        here = {**keys, "endpoint_url": url, "bucket": packaged.BUCKET, "key": key}
        run = run_playbook([task("acquire", ACQUIRE, here), task("again", ACQUIRE, here)])
    assert complaints_about(run, "acquire", ("several could lead at once", "conditional writes")) == ""
    assert run["again"]["is_leader"] is False


@pytest.mark.parametrize("kind", [IgnoresIfNoneMatch, IgnoresIfMatch])
def test_a_store_that_was_refused_is_refused_again(run_playbook, open_store, key, kind):
    """By the same run, by the next one, and by one that comes when what the first has left is old."""
    store = open_store(kind)
    first = run_playbook([task("first", ACQUIRE, to(store, key)), task("again", ACQUIRE, to(store, key))])
    next_one = run_playbook([task("next", ACQUIRE, to(store, key))])
    store.age(key, 3600)
    late = run_playbook([task("late", ACQUIRE, to(store, key))])
    leaders = {"again": first["again"], "next": next_one["next"], "late": late["late"]}
    assert {name: result["is_leader"] for name, result in leaders.items()} == dict.fromkeys(leaders, False)


def test_a_store_without_conditions_or_without_a_clock_says_what_is_missing(run_playbook, open_store, key):
    stores = {
        "no conditions": (open_store(HasNoConditions), ("501", "does not implement conditional writes")),
        "no Date": (open_store(HasNoDate), ("without a usable Date", "proxy")),
    }
    befores = {name: store.put(key, RELEASED) for name, (store, _words) in stores.items()}
    run = run_playbook(
        [
            *(task(name, ACQUIRE, to(store, key)) for name, (store, _words) in stores.items()),
            *(task(f"{name}, new", ACQUIRE, to(store, f"{key}-new")) for name, (store, _words) in stores.items()),
        ]
    )
    for name, (store, words) in stores.items():
        assert complaints_about(run, name, (store.url, *words)) == ""
        assert complaints_about(run, f"{name}, new", (store.url, *words)) == ""
        assert store.get(key) == befores[name]
        assert store.get(f"{key}-new") is None
    assert no_traceback(run)


def test_stores_that_are_odd_and_keep_the_conditions_work(run_playbook, open_store, key):
    kinds = (Store, WantsBareEtags, HasRandomEtags, RefusesMissingWith412)
    stores = {kind.__name__: open_store(kind) for kind in kinds}
    run = run_playbook(
        [
            step
            for name, store in stores.items()
            for step in (
                {**task(f"{name} acquire", ACQUIRE, to(store, key)), "register": "held"},
                task(f"{name} renew", RENEW, to(store, key, lease="{{ held }}")),
                task(f"{name} renew by session", RENEW, to(store, key)),
                task(f"{name} release", RELEASE, to(store, key)),
                task(f"{name} acquire again", ACQUIRE, to(store, key)),
            )
        ],
        env=FAST,
    )
    for name, store in stores.items():
        terms = [run[f"{name} {step}"]["term"] for step in ("acquire", "renew", "renew by session", "acquire again")]
        assert terms == [terms[0], terms[0], terms[0], terms[0] + 1], name
        assert run[f"{name} release"]["changed"] is True, name
        written = json.loads(store.get(key).body)
        assert (written["term"], written["sequence"]) == (terms[3], 1), name
        assert all(request.condition != "none" for request in store.select("PUT")), name


@pytest.mark.parametrize("status", [429, 503])
def test_a_throttled_acquire_ends_right(run_playbook, open_store, key, status):
    reads, writes, always = open_store(Throttles), open_store(ThrottlesWrites), open_store(Throttles)
    reads.throttles, writes.throttles, always.throttles = 2, 1, 10**6
    for store in (reads, writes, always):
        store.throttle_status = status
    run = run_playbook(
        [
            task("reads", ACQUIRE, to(reads, key)),
            task("writes", ACQUIRE, to(writes, key)),
            task("always", ACQUIRE, to(always, key, request_timeout=1)),
        ]
    )
    assert run["reads"]["is_leader"] is True
    assert run["writes"]["is_leader"] is True
    assert len({request.body for request in writes.select("PUT", condition="create")}) == 1
    assert complaints_about(run, "always", (always.url, str(status), "Given up after")) == ""
    assert always.count() <= 3


def test_an_answer_that_broke_off_is_no_lease(run_playbook, open_store, key):
    store = open_store(BreaksOff)
    before = store.put(key, RELEASED)
    run = run_playbook([task("acquire", ACQUIRE, to(store, key, request_timeout=1))])
    assert complaints_about(run, "acquire", (store.url, "was cut off")) == ""
    assert store.get(key) == before
    assert store.count("PUT") == 0


# -- What stands in the object ----------------------------------------------------------------------------------------

NOT_READABLE = {
    "empty": b"",
    "blank": b"\n",
    "text": b"locked by bob",
    "binary": bytes(range(256)),
    "no UTF-8": b'{"holderId": "\xff", "leaseUntilUtc": "2020-01-01T00:00:00Z"}',
    "10 MB": b" " * 10_000_000,
    "10 MB of a good lease": RELEASED + b" " * 10_000_000,
    "one byte too long": RELEASED + b" " * (65537 - len(RELEASED)),
    "nested deep": b"[" * 60_000,
    "nested deep and closed": b'{"a":' * 10_000 + b"0" + b"}" * 10_000,
    "a list": b"[]",
    "a number": b"7",
    "a huge number": b"9" * 60_000,
    "null": b"null",
    "no field": b"{}",
    "half a lease": RELEASED[: len(RELEASED) // 2],
    "no session": json.dumps({name: RECORD[name] for name in RECORD if name != "session"}).encode(),
    **{
        f"{name} {value}": json.dumps({**RECORD, name: value}).encode()
        for name, value in (
            ("schema", 2),
            ("schema", "1"),
            ("schema", None),
            ("leaseDurationSeconds", -30),
            ("leaseDurationSeconds", 0),
            ("leaseDurationSeconds", float("nan")),
            ("leaseDurationSeconds", float("inf")),
            ("leaseDurationSeconds", 10**400),
            ("leaseDurationSeconds", 1e9),
            ("leaseDurationSeconds", "30"),
            ("leaseDurationSeconds", True),
            ("term", 0),
            ("term", -7),
            ("term", 7.5),
            ("term", 2**53),
            ("term", None),
            ("sequence", "two"),
            ("session", ""),
            ("session", 5),
            ("holderId", None),
            ("holderId", "x" * 256),
            ("leaseUntilUtc", "tomorrow"),
            ("renewedAt", "2026-13-45T00:00:00Z"),
            ("renewedAt", 1795409376),
            ("acquiredAt", None),
        )
    },
    ".NET, without an end": b'{"holderId": "x"}',
    ".NET, with an end that is none": b'{"holderId": "x", "leaseUntilUtc": "soon"}',
    ".NET, with a holder that is none": b'{"holderId": 7, "leaseUntilUtc": "2020-01-01T00:00:00Z"}',
}

FAR_TIMES = {
    "the last time there is": {**RECORD, "renewedAt": "9999-12-31T23:59:59.9999999Z"},
    "a time beyond the last": {**RECORD, "acquiredAt": "9999-12-31T23:59:59-23:59"},
    "a time before the first": {**RECORD, "acquiredAt": "0001-01-01T00:00:00+23:59"},
    ".NET, the last time there is": {"holderId": "x", "leaseUntilUtc": "9999-12-31T23:59:59.9999999Z"},
    "lone surrogates": {**RECORD, "holderId": "\ud800", "metadata": {"\udfff": "\udfff"}},
}


def test_what_cannot_be_read_is_held_and_left_alone(run_playbook, open_store, key):
    store = open_store(Store)
    befores = {}
    for name, body in NOT_READABLE.items():
        store.put(f"{key}/{name}", body)
        store.age(f"{key}/{name}", 10**6)
        befores[name] = store.get(f"{key}/{name}")
    sample = ("empty", "binary", "10 MB of a good lease", "nested deep", "schema 2", "leaseDurationSeconds nan")
    run = run_playbook(
        [
            {
                "name": "look",
                "ansible.builtin.set_fact": {
                    "found": "{{ query('leaderelection.s3.s3_leader', *keys, endpoint_url=url, access_key='a', "
                    "secret_key='b', bucket='bucket') }}"
                },
            },
            *(
                step
                for name in sample
                for step in (
                    task(f"acquire {name}", ACQUIRE, to(store, f"{key}/{name}")),
                    task(f"release {name}", RELEASE, to(store, f"{key}/{name}")),
                    task(f"renew {name}", RENEW, to(store, f"{key}/{name}", on_lost="report")),
                )
            ),
        ],
        env=FAST,
        keys=[f"{key}/{name}" for name in NOT_READABLE],
        url=store.url,
    )
    assert no_traceback(run), run
    shown = dict(zip(NOT_READABLE, run["look"]["ansible_facts"]["found"], strict=True))
    shown |= {f"{step} {name}": run[f"{step} {name}"] for name in sample for step in ("acquire", "release", "renew")}
    told = {name: (one["is_leader"], one["lease"]["state"], one["lease"]["expires_in"]) for name, one in shown.items()}
    assert {name: how for name, how in told.items() if how != (False, "unreadable", None)} == {}
    assert [name for name, one in shown.items() if "force=true" not in one["reason"]] == []
    assert store.count("PUT") == 0
    assert {name: store.get(f"{key}/{name}") for name in NOT_READABLE} == befores


@pytest.mark.parametrize("name", FAR_TIMES)
def test_odd_values_in_a_record_end_no_task_in_the_dark(run_playbook, open_store, key, name):
    store = open_store(Store)
    before = store.put(key, json.dumps(FAR_TIMES[name]).encode())
    run = run_playbook([task("acquire", ACQUIRE, to(store, key))])
    assert run.task("acquire").status == "ok", run
    assert run["acquire"]["is_leader"] is False
    assert run["acquire"]["lease"]["state"] in ("held", "unreadable")
    assert store.get(key) == before
    assert no_traceback(run)


def test_after_force_the_term_of_what_had_none_is_the_stores_clock(run_playbook, open_store, key):
    store = open_store(StandsStill)
    store.time = 1795409376.0
    bodies = {"newer": json.dumps({**RECORD, "schema": 2, "term": 2**52}).encode(), "large": b"x" * 100_000}
    for name, body in bodies.items():
        store.put(f"{key}/{name}", body)
    run = run_playbook(
        [
            step
            for name in bodies
            for step in (
                task(f"{name} in vain", ACQUIRE, to(store, f"{key}/{name}")),
                task(f"{name} break", RELEASE, to(store, f"{key}/{name}", force=True, force_foreign=True)),
                task(f"{name} acquire", ACQUIRE, to(store, f"{key}/{name}")),
            )
        ]
    )
    for name in bodies:
        assert run[f"{name} in vain"]["is_leader"] is False
        assert run[f"{name} break"]["lease"]["term"] == 1795409376
        assert run[f"{name} acquire"]["term"] == 1795409377


# -- The .NET library's records ---------------------------------------------------------------------------------------

FOREIGN = b'{"holderId":"x","leaseUntilUtc":"2026-11-23T04:49:36.1234567Z"}'
END = 1795409376


def test_a_dotnet_record_is_held_until_its_end_and_two_seconds_by_the_stores_clock(run_playbook, open_store, key):
    store = {after: open_store(StandsStill) for after in (-600, 2, 3)}
    for after, one in store.items():
        one.time = END + after
        one.put(key, FOREIGN)
        one.age(key, 10**6)
    run = run_playbook([task(f"at {after}", ACQUIRE, to(one, key)) for after, one in store.items()])
    early, just_before, over = (run[f"at {after}"] for after in store)
    assert (early["is_leader"], early["lease"]["state"], early["lease"]["holder"]) == (False, "held", "x")
    assert early["lease"]["expires_in"] == pytest.approx(602.1234567)
    assert ".NET" in early["reason"]
    assert just_before["is_leader"] is False
    assert just_before["lease"]["expires_in"] == pytest.approx(0.1234567, abs=1e-4)
    assert (over["is_leader"], over["term"]) == (True, END + 3)
    assert [one.get(key).body == FOREIGN for one in store.values()] == [True, True, False]


def test_a_released_dotnet_record_is_taken_with_the_stores_time_as_its_term(run_playbook, open_store, key):
    store = open_store(StandsStill)
    store.time = END - 600
    store.put(key, b'{"HolderId":"","LeaseUntilUtc":"0001-01-01T00:00:00Z"}')
    run = run_playbook([task("info", INFO, to(store, key)), task("acquire", ACQUIRE, to(store, key))])
    assert (run["info"]["lease"]["state"], run["info"]["lease"]["expires_in"]) == ("released", 0)
    assert (run["acquire"]["is_leader"], run["acquire"]["term"]) == (True, END - 600)
    written = json.loads(store.get(key).body)
    assert written["holderId"]
    until = datetime.datetime.fromisoformat(written["leaseUntilUtc"]).timestamp()
    assert END - 600 + 30 + 2 <= until < END - 600 + 60  # the duration and the margin, and what the requests took
