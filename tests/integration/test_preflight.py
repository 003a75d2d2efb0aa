# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store that cannot be trusted with a lease is found out before two lead by it."""

from __future__ import annotations

import re
import typing as t

import pytest
import yaml
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.clock import Clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight import conditions, reads
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.report import Check, Report
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.run import preflight
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Endpoint, Location
from ansible_collections.leaderelection.s3.plugins.modules import s3_leader_preflight as module
from support import ports, proxy as faults
from support.proxy import FaultProxy
from support.refusals import no_traceback
from support.stores import packaged
from support.stores.both import ON_BOTH_STORES
from support.stores.odd import (
    CarriesOutAfterTheDelete,
    ChecksThenPuts,
    CreatesOnIfMatch,
    ExpectsNothing,
    FailsConditionalReads,
    FallsSilent,
    HasNoConditions,
    HasNoDate,
    HasRandomEtags,
    HidesMissing,
    IgnoresIfMatch,
    IgnoresIfNoneMatch,
    JudgesChecksums,
    RefusesMissingWith412,
    ServesStaleReads,
    Store,
    TakesOneWriteAtATime,
    WantsBareEtags,
)

PREFLIGHT, INFO = "leaderelection.s3.s3_leader_preflight", "leaderelection.s3.s3_leader_info"
KEYS = {"access_key": "somebody", "secret_key": "whatever-it-is", "region": "us-east-1"}
RESULT_KEYS = {"changed", "verdict", "reason", "checks", "requests", "seconds", "report"}
ESSENTIAL = {"create", "create_again", "replace", "stale_replace", "replace_missing", "reads", "clock"}
RACES = {"create_race", "replace_race"}


def ask(url: str, key: str = "jobs/a", bucket: str = "bucket", clock: Clock | None = None, **options: t.Any) -> Report:
    """Run the core; two rounds are enough where no race is what matters."""
    how = {name: options.pop(name) for name in ("contenders", "rounds", "dry_run") if name in options}
    endpoint = Endpoint(**{**KEYS, "endpoint_url": url, **options})
    return preflight(endpoint, Location(bucket, key), clock=clock, **{"rounds": 2, **how})


def check(report: Report, name: str) -> Check:
    """The only check of this name."""
    (found,) = (one for one in report.checks if one.name == name)
    return found


def verdicts(report: Report, verdict: str) -> set[str]:
    """The names of the checks with this verdict."""
    return {one.name for one in report.of(verdict)}


def task(name: str, options: dict[str, t.Any], module: str = PREFLIGHT, **more: t.Any) -> dict[str, t.Any]:
    """A task that lets the play go on when it fails."""
    return {"name": name, module: options, "ignore_errors": True, **more}


class Hasty(Clock):
    """Its pauses are a twentieth of what they should be."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / 20)


class Noting(Hasty):
    """Notes its pauses."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        super().sleep(seconds)


# -- Stores that are not to be trusted --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "failed"),
    [
        (IgnoresIfNoneMatch, {"create_again", "create_race"}),
        (IgnoresIfMatch, {"stale_replace", "replace_missing", "replace_race"}),
        (CreatesOnIfMatch, {"replace_missing"}),
        (HasNoConditions, {"create"}),
        (HasNoDate, {"access"}),
    ],
)
def test_a_store_that_would_let_several_lead_is_unsafe(open_store, kind, failed):
    report = ask(open_store(kind).url)
    assert report.verdict == "unsafe"
    assert verdicts(report, "fail") == failed, report
    assert all(check(report, name).advice for name in failed)
    assert report.reason.startswith("the store cannot be trusted")


@pytest.mark.parametrize("conditional", [False, True])
def test_a_store_whose_reads_lag_is_unsafe(open_store, conditional):
    store = open_store(ServesStaleReads)
    store.conditional = conditional
    report = ask(store.url)
    assert check(report, "reads").verdict == "fail", report
    assert "right after a write do not see it" in report.reason
    # What is read after a race may lag, too.
    assert verdicts(report, "fail") <= {"reads", *RACES}


