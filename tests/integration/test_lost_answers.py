# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every PUT of every module, and everything that can happen to it: the module tells what became of it.

The whole matrix runs the modules' own code in this process, all cases at the same time, each on a lease of its own.
A part of it goes through ansible-playbook.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import email.utils
import json
import threading
import time
import typing as t
import uuid
from collections.abc import Iterator
from unittest import mock

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils import _options, _results
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Proof
from ansible_collections.leaderelection.s3.plugins.module_utils._module import Task
from ansible_collections.leaderelection.s3.plugins.modules import (
    s3_leader_acquire,
    s3_leader_release,
    s3_leader_renew,
)
from support import proxy as faults
from support.leases import OLD_TERM, somebody_elses
from support.server import error

MODULES = {
    "acquire": s3_leader_acquire.acquire,
    "renew": s3_leader_renew.renew,
    "release": s3_leader_release.release,
}
DEFAULTS: dict[str, t.Any] = {
    **{
        name: option.get("default")
        for module in (s3_leader_acquire, s3_leader_renew, s3_leader_release)
        for name, option in module.SPEC.items()
    },
    **dict(holder="claimant", request_timeout=3, lease_duration=30, wait_timeout=60, poll_interval=2, hold_at_least=0),
}


class Memory(threading.local):
    """What is remembered of the store: cases run at the same time, so each thread has a memory of its own."""

    knows = False

    def recall(self, store: str) -> Proof | None:
        return Proof(store, time.time()) if self.knows else None


MEMORY = Memory()


