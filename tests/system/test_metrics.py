# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real Prometheus sees of real daemons: their metrics, the alerts and the dashboard, through failovers."""

from __future__ import annotations

import contextlib
import json
import pathlib
import time
import typing as t
from collections.abc import Callable, Iterator

import pytest
from support import playbook
from support.playbook import Run
from support.prometheus import INTERVAL, Prometheus, node_exporter
from support.stores.seaweedfs import SeaweedFS
from support.waiting import wait_for

from system import plays
from system.lab.host import Host
from system.lab.lab import Lab
from system.lab.watcher import unit
from system.role.deployment import changes

pytestmark = pytest.mark.usefixtures("journals")

PROMETHEUS = pathlib.Path(__file__).resolve().parents[2] / "extensions" / "prometheus"
FOLDER = "/srv/metrics"
TIMES = dict(lease_duration=7, renew_interval=1, stop_grace=3, request_timeout=1, stop_timeout=1, poll_interval=1)
BUCKET = "metrics"
LEADS = "s3_leader_deadline_timestamp_seconds > timestamp(s3_leader_deadline_timestamp_seconds)"
FIRING = 'ALERTS{alertstate="firing"}'

Play = Callable[..., Run]


@pytest.fixture(scope="module")
def play(lab: Lab, tmp_path_factory: pytest.TempPathFactory, collections_path: str, seaweedfs: SeaweedFS) -> Play:
    """Runs the role on all hosts, with other variables if they are given."""
    folder = tmp_path_factory.mktemp("plays")
    seaweedfs.create_bucket(BUCKET)
    store = dict(
        bucket=BUCKET,
        endpoint_url=seaweedfs.endpoint_url,
        access_key=seaweedfs.access_key,
        secret_key=seaweedfs.secret_key,
    )
    lease = dict(TIMES, name="db", key="hosts/db", services=["app.service"], **store)

    def run(**changes: t.Any) -> Run:
        variables = dict(heartbeat_leases=[lease], heartbeat_preflight=False, heartbeat_textfile_directory=FOLDER)
        text = plays.heartbeat(**{**variables, **changes})
        args = ("--inventory", str(lab.inventory))
        return playbook.start(folder, text, hosts=(), args=args, collections_path=collections_path).wait()

    return run


@pytest.fixture(scope="module")
def hosts(booted: list[Host], play: Play) -> list[Host]:
    """They take part in the lease db, and their metrics are brought to a folder."""
    for host in booted:
        (host.root / "etc/systemd/system/app.service").write_text(unit("db", "app"))
    play().succeeded()
    return booted