@pytest.mark.parametrize("status", [400, 500])
def test_a_read_that_gets_no_usable_answer_has_seen_nothing(open_store, status):
    store = open_store(FailsConditionalReads)
    store.status = status
    report = ask(store.url, request_timeout=1, rounds=1, clock=Hasty())
    assert (check(report, "reads").verdict, report.verdict) == ("unknown", "unknown"), report


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_store_that_checks_first_and_writes_a_millisecond_later_is_unsafe(open_store, certificate, tls):
    store = open_store(ChecksThenPuts, certificate=certificate if tls else None)
    store.window = 0.001
    report = ask(store.url, rounds=10, **({"aws_ca_bundle": str(certificate)} if tls else {}))
    assert report.verdict == "unsafe"
    assert verdicts(report, "fail") <= RACES, report
    assert "contenders were told that they won" in report.reason


def test_a_store_without_a_lock_is_unsafe_by_its_races(stores_python):
    """moto checks and writes within microseconds; a Python that changes threads all the time shows it."""
    with packaged.serve(packaged.moto(stores_python, switch_interval=1e-6)) as url:
        report = ask(url, bucket=packaged.BUCKET, contenders=16, rounds=100)
    assert verdicts(report, "fail") & RACES, report
    assert check(report, "known_store").verdict == "fail"
    assert verdicts(report, "pass") >= ESSENTIAL


@pytest.mark.parametrize(("name", "claim"), [("rclone", "AmazonS3"), ("juicefs", "MinIO")])
def test_what_a_store_calls_itself_vouches_for_nothing(stores_python, name, claim):
    """Both are servers that people run, and ignore conditions."""
    server = getattr(packaged, name)(stores_python)
    keys = dict(access_key=packaged.ACCESS_KEY, secret_key=server.secret_key)
    with packaged.serve(server) as url:
        report = ask(url, bucket=packaged.BUCKET, **keys)
    assert report.server == claim
    assert report.verdict == "unsafe"
    assert verdicts(report, "fail") >= {"create_again", "stale_replace", "replace_missing"}, report
    assert check(report, "known_store").verdict != "fail"
    assert claim in check(report, "known_store").seen


# -- What a proxy on the way changes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "fault", "failed", "way_out"),
    [
        ("GET", faults.compresses(), "proxy", "nginx: gzip off"),
        ("GET", faults.renames_etag(lambda etag: "W/" + etag), "proxy", "nginx: gzip off"),
        ("GET", faults.renames_etag(lambda etag: etag[:-1] + '-gzip"'), "reads", "SetEnv no-gzip 1"),
        (None, faults.caches(), "cache", "nginx: proxy_cache off"),
        (None, faults.own_date(5.0), "clock", "proxy_pass_header Date"),
    ],
    ids=["compresses", "weakens ETags", "changes ETags", "caches", "sets its own Date"],
)
def test_a_proxy_that_changes_answers_is_found_out_with_the_way_out(open_store, method, fault, failed, way_out):
    with FaultProxy(open_store(Store).url) as proxy:
        proxy.on(method, fault, nth=None)
        report = ask(proxy.url, rounds=1, request_timeout=1, clock=Hasty() if failed == "proxy" else None)
    assert report.verdict == "unsafe", report
    assert check(report, failed).verdict == "fail"
    assert way_out in check(report, failed).advice
    assert way_out in report.reason


def test_a_proxy_that_changes_nothing_is_no_fault(open_store):
    with FaultProxy(open_store(Store).url) as proxy:
        report = ask(proxy.url, rounds=1)
    assert report.verdict == "safe", report
    assert {"proxy", "cache"} <= verdicts(report, "pass")


# -- Stores that are ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Store, HasRandomEtags, RefusesMissingWith412, HidesMissing, WantsBareEtags])
def test_a_store_that_keeps_the_conditions_is_safe(open_store, kind):
    report = ask(open_store(kind).url)
    assert report.verdict == "safe", report
    assert verdicts(report, "pass") >= ESSENTIAL | RACES


