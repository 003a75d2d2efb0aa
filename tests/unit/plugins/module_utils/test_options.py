# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json

import pytest
from ansible.module_utils.basic import env_fallback
from ansible_collections.leaderelection.s3.plugins.module_utils import _options
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import clock
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import BadOption
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.connection import CannotSend
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.record import Ended, Proof, Record
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Endpoint, Location
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import Absent, Claimant, Read, Seen

NOW = 1000.0
"""The clock of the host that runs the task."""
RENEWED_AT = 1795409396.0
LEASE = dict(
    bucket="bucket",
    key="jobs/a",
    state="held",
    holder="web-2",
    session="5f2f2b0f",
    term=7,
    sequence=3,
    etag="e1",
    lease_duration=30.0,
    acquired_at="2026-11-23T04:49:36.000Z",
    renewed_at="2026-11-23T04:49:56.000Z",
    age=0.0,
    expires_in=32.0,
    metadata={"ticket": "OPS-1"},
    conditions_proven=dict(
        store="http://127.0.0.1:9000/bucket", at="2026-11-23T04:49:36.000Z", quoted_etags=True, use_by_dates=True
    ),
    history=[
        dict(
            term=6,
            holder="web-2",
            session="an-earlier-one",
            acquired_at=None,
            ended_at="2026-11-23T04:49:36.000Z",
            how="expired",
            by="",
            reason="",
        )
    ],
)


PROVEN = LEASE["conditions_proven"]
ENDS_OF_TIME = ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59")

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch):
    monkeypatch.setattr(clock.Clock, "now", lambda self: NOW)


def options(**given):
    """The options of a task as AnsibleModule hands them over."""
    known = {name: spec.get("default") for name, spec in _options.SPEC.items()}
    good = dict(bucket="bucket", key="jobs/a", holder="web-1", endpoint_url="http://127.0.0.1:9000")
    good.update(access_key="anybody", secret_key="whatever")
    return dict(known, **dict(good, **given))


def handle(**given):
    return _options.Handle(options(**given))


def result(elapsed=12.0, is_leader=True, heard=11.0, **changed):
    """A result of before, as the action plugin hands it over, with these changes to its lease."""
    return dict(is_leader=is_leader, lease=dict(LEASE, **changed), elapsed=elapsed, heard=heard)


# -- The arguments


def test_secrets_are_censored_and_what_is_none_is_not():
    assert {name: spec["no_log"] for name, spec in _options.SPEC.items() if "no_log" in spec} == dict(
        key=False, access_key=False, secret_key=True, session_token=True
    )


def test_every_fallback_is_the_environments():
    fallbacks = {name: spec["fallback"] for name, spec in _options.SPEC.items() if "fallback" in spec}
    assert {function for function, _names in fallbacks.values()} == {env_fallback}
    assert fallbacks["secret_key"][1] == ["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"]
    names = {name for _function, names in fallbacks.values() for name in names}
    others = {name for name in names if not name.startswith("AWS_")}
    assert others == {"S3_LEADER_BUCKET", "ANSIBLE_DEBUG_BOTOCORE_LOGS"}


def test_every_option_of_an_endpoint_can_be_given_but_the_daemons_own():
    assert set(Endpoint.__dataclass_fields__) - set(_options.SPEC) == {"credentials_file"}


# -- The handle


def test_times_are_durations():
    lease = handle(lease_duration="1h30m", wait_timeout="10m", poll_interval=None, request_timeout="2s")
    times = ("lease_duration", "wait_timeout", "poll_interval")
    assert [lease.params[name] for name in times] == [5400, 600, None]
    assert lease.endpoint.request_timeout == 2


def test_a_task_names_one_lease_one_claimant_and_one_endpoint():
    lease = handle(session="my-session", request_timeout=7, region="xy-north-1", session_token="token")
    assert lease.location == Location("bucket", "jobs/a")
    assert lease.me == Claimant("web-1", "my-session", "http://127.0.0.1:9000/bucket")
    assert lease.endpoint == Endpoint(
        endpoint_url="http://127.0.0.1:9000",
        access_key="anybody",
        secret_key="whatever",
        session_token="token",
        region="xy-north-1",
        request_timeout=7,
    )
    assert lease.connection.url == "http://127.0.0.1:9000/bucket/jobs/a"
    assert (lease.started, lease.held, lease.store.requests) == (NOW, None, 0)