@pytest.fixture(scope="module")
def prometheus(hosts: list[Host], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It scrapes the hosts, and their exporters live on when the hosts do not: a dead daemon's file is still read."""
    with contextlib.ExitStack() as stack:
        targets = {
            host.name: stack.enter_context(node_exporter(host.root / FOLDER[1:], host.address, host.name))
            for host in hosts
        }
        folder = tmp_path_factory.mktemp("prometheus")
        yield stack.enter_context(Prometheus(folder, targets, [PROMETHEUS / "alerts.yml"]))


def file_of(host: Host) -> pathlib.Path:
    """Where node_exporter finds the metrics of the lease."""
    return host.root / FOLDER[1:] / "s3-leader@db.prom"


def leader(hosts: list[Host], but: Host | None = None) -> Host:
    """Wait until a host leads and its services were started, another one than the given. Return it."""
    started = "run/s3-leader-serving/db/started"

    def look() -> Host | None:
        leading = [host for host in hosts if host is not but and host.is_on and (host.inside / started).exists()]
        return leading[0] if leading else None

    return wait_for(look, "a host leads")


def seen_leading(prometheus: Prometheus, host: Host) -> None:
    """Wait until Prometheus knows that this host leads, and no other."""
    found = f"count by (instance) ({LEADS})"
    wait_for(lambda: [*prometheus.values(found)] == [(host.name,)], f"Prometheus sees that {host.name} leads")


def test_prometheus_sees_who_leads_with_its_term_and_a_deadline_that_moves(
    hosts: list[Host], prometheus: Prometheus
) -> None:
    leading = leader(hosts)
    seen_leading(prometheus, leading)
    deadline = f'max(s3_leader_deadline_timestamp_seconds{{instance="{leading.name}"}})'
    first = prometheus.values(deadline)[()]
    left = first - time.time()
    assert -1 < left <= TIMES["lease_duration"] - TIMES["stop_grace"]
    wait_for(lambda: prometheus.values(deadline)[()] > first, "the lease was renewed")
    (term,) = prometheus.values("max(s3_leader_term)").values()
    assert f'"term": {term:.0f}' in (leading.inside / "run/s3-leader/db/status.json").read_text()
    assert set(prometheus.values("node_textfile_scrape_error").values()) == {0}
    assert prometheus.values("count(s3_leader_held_until_timestamp_seconds > time())") == {(): len(hosts)}
    assert file_of(leading).stat().st_mode & 0o777 == 0o644


@pytest.mark.usefixtures("prometheus")
def test_the_file_of_a_daemon_that_was_killed_is_gone_before_another_host_leads(hosts: list[Host]) -> None:
    leading = leader(hosts)
    wait_for(file_of(leading).exists, "its metrics are there")
    leading.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", "s3-leader@db")
    wait_for(lambda: not file_of(leading).exists(), "the file is gone")
    leader(hosts, but=leading)
    wait_for(file_of(leading).exists, "the daemon was started again")


def test_what_brings_the_metrics_takes_them_away_when_it_ends_however_it_ends(hosts: list[Host]) -> None:
    host = hosts[0]
    wait_for(file_of(host).exists, "the metrics are there")
    host.run("systemctl", "stop", "s3-leader-textfiles")
    assert not file_of(host).exists()
    host.run("systemctl", "start", "s3-leader-textfiles")
    wait_for(file_of(host).exists, "the metrics are there again")
    before = file_of(host).stat().st_ctime_ns
    host.run("systemctl", "kill", "--signal=KILL", "s3-leader-textfiles")
    wait_for(lambda: file_of(host).exists() and file_of(host).stat().st_ctime_ns > before, "systemd started it again")


def test_a_folder_that_is_full_or_gone_does_not_disturb_the_leader(hosts: list[Host]) -> None:
    leading = leader(hosts)
    term = (leading.inside / "run/s3-leader/db/leader").read_text()
    leading.run("systemctl", "stop", "s3-leader-textfiles")
    leading.run("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", FOLDER)
    leading.run("sh", "-c", f"dd if=/dev/zero of={FOLDER}/ballast bs=4k count=1")
    leading.run("systemctl", "start", "s3-leader-textfiles")
    wait_for(lambda: "No space left" in leading.journal("--unit=s3-leader-textfiles"), "it is told once")
    leading.run("rm", f"{FOLDER}/ballast")
    leading.run("systemctl", "stop", "s3-leader-textfiles")
    leading.run("umount", FOLDER)
    leading.run("systemctl", "start", "s3-leader-textfiles")
    wait_for(file_of(leading).exists, "the metrics are there again")
    assert leading.journal("--unit=s3-leader-textfiles").count("No space left") == 1
    assert (leading.inside / "run/s3-leader/db/leader").read_text() == term


# -- failovers


def hand_over(host: Host) -> None:
    host.run("s3-leader", "step-down", "db", "--for", "4")  # the others poll within 1.5 s


def kill(host: Host) -> None:
    host.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", "s3-leader@db")


def hang(host: Host) -> None:
    host.run("systemctl", "kill", "--signal=STOP", "--kill-who=main", "s3-leader@db")


ENDS = {"hands over": hand_over, "is killed": kill, "hangs": hang, "loses power": Host.cut_power}


class Failover(t.NamedTuple):
    """One host led, and another does."""

    what: str
    """What happened to the first one."""
    since: float
    """When, in seconds since 1970."""
    until: float
    """When Prometheus saw that the next one leads, and no other."""
    following: Host


def fail_over(hosts: list[Host], prometheus: Prometheus, what: str) -> Failover:
    """Let something happen to the leader. Return when all is well again, and the host takes part again."""
    leading = leader(hosts)
    seen_leading(prometheus, leading)
    since = time.time()
    ENDS[what](leading)
    following = leader(hosts, but=leading)
    seen_leading(prometheus, following)
    done = Failover(what, since, time.time(), following)
    if not leading.is_on:
        leading.boot()
    status = leading.inside / "run/s3-leader/db/status.json"
    wait_for(lambda: status.exists() and '"standby"' in status.read_text(), f"{leading.name} takes part again")
    return done


def term_of(hosts: list[Host]) -> int:
    """The term of the lease, as its leader knows it."""
    term: int = json.loads((leader(hosts).inside / "run/s3-leader/db/status.json").read_text())["term"]
    return term


def queries() -> dict[str, str]:
    """The queries of the dashboard, by the titles of their panels, as Grafana asks them."""
    panels = json.loads((PROMETHEUS / "dashboard.json").read_text())["panels"]
    variables = {"$bucket": ".+", "$key": ".+", "$__rate_interval": "10s"}
    found = {}
    for panel in panels:
        for number, target in enumerate(panel["targets"], 1):
            query = target["expr"]
            for name, value in variables.items():
                query = query.replace(name, value)
            found[f"{panel['title']} {number}"] = query
    return found


def test_failovers_raise_no_false_alert_and_the_dashboard_shows_what_happened(
    hosts: list[Host], prometheus: Prometheus, pytestconfig: pytest.Config, report: Callable[[str], None]
) -> None:
    began, first = time.time(), term_of(hosts)
    count = pytestconfig.getoption("--failovers")
    failovers = [fail_over(hosts, prometheus, [*ENDS][turn % len(ENDS)]) for turn in range(count)]
    last = term_of(hosts)
    wait_for(lambda: prometheus.values("max(s3_leader_term)") == {(): last}, "Prometheus knows the last term")
    ended = time.time() + INTERVAL  # values are asked for in such steps

    def claims(one: Failover) -> int:
        """For how many seconds two hosts seemed to lead."""
        found = prometheus.between(f"count({LEADS}) > 1", one.since, one.until)
        return sum(len(series.values) for series in found)

    both = {what: [claims(one) for one in failovers if one.what == what] for what in ENDS}
    took = {what: [one.until - one.since for one in failovers if one.what == what] for what in ENDS}
    shown = {title: prometheus.between(query, began, ended) for title, query in queries().items()}
    alerts = {series.labels["alertname"] for series in prometheus.between(FIRING, began, ended)}
    pending = {series.labels["alertname"] for series in prometheus.between("ALERTS", began, ended)} - alerts
    summary = [f"{count} failovers in {ended - began:.0f} s, terms {first} to {last}"]
    for what in ENDS:
        claimed = f"two claimed in {sum(map(bool, both[what]))}, for {max(both[what], default=0)} s at most"
        summary.append(f"{what}, {len(took[what])} times: the next was seen after {span(took[what])} s; {claimed}")
    summary.append(f"alerts that fired: {sorted(alerts)}; that were only pending: {sorted(pending)}")
    summary += [f"{title}: {sum(len(one.values) for one in series)} values" for title, series in shown.items()]
    report("\n".join(summary))
    # Only a handover ends before the deadline that was scraped last. It is over at the next scrape.
    assert {what: sum(found) for what, found in both.items() if what != "hands over" and any(found)} == {}
    assert max(both["hands over"], default=0) <= 3
    # This is why no rule goes by s3_leader_is_leader alone.
    died = [one for one in failovers if one.what == "loses power"]
    assert all(prometheus.values("count(s3_leader_is_leader == 1)", one.until) == {(): 2} for one in died)
    assert alerts <= {"S3LeaderFlapping"}
    assert ("S3LeaderFlapping" in alerts) == (last - first >= 4)
    assert [title for title, series in shown.items() if not series] == []
    for one in failovers:
        leading = [key for key, value in prometheus.values(queries()["Who leads 1"], one.until).items() if value]
        assert [one.following.name in key for key in leading] == [True]
    (terms,) = shown["Term 1"]
    assert {value for _at, value in terms.values} == set(range(first, last + 1))
    assert last - first == count
    failed = shown["Requests that failed 1"]
    assert {value for series in failed for _at, value in series.values} == {0}


def span(seconds: list[float]) -> str:
    return f"{min(seconds):.1f} to {max(seconds):.1f}" if seconds else "-"


# -- the role


def test_without_the_option_the_role_takes_the_metrics_away_and_with_another_folder_it_moves_them(
    hosts: list[Host], play: Play
) -> None:
    play(heartbeat_textfile_directory="/srv/other").succeeded()
    for host in hosts:
        wait_for((host.root / "srv/other/s3-leader@db.prom").exists, "the metrics are there")
        assert not file_of(host).exists()
    play(heartbeat_textfile_directory="").succeeded()
    for host in hosts:
        assert [*(host.root / "srv/other").iterdir()] == []
        assert not (host.root / "etc/systemd/system/s3-leader-textfiles.service").exists()
    assert changes(play(heartbeat_textfile_directory="").succeeded()) == set()


def test_a_folder_that_belongs_to_somebody_else_is_used_as_it_is(hosts: list[Host], play: Play) -> None:
    for host in hosts:
        host.run("install", "-d", "-o", "nobody", "-m", "1770", "/srv/theirs")
    play(heartbeat_textfile_directory="/srv/theirs").succeeded()
    for host in hosts:
        folder = host.root / "srv/theirs"
        wait_for((folder / "s3-leader@db.prom").exists, "the metrics are there")
        assert (folder.stat().st_uid, folder.stat().st_mode & 0o7777) == (65534, 0o1770)


def test_removal_leaves_nothing_in_the_folder(hosts: list[Host], play: Play) -> None:
    play(heartbeat_state="absent").succeeded()
    for host in hosts:
        assert [*(host.root / "srv/theirs").iterdir()] == []
        assert not [*host.root.glob("etc/systemd/system/**/s3-leader*")]