@pytest.fixture(scope="module", autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """Only a case that wants it knows the store, in this process and in playbooks."""
    with pytest.MonkeyPatch.context() as patch, mock.patch.object(s3_leader_acquire, "recall", MEMORY.recall):
        patch.setenv("XDG_CACHE_HOME", "/dev/null")
        yield


def operate(module: str, **params: t.Any) -> dict[str, t.Any]:
    """What the module would return with these options."""
    task = Task(_options.Handle({**DEFAULTS, **params}), {**DEFAULTS, **params}, check_mode=False)
    lease = task.lease
    verdict = MODULES[module](task)
    return _results.success(verdict, lease.location, lease.store.requests, lease.started)


# -- What can happen to a PUT -----------------------------------------------------------------------------------------


def late(overtaken_by: str) -> faults.Fault:
    """The connection is closed at once; the request reaches the store after another with this method was answered."""

    def act(proxy: faults.FaultProxy, exchange: t.Any) -> None:
        request = exchange.request
        exchange.close()

        def overtaken() -> bool:
            return any(
                other.status is not None and other.received_at > request.received_at
                for other in proxy.select(overtaken_by, key=request.key)
            )

        with contextlib.suppress(TimeoutError):
            proxy.wait_for(overtaken, timeout=5)
        proxy.forward(request)

    return faults.Fault(f"late, after a {overtaken_by}", act)


def too_late() -> faults.Fault:
    """The store says that the date of the request is an hour off, as if its clock had been set."""

    def act(_proxy: faults.FaultProxy, exchange: t.Any) -> None:
        date = ("Date", email.utils.formatdate(time.time() + 3600, usegmt=True))
        exchange.reply(error(403, "RequestTimeTooSkewed", headers=(date,)))

    return faults.Fault("too late", act)


STATUSES = (403, 404, 408, 409, 412, 429, 500, 502, 503)
FAULTS: dict[str, faults.Fault] = {
    "its answer is dropped": faults.drop_answer(),
    "it is dropped": faults.drop_request(),
    "it arrives after it was looked for": late("GET"),
    "it arrives after it was sent again": late("PUT"),
    "its answer is late": faults.late_answer(3.5),
    "it hangs before the store": faults.hang(),
    "it hangs behind the store": faults.hang_after_commit(),
    "its answer drips": faults.drip(),
    "its date is refused": too_late(),
    **{f"{status} instead of it": faults.answer(status) for status in STATUSES},
    **{f"{status} after it": faults.answer(status, after_commit=True) for status in STATUSES},
}

# -- The PUTs ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Put:
    """A module's request. before is the lease that it finds: a body, or None for nothing, or "ours"."""

    module: str
    before: bytes | str | None
    handed_over: bool = False
    nth: int = 1
    writes: int = 1
    """How many land without a fault. A proof takes two more: the winner of the race, and the record that has it."""
    knows: bool = False
    """An earlier task has found out that the store enforces conditions."""
    elsewhere: bool = False
    """The lease before was acquired at another URL."""


PUTS_OF_A_PROOF = {
    "first probe": 1,
    "second probe": 2,
    "probe that has expired": 3,
    "racing write": 4,
    "other racing write": 5,
    "write with proof": 6,
}
PUTS_OF_A_NEW_LEASE, WRITES_OF_A_NEW_LEASE = 7, 3


def puts(store: str = "") -> dict[str, Put]:
    """All of them, at a store with this URL of its bucket."""
    return {
        "create": Put("acquire", None, writes=3),
        **{name: Put("acquire", None, writes=3, nth=1 + nth) for name, nth in PUTS_OF_A_PROOF.items()},
        "create where the store is known": Put("acquire", None, knows=True),
        "takeover": Put("acquire", somebody_elses(store)),
        "takeover of a lease whose store was not asked": Put(
            "acquire", somebody_elses(store, conditionsProven=None), writes=3
        ),
        "takeover of a lease from another store": Put("acquire", somebody_elses("http://elsewhere"), writes=3),
        "acquire after a release": Put("acquire", somebody_elses(store, holderId="")),
        "acquire again": Put("acquire", "ours"),
        "renew": Put("renew", "ours"),
        "renew with the lease handed over": Put("renew", "ours", handed_over=True),
        **{
            f"{name} of a renewal at another URL": Put("renew", "ours", nth=nth, writes=2, elsewhere=True)
            for name, nth in PUTS_OF_A_PROOF.items()
            if "probe" not in name
        },
        "release": Put("release", "ours"),
        "release with the lease handed over": Put("release", "ours", handed_over=True),
    }


MATRIX = [(put, fault) for put in puts() for fault in FAULTS]


@dataclasses.dataclass
class Case:
    """What a module said, and what really happened."""

    name: str
    put: Put
    store: str
    begun: float
    """On the clock of time.monotonic(), before the module started."""
    before: dict[str, t.Any] | None
    result: dict[str, t.Any]
    stored: dict[str, t.Any]
    etag: str
    landed: list[dict[str, t.Any]]
    """The bodies of all PUTs that the store accepted from the module."""
    first_sent: float
    """When what stands in the store was sent for the first time, on the clock of time.monotonic()."""
    session: str


class Bench:
    """Runs cases at the same time, on one server and one proxy."""

    def __init__(self, server: t.Any, proxy: faults.FaultProxy, bucket: str) -> None:
        self.server, self.proxy, self.bucket = server, proxy, bucket
        self.s3 = server.client()
        self.direct = dict(server.options, bucket=bucket)
        self.own = dict(self.direct, endpoint_url=proxy.url)

    def prepare(self, name: str, proxy: faults.FaultProxy | None = None) -> tuple[Put, str, str]:
        """Choose key and session; what has to age is written now."""
        put = puts(f"{(proxy or self.proxy).url}/{self.bucket}")[name]
        key = f"lost-{uuid.uuid4().hex}"
        if isinstance(put.before, bytes):
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=put.before)
        return put, key, uuid.uuid4().hex

    def expire(self, keys: list[str]) -> None:
        """Wait until by the store's clock all are older than their second and the margin of two."""
        for key in keys:
            deadline = time.monotonic() + 30
            while self.age(key) < 3:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def age(self, key: str) -> float:
        answer = self.s3.get_object(Bucket=self.bucket, Key=key)
        date = email.utils.parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return (date - answer["LastModified"]).total_seconds()

    def stored(self, key: str) -> tuple[dict[str, t.Any], str]:
        """What really stands in the store."""
        answer = self.s3.get_object(Bucket=self.bucket, Key=key)
        return json.loads(answer["Body"].read()), answer["ETag"].strip('"')

    def run(self, name: str, fault: str, put: Put, key: str, session: str) -> Case:
        who = dict(self.own, key=key, session=session)
        lease = None
        before = None
        if put.before == "ours":
            lease = operate("acquire", **(dict(self.direct, key=key, session=session) if put.elsewhere else who))
            assert lease["is_leader"]
        if put.before is not None:
            before, _etag = self.stored(key)
        if lease and put.handed_over:
            who["lease"] = dict(lease, elapsed=0)  # what the action plugin would add
        earlier = self.proxy.count("PUT", key=key)
        self.proxy.on("PUT", FAULTS[fault], nth=put.nth, key=key)
        MEMORY.knows = put.knows
        begun = time.monotonic()
        result = operate(put.module, **who)
        MEMORY.knows = False
        # A request that is still under way ends before the store is asked what it has.
        held = ("hang", "hang_after_commit", "drip")
        self.proxy.wait_for(
            lambda: all(
                one.store_status is not None or one.fault in held or "drop_request" in str(one.fault)
                for one in self.proxy.select("PUT", key=key)
                if one.status is None
            ),
            timeout=30,
        )
        sent = self.proxy.select("PUT", key=key)[earlier:]
        assert sum(one.fault is not None for one in sent) == 1
        landed = [json.loads(one.body) for one in sent if one.store_status == 200]
        stored, etag = self.stored(key)
        first_sent = next(one.received_at for one in sent if json.loads(one.body)["nonce"] == stored["nonce"])
        return Case(
            name,
            put,
            f"{self.proxy.url}/{self.bucket}",
            begun,
            before,
            result,
            stored,
            etag,
            landed,
            first_sent,
            session,
        )


