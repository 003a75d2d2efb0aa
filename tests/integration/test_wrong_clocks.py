# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wall clock that is wrong changes nothing: the store's own clock decides, dates the signatures, and monotonic ones
count.

Debian's faketime sets the clock of the module's process, or of ansible-playbook as well; the store's is right.
"""

from __future__ import annotations

import datetime
import email.utils
import json
import time
import typing as t
import urllib.parse
import uuid
from collections.abc import Callable

import pytest
from support import proxy as faults
from support.faketime import library
from support.leases import OLD_TERM, somebody_elses

DURATION = 300
MARGIN = 2
GRAIN = 60  # seconds; what a slow machine may add, far from the ten minutes
DAY = 86400


# libfaketime 0.9.10, which Debian 12 and Ubuntu 24.04 have, breaks the clock_nanosleep() that time.sleep() calls since
# Python 3.11 (wolfcw/libfaketime#426). select() is what older ones call.
SLEEP = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""


@pytest.fixture(scope="module")
def clock(tmp_path_factory) -> Callable[[int], dict[str, str]]:
    """Makes the environment of a process whose wall clock is so many seconds ahead."""
    preloaded = library()
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(SLEEP)
    return lambda offset: {
        "LD_PRELOAD": preloaded,
        "FAKETIME": f"{offset:+d}",
        # Only the wall clock is wrong, as on a host without NTP.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": str(folder),
    }


def utc(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def foreign(until: float) -> bytes:
    """A lease by the .NET library, which names its end."""
    return json.dumps({"holderId": "a .NET host", "leaseUntilUtc": utc(until)}).encode()


def signed_at(request: t.Any) -> float:
    """When the request was made, as its signature says."""
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(request.path).query))
    date = query.get("X-Amz-Date") or request.headers["X-Amz-Date"]
    return datetime.datetime.strptime(date + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp()


class Shop:
    """The leases that a run meets, and what stands there afterwards."""

    def __init__(self, server: t.Any, bucket: str) -> None:
        self.s3, self.bucket = server.client(), bucket
        self.prefix = f"clocks-{uuid.uuid4().hex}"

    def put(self, name: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}", Body=body)

    def get(self, name: str) -> tuple[dict[str, t.Any], float, float]:
        """The record, when it was written and what time it is, by the store's clock."""
        answer = self.s3.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}")
        date = email.utils.parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return json.loads(answer["Body"].read()), answer["LastModified"].timestamp(), date.timestamp()

    def await_age(self, name: str, seconds: float) -> None:
        deadline = time.monotonic() + 30 + seconds
        while True:
            _record, written, now = self.get(name)
            if now - written >= seconds:
                return
            assert time.monotonic() < deadline
            time.sleep(0.1)


PLAY = """
    - environment: "{{ clock }}"
      module_defaults:
        group/leaderelection.s3.s3_leader: "{{ connection }}"
      block:
        - name: acquire what is absent
          leaderelection.s3.s3_leader_acquire: {key: "{{ prefix }}/absent", lease_duration: 300}
          register: acquired
        - name: held
          ansible.builtin.debug: {msg: "{{ acquired is leaderelection.s3.held }}"}
        - name: acquire what is live
          leaderelection.s3.s3_leader_acquire: {key: "{{ prefix }}/live"}
        - name: acquire what has expired
          leaderelection.s3.s3_leader_acquire: {key: "{{ prefix }}/expired"}
        - name: acquire what is live by .NET
          leaderelection.s3.s3_leader_acquire: {key: "{{ prefix }}/live-net"}
        - name: acquire what has expired by .NET
          leaderelection.s3.s3_leader_acquire: {key: "{{ prefix }}/expired-net"}
        - name: have the store tested  # for which the moment may be too short
          leaderelection.s3.s3_leader_acquire: {key: "{{ prefix }}/moment"}
        - name: free it
          leaderelection.s3.s3_leader_release: {key: "{{ prefix }}/moment"}
        - name: acquire for a moment
          leaderelection.s3.s3_leader_acquire: {key: "{{ prefix }}/moment", lease_duration: 10, request_timeout: 1}
          register: moment
        - name: await its end
          ansible.builtin.wait_for: {path: "{{ ended }}"}
        - name: renew what is over
          leaderelection.s3.s3_leader_renew: {key: "{{ prefix }}/moment", lease: "{{ moment }}", on_lost: report}
        - name: renew
          leaderelection.s3.s3_leader_renew: {key: "{{ prefix }}/absent", lease: "{{ acquired }}"}
"""

WHERE = ("host", "controller")
OFFSETS = {"ten minutes ahead": 600, "ten minutes behind": -600, "a day ahead": DAY, "a day behind": -DAY}


