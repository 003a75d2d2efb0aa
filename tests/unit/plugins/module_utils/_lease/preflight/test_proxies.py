# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import NoAnswer
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight import proxies
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.conditions import accepted


@pytest.fixture
def ask(workspace):
    """Writes a scratch object and looks for a proxy that adds these headers to every answer, or does this to it."""

    def look(change=lambda request, answer: answer, **headers):
        work = workspace()
        store = work.connection.store
        added = tuple((name.replace("_", "-"), value) for name, value in headers.items())

        def on_the_way(request):
            answer = store.take(request)
            return change(request, answer._replace(headers=(*answer.headers, *added)))

        scratch = work.scratch()
        _check, seen = accepted(work, "create", scratch, work.draft(), None)
        assert seen
        work.connection.faults.append(on_the_way)
        first = proxies.read(work, scratch)
        return work, proxies.cache(work, scratch, first), proxies.ask(work)

    return look


def test_without_a_proxy_both_pass(ask):
    work, cache, proxy = ask()
    assert (cache.name, cache.verdict, proxy.name, proxy.verdict) == ("cache", "pass", "proxy", "pass")
    assert proxy.seen == "no proxy shows on the way"
    assert work.clock.pauses == [pytest.approx(proxies.APART)]


def test_between_the_reads_only_what_is_left_is_waited_for(workspace):
    work = workspace()
    first = proxies.read(work, work.scratch())
    work.clock.at += 2
    assert proxies.cache(work, work.scratch(), first).verdict == "pass"
    assert work.clock.pauses == [pytest.approx(proxies.APART - 2)]
    work.clock.at += 60
    assert proxies.cache(work, work.scratch(), first).verdict == "pass"
    assert work.clock.pauses[1:] == []


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        (dict(Age="3"), "Age"),
        (dict(X_Cache="HIT"), "X-Cache"),
        (dict(X_Cache="Hit from cloudfront"), "X-Cache"),
        (dict(X_Cache="TCP_MEM_HIT from here"), "X-Cache"),
        (dict(CF_Cache_Status="HIT"), "Cf-Cache-Status"),
    ],
)
def test_a_cache_that_says_that_it_answered_fails(ask, headers, name):
    _work, cache, _proxy = ask(**headers)
    assert cache.verdict == "fail"
    assert cache.seen.endswith(f"says so in {name}")
    assert "proxy_cache off" in cache.advice


@pytest.mark.parametrize(
    "headers",
    [dict(Age="0"), dict(X_Cache="MISS"), dict(X_Cache="RefreshHit from cloudfront"), dict(X_Cache="TCP_REFRESH_HIT")],
)
def test_a_cache_that_asked_the_store_passes(ask, headers):
    assert ask(**headers)[1].verdict == "pass"


def test_a_cache_that_says_nothing_repeats_the_date(ask):
    kept = {}
    _work, cache, proxy = ask(lambda request, answer: kept.setdefault(request.path, answer))
    assert cache.verdict == "fail"
    assert "two reads 2.2 s apart have the same Date" in cache.seen
    assert cache.advice
    assert proxy.verdict == "pass", "it is the other check's"


def test_a_read_that_gets_no_answer_tells_nothing_of_caches(workspace):
    work = workspace()
    first = proxies.read(work, work.scratch())

    def silent(_request):
        raise NoAnswer("no answer")

    work.connection.faults.append(silent)
    assert proxies.cache(work, work.scratch(), first).verdict == "unknown"
    assert proxies.cache(work, work.scratch(), proxies.read(work, work.scratch())).verdict == "unknown"


def test_a_proxy_that_compresses_fails_even_where_nothing_could_be_read(workspace):
    work = workspace()
    store = work.connection.store
    work.connection.faults.append(
        lambda request: store.take(request)._replace(
            headers=(*store.date(), ("Content-Encoding", "gzip")), body=b"\x1f\x8b\x08"
        )
    )
    assert accepted(work, "create", work.scratch(), work.draft(), None)[1] is None
    check = proxies.ask(work)
    assert check.verdict == "fail"
    assert "Content-Encoding: gzip" in check.seen
    assert "gzip off" in check.advice


@pytest.mark.parametrize(("method", "verdict"), [("GET", "fail"), ("PUT", "pass")])
def test_weak_etags_fail_where_they_are_read(workspace, method, verdict):
    work = workspace()
    store = work.connection.store

    def weaken(request):
        answer = store.take(request)
        headers = tuple((name, "W/" + value if name == "ETag" else value) for name, value in answer.headers)
        return answer._replace(headers=headers) if request.method == method else answer

    work.connection.faults.append(weaken)
    scratch = work.scratch()
    accepted(work, "create", scratch, work.draft(), None)
    proxies.read(work, scratch)
    check = proxies.ask(work)
    assert check.verdict == verdict
    assert ("weak ETags" in check.seen) is (verdict == "fail")


def test_a_proxy_that_names_itself_is_told_of_without_its_name(ask):
    _work, _cache, proxy = ask(Via="1.1 cache7.corp.example", X_Cache="MISS from cache7.corp.example")
    assert proxy.verdict == "pass"
    assert "(it sends Via and X-Cache)" in proxy.seen
    assert "cache7" not in proxy.seen


def test_without_an_answer_there_is_no_proxy_to_look_for(workspace):
    assert proxies.ask(workspace()) is None
