# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.leaderelection.s3.plugins.filter.heartbeat_plan import FilterModule
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host import config
from ansible_collections.leaderelection.s3.plugins.plugin_utils._unit_files import DROPINS, UNITS
from support.systemctl import shown

heartbeat_plan = FilterModule().filters()["heartbeat_plan"]


def lease(name="db", **options):
    return {"name": name, "key": f"hosts/{name}", **options}


def there(name="db", begun=False, **options):
    """The configuration of a lease that the host has, as the role reads it."""
    path = f"/run/s3-leader-serving/{name}/lease.json" if begun else f"/etc/s3-leader/{name}.json"
    return [path, *json.dumps(plan(lease(name, **options))["leases"][name]["config"], indent=4).splitlines()]


def show(leases, units):
    """What systemctl shows of the services, some of which are these units."""
    by_name = dict(units)
    names = heartbeat_plan(leases)["services"] if units else []
    return "\n\n".join(by_name.get(name) or shown(name)[1] for name in names)


def plan(*leases, units=(), missing_ok=False):
    """The plan, which refuses nothing."""
    made = heartbeat_plan(leases, show(leases, units), missing_ok)
    assert not made["refused"]
    return made


def refusal(*leases, units=(), missing_ok=False, there=()):
    """The only refusal."""
    (refused,) = heartbeat_plan(leases, show(leases, units), missing_ok, there)["refused"]
    return refused


def polls(one, hosts, others=(), there=(), whole=True):
    """How often this host polls, in seconds, if so many have the lease, and the others have other leases."""
    group = [plan(one)["places"]] * hosts + [plan(other)["places"] for other in others]
    made = heartbeat_plan([one], there=there, group=group, whole=whole)
    return made["leases"]["db"]["config"]["poll_interval"]


# -- the daemon's configuration


def test_the_configuration_is_what_the_daemon_reads_with_its_defaults_written_out(tmp_path):
    written = plan(lease(lease_duration=60.0, metadata=dict(rack="7")))["leases"]["db"]["config"]
    (tmp_path / "db.json").write_text(json.dumps(written))
    read = config.load("db", str(tmp_path / "db.json"))
    assert read == config.Config(name="db", key="hosts/db", lease_duration=60, metadata=dict(rack="7"))


def test_the_holder_is_left_to_the_daemon_which_knows_its_host():
    assert "holder" not in plan(lease())["leases"]["db"]["config"]
    assert plan(lease(holder="web-1"))["leases"]["db"]["config"]["holder"] == "web-1"


@pytest.mark.parametrize(
    ("option", "given", "written"),
    [
        ("renew_interval", "4", 4),
        ("renew_interval", "4.0", 4),
        ("renew_interval", 4.0, 4),
        ("renew_interval", "2.5", 2.5),
        ("validate_certs", "False", False),
        ("validate_certs", "yes", True),
        ("expected_bucket_owner", 123456789012, "123456789012"),
    ],
)
def test_what_a_template_has_made_a_text_is_a_number_or_a_truth_value_again(option, given, written):
    value = plan(lease(**{option: given}))["leases"]["db"]["config"][option]
    assert (value, type(value)) == (written, type(written))


@pytest.mark.parametrize(
    ("hosts", "lease_duration", "seconds"),
    [(1, 30, 1), (2, 30, 1), (3, 30, 1.5), (10, 30, 5), (30, 30, 15), (31, 30, 15), (31, 60, 15.5), (1000, 3600, 60)],
)
def test_the_more_hosts_share_a_lease_the_less_often_each_polls(hosts, lease_duration, seconds):
    assert polls(lease(lease_duration=lease_duration), hosts) == seconds


@pytest.mark.parametrize("hosts", range(3, 31))
def test_all_standbys_together_poll_less_often_than_two_that_poll_each_second(hosts):
    assert 1.3 < (hosts - 1) / polls(lease(), hosts) < 2


def test_a_poll_interval_that_is_set_stays_as_it_is():
    assert polls(lease(poll_interval="2s"), 30) == 2
    assert polls(lease(poll_interval=""), 30) == 15


