# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host with the role tells about its leases, to Ansible, units and people; and the example playbooks."""

from __future__ import annotations

import json
import pathlib
import re
import socket
import subprocess
import typing as t
from collections.abc import Callable, Sequence

import pytest
from support import playbook
from support.playbook import Run
from support.stores.seaweedfs import SeaweedFS
from support.waiting import wait_for

from system import plays
from system.lab.host import Host
from system.lab.lab import Lab
from system.lab.watcher import Watcher, unit

pytestmark = pytest.mark.usefixtures("journals")

PLAYBOOKS = pathlib.Path(__file__).resolve().parents[2] / "playbooks"
GROUPS = ("load_balancers", "app", "databases")
NO_BOTOCORE = "raise ImportError('there is none')\n"
VIRTUAL_IP = "10.77.0.100"

Play = Callable[..., Run]
Status = dict[str, t.Any]


@pytest.fixture(scope="module")
def play(lab: Lab, booted: list[Host], tmp_path_factory: pytest.TempPathFactory, collections_path: str) -> Play:
    """Plays a playbook, or tasks, on all hosts."""
    folder = tmp_path_factory.mktemp("plays")
    groups = folder / "groups.json"
    members = {host.name: {} for host in booted}
    groups.write_text(json.dumps({group: {"hosts": members} for group in GROUPS}))
    inventories = ("--inventory", str(lab.inventory), "--inventory", str(groups))

    def run(text: str, *args: str, **variables: t.Any) -> Run:
        options = dict(hosts=(), args=(*inventories, *args), collections_path=collections_path)
        return playbook.start(folder, text, **options, **variables).wait().succeeded()

    return run


@pytest.fixture(scope="module")
def store(seaweedfs: SeaweedFS, bucket: str) -> dict[str, str]:
    """Where the leases are, by the options of modules and role."""
    return dict(
        bucket=bucket,
        endpoint_url=seaweedfs.endpoint_url,
        access_key=seaweedfs.access_key,
        secret_key=seaweedfs.secret_key,
    )


@pytest.fixture(scope="module")
def hosts(booted: list[Host], play: Play, store: dict[str, str]) -> list[Host]:
    """They take part in the lease db, and the leader runs app.service."""
    for host in booted:
        (host.root / "etc/systemd/system/app.service").write_text(unit("db", "app"))
    lease = dict(name="db", key="hosts/db", services=["app.service"], stop_timeout=2, stop_grace=4, **store)
    play(plays.heartbeat(heartbeat_leases=[lease], heartbeat_preflight=False))
    return booted


def told(host: Host, lease: str = "db") -> Status:
    """What the command tells about a lease."""
    status: Status = json.loads(host.run("s3-leader", "status", "--json", lease).stdout)[lease]
    return status


def settled(hosts: Sequence[Host], lease: str = "db") -> tuple[Host, list[Host]]:
    """Wait until one host leads and the others know whom they wait for. Returns that host, and the others."""

    def look() -> tuple[Host, list[Host]] | None:
        seen = {host: told(host, lease) for host in hosts}
        leaders = [host for host in hosts if seen[host]["is_leader"]]
        others = [host for host in hosts if not seen[host]["is_leader"]]
        well = len(leaders) == 1 and all(seen[host]["reason"].startswith(by(leaders[0])) for host in others)
        return (leaders[0], others) if well else None

    return wait_for(look, f"one host leads by the lease {lease}, and the others have seen it")


def by(leader: Host) -> str:
    """The first words of how the lease stands, in commands and modules."""
    return f"held by {leader.name} (term "


# -- Ansible ----------------------------------------------------------------------------------------------------------

FACTS = """
- setup:
    gather_subset: ["!all", "!min", local]
- name: told
  debug:
    msg: "{{ ansible_local.s3_leader.db }}"
- name: on the leader only
  command: "true"
  when: ansible_local.s3_leader.db.is_leader
"""


def test_a_fact_tells_a_play_on_each_host_whether_it_leads(hosts: list[Host], play: Play) -> None:
    leader, others = settled(hosts)
    run = play(FACTS)
    facts = {host: run.task("told", host.name).result["msg"] for host in hosts}
    assert facts[leader]["is_leader"] is True
    assert [facts[host]["is_leader"] for host in others] == [False, False]
    assert all(facts[host]["reason"].startswith(by(leader)) for host in others)
    skipped = dict.fromkeys((host.name for host in others), "skipped")
    assert run.statuses("on the leader only") == {leader.name: "changed", **skipped}