@pytest.fixture(scope="module")
def bench(seaweedfs, bucket):
    with faults.FaultProxy(seaweedfs.endpoint_url) as proxy:
        yield Bench(seaweedfs, proxy, bucket)


@pytest.fixture(scope="module")
def cases(bench, request):
    """All cases that were chosen, carried out at the same time; a future for each, which has ended."""
    chosen = [item.callspec.params for item in request.session.items if "cases" in getattr(item, "fixturenames", ())]
    wanted = {(params["put"], params["fault"]): None for params in chosen}
    prepared = {(put, fault): bench.prepare(put) for put, fault in wanted}
    bench.expire([key for put, key, _session in prepared.values() if isinstance(put.before, bytes)])
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        # All of them end here: between tests, pytest changes the environment, which threads must not read meanwhile.
        return {name: pool.submit(bench.run, *name, *case) for name, case in prepared.items()}


@pytest.fixture
def case(cases, put, fault) -> Case:
    return cases[put, fault].result()


every_put = pytest.mark.parametrize(("put", "fault"), MATRIX, ids=[f"{put}, {fault}" for put, fault in MATRIX])


class TestWhateverHappensToAPut:
    """One fault, and enough time to get over it."""

    @every_put
    def test_the_module_tells_what_stands_in_the_store(self, case):
        told, stored = case.result["lease"], case.stored
        assert stored["session"] == case.session
        assert case.result["is_leader"] == (stored["holderId"] != "") == (case.put.module != "release")
        assert case.result["term"] == (stored["term"] if case.result["is_leader"] else None)
        assert {name: told[name] for name in ("etag", "holder", "session", "term", "sequence")} == {
            "etag": case.etag,
            "holder": stored["holderId"],
            "session": stored["session"],
            "term": stored["term"],
            "sequence": stored["sequence"],
        }
        assert case.result["changed"] == (case.put.module == "release" or case.put.before != "ours")

    @every_put
    def test_each_write_lands_once(self, case):
        more = len(case.landed) - case.put.writes
        if case.put.knows:
            assert more in (0, 1)  # a create that may have come after a delete takes a new term
        elif case.put.writes > 1:
            assert more >= 0  # a race that does not end clearly in time is repeated, and each has one winner
        else:
            assert more == 0
        assert case.landed[-1] == case.stored
        nonces = {one["nonce"] for one in [*case.landed, *([case.before] if case.before else [])]}
        assert len(nonces) == len(case.landed) + (case.before is not None)

    @every_put
    def test_only_an_acquisition_raises_the_term(self, case):
        terms = [one["term"] for one in case.landed]
        ours = case.before is not None and case.before["session"] == case.session
        sequence = case.before["sequence"] if ours else 0
        assert [one["sequence"] for one in case.landed] == [sequence + turn for turn in range(1, 1 + len(terms))]
        if ours:
            assert set(terms) == {case.before["term"]}
        elif case.before and case.before["conditionsProven"]:
            assert set(terms) == {OLD_TERM + 1}
        else:  # the store's time; the last write takes it anew if the create may have come after a delete (rule 3)
            assert abs(terms[0] - time.time()) < 600
            assert set(terms[:-1]) <= {terms[0]}
            assert terms[0] <= terms[-1] < time.time() + 1

    @every_put
    def test_only_the_last_write_says_that_the_store_was_asked(self, case):
        proofs = [one["conditionsProven"] for one in case.landed]
        assert proofs[-1]["store"] == case.store
        if case.put.writes > 1:
            assert all(proof is None or proof["store"] != case.store for proof in proofs[:-1])

    @every_put
    def test_the_leaders_time_counts_from_before_the_first_send(self, case):
        if case.put.module == "release":
            assert case.result["deadline"] is None
        else:
            assert case.begun + case.result["deadline"] <= case.first_sent + DEFAULTS["lease_duration"]