@pytest.mark.parametrize("session", [None, ""])
def test_without_a_session_everyone_is_somebody_else(session):
    first, second = handle(session=session), handle(session=session)
    assert first.me.session != second.me.session
    assert len(first.me.session) == 32


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (dict(bucket="b"), 'bucket is "b": use 3 to 255 letters'),
        (dict(key="jobs//a"), 'key is "jobs//a": stores disagree about empty parts'),
        (dict(key=""), 'key is "": it has 0 bytes. Use 1 to 1024'),
        (dict(holder=""), 'holder is "": use 1 to 255 printable characters'),
        (dict(holder="web\n1"), "use 1 to 255 printable characters"),
        (dict(session="1234567"), 'session is "1234567": use 8 to 128 printable characters'),
        (dict(request_timeout=0), "request_timeout is 0: use 1 to 60 seconds"),
        (dict(endpoint_url="ftp://s3"), 'endpoint_url is "ftp://s3": use a URL like'),
        (dict(secret_key=None), "secret_key is not set: access_key is, and needs it. Set both or neither"),
        (dict(profile="prod"), 'profile is "prod": it cannot be combined with access_key, secret_key or session_token'),
        (
            dict(endpoint_url="https://127.0.0.1", aws_ca_bundle="/nobody/made/me.pem"),
            'aws_ca_bundle is "/nobody/made/me.pem": this file does not exist',
        ),
    ],
)
def test_an_option_that_cannot_work_is_refused_with_its_name_its_value_and_the_way_out(given, words):
    with pytest.raises(BadOption) as error:
        handle(**given)
    assert words in str(error.value)


@pytest.mark.parametrize("name", ["access_key", "secret_key", "session_token"])
def test_a_credential_that_cannot_be_one_is_refused_and_not_shown(name):
    with pytest.raises(BadOption) as error:
        handle(**{name: "hunter2\n"})
    assert name + " is ***" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_configuration_that_botocore_cannot_read_is_told(aws):
    aws("no configuration")
    with pytest.raises(CannotSend, match="botocore cannot use its configuration"):
        handle()


def test_an_operation_is_driven_over_the_store_with_the_tasks_timeout():
    class Watched:
        def of(self, slot):
            return self

        def read(self, until, known):
            return Absent(1.0)

    class Bounding(clock.Clock):
        def bounded(self, call, seconds):
            bounds.append(seconds)
            return call(NOW + seconds)

    def steps():
        answer = yield Read(until=NOW + 3600)
        return answer.outcome

    bounds = []
    lease = handle(request_timeout=7)
    lease.store, lease.clock = Watched(), Bounding()
    assert lease.drive(steps()) == Absent(1.0)
    assert bounds == [7]


# -- A result of before


def test_a_result_of_this_run_proves_what_is_held_without_a_request():
    lease = handle(lease=result(elapsed=12.0), session="my-session")
    assert lease.me == Claimant("web-1", "5f2f2b0f", "http://127.0.0.1:9000/bucket"), (
        "authority goes over with the result"
    )
    record = Record(
        holder="web-2",
        session="5f2f2b0f",
        term=7,
        sequence=3,
        nonce="",
        lease_duration=30.0,
        acquired_at=RENEWED_AT - 20,
        renewed_at=RENEWED_AT,
        lease_until=RENEWED_AT,
        metadata={"ticket": "OPS-1"},
        proof=Proof("http://127.0.0.1:9000/bucket", RENEWED_AT - 20),
        history=(Ended(6, "web-2", "an-earlier-one", None, RENEWED_AT - 20, "expired"),),
    )
    assert lease.held.seen == Seen(record, "e1", RENEWED_AT, RENEWED_AT)
    assert lease.held.lapses_at == NOW + 18.0
    assert lease.held.heard_at == NOW - 11.0


def test_a_result_is_held_for_the_time_that_it_has_left_and_no_longer():
    assert handle(lease=result(elapsed=0.0)).held.lapses_at == NOW + 30.0
    assert handle(lease=result(elapsed=45.0)).held.lapses_at == NOW - 15.0


def test_a_result_without_an_age_gives_authority_and_the_store_is_asked():
    lease = handle(lease=result(elapsed=None), session="my-session")
    assert (lease.me.session, lease.held) == ("5f2f2b0f", None)


def test_a_result_without_an_etag_is_looked_up():
    lease = handle(lease=result(etag=""))
    assert (lease.me.session, lease.held) == ("5f2f2b0f", None)


