# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who: a run on a host is one claimant, whatever shape its playbook has, and any other is another."""

from __future__ import annotations

import concurrent.futures
import email.utils
import getpass
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import typing as t
import uuid

import pytest
import yaml
from support import proxy as faults
from support.leases import OLD_TERM, somebody_elses

GROUP = {"group/leaderelection.s3.s3_leader": "{{ connection }}"}


def task(module: str, name: str = "", **options: t.Any) -> dict[str, t.Any]:
    """A task of one of the modules, named like it and with its result in a variable of that name."""
    short = name or module
    return {"name": short, f"leaderelection.s3.s3_leader_{module}": options, "register": short.replace(" ", "_")}


def play(*tasks: dict[str, t.Any], **keywords: t.Any) -> dict[str, t.Any]:
    return {"hosts": "all", "gather_facts": False, "module_defaults": GROUP, **keywords, "tasks": list(tasks)}


def playbook_of(*plays: dict[str, t.Any]) -> str:
    return yaml.safe_dump(list(plays), sort_keys=False)


def say(name: str, expression: str) -> dict[str, t.Any]:
    return {"name": name, "ansible.builtin.debug": {"msg": "{{ %s }}" % expression}}


ACQUIRE, RENEW, INFO, RELEASE = (task(module) for module in ("acquire", "renew", "info", "release"))


@pytest.fixture
def connection(seaweedfs, bucket, key) -> dict[str, str]:
    return dict(seaweedfs.options, bucket=bucket, key=key)


@pytest.fixture
def through(connection, proxy) -> dict[str, str]:
    """The same through the proxy, which counts."""
    return dict(connection, endpoint_url=proxy.url)


@pytest.fixture
def stored(seaweedfs, bucket, key):
    """What really stands in the store."""
    s3 = seaweedfs.client()
    return lambda: json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


@pytest.fixture
def expired(seaweedfs, bucket, key) -> None:
    """Somebody had the lease for a second, and the margin of two is over."""
    s3 = seaweedfs.client()
    s3.put_object(Bucket=bucket, Key=key, Body=somebody_elses())
    deadline = time.monotonic() + 30
    while True:
        answer = s3.get_object(Bucket=bucket, Key=key)
        date = email.utils.parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        if (date - answer["LastModified"]).total_seconds() >= 3:
            return
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Shape(t.NamedTuple):
    """A playbook that acquires, renews, asks and releases, in tasks of these names."""

    plays: list[dict[str, t.Any]]
    hosts: tuple[str, ...] = ("web-1",)


def shapes(folder: pathlib.Path) -> dict[str, Shape]:
    """Every way to spread tasks over a playbook; folder is for the files that it needs."""
    files = {}
    for module, one in (("acquire", ACQUIRE), ("renew", RENEW), ("info", INFO), ("release", RELEASE)):
        files[module] = folder / f"{module}.yml"
        files[module].write_text(yaml.safe_dump([one]))
        (folder / f"play-{module}.yml").write_text(playbook_of(play(one)))
        (folder / f"role-{module}" / "tasks").mkdir(parents=True)
        (folder / f"role-{module}" / "tasks" / "main.yml").write_text(yaml.safe_dump([one]))
    modules = list(files)
    everything = (ACQUIRE, RENEW, INFO, RELEASE)
    short = [{"name": one["name"], f"s3_leader_{one['name']}": {}, "register": one["name"]} for one in everything]
    return {
        "tasks": Shape([play(*everything)]),
        "plays": Shape([play(one) for one in everything]),
        "block, rescue and always": Shape(
            [play({"block": [ACQUIRE, {"ansible.builtin.fail": {}}], "rescue": [RENEW, INFO], "always": [RELEASE]})]
        ),
        "included tasks": Shape([play(*({"ansible.builtin.include_tasks": str(files[module])} for module in modules))]),
        "included roles": Shape(
            [play(*({"ansible.builtin.include_role": {"name": str(folder / f"role-{one}")}} for one in modules))]
        ),
        "roles": Shape([play(roles=[{"role": str(folder / f"role-{module}")} for module in modules])]),
        "imported playbooks": Shape([{"import_playbook": str(folder / f"play-{module}.yml")} for module in modules]),
        "handlers": Shape(
            [
                play(
                    dict(ACQUIRE, notify=["renew", "info", "release"]),
                    handlers=[RENEW, INFO, RELEASE],
                )
            ]
        ),
        "the strategy free": Shape([play(*everything, strategy="free")]),
        "serial": Shape([play(*everything, serial=1)], ("web-1", "web-2")),
        "run_once": Shape([play(*(dict(one, run_once=True) for one in everything))], ("web-1", "web-2")),
        "delegation": Shape(
            [
                play(
                    *(dict(one, delegate_to=f"web-{turn % 2 + 1}") for turn, one in enumerate(everything)),
                    hosts="web-1",
                )
            ],
            ("web-1", "web-2"),
        ),
        "short names": Shape([play(*short, collections=["leaderelection.s3"])]),
    }