def test_only_hosts_with_the_same_lease_count():
    others = [lease(key="another"), lease(bucket="another"), lease(endpoint_url="https://another"), lease("db")]
    assert polls(lease(), 5, [*others, lease(state="absent")]) == 3
    assert polls(lease(), 5, [lease("another-name", key="hosts/db")]) == 3


def test_a_run_that_does_not_see_all_hosts_lets_none_poll_more_often():
    before = there(poll_interval=15)
    assert polls(lease(), 3, there=before, whole=False) == 15
    assert polls(lease(), 60, there=there(poll_interval=5), whole=False) == 15
    assert polls(lease(lease_duration=26), 3, there=before, whole=False) == 13
    assert polls(lease(), 3, there=before) == 1.5
    assert (
        polls(lease(), 3, there=["/etc/s3-leader/db.json", '{"key": "hosts/db", "bucket": "leader-election"}']) == 1.5
    )


def test_a_configuration_with_no_number_in_it_does_not_count():
    before = [line.replace(": 7", ': "7"') for line in there(poll_interval=7)]
    assert polls(lease(), 3, there=before, whole=False) == 1.5


@pytest.mark.parametrize("empty", [None, ""])
def test_an_option_that_is_empty_was_not_given(empty):
    assert plan(lease(endpoint_url=empty, region=empty, holder=empty, stop_timeout=empty)) == plan(lease())


@pytest.mark.parametrize(
    ("options", "written"),
    [
        (dict(environment={"AWS_ENDPOINT_URL_S3": "https://a", "AWS_ENDPOINT_URL": "https://b"}), "https://a"),
        (dict(environment={"AWS_ENDPOINT_URL_S3": "", "AWS_ENDPOINT_URL": "https://b"}), "https://b"),
        (dict(environment={"AWS_ENDPOINT_URL_S3": "https://a"}, endpoint_url="https://c"), "https://c"),
        (dict(environment={"HTTPS_PROXY": "https://d"}), None),
    ],
)
def test_a_store_that_the_environment_names_stands_in_the_configuration(options, written):
    assert plan(lease(**options))["leases"]["db"]["config"].get("endpoint_url") == written


def test_what_the_environment_names_has_to_be_a_store():
    for url in ("s3.example.com", "https://root:hunter2@h"):
        told = refusal(lease(environment={"AWS_ENDPOINT_URL": url}))
        assert told.startswith("db: environment: AWS_ENDPOINT_URL is ")
        assert "hunter2" not in told


def test_no_key_stands_in_the_plan():
    made = plan(lease(access_key="AKIA", secret_key="hidden", session_token="hidden, too"))
    assert made["leases"]["db"]["config"]["credentials_file"] == "/etc/s3-leader/db.credentials"
    assert "AKIA" not in str(made)
    assert "hidden" not in str(made)


# -- files and units


def test_each_lease_has_files():
    one = lease("a", services=["a.service"], on_error="/e", on_lost="")
    assert [
        (file["lease"], file["path"].rpartition("/")[2], file["template"]) for file in plan(one, lease())["files"]
    ] == [
        ("a", "s3-leader-a.conf", "daemon.conf"),
        ("a", "s3-leader-a.conf", "target.conf"),
        ("a", "s3-leader-error@a.path", "error.path"),
        ("a", "s3-leader-error@a.service", "error.service"),
        ("a", "zzz-s3-leader-a.conf", "service.conf"),
        ("db", "s3-leader-db.conf", "daemon.conf"),
        ("db", "s3-leader-db.conf", "target.conf"),
    ]


def test_what_starts_with_the_leadership_is_all_services_but_those_that_a_timer_starts_and_two_hooks():
    units = [shown("backup.service"), shown("backup.timer", limit="", triggers="backup.service"), shown("a.service")]
    options = dict(services=["backup.service", "backup.timer", "a.service"])
    made = plan(lease(on_acquired="/a", on_lost="/l", on_error="/e", **options), units=units)
    starts = ["backup.timer", "a.service", "s3-leader-acquired@db.service", "s3-leader-lost@db.service"]
    assert made["leases"]["db"]["starts"] == starts