def test_a_fact_is_there_and_says_no_where_the_daemon_is_stopped(hosts: list[Host], play: Play) -> None:
    _leader, (other, _third) = settled(hosts)
    other.run("systemctl", "stop", "s3-leader@db")
    fact = play(FACTS, "--limit", other.name)["told"]["msg"]
    other.run("systemctl", "start", "s3-leader@db")
    assert (fact["role"], fact["is_leader"]) == ("stopped", False)
    assert fact["reason"] == "no daemon of this lease runs here: see systemctl status s3-leader@db"


INFO = """
- name: local
  leaderelection.s3.s3_leader_info:
    source: local
    name: "{{ item }}"
    endpoint_url: http://127.0.0.1:1
  loop: [db, unheard-of]
  environment:
    PYTHONPATH: /without
"""


def test_the_module_tells_what_the_daemon_knows_without_botocore_and_without_a_request(
    hosts: list[Host], play: Play
) -> None:
    leader, others = settled(hosts)
    for host in hosts:
        (host.root / "without").mkdir(exist_ok=True)
        (host.root / "without/botocore.py").write_text(NO_BOTOCORE)
    term = told(leader)["term"]
    run = play(INFO, "--check")
    for host in hosts:
        known, unknown = run.task("local", host.name).result["results"]
        leads = host is leader
        assert (known["is_leader"], known["term"]) == (leads, term if leads else None)
        assert known["reason"].startswith(f"leads with term {term}" if leads else by(leader))
        assert {name: value for name, value in known["lease"].items() if value and name != "history"} == dict(
            bucket="leader-election", key="hosts/db", holder=leader.name, term=term
        )
        assert (known["requests"], known["deadline"], known["changed"]) == (0, None, False)
        assert (unknown["is_leader"], unknown["term"], unknown["lease"]["holder"]) == (False, None, None)
        assert unknown["reason"] == "no daemon of this lease runs here: see systemctl status s3-leader@unheard-of"
        assert unknown.keys() == known.keys()
    assert len(others) == 2


ASK_BOTH = """
- name: store
  leaderelection.s3.s3_leader_info: "{{ {'key': 'hosts/db'} | combine(store) }}"
- name: local
  leaderelection.s3.s3_leader_info:
    source: local
    name: db
"""


def test_the_store_and_the_daemon_are_told_of_with_the_same_words_and_keys(
    hosts: list[Host], play: Play, store: dict[str, str]
) -> None:
    _leader, (other, _third) = settled(hosts)
    run = play(ASK_BOTH, "--limit", other.name, store=store)
    asked, known = run["store"], run["local"]
    assert without_numbers(asked["reason"]) == without_numbers(known["reason"])
    assert (asked["lease"]["holder"], asked["lease"]["term"]) == (known["lease"]["holder"], known["lease"]["term"])
    assert asked["lease"].keys() == known["lease"].keys()
    assert asked.keys() - {"deprecations", "warnings"} == known.keys() - {"deprecations", "warnings"}


def without_numbers(text: str) -> str:
    return re.sub(r"[0-9.]+ s", "N s", text)


# -- units ------------------------------------------------------------------------------------------------------------

CONDITION = """
[Service]
Type=oneshot
ExecCondition=/usr/local/bin/s3-leader check db
ExecStart=/bin/touch /ran-where-it-leads
"""


def test_check_answers_by_its_exit_status(hosts: list[Host]) -> None:
    leader, others = settled(hosts)
    checks = {host: host.run("s3-leader", "check", "db", check=False) for host in hosts}
    assert [checks[host].returncode for host in (leader, *others)] == [0, 1, 1]
    assert {one.stdout + one.stderr for one in checks.values()} == {""}
    unknown = leader.run("s3-leader", "check", "unheard-of", check=False)
    assert (unknown.returncode, unknown.stderr) == (2, "s3-leader: no daemon of the lease unheard-of runs here\n")