def test_a_create_that_arrives_after_the_release_does_not_bring_the_lease_back(bench):
    _put, key, session = bench.prepare("create")
    arrival = threading.Event()
    bench.proxy.on("PUT", faults.late_request(arrival), key=key)
    who = dict(bench.own, key=key, session=session)
    assert operate("acquire", **who)["is_leader"]
    assert operate("release", **who)["changed"]
    arrival.set()
    bench.proxy.wait_for(lambda: bench.proxy.select("PUT", key=key)[0].store_status is not None)
    assert bench.proxy.select("PUT", key=key)[0].store_status == 412
    assert bench.stored(key)[0]["holderId"] == ""


@pytest.mark.parametrize("handed_over", [True, False])
def test_a_renewal_that_arrives_after_the_release_does_not_bring_the_lease_back(bench, handed_over):
    _put, key, session = bench.prepare("renew")
    arrival = threading.Event()
    who = dict(bench.own, key=key, session=session)
    lease = dict(operate("acquire", **who), elapsed=0) if handed_over else operate("acquire", **who)
    bench.proxy.forget()
    bench.proxy.on("PUT", faults.late_request(arrival), key=key)
    assert operate("renew", **who, lease=lease if handed_over else None)["is_leader"]
    assert operate("release", **who)["changed"]
    arrival.set()
    bench.proxy.wait_for(lambda: bench.proxy.select("PUT", key=key)[0].store_status is not None)
    assert bench.proxy.select("PUT", key=key)[0].store_status == 412
    assert bench.stored(key)[0]["holderId"] == ""


# -- Through ansible-playbook -----------------------------------------------------------------------------------------