def test_the_checks_are_documented_in_the_order_in_which_they_come(open_store):
    told = yaml.safe_load(module.RETURN)["checks"]["contains"]["name"]["description"][0]
    assert re.findall(r"V\((\w+)\)", told) == [one.name for one in ask(open_store(Store).url, rounds=1).checks]


def test_the_form_of_etags_is_told(open_store):
    told = {kind: check(ask(open_store(kind).url), "etag_form").seen for kind in (Store, WantsBareEtags)}
    assert "If-Match takes them quoted" in told[Store]
    assert "only bare" in told[WantsBareEtags]


@pytest.mark.parametrize(("kind", "words"), [(Store, "the same ETag again"), (HasRandomEtags, "another ETag")])
def test_it_is_told_whether_an_etag_comes_back(open_store, kind, words):
    assert words in check(ask(open_store(kind).url), "etag_repeats").seen


@pytest.mark.parametrize("answers", [True, False])
def test_it_is_told_whether_expect_is_answered(answers):
    with Store(answers_continue=answers) as store:
        report = ask(store.url, rounds=1)
    assert report.verdict == "safe"
    assert check(report, "expect").verdict == ("pass" if answers else "warn"), report


@pytest.mark.parametrize(
    ("crc32", "md5", "verdict"),
    [(0, 0, "pass"), (0, 400, "pass"), (400, 0, "warn"), (412, 0, "unknown"), (503, 0, "unknown"), (0, 503, "unknown")],
)
def test_only_a_clean_answer_says_what_becomes_of_checksums(open_store, crc32, md5, verdict):
    store = open_store(JudgesChecksums)
    store.crc32, store.md5 = crc32, md5
    report = ask(store.url, rounds=1)
    assert report.verdict == "safe"
    assert check(report, "checksums").verdict == verdict, report


def test_what_leases_do_not_send_counts_for_no_latency(open_store):
    report = ask(open_store(Store).url, rounds=1)
    with Store(answers_continue=False) as store:
        slow = ask(store.url, rounds=1, request_timeout=1)
    assert "(highest of" in check(report, "latency").seen
    assert check(slow, "latency").verdict == "pass", slow


def test_a_store_that_refuses_expect_is_safe_for_leases(open_store):
    report = ask(open_store(ExpectsNothing).url, rounds=1)
    assert report.verdict == "safe"
    assert "417" in check(report, "expect").seen
    assert check(report, "expect").verdict == "warn"


@ON_BOTH_STORES
def test_a_real_store_is_safe_and_nothing_is_left_behind(store, key):
    keys = {name: value for name, value in store.options.items() if name != "endpoint_url"}
    report = ask(store.endpoint_url, key, "leader-election", **keys)
    assert report.verdict == "safe", report
    assert verdicts(report, "unknown") == set()
    assert report.server in check(report, "known_store").seen
    assert store.client().list_objects_v2(Bucket="leader-election", Prefix=key)["KeyCount"] == 0


def credentials(server: t.Any, identity: str = "admin") -> dict[str, str]:
    return {name: value for name, value in server.options_of(identity).items() if name != "endpoint_url"}


def test_a_versioned_bucket_says_what_a_renewal_leaves_behind(seaweedfs, key):
    versioned = f"versioned-{key[-12:]}"
    seaweedfs.create_bucket(versioned)
    seaweedfs.client().put_bucket_versioning(Bucket=versioned, VersioningConfiguration={"Status": "Enabled"})
    report = ask(seaweedfs.endpoint_url, key, versioned, contenders=2, rounds=1, **credentials(seaweedfs))
    assert report.verdict == "safe", report
    assert check(report, "versioning").verdict == "warn"
    assert "8640 versions a day" in check(report, "versioning").seen
    assert "keeps their versions" in check(report, "cleanup").seen


