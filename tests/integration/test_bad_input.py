# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot work is refused before anything is sent, in a sentence that names the option and the way out."""

from __future__ import annotations

import json
import typing as t

import pytest
from support.leases import LEASE_KEYS, proven
from support.refusals import complaints_about, no_traceback
from support.stores.odd import Store

ACQUIRE, RENEW, RELEASE, INFO = (
    f"leaderelection.s3.s3_leader_{name}" for name in ("acquire", "renew", "release", "info")
)
ALL = (ACQUIRE, RENEW, RELEASE, INFO)

RELEASED = {
    "schema": 1,
    "holderId": "",
    "leaseUntilUtc": "2026-11-23T04:49:36.000Z",
    "leaseDurationSeconds": 30,
    "session": "somebody-else",
    "term": 7,
    "sequence": 2,
    "nonce": "0",
    "acquiredAt": "2026-11-23T04:49:00.000Z",
    "renewedAt": "2026-11-23T04:49:37.000Z",
    "metadata": {},
}
"""A lease that is free: a task that goes on in spite of its options would write."""

FAST = {"ANSIBLE_PIPELINING": "true"}
"""For playbooks of many tasks."""

Options = dict[str, t.Any]
Case = tuple[str, Options, tuple[str, ...]]


def task(name: str, module: str, options: Options) -> dict[str, t.Any]:
    """A task that lets the play go on when it fails. An option that is None is left out."""
    given = {option: value for option, value in options.items() if value is not None}
    return {"name": name, module: given, "register": "result", "ignore_errors": True}


@pytest.fixture
def store(open_store, key):
    """A store that counts requests, with a lease that is free."""
    store = open_store(Store)
    store.put(key, json.dumps(RELEASED).encode())
    return store


@pytest.fixture
def options(store, key) -> Options:
    """Options of a task that would succeed."""
    return {
        "endpoint_url": store.url,
        "access_key": "anybody",
        "secret_key": "whatever",
        "bucket": "bucket",
        "key": key,
    }


@pytest.fixture
def refuses(run_playbook, store, options, key):
    """Runs all cases in one playbook and returns what each of them lacks."""

    def run_cases(cases: t.Mapping[str, Case], env: t.Mapping[str, str] | None = None) -> str:
        before = store.get(key)
        run = run_playbook(
            [task(name, module, {**options, **bad}) for name, (module, bad, _words) in cases.items()],
            env={**FAST, **(env or {})},
        )
        assert no_traceback(run), run
        found = {name: complaints_about(run, name, words) for name, (_module, _bad, words) in cases.items()}
        assert store.requests == [], found
        assert store.get(key) == before
        return "\n".join(filter(None, found.values()))

    return run_cases


def test_a_budget_that_does_not_add_up_is_refused(refuses):
    assert (
        refuses(
            {
                "as long as one slow request and the margin": (
                    ACQUIRE,
                    {"lease_duration": 7},
                    ("lease_duration is 7", "request_timeout 5 s", "clock margin 2 s", "more than 7 s"),
                ),
                "a long request": (
                    ACQUIRE,
                    {"request_timeout": 60},
                    ("lease_duration is 30", "request_timeout 60 s", "more than 62 s"),
                ),
                "the margin of a long lease": (
                    ACQUIRE,
                    {"lease_duration": 1, "request_timeout": 1},
                    ("lease_duration is 1", "more than 3 s"),
                ),
                "renewed for too short": (
                    RENEW,
                    {"lease_duration": 7},
                    ("lease_duration is 7", "request_timeout 5 s", "more than 7 s"),
                ),
                "observed without a wait": (
                    ACQUIRE,
                    {"takeover": "observed"},
                    ("wait_timeout is 0", "takeover: observed", "more than 32 s", "store_clock"),
                ),
                "observed with a wait just too short": (
                    ACQUIRE,
                    {"takeover": "observed", "lease_duration": 10, "wait_timeout": 12},
                    ("wait_timeout is 12", "more than 12 s"),
                ),
            }
        )
        == ""
    )