SHAPES = [
    *("tasks", "plays", "block, rescue and always", "included tasks"),
    *("included roles", "roles", "imported playbooks", "handlers", "the strategy free", "serial"),
    *("run_once", "delegation", "short names"),
]


@pytest.fixture(scope="module")
def shaped(seaweedfs, bucket, collections_path, tmp_path_factory, request):
    """The runs of all shapes that were chosen, some at the same time; a future for each."""
    from support import playbook

    folder = tmp_path_factory.mktemp("shapes")
    every = shapes(folder)
    assert list(every) == SHAPES

    def run(shape: Shape) -> playbook.Run:
        running = playbook.start(
            folder,
            playbook_of(*shape.plays),
            hosts=shape.hosts,
            collections_path=collections_path,
            connection=dict(seaweedfs.options, bucket=bucket, key=f"shape-{uuid.uuid4().hex}"),
        )
        try:
            return running.wait()
        finally:
            running.kill()

    chosen = [item.callspec.params for item in request.session.items if "shaped" in getattr(item, "fixturenames", ())]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        yield {name: pool.submit(run, every[name]) for name in dict.fromkeys(params["shape"] for params in chosen)}


@pytest.mark.parametrize("shape", SHAPES)
def test_all_tasks_of_a_run_on_a_host_are_one_claimant(shaped, shape):
    run = shaped[shape].result(300)
    # A role puts its name before those of its tasks.
    results = {(entry.host, entry.task.rpartition(" : ")[2]): entry.result for entry in run.results}
    hosts = {host for host, name in results if name == "acquire"}
    assert len(hosts) == (2 if shape == "serial" else 1), str(run)
    for host in hosts:
        acquired, renewed, asked, released = (results[host, name] for name in ("acquire", "renew", "info", "release"))
        assert acquired["is_leader"]
        assert acquired["changed"]
        assert (renewed["is_leader"], renewed["term"]) == (True, acquired["term"])
        assert (asked["is_leader"], asked["term"]) == (True, acquired["term"])
        assert renewed["lease"]["session"] == acquired["lease"]["session"]
        assert released["changed"]
        assert released["lease"]["state"] == "released"


def test_a_loop_acquires_one_lease_for_each_item(run_playbook, connection, key):
    loop = ["a", "b", "a"]
    tasks = [
        dict(task("acquire", key="{{ key }}/{{ item }}"), loop=loop),
        say("held", "acquire.results | select('leaderelection.s3.held') | length"),
        dict(task("release", key="{{ key }}/{{ item.item }}", lease="{{ item }}"), loop="{{ acquire.results[:2] }}"),
    ]
    run = run_playbook(tasks, s3=connection, key=key).succeeded()
    results = run["acquire"]["results"]
    assert [result["is_leader"] for result in results] == [True, True, True]
    assert [result["changed"] for result in results] == [True, True, False]
    assert len({result["lease"]["session"] for result in results}) == 1
    assert run["held"]["msg"] == 3
    assert [result["changed"] for result in run["release"]["results"]] == [True, True]


def test_two_runs_on_one_controller_exclude_each_other(run_playbook, connection, stored):
    first = run_playbook([ACQUIRE], s3=connection).succeeded()["acquire"]
    run = run_playbook([ACQUIRE, RELEASE, task("renew", on_lost="report")], s3=connection).succeeded()
    assert first["is_leader"] is True
    assert run["acquire"]["is_leader"] is False
    assert run["release"]["changed"] is False
    assert run["renew"]["is_leader"] is False
    assert (stored()["term"], stored()["session"]) == (first["term"], first["lease"]["session"])


def test_two_hosts_of_one_run_exclude_each_other(run_playbook, connection):
    run = run_playbook([ACQUIRE, INFO], s3=connection, hosts=("web-1", "web-2")).succeeded()
    acquired = {host: run.task("acquire", host).result["is_leader"] for host in ("web-1", "web-2")}
    assert sorted(acquired.values()) == [False, True]
    assert acquired == {host: run.task("info", host).result["is_leader"] for host in acquired}