def test_the_daemon_and_the_fence_know_the_services():
    made = plan(lease(services=["a.service", "b.timer"]))["leases"]["db"]
    assert made["config"]["services"] == ["a.service", "b.timer"]
    assert config.Config(name="db", **made["config"]).services == ["a.service", "b.timer"]


def test_what_has_a_root_of_its_own_is_told():
    units = [shown("a.service", RootDirectory="/srv/own"), shown("b.service")]
    made = plan(lease(services=["a.service", "b.service"]), units=units)
    assert made["leases"]["db"]["rooted"] == ["a.service"]


def test_connections_of_a_socket_are_instances_of_a_template_which_start_with_it():
    units = [shown("a.socket", limit="90s", Accept="yes", Triggers="a@7-12-0.service"), shown("a@.service")]
    made = plan(lease(services=["a.socket", "a@.service"]), units=units)["leases"]["db"]
    assert (made["starts"], made["templates"]) == (["a.socket"], ["a@.service"])


def test_a_lease_to_leave_needs_no_key_and_keeps_no_file():
    made = plan(dict(name="db", state="absent"), lease("cache"))
    assert made["gone"] == ["db"]
    assert {file["lease"] for file in made["files"]} == {"cache"}
    assert "s3-leader@db.*" in made["patterns"]


# -- what cannot work


def test_times_that_do_not_add_up_are_refused_with_the_option_its_value_and_the_way_out():
    told = refusal(lease(lease_duration=20))
    assert told.startswith("db: lease_duration is 20: ")
    assert "Use 25.5 s or more" in told


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (dict(name="DB"), 'DB: name is "DB": use 1 to 50 lower-case letters'),
        (dict(key=""), "db: key is missing: set it to the key of the lease object"),
        (dict(key=None), "db: key is missing: set it to the key of the lease object"),
        (dict(bucket="Not a bucket"), 'bucket is "Not a bucket"'),
        (dict(stop_timeout=-1), "stop_timeout is -1: use 1 to 3600 seconds"),
        (dict(stop_timeout=float("nan")), "stop_timeout is NaN: use a number of seconds"),
        (dict(hook_timeout=0), "hook_timeout is 0: use 1 to 3600 seconds"),
        (dict(access_key="AKIA"), "secret_key"),
        (dict(services=["nginx"]), 'services is "nginx": use the full names of services'),
        (dict(services=["a.slice"]), 'services is "a.slice": use the full names of services'),
        (dict(services=["-a.service"]), 'services is "-a.service": use the full names of services'),
        (dict(services=["../a.service"]), 'services is "../a.service": use the full names of services'),
        (dict(environment={"A B": "c"}), "environment has 'A B': use letters, digits and _"),
        (dict(environment={"A": "c\nUser=root"}), "environment has A: its value has to be one line"),
        (dict(on_lost="/bin/a\nUser=root"), "on_lost has to be one line"),
        (dict(load_credential="/a\nUser=root"), "load_credential has to be one line"),
    ],
)
def test_a_bad_value_is_refused_with_the_way_out(bad, told):
    assert told in refusal(dict(lease(), **bad))


def test_a_lease_that_is_listed_twice_is_refused():
    told = "db: it is listed twice: keep one entry of it in heartbeat_leases"
    assert refusal(lease(), lease()) == refusal(lease(), dict(name="db", state="absent")) == told


def test_a_service_of_two_leases_is_refused():
    told = refusal(lease("a", services=["app.service"]), lease("b", services=["app.service"]))
    assert told == "b: app.service belongs to the lease a already: list it in one of them"


@pytest.mark.parametrize("second", ["credentials_file", "load_credential", "load_credential_encrypted"])
def test_credentials_of_two_kinds_are_refused(second):
    told = refusal(lease(access_key="AKIA", secret_key="hidden", **{second: "/etc/keys"}))
    assert "several of access_key, credentials_file, load_credential" in told
    assert "hidden" not in told


def test_all_that_is_wrong_is_told_at_once():
    refused = heartbeat_plan([lease("a", stop_grace=100), lease("b", services=["nginx"]), lease("c")])["refused"]
    assert [told.partition(":")[0] for told in refused] == ["a", "b"]