def test_a_value_out_of_range_is_refused_with_the_range(refuses):
    ranges = {
        "lease_duration": (ACQUIRE, 1, 86400, (0, 86401)),
        "request_timeout": (INFO, 1, 60, (0, 61)),
        "wait_timeout": (ACQUIRE, 0, 86400, (-1, 86401)),
        "poll_interval": (ACQUIRE, 1, 3600, (0, 3601)),
    }
    cases: dict[str, Case] = {
        f"{option} {value}": (module, {option: value}, (f"{option} is {value}", f"use {least:g} to {most:g} seconds"))
        for option, (module, least, most, values) in ranges.items()
        for value in values
    }
    cases["renew lease_duration 0"] = (RENEW, {"lease_duration": 0}, ("lease_duration is 0", "use 1 to 86400 seconds"))
    assert refuses(cases) == ""


def test_a_key_that_stores_may_take_for_another_is_refused(refuses):
    keys = {
        "empty": ("", ("0 bytes", "1 to 1024")),
        "too long": ("k" * 1025, ("1025 bytes", "1 to 1024")),
        "with NUL": ("jobs/a\0b", ("control character", "Remove it")),
        "with a leading slash": ("/jobs/a", ("/jobs/a", "Use a key like jobs/migrate-db")),
        "with an empty part": ("jobs//a", ("jobs//a", "Use a key like")),
        "with a way up": ("jobs/../a", ("jobs/../a", "Use a key like")),
    }
    cases: dict[str, Case] = {
        name: (ALL[number % len(ALL)], {"key": key}, ("key is", *words))
        for number, (name, (key, words)) in enumerate(keys.items())
    }
    cases |= {f"missing for {module}": (module, {"key": None}, ("key",)) for module in ALL}
    assert refuses(cases) == ""


def test_a_bucket_that_is_none_is_refused(refuses):
    names = ("", "a/b", "bücket", "b" * 256)
    cases: dict[str, Case] = {
        f"bucket {number}": (INFO, {"bucket": name}, ("bucket is", "use 3 to 255 letters"))
        for number, name in enumerate(names)
    }
    assert refuses(cases) == ""


def test_a_holder_or_reason_that_nobody_could_read_is_refused(refuses):
    assert (
        refuses(
            {
                "holder too long": (ACQUIRE, {"holder": "h" * 256}, ("holder is", "1 to 255 printable")),
                "holder of two lines": (ACQUIRE, {"holder": "web-1\nweb-2"}, ("holder is", "1 to 255 printable")),
                "holder by its other name": (ACQUIRE, {"instance_id": "web\0"}, ("holder is", "1 to 255 printable")),
                "reason too long": (RELEASE, {"reason": "r" * 1001}, ("reason is", "at most 1000 printable")),
            }
        )
        == ""
    )


def test_metadata_that_is_not_flat_or_too_large_is_refused(refuses):
    assert (
        refuses(
            {
                "a list inside": (ACQUIRE, {"metadata": {"tags": ["a"]}}, ("metadata is", "tags", "not lists or maps")),
                "a map inside": (ACQUIRE, {"metadata": {"a": {"b": "c"}}}, ("metadata is", "not lists or maps")),
                "nothing inside": (ACQUIRE, {"metadata": {"ticket": None}}, ("metadata is", "ticket")),
                "too large": (ACQUIRE, {"metadata": {"log": "x" * 4096}}, ("metadata is", "bytes as JSON", "4096")),
                "too large as JSON": (ACQUIRE, {"metadata": {"é": "é" * 700}}, ("metadata is", "4096")),
                "a list": (ACQUIRE, {"metadata": ["a", "b"]}, ("metadata",)),
                "a text": (ACQUIRE, {"metadata": "no map at all"}, ("metadata",)),
                "a number": (ACQUIRE, {"metadata": 5}, ("metadata",)),
            }
        )
        == ""
    )


def test_an_endpoint_that_is_no_url_of_a_store_is_refused(refuses):
    urls = (
        "127.0.0.1:9000",
        "ftp://s3.example.com",
        "https://s3.example.com:port",
        "https://s3.example.com/?region=a",
        "nonsense",
    )
    cases: dict[str, Case] = {
        url: (INFO, {"endpoint_url": url}, ("endpoint_url is", url, "use a URL like https://s3.example.com:9000"))
        for url in urls
    }
    assert refuses(cases) == ""


