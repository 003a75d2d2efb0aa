# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test equipment does what it promises."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import typing as t

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config
from support import proxy as faults
from support.stores import ceph as clusters, odd, seaweedfs as servers
from support.waiting import wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
Lost = (botocore.exceptions.ConnectionClosedError, botocore.exceptions.ReadTimeoutError)


def status_of(call: t.Callable[..., t.Any], **arguments: t.Any) -> int:
    """The HTTP status that a boto3 call got, error or not."""
    try:
        return call(**arguments)["ResponseMetadata"]["HTTPStatusCode"]
    except botocore.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]


def client_of(store: odd.Store) -> t.Any:
    session = boto3.session.Session("nobody", "nothing", region_name="us-east-1")
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, read_timeout=5)
    return session.client("s3", endpoint_url=store.url, config=config)


class TestSeaweedFS:
    """What tests may take for granted about the server."""

    def test_it_keeps_the_conditions(self, seaweedfs, bucket, key):
        s3 = seaweedfs.client()
        lease = {"Bucket": bucket, "Key": key}
        assert status_of(s3.put_object, **lease, Body=b"1", IfMatch='"0"') == 412  # AWS: 404
        first = s3.put_object(**lease, Body=b"1", IfNoneMatch="*")["ETag"]
        assert status_of(s3.put_object, **lease, Body=b"2", IfNoneMatch="*") == 412
        assert status_of(s3.put_object, **lease, Body=b"2", IfMatch=first) == 200
        assert status_of(s3.put_object, **lease, Body=b"3", IfMatch=first) == 412
        assert status_of(s3.get_object, **lease, IfNoneMatch=first) == 200

    def test_one_of_many_creates_wins(self, seaweedfs, bucket, key):
        clients = [seaweedfs.client() for dummy in range(4)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            statuses = pool.map(
                lambda s3: status_of(s3.put_object, Bucket=bucket, Key=key, Body=b"", IfNoneMatch="*"), clients
            )
            assert sorted(statuses) == [200, 412, 412, 412]

    @pytest.mark.parametrize(
        ("identity", "get", "get_missing", "put"),
        [
            ("admin", 200, 404, 200),
            ("read-only", 200, 404, 403),
            ("no-list", 200, 404, 200),
            ("stranger", 403, 403, 403),
        ],
    )
    def test_identities_may_do_what_they_are_given(self, seaweedfs, bucket, key, identity, get, get_missing, put):
        seaweedfs.client().put_object(Bucket=bucket, Key=key, Body=b"")
        s3 = seaweedfs.client(identity)
        assert status_of(s3.get_object, Bucket=bucket, Key=key) == get
        assert status_of(s3.get_object, Bucket=bucket, Key=key + "-missing") == get_missing
        assert status_of(s3.put_object, Bucket=bucket, Key=key, Body=b"") == put

    def test_a_missing_bucket_is_not_made_by_a_put(self, seaweedfs, key):
        assert status_of(seaweedfs.client().put_object, Bucket="nobody-made-me", Key=key, Body=b"") == 404

    def test_it_says_why_it_did_not_start(self, monkeypatch):
        monkeypatch.setattr(servers, "identities_config", lambda _identities: "no JSON")
        with pytest.raises(servers.SeaweedFSError, match=r"(?s)weed ended.*s3\.json"), servers.SeaweedFS():
            pass

    def test_it_takes_other_ports_when_one_is_taken(self, seaweedfs, monkeypatch):
        taken = int(seaweedfs.endpoint_url.rpartition(":")[2])
        free = servers.SeaweedFS()._free_ports  # and no killed server has left a socket for them
        offers = iter([[taken, *free()[1:]], free()])
        monkeypatch.setattr(servers, "free_ports", lambda _count, _address: next(offers))
        with servers.SeaweedFS() as second:
            assert second.pid != seaweedfs.pid

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    def test_it_ends_with_the_process_that_started_it(self, number, tmp_path):
        environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT / "tests")}
        script = subprocess.Popen(
            [sys.executable, "-m", "support.stores.seaweedfs"], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert script.stdout
        for line in script.stdout:
            if "Ctrl-C ends it" in line:
                break
        weeds = [pid for pid in _descendants(script.pid) if b"-s3.config" in _command(pid)]
        assert len(weeds) == 1
        ports = re.findall(rb"grpc=(\d+)", _command(weeds[0]))
        script.send_signal(number)
        script.wait(10)
        script.stdout.close()
        deadline = time.monotonic() + 10
        while b"-s3.config" in _command(weeds[0]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        sockets = [file for port in ports for file in pathlib.Path("/tmp").glob(f"seaweedfs-*-grpc-{int(port)}.sock")]
        if number != signal.SIGKILL:
            assert [*tmp_path.iterdir(), *sockets] == []
        for left in sockets:  # nobody was there to do it
            left.unlink()


class TestCeph:
    """What tests may take for granted about the other server."""

    def test_it_keeps_the_conditions_and_takes_only_bare_etags(self, ceph, key):
        ceph.create_bucket("leader-election")
        s3 = ceph.client()
        lease = {"Bucket": "leader-election", "Key": key}
        assert status_of(s3.put_object, **lease, Body=b"1", IfMatch="0") == 412  # AWS: 404
        first = s3.put_object(**lease, Body=b"1", IfNoneMatch="*")["ETag"]
        assert status_of(s3.put_object, **lease, Body=b"2", IfNoneMatch="*") == 412
        assert status_of(s3.put_object, **lease, Body=b"2", IfMatch=first) == 412
        assert status_of(s3.put_object, **lease, Body=b"2", IfMatch=first.strip('"')) == 200
        assert status_of(s3.put_object, **lease, Body=b"3", IfMatch=first.strip('"')) == 412
        assert status_of(s3.get_object, **lease, IfNoneMatch=first) == 200

    def test_it_says_why_it_did_not_start(self, ceph, monkeypatch):
        monkeypatch.setattr(clusters, "CONFIGURATION", clusters.CONFIGURATION.replace("{address}:{port}", "nowhere"))
        with pytest.raises(clusters.CephError, match=r"(?s)radosgw ended.*nowhere"), clusters.Ceph():
            pass

    def test_it_says_why_a_program_crashed(self):
        dump = b"".join(b" %d: /lib/libradosgw.so.2(+0x386655)\n" % number for number in range(40))
        output = b"failed to parse endpoint=nowhere\n\n*** Caught signal (Aborted) **\n" + dump
        assert clusters.tail(output) == "failed to parse endpoint=nowhere\n*** Caught signal (Aborted) **"

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_it_ends_with_the_process_that_started_it(self, ceph, number, tmp_path):
        environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT / "tests")}
        code = "from support.stores.ceph import Ceph\nwith Ceph(): print('up', flush=True); input()"
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        ) as script:
            assert script.stdout
            assert script.stdout.readline() == b"up\n"
            daemons = _descendants(script.pid)
            names = [_command(pid).partition(b"\0")[0].decode() for pid in daemons]
            assert sorted(names) == ["ceph-mon", "ceph-osd", "radosgw"]
            script.send_signal(number)
        wait_for(lambda: not any(_command(pid) for pid in daemons), "no daemon is left")