def test_the_lease_itself_is_left_alone_and_every_write_is_conditional(open_store):
    store = open_store(Store)
    before = store.put("jobs/a", b"somebody's lease")
    report = ask(store.url)
    assert report.verdict == "safe"
    assert store.get("jobs/a") == before
    assert store.select(key="jobs/a") == []
    assert store.count("PUT", condition="none") == 0
    assert {one.key for one in store.requests if not one.key.startswith("jobs/a.preflight-")} == {""}
    assert report.requests == len(store.requests)
    assert [one.key for one in store.select("PUT") if store.get(one.key)] == []


def test_a_key_that_is_long_already_is_tried_too(open_store):
    store = open_store(Store)
    for key in ("x" * 1024, "é" * 512, f"{'d' * 1000}/lease", f"{'p/' * 500}{'ü' * 12}"):
        assert ask(store.url, key, rounds=1).verdict == "safe"
    sent = {one.key for one in store.requests}
    assert max(len(name.encode()) for name in sent) <= 1024
    assert max(len(part.encode()) for name in sent if "/" in name for part in name.split("/")[1:]) <= 255


# -- The store's clock ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "verdict", "clock"),
    [(3.0, "unsafe", "fail"), (1.6, "unsafe", "fail"), (0.0, "safe", "pass"), (-4.0, "safe", "warn")],
)
def test_a_proxy_with_a_date_of_its_own_is_found_out(open_store, ahead, verdict, clock):
    with FaultProxy(open_store(Store).url) as proxy:
        proxy.on(None, faults.own_date(ahead), nth=None)
        report = ask(proxy.url)
    assert (report.verdict, check(report, "clock").verdict) == (verdict, clock), report
    assert verdict == "safe" or "proxy_pass_header Date" in report.reason


def test_a_write_that_was_tried_twice_hides_no_clock_that_is_ahead(open_store, monkeypatch):
    """The pause between the tries, of 2 s at least, is none of the store's time."""
    monkeypatch.setattr(reads, "READS", 2)
    store = open_store(TakesOneWriteAtATime)
    store.apart = 0.2
    with FaultProxy(store.url) as proxy:
        proxy.on(None, faults.own_date(2.5), nth=None)
        report = ask(proxy.url, contenders=2, rounds=1)
    assert check(report, "clock").verdict == "fail", report


def test_a_store_whose_whole_clock_is_wrong_is_safe(open_store):
    store = open_store(Store)
    store.clock_offset = -86400.0
    assert check(ask(store.url), "clock").verdict == "pass"


# -- What is not granted ----------------------------------------------------------------------------------------------


def test_the_permission_that_is_missing_is_named(seaweedfs, bucket, key):
    reports = {
        name: ask(seaweedfs.endpoint_url, key, bucket, contenders=2, rounds=1, **credentials(seaweedfs, name))
        for name in ("no-list", "read-only", "stranger")
    }
    assert reports["no-list"].verdict == "safe", reports["no-list"]
    for name in ("read-only", "stranger"):
        assert reports[name].verdict == "unknown"
        assert "s3:PutObject" in reports[name].reason
        assert f"s3://{bucket}/{key}.preflight-*" in reports[name].reason


SETTINGS = {
    "versioning": "s3:GetBucketVersioning",
    "lifecycle": "s3:GetLifecycleConfiguration",
    "object_lock": "s3:GetBucketObjectLockConfiguration",
    "replication": "s3:GetReplicationConfiguration",
}


def test_settings_that_may_not_be_read_do_not_spoil_the_verdict(open_store):
    with FaultProxy(open_store(Store).url) as proxy:
        proxy.on("GET", faults.answer(403), nth=None, key="")
        report = ask(proxy.url)
    assert report.verdict == "safe"
    assert {name: check(report, name).verdict for name in SETTINGS} == dict.fromkeys(SETTINGS, "unknown")
    assert [name for name, grant in SETTINGS.items() if grant not in check(report, name).advice] == []