def test_a_service_that_does_not_exist_is_refused_but_in_check_mode():
    one, units = lease(services=["app.service"]), [shown("app.service", state="not-found")]
    told = refusal(one, units=units)
    assert told == "db: app.service does not exist on this host: install it first, or take it out of services"
    assert plan(one, units=units, missing_ok=True)["services"] == ["app.service"]


@pytest.mark.parametrize(
    ("state", "way_out"),
    [("masked", "unmask it"), ("bad-setting", "see systemctl status app.service"), ("error", "see systemctl status")],
)
def test_a_service_that_cannot_be_started_is_refused(state, way_out):
    units = [shown("app.service", state=state)]
    told = refusal(lease(services=["app.service"]), units=units, missing_ok=True)
    assert told.startswith(f"db: app.service cannot be started: systemd shows it as {state}. Take it out of services")
    assert way_out in told


def test_what_a_service_starts_has_to_be_listed_too():
    told = refusal(lease(services=["a.timer"]), units=[shown("a.timer", triggers="a.service")])
    assert "a.timer starts a.service: list a.service in services, too" in told


def test_the_template_of_connections_has_to_be_listed_too():
    told = refusal(lease(services=["a.socket"]), units=[shown("a.socket", Accept="yes", triggers="a@7-12-0.service")])
    assert "a.socket starts a@.service: list a@.service in services, too" in told


def test_connections_that_are_open_are_covered_by_their_template():
    units = [
        shown("a.mount", RequiredBy="a@0-10.0.0.7:7000-10.0.0.8:4444.service"),
        shown("a.socket", Accept="yes"),
        shown("a@.service", after="a.mount"),
    ]
    plan(lease(services=["a.mount", "a.socket", "a@.service"]), units=units)


def test_a_template_that_no_socket_starts_is_refused():
    told = refusal(lease(services=["a@.service"]), units=[shown("a@.service")])
    assert told.startswith("db: a@.service is a template, and no socket in services starts it: list its instances")


def test_what_a_target_starts_has_to_be_listed_too():
    told = refusal(lease(services=["all.target"]), units=[shown("all.target", limit="", Wants="a.service")])
    assert told == "db: all.target starts a.service: list a.service in services, too, or it would outlive leadership"


def test_what_starts_a_service_has_to_be_listed_too():
    told = refusal(lease(services=["a.service"]), units=[shown("a.service", TriggeredBy="a.socket")])
    assert told.startswith("db: a.socket starts a.service even if the host does not lead: list it in services")
    units = [shown("a.socket", triggers="a.service"), shown("a.service", TriggeredBy="a.socket")]
    plan(lease(services=["a.service", "a.socket"]), units=units)
    told = refusal(lease(services=["a.mount"]), units=[shown("a.mount", TriggeredBy="a.automount")])
    assert "take x-systemd.automount out of /etc/fstab" in told


@pytest.mark.parametrize("setting", ["JobTimeout", "JobRunningTimeout"])
def test_a_unit_whose_stop_counts_as_done_before_it_is_done_is_refused(setting):
    told = refusal(lease(services=["a.service"]), units=[shown("a.service", **{f"{setting}USec": "2s"})])
    assert told.startswith(f"db: a.service has {setting}Sec=2s: after that time, systemd would count its stop as done")
    plan(lease(services=["a.service"]), units=[shown("a.service", **{f"{setting}USec": "infinity"})])


def test_what_is_stopped_along_with_a_service_has_to_be_listed_too():
    units = [shown("a.service", RequiredBy="a@1.service")]
    told = refusal(lease(services=["a.service"]), units=units)
    assert told == (
        "db: a@1.service is stopped along with a.service: list it in services, too, or nobody waits for its end"
    )
    plan(lease(services=["a.service", "a@1.service"]), units=[*units, shown("a@1.service")])