def _descendants(pid: int) -> list[int]:
    from support.playbook import descendants

    return descendants(pid)


def _command(pid: int) -> bytes:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class TestProxy:
    """Each fault, as a client and as the server see it."""

    @pytest.fixture
    def put(self, seaweedfs, proxy, bucket, key):
        s3 = seaweedfs.client(endpoint_url=proxy.url, read_timeout=1)
        return lambda body=b"1", **condition: s3.put_object(Bucket=bucket, Key=key, Body=body, **condition)

    @pytest.fixture
    def stored(self, seaweedfs, bucket, key):
        """What the server really holds."""
        s3 = seaweedfs.client()

        def read() -> bytes | None:
            try:
                return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            except s3.exceptions.NoSuchKey:
                return None

        return read

    def test_without_a_fault_requests_pass_with_their_signature(self, seaweedfs, proxy, put, stored, bucket, key):
        etag = put(IfNoneMatch="*")["ETag"]
        assert status_of(put, IfNoneMatch="*") == 412
        assert status_of(put, body=b"2", IfMatch=etag) == 200
        s3 = seaweedfs.client(endpoint_url=proxy.url)
        answer = s3.get_object(Bucket=bucket, Key=key)
        assert answer["Body"].read() == stored() == b"2"
        assert status_of(s3.get_object, Bucket=bucket, Key=key, IfNoneMatch=answer["ETag"]) == 304
        assert status_of(s3.head_object, Bucket=bucket, Key=key) == 200
        assert answer["ResponseMetadata"]["HTTPHeaders"]["date"]
        assert [(one.method, one.condition, one.status) for one in proxy.requests] == [
            ("PUT", "create", 200),
            ("PUT", "create", 412),
            ("PUT", "replace", 200),
            ("GET", "none", 200),
            ("GET", "none", 304),
            ("HEAD", "none", 200),
        ]
        assert proxy.count("PUT", key=key, store_status=200) == 2

    @pytest.mark.parametrize(
        ("fault", "lands"),
        [
            (faults.drop_answer(), b"1"),
            (faults.drop_request(), None),
            (faults.hang(), None),
            (faults.hang_after_commit(), b"1"),
            (faults.late_answer(1.5), b"1"),
        ],
        ids=lambda value: getattr(value, "name", None),
    )
    def test_the_client_gets_no_answer(self, proxy, put, stored, fault, lands):
        proxy.on("PUT", fault)
        with pytest.raises(Lost):
            put()
        assert stored() == lands
        assert proxy.requests[0].status is None
        assert proxy.requests[0].forwarded == (lands is not None)
        assert status_of(put) == 200  # the second passes

    @pytest.mark.parametrize("status", [409, 412, 429, 500, 503])
    @pytest.mark.parametrize("after_commit", [False, True])
    def test_an_answer_of_the_tests_choice(self, proxy, put, stored, status, after_commit):
        proxy.on("PUT", faults.answer(status, after_commit=after_commit))
        assert status_of(put) == status
        assert stored() == (b"1" if after_commit else None)

    @pytest.mark.parametrize("hang", [False, True])
    def test_a_request_arrives_late(self, proxy, put, stored, hang):
        arrive = threading.Event()
        proxy.on("PUT", faults.late_request(arrive, hang=hang))
        with pytest.raises(Lost):
            put()
        assert stored() is None
        arrive.set()
        proxy.wait_for_count(1, "PUT", store_status=200)
        assert stored() == b"1"

    def test_a_dripping_answer_outlives_the_read_timeout(self, proxy, put):
        proxy.on("PUT", faults.drip(0.005))
        began = time.monotonic()
        assert status_of(put) == 200
        assert time.monotonic() - began > 1

    def test_rules_choose_by_count_key_and_condition(self, proxy, put, key):
        proxy.on("PUT", faults.answer(503), nth=2)
        proxy.on("PUT", faults.answer(500), nth=range(1, 3), condition="replace")
        proxy.on(None, faults.answer(409), nth=None, key="another")
        statuses = [status_of(put), status_of(put), *(status_of(put, IfMatch="*") for dummy in range(3))]
        assert statuses == [200, 503, 500, 500, 200]
        proxy.on(None, faults.answer(409), nth=None, key=key)
        assert [status_of(put), status_of(put)] == [409, 409]
        proxy.heal()
        assert status_of(put) == 200

    def test_over_tls_the_certificate_is_not_trusted_unless_given(self, seaweedfs, bucket, key, certificate):
        with faults.FaultProxy(seaweedfs.endpoint_url, certificate=certificate) as proxy:
            with pytest.raises(botocore.exceptions.SSLError):
                seaweedfs.client(endpoint_url=proxy.url).put_object(Bucket=bucket, Key=key, Body=b"1")
            s3 = seaweedfs.client(endpoint_url=proxy.url, verify=str(certificate))
            # boto3's default over TLS: a chunked body with a checksum at its end
            assert status_of(s3.put_object, Bucket=bucket, Key=key, Body=b"1", IfNoneMatch="*") == 200
            assert seaweedfs.client().get_object(Bucket=bucket, Key=key)["Body"].read() == b"1"
            proxy.on("PUT", faults.drop_answer())
            with pytest.raises(Lost):
                s3.put_object(Bucket=bucket, Key=key, Body=b"2")

    def test_it_may_leave_expect_100_continue_unanswered(self, seaweedfs, bucket, key):
        with faults.FaultProxy(seaweedfs.endpoint_url, answers_continue=False) as proxy:
            began = time.monotonic()
            seaweedfs.client(endpoint_url=proxy.url).put_object(Bucket=bucket, Key=key, Body=b"1")
            assert time.monotonic() - began >= 1