def test_two_hosts_with_one_holder_name_exclude_each_other(run_playbook, connection):
    run = run_playbook([task("acquire", holder="us")], s3=connection, hosts=("web-1", "web-2")).succeeded()
    assert sorted(run.task("acquire", host).result["is_leader"] for host in ("web-1", "web-2")) == [False, True]


def test_two_runs_with_one_session_are_one_claimant(run_playbook, connection):
    options = dict(connection, session="one-for-both")
    first = run_playbook([ACQUIRE], s3=options).succeeded()["acquire"]
    second = run_playbook([ACQUIRE], s3=options).succeeded()["acquire"]
    assert (second["is_leader"], second["term"], second["changed"]) == (True, first["term"], False)


def test_an_ad_hoc_command_is_a_claimant(seaweedfs, connection, collections_path, stored, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
    environment |= seaweedfs.environment
    environment |= {"ANSIBLE_COLLECTIONS_PATH": collections_path, "ANSIBLE_HOME": str(tmp_path), "ANSIBLE_NOCOLOR": "1"}
    command = [str(pathlib.Path(sys.executable).parent / "ansible"), "-i", "web-1,", "-c", "local", "web-1"]
    command += ["-e", json.dumps({"ansible_python_interpreter": sys.executable})]
    command += ["-m", "leaderelection.s3.s3_leader_acquire", "-a", f"key={connection['key']} lease_duration=60"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"is_leader": true' in done.stdout
    assert stored()["holderId"] == "web-1"
    assert stored()["metadata"]["user"] == getpass.getuser()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert '"is_leader": false' in done.stdout


# -- The result handed over -------------------------------------------------------------------------------------------


def test_with_the_lease_handed_over_renew_and_release_take_one_put_each(run_playbook, through, proxy):
    lease = "{{ acquire }}"
    tasks = [ACQUIRE, task("renew", lease=lease), task("renew", "renew again", lease="{{ renew }}")]
    run = run_playbook([*tasks, task("release", lease="{{ renew_again }}")], s3=through).succeeded()
    names = ("renew", "renew again", "release")
    assert [run[name]["requests"] for name in names] == [1, 1, 1]
    assert [one.method for one in proxy.requests[-3:]] == ["PUT", "PUT", "PUT"]
    assert run["release"]["changed"] is True


def test_without_it_they_take_a_get_and_a_put(run_playbook, through, proxy):
    run = run_playbook([ACQUIRE, RENEW, RELEASE], s3=through).succeeded()
    assert [run[name]["requests"] for name in ("renew", "release")] == [2, 2]
    assert [one.method for one in proxy.requests[-4:]] == ["GET", "PUT", "GET", "PUT"]


def test_an_old_result_handed_over_renews_nevertheless(run_playbook, connection):
    lease = "{{ acquire }}"
    tasks = [ACQUIRE, task("renew", lease=lease), task("renew", "renew by the first", lease=lease)]
    run = run_playbook([*tasks, task("release", lease=lease)], s3=connection).succeeded()
    assert run["renew by the first"]["is_leader"] is True
    assert run["renew by the first"]["term"] == run["acquire"]["term"]
    assert run["release"]["changed"] is True


def test_the_lease_handed_over_gives_its_authority_to_another_run(run_playbook, connection, tmp_path):
    file = str(tmp_path / "lease.json")
    write = {"ansible.builtin.copy": {"content": "{{ acquire | to_json }}", "dest": file}}
    first = run_playbook([ACQUIRE, write], s3=connection).succeeded()["acquire"]
    lease = "{{ lookup('file', file) | from_json }}"
    run = run_playbook(
        [
            task("renew", "without", on_lost="report"),
            task("renew", lease=lease),
            say("held", "renew is leaderelection.s3.held"),
            task("release", lease=lease),
        ],
        s3=connection,
        file=file,
    ).succeeded()
    assert run["without"]["is_leader"] is False
    assert (run["renew"]["is_leader"], run["renew"]["term"]) == (True, first["term"])
    assert run["held"]["msg"] is True
    assert run["release"]["changed"] is True


def test_a_lease_handed_over_for_another_key_is_refused(run_playbook, connection):
    run = run_playbook([ACQUIRE, task("renew", key="another", lease="{{ acquire }}")], s3=connection)
    assert run.task("renew").status == "failed"
    assert "it is not the lease that this task names" in run["renew"]["msg"]


def test_a_lease_that_was_taken_meanwhile_is_lost_by_the_one_who_hands_it_over(run_playbook, connection, stored):
    run = run_playbook(
        [
            ACQUIRE,
            task("release", "broken", force=True, session="somebody-else"),
            task("acquire", "taken", session="somebody-else"),
            task("renew", lease="{{ acquire }}"),
        ],
        s3=connection,
    )
    assert run["taken"]["is_leader"] is True
    assert run.task("renew").status == "failed"
    assert run["renew"]["is_leader"] is False
    assert stored()["session"] == "somebody-else"


# -- The test ---------------------------------------------------------------------------------------------------------


def test_a_result_is_held_until_its_deadline(run_playbook, connection):
    run = run_playbook(
        [
            task("acquire", lease_duration=15, request_timeout=1),
            say("at first", "acquire is leaderelection.s3.held"),
            {
                "name": "wait",
                "ansible.builtin.command": "true",
                "until": "acquire is not leaderelection.s3.held",
                "retries": 60,
                "delay": 1,
            },
            say("after it", "acquire is leaderelection.s3.held"),
            # The store counts in whole seconds, so the lease is over for it a little later.
            {**INFO, "until": "info.lease.state == 'expired'", "retries": 60, "delay": 1},
            task("renew", on_lost="report"),
        ],
        s3=connection,
    ).succeeded()
    assert run["acquire"]["is_leader"] is True
    assert run["at first"]["msg"] is True
    assert run["after it"]["msg"] is False
    assert run["renew"]["is_leader"] is False


def test_a_result_that_was_not_leader_is_not_held(run_playbook, connection):
    tasks = [
        task("acquire", "first", session="somebody-else"),
        ACQUIRE,
        say("held", "acquire is leaderelection.s3.held"),
    ]
    run = run_playbook(tasks, s3=connection).succeeded()
    assert run["acquire"]["is_leader"] is False
    assert run["held"]["msg"] is False


def test_a_result_of_another_run_is_not_held(run_playbook, connection):
    first = run_playbook([ACQUIRE], s3=connection).succeeded()["acquire"]
    run = run_playbook([say("held", "first is leaderelection.s3.held")], first=first).succeeded()
    assert run["held"]["msg"] is False


def test_nonsense_is_an_error_and_not_unheld(run_playbook):
    nonsense = ["'text'", "{}", "[]", "none", "{'rc': 0}"]
    tasks = [dict(say(one, f"{one} is leaderelection.s3.held"), ignore_errors=True) for one in nonsense]
    run = run_playbook(tasks).succeeded()
    assert {one: run.task(one).status for one in nonsense} == dict.fromkeys(nonsense, "ignored")
    assert all("registered result" in str(run[one]) for one in nonsense)


# -- The lookup -------------------------------------------------------------------------------------------------------


def test_the_lookup_agrees_with_the_info_module(run_playbook, connection, seaweedfs, bucket, key):
    expression = "lookup('leaderelection.s3.s3_leader', key, **connection)"
    tasks = [say("absent", expression), INFO, ACQUIRE, say("held", expression), task("info", "info when held")]
    tasks += [RELEASE, say("released", expression), task("info", "info when released")]
    arguments = dict(seaweedfs.options, bucket=bucket)
    run = run_playbook(tasks, s3=connection, key=key, connection=arguments).succeeded()
    for looked_up, info in (("absent", "info"), ("held", "info when held"), ("released", "info when released")):
        told, expected = run[looked_up]["msg"], run[info]
        assert told["lease"]["state"] == looked_up
        assert told["is_leader"] == expected["is_leader"] == (looked_up == "held")
        moving = {"age", "expires_in"}
        assert {name: value for name, value in told["lease"].items() if name not in moving} == {
            name: value for name, value in expected["lease"].items() if name not in moving
        }


# -- Who holds it, for people -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "holder"), [("web-1", "web-1"), ("localhost", f"{getpass.getuser()}@{socket.gethostname()}")]
)
def test_the_holder_is_whom_a_person_would_ask(run_playbook, connection, stored, host, holder):
    run = run_playbook([ACQUIRE], s3=connection, hosts=(host,)).succeeded()
    assert run["acquire"]["lease"]["holder"] == holder == stored()["holderId"]


def test_the_metadata_says_which_playbook_and_which_user(run_playbook, connection, stored):
    run = run_playbook([task("acquire", metadata={"ticket": "OPS-1"})], s3=connection).succeeded()
    metadata = run["acquire"]["lease"]["metadata"]
    assert metadata == stored()["metadata"]
    assert metadata.pop("pid").isdigit()
    assert metadata.pop("started").endswith("Z")
    assert metadata == {"ticket": "OPS-1", "playbook": "playbook.yml", "user": getpass.getuser()}


def test_metadata_that_is_given_wins(run_playbook, connection, stored):
    given = {"user": "ci", "playbook": "none", "pid": "1", "started": "today"}
    run_playbook([task("acquire", metadata=given)], s3=connection).succeeded()
    assert stored()["metadata"] == given


# -- Waiting, taking over ---------------------------------------------------------------------------------------------


def test_one_who_waits_gets_the_lease_when_the_other_run_releases_it(
    start_playbook, run_playbook, through, connection, proxy, tmp_path
):
    go = tmp_path / "go"
    wait = {"ansible.builtin.wait_for": {"path": str(go)}}
    first = start_playbook([task("acquire", lease_duration=300), wait, RELEASE], s3=connection)
    term = first.wait_for("acquire").result["term"]
    second = start_playbook([task("acquire", wait_timeout=120, poll_interval=1)], s3=through)
    proxy.wait_for_count(3, "GET", timeout=60)  # it waits
    assert proxy.count("PUT") == 0
    go.touch()
    assert first.wait().succeeded()["release"]["changed"] is True
    result = second.wait().succeeded()["acquire"]
    assert (result["is_leader"], result["term"]) == (True, term + 1)
    assert all(one.if_none_match for one in proxy.select("GET")[1:])


def test_one_who_waits_in_vain_is_not_leader(run_playbook, connection):
    tasks = [task("acquire", "first", session="somebody-else", lease_duration=300)]
    run = run_playbook([*tasks, task("acquire", wait_timeout=3, poll_interval=1)], s3=connection).succeeded()
    assert run["acquire"]["is_leader"] is False
    assert run["acquire"]["changed"] is False
    assert run["acquire"]["requests"] >= 3
    assert "held by" in run["acquire"]["reason"]


@pytest.mark.usefixtures("expired")
def test_with_takeover_never_an_expired_lease_is_left_alone(run_playbook, connection):
    run = run_playbook(
        [
            task("acquire", "never", takeover="never"),
            task("release", force=True, reason="it is dead"),
            task("acquire", takeover="never"),
        ],
        s3=connection,
    ).succeeded()
    assert run["never"]["is_leader"] is False
    assert "takeover" in run["never"]["reason"]
    assert run["release"]["changed"] is True
    assert (run["acquire"]["is_leader"], run["acquire"]["term"]) == (True, OLD_TERM + 1)


@pytest.mark.usefixtures("expired")
def test_with_takeover_observed_an_expired_lease_is_watched_for_its_duration_first(run_playbook, through, proxy):
    observed = task("acquire", takeover="observed", request_timeout=1, wait_timeout=60)
    result = run_playbook([observed], s3=through).succeeded()["acquire"]
    assert (result["is_leader"], result["term"]) == (True, OLD_TERM + 1)
    assert proxy.select("PUT")[0].received_at - proxy.select("GET")[0].received_at >= 3


def test_a_killed_run_is_followed_by_one_with_a_higher_term(start_playbook, run_playbook, connection):
    short = task("acquire", lease_duration=15, request_timeout=1)
    wait = {"name": "work", "ansible.builtin.wait_for": {"path": "/nonexistent", "timeout": 300}}
    first = start_playbook([short, wait], s3=connection)
    term = first.wait_for("acquire").result["term"]
    first.wait_for_start("work")
    first.kill()
    result = run_playbook([task("acquire", wait_timeout=60, poll_interval=1)], s3=connection).succeeded()["acquire"]
    assert (result["is_leader"], result["term"], result["changed"]) == (True, term + 1, True)


# -- Check mode, diff mode, changed -----------------------------------------------------------------------------------


def test_check_mode_predicts_an_acquisition_and_writes_nothing(run_playbook, through, proxy):
    run = run_playbook([ACQUIRE, RENEW, INFO, RELEASE], s3=through, args=("--check",)).succeeded()
    assert (run["acquire"]["is_leader"], run["acquire"]["changed"]) == (True, True)
    assert run["renew"]["is_leader"] is False  # since nothing was acquired; and it does not fail
    assert run["info"]["lease"]["state"] == "absent"
    assert run["release"]["changed"] is False
    assert proxy.count("PUT") == 0


PREDICTIONS: dict[str, tuple[str, dict[str, t.Any], bool, bool]] = {
    "acquire again": ("acquire", {}, True, False),
    "renew": ("renew", {}, True, False),
    "renew with the lease": ("renew", {"lease": "{{ first }}"}, True, False),
    "release": ("release", {}, False, True),
    "release with the lease": ("release", {"lease": "{{ first }}"}, False, True),
    "force one's own": ("release", {"force": True}, False, True),
    "force another's": ("release", {"force": True, "session": "somebody-else"}, False, True),
    "acquire another's": ("acquire", {"session": "somebody-else"}, False, False),
    "release another's": ("release", {"session": "somebody-else"}, False, False),
}


@pytest.fixture(scope="module")
def predicted(seaweedfs, bucket, collections_path, tmp_path_factory):
    """A run that acquires a lease and then predicts; the requests of its predictions by task, and the lease."""
    from support import playbook

    tasks = [task("acquire", "first")]
    for number, (module, options, _leads, _changed) in enumerate(PREDICTIONS.values()):
        tasks.append(dict(task(module, f"predict {number}", endpoint_url="{{ proxy }}", **options), check_mode=True))
    lease = {"Bucket": bucket, "Key": f"predicted-{uuid.uuid4().hex}"}
    with faults.FaultProxy(seaweedfs.endpoint_url) as proxy:
        running = playbook.start(
            tmp_path_factory.mktemp("predicted"),
            tasks,
            s3=dict(seaweedfs.options, bucket=bucket, key=lease["Key"]),
            collections_path=collections_path,
            proxy=proxy.url,
        )
        try:
            run = running.wait().succeeded()
        finally:
            running.kill()
        return run, proxy.requests, json.loads(seaweedfs.client().get_object(**lease)["Body"].read())


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_check_mode_predicts_what_becomes_of_a_lease(predicted, prediction):
    run, _requests, _stored = predicted
    _module, _options, leads, changed = PREDICTIONS[prediction]
    result = run[f"predict {list(PREDICTIONS).index(prediction)}"]
    assert (result["is_leader"], result["changed"]) == (leads, changed)


def test_check_mode_writes_nothing(predicted):
    run, requests, stored = predicted
    assert [one.method for one in requests] == ["GET"] * len(PREDICTIONS)
    assert stored["sequence"] == run["first"]["lease"]["sequence"]


def test_diff_mode_shows_the_lease_before_and_after(run_playbook, connection):
    run = run_playbook(
        [ACQUIRE, RENEW, task("release", reason="done")], s3=connection, args=("--diff",), hosts=("web-1",)
    ).succeeded()
    acquired, renewed, released = (run[name]["diff"] for name in ("acquire", "renew", "release"))
    assert (acquired["before"]["state"], acquired["after"]["state"]) == ("absent", "held")
    assert acquired["after"]["holder"] == "web-1"
    assert renewed["before"] == renewed["after"]
    assert (released["before"]["state"], released["after"]["state"]) == ("held", "released")
    assert released["after"]["metadata"]["reason"] == "done"
    assert released["before"]["term"] == released["after"]["term"] == run["acquire"]["term"]


def test_without_diff_mode_there_is_no_diff(run_playbook, connection):
    assert "diff" not in run_playbook([ACQUIRE], s3=connection).succeeded()["acquire"]


def test_changed_says_whether_leadership_changed_hands(run_playbook, connection):
    tasks = [ACQUIRE, task("acquire", "acquire again"), RENEW, INFO, RELEASE, task("release", "release again")]
    run = run_playbook([*tasks, task("acquire", "acquire anew")], s3=connection).succeeded()
    names = ("acquire", "acquire again", "renew", "info", "release", "release again", "acquire anew")
    assert [run[name]["changed"] for name in names] == [True, False, False, False, True, False, True]
    assert run["acquire again"]["term"] == run["acquire"]["term"]
    assert run["acquire anew"]["term"] == run["acquire"]["term"] + 1


def test_a_lost_lease_fails_the_renewal_and_so_ends_the_play(run_playbook, connection):
    tasks = [ACQUIRE, task("release", force=True, session="somebody-else"), RENEW, say("work", "1")]
    run = run_playbook(tasks, s3=connection)
    assert run.task("renew").status == "failed"
    assert run["renew"]["is_leader"] is False
    assert run.statuses("work") == {}