def test_an_alias_is_refused_since_it_would_hide_how_units_depend_on_each_other():
    units = [shown("mysql.service", Id="mariadb.service")]
    told = refusal(lease(services=["mysql.service"]), units=units)
    assert told == "db: mysql.service is another name of mariadb.service: list that one"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (dict(key="other"), "key is other, and was hosts/db"),
        (dict(bucket="other-bucket"), "bucket is other-bucket, and was leader-election"),
        (dict(endpoint_url="https://s3.example.com"), "endpoint_url is https://s3.example.com, and was None"),
        (dict(environment={"AWS_ENDPOINT_URL_S3": "https://a"}), "endpoint_url is https://a, and was None"),
        (dict(environment={"AWS_ENDPOINT_URL": "https://a"}), "endpoint_url is https://a, and was None"),
    ],
)
def test_a_lease_does_not_become_another_one_while_the_group_goes_by_it(changed, told):
    refused = refusal({**lease(), **changed}, there=there())
    assert refused.startswith("db: " + told)
    assert "First leave the lease on all hosts (state: absent), then add it again" in refused
    assert heartbeat_plan([lease(lease_duration=60)], "", False, there())["refused"] == []


def test_services_that_a_lease_had_are_stopped_also_where_an_interrupted_run_has_written_its_configuration():
    changed = lease(services=["b.timer", "c.service"])
    before = there(services=["a.service", "b.timer"])
    begun = there(services=["a.service", "d.service"], begun=True)
    after = there(services=["b.timer", "c.service"])
    assert heartbeat_plan([changed], "", False, before)["dropped"] == ["a.service"]
    assert heartbeat_plan([changed], "", False, [*after, *begun])["dropped"] == ["a.service", "d.service"]
    assert heartbeat_plan([changed], "", False, after)["dropped"] == []


def test_a_service_of_a_lease_that_the_host_has_from_an_earlier_run_is_refused():
    earlier = there("old", services=["app.service"])
    renamed = lease(services=["app.service"])
    assert refusal(renamed, there=earlier) == (
        "db: app.service belongs to the lease old already. This host takes part in that lease. To leave it, add an "
        "entry with name: old and state: absent"
    )
    left = [dict(name="old", state="absent"), renamed]
    assert heartbeat_plan(left, "", False, earlier)["refused"] == []


def test_two_leases_of_one_object_would_compete_with_each_other():
    told = "db: the lease old has the same bucket and key already"
    assert refusal(lease("old"), lease(key="hosts/old")) == told + ": list it in one of them"
    assert refusal(lease(key="hosts/old"), there=there("old")).startswith(told + ". This host takes part in that lease")
    elsewhere = lease(key="hosts/old", endpoint_url="https://s3.example.com")
    assert heartbeat_plan([elsewhere], "", False, there("old"))["refused"] == []


@pytest.mark.parametrize("stdout", ["", "{", "[]", "null"])
def test_a_configuration_that_cannot_be_read_says_nothing(stdout):
    broken = ["/etc/s3-leader/db.json", stdout, "/etc/s3-leader/old.json", stdout]
    assert heartbeat_plan([lease(services=["app.service"])], "", False, broken)["refused"] == []


@pytest.mark.parametrize(("devices", "folder"), [(["1"] * 6, DROPINS), (["1", "1", "3", "3"], UNITS)])
def test_drop_ins_are_where_systemd_finds_them_at_boot(devices, folder):
    made = heartbeat_plan([lease(services=["app.service"])], "", False, (), devices)
    assert f"{folder}/app.service.d/zzz-s3-leader-db.conf" in {file["path"] for file in made["files"]}
    assert made["folders"] == [UNITS, DROPINS]


@pytest.mark.parametrize("other", ["everything", "text"])
def test_what_is_no_list_of_leases_is_an_error_of_whoever_calls(other):
    with pytest.raises(AnsibleFilterError, match="a list of maps"):
        heartbeat_plan(other if other == "text" else [other])


# -- how long it takes until all has stopped; one second of it is systemd's