class TestOddStores:
    """Each store is odd in its one way and correct otherwise."""

    STEPS = ("create", "create again", "replace", "replace stale", "replace missing", "get missing")

    @pytest.mark.parametrize(
        ("kind", "differs"),
        [
            (odd.Store, {}),
            (odd.IgnoresIfNoneMatch, {"create again": 200}),
            (odd.IgnoresIfMatch, {"replace stale": 200, "replace missing": 200}),
            (odd.CreatesOnIfMatch, {"replace missing": 200}),
            (odd.RefusesMissingWith412, {"replace missing": 412}),
            (odd.WantsBareEtags, {"replace": 412}),
            (odd.HasNoConditions, dict.fromkeys(STEPS[:5], 501)),
            (odd.HasNoDate, {}),
            (odd.HidesMissing, {"get missing": 403}),
            (odd.HasRandomEtags, {}),
            (odd.ChecksThenPuts, {}),
            (odd.Throttles, {}),
        ],
    )
    def test_it_differs_from_the_correct_one_by(self, open_store, kind, differs):
        store = open_store(kind)
        s3 = client_of(store)

        def put(key, body, **condition):
            return status_of(s3.put_object, Bucket="b", Key=key, Body=body, **condition)

        get_missing = status_of(s3.get_object, Bucket="b", Key="missing")
        create = put("k", b"1", IfNoneMatch="*")
        create_again = put("k", b"1", IfNoneMatch="*")
        store.put("k", b"1")
        replace = put("k", b"2", IfMatch=store.get("k").etag)
        replace_stale = put("k", b"3", IfMatch='"00000000000000000000000000000000"')
        replace_missing = put("missing", b"1", IfMatch=store.get("k").etag)
        seen = (create, create_again, replace, replace_stale, replace_missing, get_missing)
        correct = dict(zip(self.STEPS, (200, 412, 200, 412, 404, 404), strict=True))
        assert dict(zip(self.STEPS, seen, strict=True)) == {**correct, **differs}

    def test_bare_etags_are_what_ceph_wants(self, open_store):
        store = open_store(odd.WantsBareEtags)
        etag = store.put("k", b"1").etag
        s3 = client_of(store)
        assert status_of(s3.put_object, Bucket="b", Key="k", Body=b"2", IfMatch=etag.strip('"')) == 200
        assert status_of(s3.get_object, Bucket="b", Key="k", IfNoneMatch=store.get("k").etag) == 304

    def test_an_object_can_be_aged(self, open_store):
        store = open_store(odd.Store)
        written = store.put("k", b"1")
        store.age("k", 3600)
        store.clock_offset = 600.0
        answer = client_of(store).get_object(Bucket="b", Key="k")
        modified = answer["LastModified"].timestamp()
        assert 0 <= written.modified - 3600 - modified < 1
        assert abs(store.now() - time.time() - 600) < 2

    @pytest.mark.parametrize("offset", [86400.0, -86400.0])
    def test_a_signature_that_is_a_day_off_is_refused(self, open_store, offset):
        store = open_store(odd.Store)
        store.put("k", b"1")
        store.clock_offset = offset
        assert status_of(client_of(store).get_object, Bucket="b", Key="k") == 403

    def test_no_date_is_no_date(self, open_store):
        s3 = client_of(open_store(odd.HasNoDate))
        answer = s3.put_object(Bucket="b", Key="k", Body=b"1")
        assert "date" not in answer["ResponseMetadata"]["HTTPHeaders"]

    def test_all_creates_at_once_win_where_the_check_comes_first(self, open_store):
        store = open_store(odd.ChecksThenPuts)
        store.window = 2.0
        clients = [client_of(store) for dummy in range(4)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            statuses = pool.map(
                lambda s3: status_of(s3.put_object, Bucket="b", Key="k", Body=b"", IfNoneMatch="*"), clients
            )
            assert list(statuses).count(200) > 1

    @pytest.mark.parametrize("status", [429, 503])
    def test_it_throttles_a_number_of_times(self, open_store, status):
        store = open_store(odd.Throttles)
        store.throttles, store.throttle_status = 2, status
        s3 = client_of(store)
        assert [status_of(s3.put_object, Bucket="b", Key="k", Body=b"") for dummy in range(3)] == [status, status, 200]


class TestPlaybook:
    """Results by task and host, and runs that can be stopped."""

    def test_results_come_by_task_and_host(self, run_playbook):
        run = run_playbook(
            """
            - name: say
              ansible.builtin.debug:
                msg: "{{ word }} {{ inventory_hostname }}"
            - name: skip
              ansible.builtin.debug:
              when: inventory_hostname == "web-1"
            - name: fail
              ansible.builtin.fail:
              when: inventory_hostname == "web-2"
            """,
            hosts=("web-1", "web-2"),
            word="hello",
        )
        assert run.returncode == 2
        assert run.task("say", "web-2").result["msg"] == "hello web-2"
        assert run.statuses("skip") == {"web-1": "ok", "web-2": "skipped"}
        assert run.statuses("fail") == {"web-1": "skipped", "web-2": "failed"}
        assert "[WARNING]" not in run.stdout + run.stderr

    def test_the_persons_own_settings_stay_out(self, run_playbook, monkeypatch):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
        monkeypatch.setenv("ANSIBLE_GATHERING", "nonsense")
        run = run_playbook(
            [{"name": "env", "ansible.builtin.command": "env"}], env={"AWS_REGION": "xy-north-1", "LANG": None}
        )
        text = run.succeeded()["env"]["stdout"]
        assert "mine" not in text
        assert "AWS_REGION=xy-north-1" in text
        assert "AWS_EC2_METADATA_DISABLED=true" in text

    def test_a_killed_run_leaves_no_process(self, start_playbook, key):
        running = start_playbook(
            f"""
            - name: first
              ansible.builtin.command: "true"
            - name: long
              ansible.builtin.shell: sleep 987; true {key}
            """
        )
        assert running.wait_for("first").status == "changed"
        running.wait_for_start("long")
        deadline = time.monotonic() + 20
        while not (sleepers := [pid for pid in _descendants(running.process.pid) if key.encode() in _command(pid)]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        running.kill()
        assert running.wait().returncode == -signal.SIGKILL
        while any(_command(pid) for pid in sleepers):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def test_a_task_that_never_comes_is_an_error(self, start_playbook):
        running = start_playbook([{"name": "only", "ansible.builtin.debug": {}}])
        with pytest.raises(LookupError, match="without task 'another'"):
            running.wait_for("another")


def test_a_skip_in_ci_is_a_failure(tmp_path):
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "def test_skipped(): pytest.skip('no weather')\n"
        "@pytest.mark.xfail\ndef test_expected(): assert False\n"
    )
    (tmp_path / "test_module.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    command += [f"--rootdir={tmp_path}", str(tmp_path)]
    outcomes = {
        ci: subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "CI": ci}).stdout
        for ci in ("true", "")
    }
    assert "must not be skipped in CI" in outcomes["true"]
    assert "no weather" in outcomes["true"]
    assert "no_such_module" in outcomes["true"]
    assert "error" not in outcomes[""]
    assert "1 xfailed" in outcomes[""]