def test_credentials_that_contradict_each_other_are_refused(refuses):
    assert (
        refuses(
            {
                "no secret_key": (
                    INFO,
                    {"secret_key": None},
                    ("secret_key is not set", "access_key is, and needs it. Set"),
                ),
                "no access_key": (
                    INFO,
                    {"access_key": None},
                    ("access_key is not set", "secret_key is, and needs it. Set"),
                ),
                "profile and keys": (INFO, {"profile": "prod"}, ("profile is", "prod", "access_key", "Leave out one")),
                "unknown profile": (
                    INFO,
                    {"profile": "nobody-made-me", "access_key": None, "secret_key": None},
                    ("profile is", "nobody-made-me", "has this profile", "~/.aws/config"),
                ),
                "none at all": (
                    INFO,
                    {"access_key": None, "secret_key": None},
                    ("no credentials", "access_key and secret_key", "profile"),
                ),
                "no such CA file": (
                    INFO,
                    {"endpoint_url": "https://127.0.0.1:1", "aws_ca_bundle": "/nobody/made/me.pem"},
                    ("aws_ca_bundle is", "/nobody/made/me.pem", "does not exist"),
                ),
                "unknown addressing style": (INFO, {"addressing_style": "dns"}, ("addressing_style", "virtual")),
            }
        )
        == ""
    )


def test_a_ca_file_that_holds_no_certificate_is_named(refuses, open_store, certificate, tmp_path):
    file = tmp_path / "no-certificate.pem"
    file.write_text("nothing\n")
    over_tls = {"endpoint_url": open_store(Store, certificate=certificate).url, "request_timeout": 1}
    case = (INFO, {**over_tls, "aws_ca_bundle": str(file)}, ("aws_ca_bundle", str(file)))
    assert refuses({"no certificate in it": case}) == ""


def test_a_profile_and_keys_from_the_environment_contradict_each_other_as_well(refuses):
    words = ("profile is", "prod", "environment", "AWS_PROFILE")
    assert refuses({"by environment": (INFO, {}, words)}, env={"AWS_PROFILE": "prod"}) == ""


def test_a_textfile_that_nobody_would_write_is_refused(refuses):
    case = (ACQUIRE, dict(textfile="/tmp/a.prom"), ("textfile", "/tmp/a.prom", "keepalive"))
    assert refuses({"not kept": case}) == ""


def test_a_value_of_the_wrong_type_is_refused(refuses):
    assert (
        refuses(
            {
                f"{option} {value}": (module, {option: value}, (option,))
                for module, option, value in (
                    (ACQUIRE, "lease_duration", "half a minute"),
                    (ACQUIRE, "keep_at_most", "10 minutes"),
                    (ACQUIRE, "poll_interval", {"seconds": 2}),
                    (ACQUIRE, "takeover", "always"),
                    (INFO, "validate_certs", "perhaps"),
                    (RENEW, "on_lost", "ignore"),
                    (RENEW, "lease", "the last one"),
                    (RELEASE, "lease", 7),
                    (RELEASE, "force", "perhaps"),
                    (INFO, "no_such_option", 1),
                )
            }
        )
        == ""
    )


def test_a_password_in_the_endpoint_is_refused_and_never_shown(refuses, run_playbook, store, options):
    url = "https://root:{{ password }}@s3.example.com"
    words = ("endpoint_url is", "contains a user or password", "access_key and secret_key")
    run = run_playbook(
        [task(f"in {module}", module, {**options, "endpoint_url": url}) for module in ALL],
        password="hunter2-of-the-store",
        args=["-vvvv"],
    )
    assert {module: complaints_about(run, f"in {module}", words) for module in ALL} == dict.fromkeys(ALL, "")
    assert "hunter2-of-the-store" not in f"{run} {[one.result for one in run.results]}"
    assert no_traceback(run)
    assert store.requests == []


# -- What is unusual and good -----------------------------------------------------------------------------------------