def test_scratch_objects_that_may_not_be_removed_are_told(open_store):
    with FaultProxy(open_store(Store).url) as proxy:
        proxy.on("DELETE", faults.answer(403), nth=None)
        report = ask(proxy.url)
    cleanup = check(report, "cleanup")
    assert (report.verdict, cleanup.verdict) == ("safe", "warn")
    assert "s3:DeleteObject on s3://bucket/jobs/a.preflight-*" in cleanup.advice
    assert "jobs/a.preflight-" in cleanup.seen


def left_in(store: Store) -> set[str]:
    """The objects that were written and are still there."""
    return {one.key for one in store.select("PUT") if store.get(one.key)}


@pytest.mark.parametrize("fault", [faults.drop_answer(), faults.drop_request(), faults.answer(503)])
def test_one_delete_that_fails_leaves_nothing_behind(open_store, fault):
    store = open_store(Store)
    with FaultProxy(store.url) as proxy:
        proxy.on("DELETE", fault, nth=2)
        report = ask(proxy.url, clock=Hasty())
    assert left_in(store) == set()
    assert check(report, "cleanup").verdict == "pass", report


def test_what_is_left_is_told_with_the_status_that_says_why(open_store):
    store = open_store(Store)
    with FaultProxy(store.url) as proxy:
        proxy.on("DELETE", faults.answer(500), nth={1, 2})
        report = ask(proxy.url, clock=Hasty())
    cleanup = check(report, "cleanup")
    assert len(left_in(store)) == 1
    assert "1 scratch object is left" in cleanup.seen
    assert "(500)" in cleanup.seen
    assert "s3:DeleteObject" not in cleanup.advice


def test_a_write_that_lands_after_the_cleanup_is_removed_too(open_store):
    store = open_store(CarriesOutAfterTheDelete)
    report = ask(store.url, contenders=3, rounds=1, request_timeout=1)
    assert store.landed.is_set()
    assert left_in(store) == set(), report


def test_after_the_last_try_of_a_write_nobody_waits(open_store):
    clock = Noting()
    with FaultProxy(open_store(Store).url) as proxy:
        proxy.on("PUT", faults.answer(500), nth=range(2, 2 + conditions.TRIES), condition="create")
        report = ask(proxy.url, rounds=1, clock=clock)
    assert check(report, "create_again").verdict == "unknown", report
    assert clock.pauses.count(conditions.FIRST_RETRY) == conditions.TRIES - 1


def test_what_was_not_looked_at_after_a_refusal_is_unknown(open_store):
    """It may have been refused and carried out all the same."""
    with FaultProxy(open_store(Store).url) as proxy:
        proxy.on("GET", faults.answer(403), nth=2)
        report = ask(proxy.url, rounds=1)
    assert check(report, "create_again").verdict == "unknown", report
    assert report.verdict == "unknown"


# -- When the store does not answer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [faults.drop_request(), faults.drop_answer()], ids=lambda fault: fault.name)
@pytest.mark.parametrize("cut", [5, 20, 60])
def test_a_run_that_is_cut_off_leaves_nothing_that_the_next_one_trips_over(open_store, fault, cut):
    store = open_store(Store)
    before = store.put("jobs/a", b"somebody's lease")
    with FaultProxy(store.url) as proxy:
        proxy.on(None, fault, nth=range(cut, 10**6))
        first = ask(proxy.url, request_timeout=1, clock=Hasty())
        proxy.heal()
        left = {one.key for one in store.select("PUT") if store.get(one.key)}
        second = ask(proxy.url)
    assert first.verdict == "unknown"
    assert second.verdict == "safe", second
    assert store.get("jobs/a") == before
    assert all(name.startswith("jobs/a.preflight-") for name in left)
    assert {one.key for one in store.select("PUT") if store.get(one.key)} == left