PLAYED = {
    "create": (
        "its answer is dropped",
        "403 instead of it",
        "it arrives after it was looked for",
        "412 after it",
        "it hangs before the store",
    ),
    "racing write": ("its answer is dropped", "500 after it"),
    "takeover": ("its answer is dropped", "it arrives after it was sent again", "500 after it"),
    "acquire after a release": ("it hangs before the store", "it hangs behind the store", "412 after it"),
    "renew": ("its answer is dropped", "409 instead of it"),
    "renew with the lease handed over": ("its answer drips", "412 after it", "it is dropped"),
    "release": ("its answer is dropped", "503 after it"),
    "release with the lease handed over": ("it arrives after it was looked for", "its answer is late"),
}
PLAYED_PAIRS = [(put, fault) for put, each in PLAYED.items() for fault in each]


@pytest.fixture(scope="module")
def played(bench, tmp_path_factory, collections_path):
    """One run in which every case is a host; its result, and what really happened."""
    from support import playbook

    prepared = {}
    for number, (put, fault) in enumerate(PLAYED_PAIRS):
        how, key, _session = bench.prepare(put)
        nth = how.nth + (PUTS_OF_A_NEW_LEASE if how.before == "ours" else 0)
        bench.proxy.on("PUT", FAULTS[fault], nth=nth, key=key)
        prepared[put, fault] = (f"case-{number}", how, key)
    bench.expire([key for _host, how, key in prepared.values() if isinstance(how.before, bytes)])
    leases = {
        host: {"key": key, "module": how.module, "ours": how.before == "ours", "hand_over": how.handed_over}
        for host, how, key in prepared.values()
    }
    running = playbook.start(
        tmp_path_factory.mktemp("played"),
        """
        - name: first
          leaderelection.s3.s3_leader_acquire: {key: "{{ leases[inventory_hostname].key }}", lease_duration: 120}
          register: first
          when: leases[inventory_hostname].ours
        - name: acquire
          leaderelection.s3.s3_leader_acquire: {key: "{{ leases[inventory_hostname].key }}"}
          when: leases[inventory_hostname].module == "acquire"
        - name: renew
          leaderelection.s3.s3_leader_renew:
            key: "{{ leases[inventory_hostname].key }}"
            lease: "{{ leases[inventory_hostname].hand_over | ternary(first, {}) }}"
          when: leases[inventory_hostname].module == "renew"
        - name: release
          leaderelection.s3.s3_leader_release:
            key: "{{ leases[inventory_hostname].key }}"
            lease: "{{ leases[inventory_hostname].hand_over | ternary(first, {}) }}"
          when: leases[inventory_hostname].module == "release"
        """,
        hosts=list(leases),
        s3=dict(bench.own, request_timeout=3),
        args=("--forks", "8"),
        env={"ANSIBLE_STRATEGY": "free"},
        collections_path=collections_path,
        leases=leases,
    )
    try:
        run = running.wait(180)
    finally:
        running.kill()
    return run, prepared


@pytest.mark.parametrize(("put", "fault"), PLAYED_PAIRS, ids=[f"{put}, {fault}" for put, fault in PLAYED_PAIRS])
def test_a_playbook_learns_what_became_of_its_write(played, bench, put, fault):
    run, prepared = played
    host, how, key = prepared[put, fault]
    result = run.task(how.module, host).result
    stored, etag = bench.stored(key)
    assert any(one.fault for one in bench.proxy.select("PUT", key=key))
    assert result["is_leader"] == (stored["holderId"] != "") == (how.module != "release"), run
    assert result["lease"]["etag"] == etag
    assert result["lease"]["term"] == stored["term"]
    landed = [json.loads(one.body) for one in bench.proxy.select("PUT", key=key, store_status=200)]
    assert landed[-1] == stored
    writes = how.writes + (WRITES_OF_A_NEW_LEASE if how.before == "ours" else 0)
    assert len(landed) >= writes if writes > 1 else len(landed) == 1  # a race that does not end clearly is repeated
    if isinstance(how.before, bytes):
        assert stored["term"] == OLD_TERM + 1