def test_a_unit_with_check_as_its_condition_runs_on_the_leader_only(hosts: list[Host]) -> None:
    leader, _others = settled(hosts)
    for host in hosts:
        (host.root / "etc/systemd/system/where-it-leads.service").write_text(CONDITION)
        host.run("systemctl", "daemon-reload")
        host.run("systemctl", "start", "where-it-leads")
    assert [host for host in hosts if (host.root / "ran-where-it-leads").exists()] == [leader]
    assert {shown(host, "where-it-leads", "ActiveState") for host in hosts} == {"inactive"}  # and failed nowhere


def shown(host: Host, name: str, of: str) -> str:
    """A property of a unit."""
    return host.run("systemctl", "show", f"--property={of}", "--value", name).stdout.strip()


# -- people -----------------------------------------------------------------------------------------------------------


def test_status_is_a_table_for_people(hosts: list[Host]) -> None:
    leader, (other, _third) = settled(hosts)
    term = told(leader)["term"]
    heading, row = leader.run("s3-leader", "status").stdout.splitlines()
    assert heading.split() == ["LEASE", "ROLE", "TERM", "HOLDER"]
    assert row.startswith(f"db     leader  {term}  {leader.name}      leads with term {term}, renewed at ")
    row = other.run("s3-leader", "status").stdout.splitlines()[1]
    assert row.startswith(f"db     standby  {term}  {leader.name}      held by {leader.name} (term {term}) since ")


def test_status_needs_no_root(hosts: list[Host]) -> None:
    host = hosts[0]
    assert host.run("runuser", "-u", "nobody", "--", "s3-leader", "status").stdout.splitlines()[1].startswith("db ")


def test_status_is_watched_until_somebody_interrupts(hosts: list[Host]) -> None:
    host = hosts[2]
    command = ("systemd-run", "--unit=watching", "--remain-after-exit", "--property=StandardOutput=file:/screens")
    host.run(*command, "s3-leader", "status", "--watch")
    screens = host.root / "screens"
    wait_for(screens.exists, "systemd has made the file")
    wait_for(lambda: screens.read_text().count("\033[H\033[2JLEASE") > 1, "there are two screens")
    host.run("systemctl", "kill", "--signal=INT", "watching")
    wait_for(lambda: shown(host, "watching", "MainPID") == "0", "it has ended")
    assert shown(host, "watching", "ExecMainStatus") == "130"
    host.run("systemctl", "reset-failed", "watching")


def test_who_steps_down_hands_over_stays_away_and_takes_part_again(hosts: list[Host], module_watcher: Watcher) -> None:
    leader, others = settled(hosts)
    served = module_watcher.wait_until_running(lease="db", host=leader.name)
    leader.run("s3-leader", "step-down", "db", "--for", "3600")
    assert not module_watcher.wait_until_ended(served).runs
    successor, _third = settled(others)
    module_watcher.wait_until_running(lease="db", host=successor.name)
    away = wait_for(lambda: told(leader) if told(leader)["role"] == "away" else None, "it stays away")
    assert re.fullmatch(r"stepped down, and does not compete for another 3[0-9]{3} s", away["reason"])
    assert leader.run("s3-leader", "check", "db", check=False).returncode == 1
    leader.run("s3-leader", "step-down", "db", "--for", "1")
    assert settled(hosts)[0] is successor
    assert told(leader)["role"] == "standby"


PREFLIGHT = """
- name: preflight
  leaderelection.s3.s3_leader_preflight: "{{ {'key': 'hosts/db'} | combine(store) }}"
"""


def test_preflight_asks_what_the_module_asks(hosts: list[Host], play: Play, store: dict[str, str]) -> None:
    *checks, verdict = hosts[0].run("s3-leader", "preflight", "db").stdout.splitlines()
    module = play(PREFLIGHT, "--limit", hosts[0].name, store=store)["preflight"]
    assert [line.split()[:2] for line in checks] == [[one["verdict"], one["name"]] for one in module["checks"]]
    assert without_numbers(verdict) == without_numbers(f"{module['verdict']}: {module['reason']}")


# -- the example playbooks --------------------------------------------------------------------------------------------


def variables(store: dict[str, str]) -> dict[str, t.Any]:
    """What the examples want to know of the store."""
    return {f"s3_{name}": value for name, value in store.items()} | {"heartbeat_preflight": False}