def test_a_store_that_falls_silent_is_not_asked_on(open_store):
    store = open_store(FallsSilent)
    report = ask(store.url, request_timeout=1, clock=Hasty())
    hung = {key.partition("jobs/a.preflight-")[2][16:] for key in store.unanswered}
    assert report.verdict == "unknown"
    assert check(report, "reads").verdict == "unknown"
    assert "raise request_timeout" in check(report, "reads").advice
    assert "may be left at s3://bucket/jobs/a.preflight-" in check(report, "cleanup").seen
    assert hung == {""}, "no other object was tried"


def test_answers_that_get_lost_now_and_then_make_no_store_unsafe(open_store):
    with FaultProxy(open_store(Store).url) as proxy:
        proxy.on("PUT", faults.drop_answer(), nth=range(5, 10**6, 7))
        report = ask(proxy.url, clock=Hasty())
    assert verdicts(report, "fail") == set(), report
    assert report.verdict == "safe", report


@pytest.mark.parametrize(("status", "verdict"), [(412, "unsafe"), (500, "unknown"), (501, "unsafe")])
@pytest.mark.parametrize("condition", ["create", "replace"])
def test_a_store_that_refuses_every_write_is_of_no_use(open_store, condition, status, verdict):
    with FaultProxy(open_store(Store).url) as proxy:
        proxy.on("PUT", faults.answer(status), nth=None, condition=condition)
        report = ask(proxy.url, request_timeout=2, clock=Hasty())
    assert report.verdict == verdict, report
    assert check(report, condition).verdict == ("fail" if verdict == "unsafe" else "unknown")


def test_a_store_that_throttles_is_unknown_and_not_unsafe(open_store):
    store = open_store(TakesOneWriteAtATime)
    store.apart = 0.5
    report = ask(store.url, clock=Hasty(), rounds=10)
    assert verdicts(report, "fail") == set(), report
    assert report.verdict == "unknown"
    assert verdicts(report, "unknown") & RACES
    assert "throttles writes to one key" in report.reason
    assert [one.key for one in store.requests if one.key.endswith("-4")] == [], "it raced on"


def test_what_cannot_be_reached_is_unknown(open_store):
    (port,) = ports.free_ports(1)
    report = ask(f"http://127.0.0.1:{port}", request_timeout=1, clock=Hasty())
    assert report.verdict == "unknown"
    assert "could not be reached" in report.reason
    assert "Check endpoint_url" in report.reason
    assert report.requests > 0


def test_a_certificate_that_nobody_trusts_is_unknown_and_says_what_to_set(open_store, certificate):
    store = open_store(Store, certificate=certificate)
    report = ask(store.url)
    assert report.verdict == "unknown"
    assert "aws_ca_bundle" in report.reason
    assert store.requests == []
    assert report.requests == 0


def test_a_bucket_that_is_not_there_is_unknown_and_says_what_to_set(seaweedfs, key):
    report = ask(seaweedfs.endpoint_url, key, "nobody-made-me", **credentials(seaweedfs))
    assert report.verdict == "unknown"
    assert "Create the bucket" in report.reason


def test_many_contenders_make_no_noise(open_store, caplog):
    assert ask(open_store(Store).url, contenders=64, rounds=1).verdict == "safe"
    assert caplog.records == []


@pytest.mark.parametrize(("name", "value"), [("contenders", 1), ("contenders", 65), ("rounds", 0), ("rounds", 1001)])
def test_numbers_out_of_range_are_refused(open_store, name, value):
    store = open_store(Store)
    with pytest.raises(BadOption, match=f"{name} is {value}: use"):
        ask(store.url, **{name: value})
    assert store.requests == []


# -- Through Ansible --------------------------------------------------------------------------------------------------