def test_an_odd_key_is_the_objects_real_key(run_playbook, seaweedfs, bucket, key):
    odd = {
        "spaces and percent": "a b  c/100%/a%2Fb%20c%zz",
        "unicode": "Führung/уступка/租/🗝",
        "what a URL gives a meaning": "a+b/what?versionId=null&acl/a#b/a;b/a:b/a@b/a=b",
        "quotes": 'it\'s "quoted" `so`',
        "other punctuation": "~home/a~b/a[0]{1}(2)<3>/a!b$c*d,e|f^g",
        "dots": ".hidden/.../a..b/c.",
    }
    keys = {name: f"{key}/{text}" for name, text in odd.items()}
    keys["as long as can be"] = f"{key}/" + "/".join(["k" * 199] * 6)[: 1024 - len(key) - 1]
    assert len(keys["as long as can be"]) == 1024
    run = run_playbook(
        [
            step
            for name in keys
            for step in (
                task(f"acquire {name}", ACQUIRE, {"key": f"{{{{ keys['{name}'] }}}}"}),
                task(f"renew {name}", RENEW, {"key": f"{{{{ keys['{name}'] }}}}", "lease": "{{ result }}"}),
            )
        ],
        s3={**seaweedfs.options, "bucket": bucket},
        env=FAST,
        keys=keys,
    )
    s3 = seaweedfs.client()
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
    assert {one["Key"] for page in pages for one in page.get("Contents", ())} == set(keys.values())
    for name, text in keys.items():
        acquired, renewed = run[f"acquire {name}"], run[f"renew {name}"]
        assert (acquired["is_leader"], acquired["lease"]["key"]) == (True, text), name
        assert acquired["lease"]["sequence"] == 3, name
        assert (renewed["is_leader"], renewed["requests"], renewed["lease"]["sequence"]) == (True, 1, 4), name
        assert f'"{renewed["lease"]["etag"]}"' == s3.head_object(Bucket=bucket, Key=text)["ETag"], name


def test_metadata_reaches_people_as_texts(run_playbook, options, store, key):
    given = {"ticket": 4711, "ratio": 0.5, "dry": True, "who": "Jürgen 🗝", "lines": "a\nb", "playbook": "mine", "": "x"}
    run = run_playbook(
        [task("acquire", ACQUIRE, {**options, "metadata": "{{ given }}"}), task("info", INFO, options)], given=given
    )
    shown = {"ticket": "4711", "ratio": "0.5", "dry": "True", "who": "Jürgen 🗝", "lines": "a\nb", "playbook": "mine"}
    for name in ("acquire", "info"):
        metadata = run[name]["lease"]["metadata"]
        assert metadata.pop("user")
        assert metadata.pop("pid").isdecimal()
        assert metadata.pop("started").endswith("Z")
        assert metadata == {**shown, "": "x"}
    assert json.loads(store.get(key).body)["metadata"].items() >= shown.items()


def test_a_lease_is_named_as_who_is_asked_knows_it(refuses):
    assert (
        refuses(
            {
                "no key": (INFO, {"key": None}, ("key is not set", "source: store needs it", "source: local")),
                "a name for the store": (INFO, {"name": "db"}, ('name is "db"', "Use key, or source: local")),
                "no name": (
                    INFO,
                    {"source": "local", "key": None},
                    ("name is not set", "source: local needs it", "s3-leader status"),
                ),
                "a name that is none": (
                    INFO,
                    {"source": "local", "key": None, "name": "../db"},
                    ('name is "../db"', "use 1 to 50 lower-case letters"),
                ),
                "a source that is none": (INFO, {"source": "cache"}, ("source must be one of: store, local",)),
            }
        )
        == ""
    )


def test_an_endpoint_may_have_a_path(run_playbook, store, options, key):
    run = run_playbook([task("info", INFO, {**options, "endpoint_url": f"{store.url}/below/"})])
    assert [request.path for request in store.requests] == [f"/below/bucket/{key}"]
    assert run["info"]["is_leader"] is False


def test_an_empty_holder_is_as_good_as_none(run_playbook, options):
    run = run_playbook([task("acquire", ACQUIRE, {**options, "holder": ""})])
    assert "@" in run["acquire"]["lease"]["holder"]


def test_options_have_the_aliases_of_amazon_aws(run_playbook, store, options, key):
    aliased = {
        "aws_endpoint_url": store.url,
        "aws_access_key_id": "anybody",
        "aws_secret_access_key": "whatever",
        "aws_session_token": "token",
        "aws_region": "xy-north-1",
        "object_key": key,
        "instance_id": "web-7",
        "bucket": "bucket",
    }
    assert run_playbook([task("acquire", ACQUIRE, aliased)])["acquire"]["lease"]["holder"] == "web-7"
    headers = store.requests[0].headers
    assert "Credential=anybody/" in headers["Authorization"]
    assert "/xy-north-1/s3/" in headers["Authorization"]
    assert headers["X-Amz-Security-Token"] == "token"


# -- The result of a task before --------------------------------------------------------------------------------------