def test_a_virtual_ip_lives_on_the_leader_and_moves_with_its_neighbours_knowing(
    hosts: list[Host], play: Play, store: dict[str, str]
) -> None:
    example = (PLAYBOOKS / "virtual_ip.yml").read_text()
    play(example, virtual_ip=VIRTUAL_IP, virtual_ip_interface="eth0", **variables(store))
    leader, others = settled(hosts, "virtual-ip")
    wait_for(lambda: having(VIRTUAL_IP, hosts) == [leader], "the address is on the leader")
    socket.create_connection((VIRTUAL_IP, 22)).close()
    assert neighbour() == mac(leader)
    leader.run("s3-leader", "step-down", "virtual-ip", "--for", "3600")
    assert having(VIRTUAL_IP, [leader]) == []
    successor, _third = settled(others, "virtual-ip")
    wait_for(lambda: neighbour() == mac(successor), "the neighbours were told")
    assert having(VIRTUAL_IP, hosts) == [successor]


def having(address: str, hosts: Sequence[Host]) -> list[Host]:
    """Those of the hosts that have the address."""
    return [host for host in hosts if f" {address}/" in host.run("ip", "-o", "address", "show", "dev", "eth0").stdout]


def neighbour() -> str:
    """Who has the virtual IP, as the controller knows without asking."""
    told = subprocess.run(["ip", "neighbour", "show", VIRTUAL_IP], capture_output=True, text=True, check=True).stdout
    return told.partition("lladdr ")[2].partition(" ")[0]


def mac(host: Host) -> str:
    return host.run("ip", "-o", "link", "show", "dev", "eth0").stdout.partition("link/ether ")[2].partition(" ")[0]


def test_a_timer_runs_its_job_on_the_leader_only(hosts: list[Host], play: Play, store: dict[str, str]) -> None:
    example = (PLAYBOOKS / "nightly_job.yml").read_text()
    play(example, job_time="*:*:0/4", job_command="/bin/touch /job", **variables(store))
    leader, others = settled(hosts, "nightly-job")
    wait_for((leader.root / "job").exists, "the job has run")
    leader.run("s3-leader", "step-down", "nightly-job", "--for", "3600")
    (leader.root / "job").unlink()
    successor, (third,) = settled(others, "nightly-job")
    for _time in range(2):
        wait_for((successor.root / "job").exists, "the job has run on the next leader")
        (successor.root / "job").unlink()
    assert [host for host in (leader, third) if (host.root / "job").exists()] == []


def test_a_leader_of_the_past_replaces_no_newer_backup(hosts: list[Host], play: Play, store: dict[str, str]) -> None:
    for host in hosts:
        (host.root / "srv/backup").mkdir()
    example = (PLAYBOOKS / "database_backup.yml").read_text()
    play(example, backup_command="echo all of it", backup_time="*:*:0/4", **variables(store))
    leader, _others = settled(hosts, "backup")
    folder = leader.root / "srv/backup"
    wait_for((folder / "latest").exists, "there is a backup")
    assert (folder / "latest").read_text() == "all of it\n"
    term = told(leader, "backup")["term"]
    assert (folder / "fence").read_text() == f"{term}\n"
    leader.run("systemctl", "stop", "backup.timer", "backup.service")
    (folder / "latest").unlink()
    late = leader.run("env", f"S3_LEADER_TERM={term - 1}", "backup-database", check=False)
    assert (late.returncode, late.stderr) == (1, f"Term {term - 1} is over: a leader with term {term} was here.\n")
    assert not (folder / "latest").exists()
    leader.run("env", f"S3_LEADER_TERM={term}", "backup-database")
    assert sorted(path.name for path in folder.iterdir()) == ["fence", "fence.lock", "latest"]


def test_the_last_example_takes_everything_away_and_starts_nothing(
    hosts: list[Host], play: Play, module_watcher: Watcher
) -> None:
    play((PLAYBOOKS / "remove_heartbeat.yml").read_text())
    for host in hosts:
        assert [str(path) for path in left_of(host)] == []
    assert module_watcher.running() == []


def left_of(host: Host) -> list[pathlib.Path]:
    """What there is on the host of the role."""
    return [path for path in (host.root / "etc", host.root / "usr/local") for path in path.rglob("s3[-_]leader*")]