def test_unsafe_and_unknown_fail_the_task_and_report_only_does_not(run_playbook, open_store, proxy, key):
    bad, good = open_store(IgnoresIfMatch), open_store(Store)
    proxy.on(None, faults.answer(403, code="SignatureDoesNotMatch"), nth=None)
    here = {**KEYS, "bucket": "the-bucket", "key": key, "rounds": 1, "endpoint_url": bad.url}
    mute = {**here, "endpoint_url": proxy.url}
    run = run_playbook(
        [
            task("unsafe", here),
            task("reported", {**here, "report_only": True}),
            task("unknown", mute),
            task("unknown reported", {**mute, "report_only": True}),
            task("one contender", {**here, "contenders": 1}),
            task("no number", {**here, "rounds": "many"}),
            task("no key", {**here, "key": ""}),
            task("no such option", {**here, "lease_duration": 30}),
            task("group defaults fit", {**here, "endpoint_url": good.url, "holder": "me", "session": "my-session"}),
        ],
        env={"ANSIBLE_PIPELINING": "true"},
    )
    assert no_traceback(run)
    statuses = {one.task: (one.status, one.result["verdict"]) for one in run.results}
    assert statuses == {
        "unsafe": ("ignored", "unsafe"),
        "reported": ("ok", "unsafe"),
        "unknown": ("ignored", "unknown"),
        "unknown reported": ("ok", "unknown"),
        "one contender": ("ignored", "unknown"),
        "no number": ("ignored", "unknown"),
        "no key": ("ignored", "unknown"),
        "no such option": ("ignored", "unknown"),
        "group defaults fit": ("ok", "safe"),
    }
    assert [one.task for one in run.results if not one.result.keys() >= RESULT_KEYS] == []
    assert f"s3://the-bucket/{key}: the store cannot be trusted" in run["unsafe"]["msg"]
    assert "Check the credentials" in run["unknown"]["msg"]
    assert "contenders is 1: use 2 to 64" in run["one contender"]["msg"]
    assert KEYS["secret_key"] not in f"{run} {[one.result for one in run.results]}"


def test_check_mode_writes_nothing_and_does_not_fail_for_what_it_cannot_know(run_playbook, open_store, key):
    good, bad = open_store(Store), open_store(HasNoDate)
    (port,) = ports.free_ports(1)
    here = {**KEYS, "bucket": "bucket", "key": key, "request_timeout": 1}
    nowhere = {**here, "endpoint_url": f"http://127.0.0.1:{port}"}
    run = run_playbook(
        [
            task("good", {**here, "endpoint_url": good.url}),
            task("bad", {**here, "endpoint_url": bad.url}),
            task("nowhere", nowhere),
            task("nowhere reported", {**nowhere, "report_only": True}),
        ],
        args=["--check"],
    )
    assert {one.task: (one.status, one.result["verdict"]) for one in run.results} == {
        "good": ("ok", "unknown"),
        "bad": ("ignored", "unsafe"),
        "nowhere": ("ignored", "unknown"),
        "nowhere reported": ("ok", "unknown"),
    }
    assert "Check endpoint_url" in run["nowhere"]["msg"]
    assert good.requests
    assert {one.method for one in (*good.requests, *bad.requests)} == {"GET"}


def test_seaweedfs_is_safe_by_the_one_command_of_the_readme(run_playbook, seaweedfs, bucket, key):
    run = run_playbook([task("preflight", {"key": key, "rounds": 2})], s3={**seaweedfs.options, "bucket": bucket})
    assert run.task("preflight").status == "ok", run
    assert run["preflight"]["verdict"] == "safe"
    assert run["preflight"]["reason"] == "the store can be trusted with a lease"


def test_a_run_that_is_killed_leaves_nothing_that_the_next_one_trips_over(
    start_playbook, run_playbook, open_store, key, tmp_path
):
    store = open_store(Store)
    here = {**KEYS, "bucket": "bucket", "key": key, "endpoint_url": store.url}
    first = start_playbook([task("first", {**here, "rounds": 1000})], env={"TMPDIR": str(tmp_path)})
    store.wait_for_count(100, "PUT", timeout=60)
    first.kill()
    run = run_playbook([task("second", {**here, "rounds": 1}), task("lease", here, INFO)])
    assert run["second"]["verdict"] == "safe"
    assert run["lease"]["lease"]["state"] == "absent"