@pytest.mark.parametrize(
    ("needed", "units"),
    [
        (11, [shown("a.service", limit="10s")]),
        (1.5, [shown("a.service", limit="500ms")]),
        # each step may take as long
        (31, [shown("a.service", limit="10s", stops=2)]),
        # side by side
        (11, [shown("a.service", limit="10s"), shown("b.service", limit="8s")]),
        # one after the other
        (19, [shown("a.service", limit="10s"), shown("b.service", limit="8s", after="a.service")]),
        # a timer stops at once
        (9, [shown("a.timer", limit="", triggers="b.service"), shown("b.service", limit="8s", after="a.timer")]),
    ],
)
def test_stop_grace_has_to_be_what_the_services_may_take_to_stop(needed, units):
    services = [name for name, _text in units]
    enough = dict(services=services, lease_duration=2 * needed + 20)
    plan(lease(stop_grace=needed, **enough), units=units)
    assert f"stopping everything may take {needed:g} s" in refusal(
        lease(stop_grace=needed - 0.1, **enough), units=units
    )


def test_times_are_durations():
    given = dict(lease_duration="2m", renew_interval="10s", stop_grace="1m", request_timeout="2.5s", poll_interval=2)
    planned = plan(lease(hook_timeout="20s", stop_timeout="0.5m", **given))["leases"]["db"]
    config = {name: planned["config"][name] for name in given}
    assert config == dict(lease_duration=120, renew_interval=10, stop_grace=60, request_timeout=2.5, poll_interval=2)
    assert (planned["hook_timeout"], planned["stop_timeout"]) == (20, 30)
    assert plan(lease())["leases"]["db"]["stop_timeout"] == 0
    assert refusal(lease(stop_grace="soon")).startswith('db: stop_grace is "soon": use a number of seconds, or')


def test_stop_timeout_takes_the_place_of_what_the_services_say():
    plan(lease(services=["a.service"], stop_timeout=11), units=[shown("a.service", limit="infinity")])


def test_once_the_drop_ins_are_written_what_systemd_goes_by_is_what_counts():
    one, units = lease(services=["a.service"], stop_timeout=5), [shown("a.service", limit="40s")]
    assert heartbeat_plan([one], show([one], units))["refused"] == []
    (told,) = heartbeat_plan([one], show([one], units), written=True)["refused"]
    assert "everything may take 41 s: a.service 40 s" in told


def test_stop_timeout_holds_for_services_only():
    units = [shown("a.mount", limit="30s")]
    assert "a.mount 30 s" in refusal(lease(services=["a.mount"], stop_timeout=2), units=units)


def test_a_service_that_may_take_for_ever_to_stop_is_refused():
    told = refusal(lease(services=["a.service"]), units=[shown("a.service", limit="infinity")])
    assert told.startswith("db: a.service may take forever to stop (its timeout is infinity). Set stop_timeout")
    told = refusal(lease(services=["a.mount"], stop_timeout=2), units=[shown("a.mount", limit="infinity")])
    assert "For a.mount, set TimeoutSec= of the unit, or x-systemd.mount-timeout= in /etc/fstab" in told


def test_on_lost_has_to_end_in_time_too():
    plan(lease(on_lost="/l", hook_timeout=11))
    assert "everything may take 13 s: on_lost 12 s, and 1 s for systemd" in refusal(
        lease(on_lost="/l", hook_timeout=12)
    )


def test_the_refusal_tells_which_service_takes_how_long_and_the_way_out():
    units = [shown("a.service", limit="10s"), shown("b.service", limit="8s")]
    assert refusal(lease(services=["a.service", "b.service"], stop_grace=4, stop_timeout=None), units=units) == (
        "db: stop_grace is 4 s, but stopping everything may take 11 s: a.service 10 s, b.service 8 s, and 1 s for "
        "systemd. Set stop_timeout to what the services really need, or raise stop_grace, and lease_duration by as much"
    )


def test_what_has_to_be_up_before_the_daemon_is_refused_once_the_drop_ins_are_written():
    one, units = lease(services=["a.mount"]), [shown("a.mount", Before="umount.target local-fs.target")]
    assert heartbeat_plan([one], show([one], units))["refused"] == []
    (told,) = heartbeat_plan([one], show([one], units), written=True)["refused"]
    assert told.startswith("db: a.mount has Before=local-fs.target: at shutdown, systemd would stop the daemon first")
    assert "add the options noauto and nofail" in told
    assert heartbeat_plan([one], show([one], [shown("a.mount", Before="umount.target")]), written=True)["refused"] == []