def test_rule_25_the_first_write_is_dated_by_what_the_handed_over_lease_tells_of_the_stores_time():
    lease = handle(lease=result(elapsed=12.0, heard=11.0))
    assert lease.store.time.now() == RENEWED_AT + 11.0
    assert handle(lease=result(is_leader=False)).store.time.now() is None


@pytest.mark.parametrize("nothing", [None, {}, result(is_leader=False), dict(is_leader=False, lease=None)])
def test_a_result_that_was_not_leader_gives_nothing(nothing):
    lease = handle(lease=nothing, session="my-session")
    assert (lease.me.session, lease.held) == ("my-session", None)


def test_modules_that_take_no_result_have_none():
    given = options()
    assert "lease" not in given
    assert _options.Handle(given).held is None


@pytest.mark.parametrize("name", ["bucket", "key"])
def test_a_result_of_another_lease_is_refused(name):
    with pytest.raises(BadOption) as error:
        handle(lease=result(**{name: "other"}))
    other = "s3://other/jobs/a" if name == "bucket" else "s3://bucket/other"
    assert str(error.value) == ('lease is "%s": it is not the lease that this task names, s3://bucket/jobs/a' % other)


@pytest.mark.parametrize("name", ["bucket", "key"])
def test_a_result_whose_name_ansible_has_censored_proves_nothing(name):
    lease = handle(lease=result(**{name: "a********b"}), session="my-session")
    assert (lease.me.session, lease.held) == ("my-session", None)


NEEDED = (
    *("bucket", "key", "holder", "session", "etag", "term"),
    *("sequence", "lease_duration", "acquired_at", "renewed_at", "metadata"),
)


@pytest.mark.parametrize("name", NEEDED)
def test_a_lease_that_lacks_something_is_refused(name):
    given = copy.deepcopy(result())
    del given["lease"][name]
    with pytest.raises(BadOption, match="pass the whole registered result of s3_leader_acquire or s3_leader_renew"):
        handle(lease=given)


@pytest.mark.parametrize(
    "changed",
    [
        *({name: None} for name in NEEDED),
        *({name: 7} for name in ("bucket", "key", "holder", "session", "etag", "acquired_at", "renewed_at")),
        dict(term="seven"),
        dict(term=float("inf")),
        dict(sequence=float("nan")),
        dict(lease_duration="long"),
        dict(lease_duration=float("nan")),
        dict(lease_duration=float("inf")),
        dict(lease_duration=0),
        dict(lease_duration=86401),
        dict(renewed_at="yesterday"),
        dict(acquired_at="2026-13-01T00:00:00Z"),
        *({name: time} for name in ("acquired_at", "renewed_at") for time in ENDS_OF_TIME),
        *(dict(conditions_proven={**PROVEN, "at": time}) for time in ENDS_OF_TIME),
        *(dict(history=[{**LEASE["history"][0], "ended_at": time}]) for time in ENDS_OF_TIME),
        dict(history="none"),
        dict(history=[{"term": 6}]),
        dict(history=[{**LEASE["history"][0], "holder": 6}]),
        dict(metadata="a text"),
        dict(metadata={"tags": ["a"]}),
    ],
    ids=str,
)
def test_a_lease_with_something_else_in_it_is_refused(changed):
    with pytest.raises(BadOption, match=r"^lease is .*: pass the whole registered result"):
        handle(lease=result(**changed))


@pytest.mark.parametrize(
    "given",
    [
        LEASE,
        dict(is_leader=True),
        dict(is_leader=True, lease=None),
        dict(is_leader=True, lease="mine"),
        dict(is_leader=True, lease={}),
        dict(results=[result()]),
        result(elapsed="long"),
        result(heard="long ago"),
        *(result(**{name: number}) for name in ("elapsed", "heard") for number in (float("inf"), float("nan"))),
    ],
    ids=lambda given: json.dumps(given)[:30],
)
def test_what_is_no_result_is_refused(given):
    with pytest.raises(BadOption, match="pass the whole registered result"):
        handle(lease=given)


def test_numbers_that_a_template_has_made_texts_are_numbers_again():
    lease = handle(lease=result(elapsed="12.0", term="7", sequence="3", lease_duration="30.0"))
    assert (lease.held.seen.record.term, lease.held.seen.record.sequence) == (7, 3)
    assert lease.held.lapses_at == NOW + 18.0