def test_a_handed_over_result_that_proves_nothing_is_refused_and_the_lease_kept(run_playbook, options, store):
    elsewhere = {**options, "key": options["key"] + "-other"}
    refused: dict[str, tuple[t.Any, tuple[str, ...]]] = {
        "of another key": ("{{ other }}", ("it is not the lease that this task names", elsewhere["key"])),
        "of another bucket": (
            "{{ held | combine({'lease': held.lease | combine({'bucket': 'another'})}) }}",
            ("s3://another/", "it is not the lease that this task names"),
        ),
        "without its lease": ("{{ held | dict2items | rejectattr('key', 'eq', 'lease') | items2dict }}", ("whole",)),
        "whose lease is empty": ("{{ held | combine({'lease': {}}) }}", ("pass the whole registered result",)),
        "whose lease is a text": ("{{ held | combine({'lease': 'mine'}) }}", ("whole registered result",)),
        "whose lease is none": ("{{ held | combine({'lease': none}) }}", ("whole registered result",)),
        "of the lease alone": ("{{ held.lease }}", ("pass the whole registered result",)),
        "nothing but a claim": ({"is_leader": True}, ("pass the whole registered result",)),
    }
    bad_values = {
        "etag": None,
        "term": "seven",
        "lease_duration": "long",
        "renewed_at": "yesterday",
        "metadata": "a text",
        "session": None,
    }
    for name in ("bucket", "session", "etag", "metadata"):
        without = f"held.lease | dict2items | rejectattr('key', 'eq', '{name}') | items2dict"
        refused[f"without {name}"] = (f"{{{{ held | combine({{'lease': {without}}}) }}}}", ("lease is", "whole"))
    for name in bad_values:
        changed = f"held.lease | combine({{'{name}': bad.{name}}})"
        refused[f"with a bad {name}"] = (f"{{{{ held | combine({{'lease': {changed}}}) }}}}", ("lease is", "whole"))
    modules = (RENEW, RELEASE)
    run = run_playbook(
        [
            {**task("acquire", ACQUIRE, {**options, "lease_duration": 600}), "register": "held"},
            {**task("acquire another", ACQUIRE, elsewhere), "register": "other"},
            *(
                task(name, modules[number % 2], {**options, "lease": value})
                for number, (name, (value, _words)) in enumerate(refused.items())
            ),
        ],
        env=FAST,
        bad=bad_values,
    )
    assert run["acquire"]["is_leader"]
    assert no_traceback(run), run
    found = {name: complaints_about(run, name, words) for name, (_value, words) in refused.items()}
    assert not any(found.values()), {name: complaints for name, complaints in found.items() if complaints}
    assert store.get(options["key"]).etag == f'"{run["acquire"]["lease"]["etag"]}"'


def test_a_result_that_was_not_leader_is_as_good_as_none(run_playbook, options, store):
    """Authority goes by the session, so such a task reads the lease first: it neither fails nor steals."""
    free = {**options, "key": options["key"] + "-free"}
    nothings = {
        "empty": {},
        "of a failed task": "{{ failed }}",
        "of a skipped task": "{{ skipped }}",
        "of a follower": "{{ follower }}",
    }
    run = run_playbook(
        [
            {**task("acquire", ACQUIRE, {**options, "session": "the-session-of-this"}), "register": "held"},
            {**task("follow", ACQUIRE, {**options, "session": "another-session"}), "register": "follower"},
            {**task("fail", ACQUIRE, {**options, "lease_duration": 0}), "register": "failed"},
            {**task("skip", ACQUIRE, options), "register": "skipped", "when": False},
            *(
                task(f"renew {name}", RENEW, {**options, "session": "the-session-of-this", "lease": value})
                for name, value in nothings.items()
            ),
            *(task(f"steal {name}", RENEW, {**options, "lease": value}) for name, value in nothings.items()),
            *(task(f"release {name}", RELEASE, {**options, "lease": value}) for name, value in nothings.items()),
            *(task(f"free {name}", RELEASE, {**free, "lease": value}) for name, value in nothings.items()),
        ],
        env=FAST,
    )
    assert no_traceback(run), run
    for name in nothings:
        assert run[f"renew {name}"]["is_leader"] is True, name
        assert run[f"renew {name}"]["requests"] == 2, name
        assert run.task(f"steal {name}").status == "ignored", name
        assert run[f"steal {name}"]["is_leader"] is False, name
        assert run[f"release {name}"]["changed"] is False, name
        assert run.task(f"free {name}").status == "ok", name
    assert run[f"renew {list(nothings)[-1]}"]["lease"]["etag"] == store.get(options["key"]).etag.strip('"')


# -- Force ------------------------------------------------------------------------------------------------------------