ASK = """
    - name: unreachable
      leaderelection.s3.s3_leader_acquire:
        key: "{{ key }}"
      register: first
      ignore_errors: true
    - name: held
      ansible.builtin.debug:
        msg: "{{ first is leaderelection.s3.held }}"
    - name: healed
      ansible.builtin.wait_for:
        path: "{{ healed }}"
    - name: again
      leaderelection.s3.s3_leader_acquire:
        key: "{{ key }}"
    """


WHERE = ("from the read on", "from the write on", "from the answer to the write on", "by any write")


@pytest.fixture(scope="module", params=WHERE)
def where(request):
    return request.param


@pytest.fixture(scope="module")
def told(bench, tmp_path_factory, collections_path, where):
    """The key, the run, and the lease in the store while nothing got through."""
    from support import playbook

    folder = tmp_path_factory.mktemp("unreachable")
    with faults.FaultProxy(bench.server.endpoint_url) as proxy:
        # Where reads pass, a new lease would also fail by its probes.
        what = "acquire after a release" if where == "by any write" else "create"
        _put, key, _session = bench.prepare(what, proxy)
        if where == "from the read on":
            proxy.on(None, faults.drop_request(), nth=None)
        else:
            fault = faults.drop_answer() if where == "from the answer to the write on" else faults.drop_request()
            proxy.on("PUT", fault, nth=None)
            if where != "by any write":
                proxy.on("GET", faults.drop_request(), nth=range(2, 1000))
        running = playbook.start(
            folder,
            ASK,
            s3=dict(bench.own, endpoint_url=proxy.url, request_timeout=1),
            collections_path=collections_path,
            key=key,
            healed=str(folder / "healed"),
        )
        try:
            running.wait_for("held", timeout=60)
            there = "Contents" in bench.s3.list_objects_v2(Bucket=bench.bucket, Prefix=key)
            stored = bench.stored(key)[0] if there else None
            proxy.heal()
            (folder / "healed").touch()
            return key, running.wait(60).succeeded(), stored
        finally:
            running.kill()


class TestAStoreThatCannotBeReached:
    """From some request on nothing gets through, and then everything again."""

    def test_nobody_leads_by_it(self, told):
        _key, run, _stored = told
        assert run.task("unreachable").status == "ignored"
        assert run["unreachable"]["is_leader"] is False
        assert run["unreachable"]["term"] is None
        assert run["held"]["msg"] is False

    def test_the_message_says_whether_a_write_may_have_landed(self, told, where):
        key, run, stored = told
        message = run["unreachable"]["msg"]
        assert key in message
        assert ("Whether the write of this task landed is unknown" in message) == (where != "from the read on")
        written = stored is not None and stored["holderId"] != ""
        assert written == (where == "from the answer to the write on")

    def test_the_same_run_acquires_when_it_is_back(self, told, bench):
        key, run, stored = told
        assert run["again"]["is_leader"] is True
        now, _etag = bench.stored(key)
        assert now["term"] == run["again"]["term"]
        assert now["term"] >= (stored or now)["term"]


@pytest.mark.parametrize("module", ["renew", "release"])
def test_a_lease_that_cannot_be_written_fails_the_task(run_playbook, seaweedfs, bucket, proxy, key, module):
    proxy.on("PUT", faults.drop_request(), nth=range(PUTS_OF_A_NEW_LEASE + 1, 1000))
    run = run_playbook(
        f"""
        - name: acquire
          leaderelection.s3.s3_leader_acquire:
            key: "{{{{ key }}}}"
            lease_duration: 12
        - name: unreachable
          leaderelection.s3.s3_leader_{module}:
            key: "{{{{ key }}}}"
        """,
        s3=dict(seaweedfs.options, endpoint_url=proxy.url, bucket=bucket, request_timeout=1),
        key=key,
    )
    result = run.task("unreachable")
    assert result.status == "failed"
    assert result.result["is_leader"] is False
    assert "Whether the write of this task landed is unknown" in result.result["msg"]
    counts = collections.Counter(json.loads(one.body)["nonce"] for one in proxy.select("PUT", forwarded=False))
    assert len(counts) == 1  # the same bytes each time