@pytest.fixture(scope="module", params=[(where, name) for where in WHERE for name in OFFSETS], ids=", ".join)
def told(request, clock, seaweedfs, bucket, collections_path, tmp_path_factory):
    """A run with a wrong clock on the host, or on the controller, too; and the leases as it left them."""
    from support import playbook

    where, name = request.param
    wrong = clock(OFFSETS[name])
    shop = Shop(seaweedfs, bucket)
    shop.put("expired", somebody_elses(leaseDurationSeconds=1))
    shop.put("expired-net", foreign(time.time() - 60))
    shop.await_age("expired", 1 + MARGIN)
    shop.put("live", somebody_elses(leaseDurationSeconds=300))
    shop.put("live-net", foreign(time.time() + 300))
    folder = tmp_path_factory.mktemp("clocks")
    ended = folder / "ended"
    with faults.FaultProxy(seaweedfs.endpoint_url) as proxy:
        running = playbook.start(
            folder,
            PLAY,
            env=wrong if where == "controller" else {},
            collections_path=collections_path,
            clock=wrong,
            connection=dict(seaweedfs.options, endpoint_url=proxy.url, bucket=bucket),
            prefix=shop.prefix,
            ended=str(ended),
        )
        try:
            running.wait_for("acquire for a moment")
            shop.await_age("moment", 11)
            ended.touch()
            run = running.wait().succeeded()
        finally:
            running.kill()
        requests = proxy.requests
    # The host takes the time to be another one, until the store has told it.
    assert abs(signed_at(requests[0]) - OFFSETS[name] - time.time()) < 120
    assert all(abs(signed_at(request) - time.time()) < 120 for request in requests if request.method == "PUT")
    return run, shop, requests


def test_a_live_lease_is_not_stolen(told):
    run, shop, _requests = told
    assert run["acquire what is live"]["is_leader"] is False
    assert shop.get("live")[0]["holderId"] == "somebody else"


def test_an_expired_lease_is_taken_over(told):
    run, shop, _requests = told
    assert run["acquire what has expired"]["is_leader"] is True
    assert shop.get("expired")[0]["term"] == OLD_TERM + 1


def test_a_live_lease_by_the_net_library_is_not_stolen(told):
    run, shop, _requests = told
    assert run["acquire what is live by .NET"]["is_leader"] is False
    assert shop.get("live-net")[0]["holderId"] == "a .NET host"


def test_an_expired_lease_by_the_net_library_is_taken_over(told):
    run, _shop, _requests = told
    assert run["acquire what has expired by .NET"]["is_leader"] is True


def test_a_lease_that_is_acquired_is_held(told):
    run, _shop, _requests = told
    assert run["acquire what is absent"]["is_leader"] is True
    assert run["held"]["msg"] is True


def test_a_lease_whose_time_is_over_is_not_kept(told):
    run, _shop, _requests = told
    assert run["acquire for a moment"]["is_leader"] is True
    assert run["renew what is over"]["is_leader"] is False


def test_the_end_that_is_written_is_right_by_the_stores_clock(told):
    _run, shop, _requests = told
    record, written, _now = shop.get("expired")
    assert abs(seconds(record["leaseUntilUtc"]) - (written + 30 + MARGIN)) < GRAIN


def test_the_end_that_a_renewal_in_one_request_writes_is_right_by_the_stores_clock(told):
    run, shop, requests = told
    record, written, _now = shop.get("absent")
    assert run["renew"]["is_leader"] is True
    assert [(one.method, one.status) for one in requests[-1:]] == [("PUT", 200)]
    assert run["renew"]["requests"] == 1
    assert record["sequence"] == run["acquire what is absent"]["lease"]["sequence"] + 1
    assert abs(seconds(record["leaseUntilUtc"]) - (written + DURATION + MARGIN)) < GRAIN
    assert abs(seconds(record["renewedAt"]) - written) < GRAIN


def test_the_first_term_is_the_stores_time(told):
    run, shop, _requests = told
    record, written, _now = shop.get("absent")
    assert record["term"] == run["acquire what is absent"]["term"]
    assert abs(record["term"] - written) < 120


@pytest.mark.parametrize("offset", [DAY, -DAY], ids=["ahead", "behind"])
def test_a_host_whose_clock_is_a_day_off_acquires_renews_and_releases(
    run_playbook, clock, seaweedfs, bucket, key, proxy, offset
):
    run = run_playbook(
        """
        - environment: "{{ clock }}"
          block:
            - name: acquire
              leaderelection.s3.s3_leader_acquire: {key: "{{ key }}"}
              register: acquired
            - name: renew
              leaderelection.s3.s3_leader_renew: {key: "{{ key }}", lease: "{{ acquired }}"}
              register: renewed
            - name: renew without
              leaderelection.s3.s3_leader_renew: {key: "{{ key }}"}
            - name: release
              leaderelection.s3.s3_leader_release: {key: "{{ key }}"}
            - name: acquire again
              leaderelection.s3.s3_leader_acquire: {key: "{{ key }}"}
        """,
        s3=dict(seaweedfs.options, endpoint_url=proxy.url, bucket=bucket),
        clock=clock(offset),
        key=key,
    ).succeeded()
    names = ("acquire", "renew", "renew without", "release", "acquire again")
    assert [run[name]["is_leader"] for name in names] == [True, True, True, False, True]
    assert run["release"]["changed"] is True
    assert run["acquire again"]["term"] == run["acquire"]["term"] + 1
    # Each task learns the store's time by a read that is refused, or from the lease that it was handed.
    assert [run[name]["requests"] for name in names] == [9, 1, 3, 3, 3]
    refused = [one for one in proxy.requests if one.status == 403 and "X-Amz-Expires=1&" not in one.path]
    assert [one.method for one in refused] == ["GET"] * 4
    assert all(abs(signed_at(one) - offset - time.time()) < 120 for one in refused)


def seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()