def test_force_breaks_a_live_lease_and_its_holder_learns_it(run_playbook, options, store, key):
    store.put(key, json.dumps({**RELEASED, "conditionsProven": proven(f"{store.url}/bucket")}).encode())
    run = run_playbook(
        [
            {**task("acquire", ACQUIRE, {**options, "session": "the-first-session"}), "register": "held"},
            task("break", RELEASE, {**options, "holder": "operator", "force": True, "reason": "web-2 burnt down"}),
            task("info", INFO, options),
            task("renew", RENEW, {**options, "lease": "{{ held }}", "session": "the-first-session"}),
            task("renew without", RENEW, {**options, "session": "the-first-session"}),
            task("report", RENEW, {**options, "lease": "{{ held }}", "on_lost": "report"}),
            task("next", ACQUIRE, {**options, "session": "the-next-session"}),
            task("renew late", RENEW, {**options, "lease": "{{ held }}", "session": "the-first-session"}),
        ]
    )
    first, broken, info = run["acquire"], run["break"], run["info"]
    assert (first["is_leader"], first["term"]) == (True, 8)
    assert (broken["is_leader"], broken["changed"], broken["term"]) == (False, True, None)
    assert broken["reason"].startswith("broken by force")
    assert first["lease"]["holder"] in broken["reason"]
    assert (info["lease"]["state"], info["lease"]["term"], info["lease"]["expires_in"]) == ("released", 8, 0)
    assert info["lease"]["metadata"] == {
        "released_by": "operator",
        "reason": "web-2 burnt down",
        "held_by": first["lease"]["holder"],
    }
    for name in ("renew", "renew without", "renew late"):
        assert complaints_about(run, name, ("is not held",)) == ""
        assert set(run[name]["lease"]) == LEASE_KEYS
        assert "broken by operator" in run[name]["reason"]
        assert ": web-2 burnt down" in run[name]["reason"]
    assert "Now the lease is held by " in run["renew late"]["reason"]
    assert "broken by operator" in run["next"]["reason"]
    [ended] = run["next"]["lease"]["history"][:1]
    assert (ended["how"], ended["by"], ended["reason"]) == ("broken", "operator", "web-2 burnt down")
    assert run.task("report").status == "ok"
    assert run["report"]["is_leader"] is False
    assert (run["next"]["is_leader"], run["next"]["term"]) == (True, 9)
    assert json.loads(store.get(key).body)["session"] == "the-next-session"
    assert no_traceback(run)


def test_force_on_what_is_free_changes_nothing(run_playbook, options, store, key):
    absent = {**options, "key": f"{key}-absent", "force": True}
    before = store.get(key)
    run = run_playbook([task("absent", RELEASE, absent), task("released", RELEASE, {**options, "force": True})])
    for name in ("absent", "released"):
        assert run.task(name).status == "ok"
        assert run[name]["is_leader"] is False
        assert run[name]["reason"].startswith("free")
    assert store.get(absent["key"]) is None
    assert store.get(key) == before


def test_force_frees_what_cannot_be_read_and_the_term_goes_by_the_stores_clock(run_playbook, options, store, key):
    before = store.put(key, b"not a lease at all")
    run = run_playbook(
        [
            task("acquire in vain", ACQUIRE, options),
            task("release in vain", RELEASE, options),
            task("break in vain", RELEASE, {**options, "force": True}),
            task("break", RELEASE, {**options, "force": True, "force_foreign": True, "reason": "somebody's notes"}),
            task("acquire", ACQUIRE, options),
        ]
    )
    assert run["acquire in vain"]["lease"]["etag"] == before.etag.strip('"')
    assert run["release in vain"]["changed"] is False
    assert complaints_about(run, "break in vain", ("force is true: ", "force_foreign=true")) == ""
    assert "cannot be read as a lease, so nobody can lead" in " ".join(run.stderr.split())
    for name in ("acquire in vain", "release in vain"):
        assert run[name]["is_leader"] is False
        assert run[name]["lease"]["state"] == "unreadable"
        assert "force=true" in run[name]["reason"]
    assert run["break"]["changed"] is True
    assert run["break"]["lease"]["metadata"]["reason"] == "somebody's notes"
    assert abs(run["break"]["lease"]["term"] - store.now()) < 120
    assert run["acquire"]["is_leader"] is True
    # By one, or more: nobody has completed an acquisition, so the term is the store's time if that is higher.
    assert run["acquire"]["term"] > run["break"]["lease"]["term"]
