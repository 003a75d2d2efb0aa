# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _units
from support.systemctl import shown


def unit(name="a.service", **properties):
    return _units.read(*shown(name, **properties))


def test_a_unit_is_read_with_what_it_depends_on():
    read = unit(
        "a.timer", Id="b.timer", triggers="a.service", TriggeredBy="c.path", after="d.service", Before="e.target"
    )
    assert (read.name, read.id, read.state) == ("a.timer", "b.timer", "loaded")
    assert (read.triggers, read.triggered_by) == ({"a.service"}, {"c.path"})
    assert (read.after, read.before) == ({"basic.target", "system.slice", "d.service"}, {"e.target"})


def test_units_are_read_in_the_order_in_which_they_were_asked_for():
    (first, text), (second, another) = shown("b.service", Id="c.service"), shown("a@.service", Id="a@s3-leader.service")
    read = _units.read_all([first, second], f"{text}\n\n{another}")
    assert {name: one.id for name, one in read.items()} == {
        "b.service": "c.service",
        "a@.service": "a@s3-leader.service",
    }


def test_a_unit_that_is_not_shown_is_no_unit_without_settings():
    with pytest.raises(ValueError, match="asked for 2 units, and shows 1"):
        _units.read_all(["a.service", "b.service"], shown("a.service")[1])


def test_of_a_unit_that_does_not_exist_nothing_is_known():
    read = _units.read("a.service", "LoadState=not-found")
    assert read.state == "not-found"
    assert not any(
        [read.after, read.triggers, read.starts, read.dragged, read.stop_limit, read.rooted, read.job_limits]
    )


@pytest.mark.parametrize("how", ["ConsistsOf", "RequiredBy", "RequisiteOf", "BoundBy", "PropagatesStopTo"])
def test_what_is_stopped_along_with_a_unit_is_no_target_and_no_unit_of_the_role(how):
    assert unit(**{how: "a@1.service multi-user.target s3-leader-lost@db.service"}).dragged == {"a@1.service"}


@pytest.mark.parametrize("how", ["Wants", "Requires", "BindsTo"])
def test_a_target_starts_what_does_not_run_anyway(how):
    wanted = {how: "a.service other.target basic.target system.slice"}
    assert unit("all.target", **wanted).starts == {"a.service", "other.target"}
    assert unit("a.service", **wanted).starts == set()


def test_a_socket_with_connections_of_its_own_starts_their_template():
    assert unit("a.socket", Accept="yes", triggers="a@7-12-0.service").triggers == {"a@.service"}
    assert unit("a.socket", Accept="no", triggers="a.service").triggers == {"a.service"}


def test_all_that_units_start_is_triggered():
    assert _units.triggered(
        [unit("a.timer", triggers="a.service"), unit("b.path", triggers="b.service c.service")]
    ) == {
        "a.service",
        "b.service",
        "c.service",
    }


def test_an_instance_has_a_template():
    assert [_units.is_template(name) for name in ("a@.service", "a@1.service", "a.service")] == [True, False, False]
    assert _units.template_of("a@0-10.0.0.7:7000-10.0.0.8:4444.service") == "a@.service"


def test_a_service_that_is_aborted_when_it_does_not_stop_has_the_time_for_that_too():
    assert unit(limit="4s", TimeoutStopFailureMode="abort", TimeoutAbortUSec="15s").stop_limit == 19
    assert unit(limit="4s", TimeoutStopFailureMode="terminate", TimeoutAbortUSec="15s").stop_limit == 4
    assert unit(limit="4s", TimeoutStopFailureMode="abort", TimeoutAbortUSec="infinity").stop_limit == float("inf")


def test_what_is_no_service_has_its_limit_under_another_name():
    assert _units.read("a.mount", "TimeoutUSec=1min 30s").stop_limit == 90


@pytest.mark.parametrize(
    ("name", "stops", "posts", "steps"),
    [
        ("a.service", 0, 0, 1),
        # each command of a stop may take as long, and so may what is left when they are done
        ("a.service", 1, 0, 2),
        ("a.service", 2, 0, 3),
        ("a.service", 0, 1, 3),
        # a socket is closed at once, but for commands of its own
        ("a.socket", 0, 0, 0),
        ("a.socket", 0, 1, 2),
    ],
)
def test_a_stop_has_so_many_steps(name, stops, posts, steps):
    assert unit(name, stops=stops, posts=posts).stop_steps == steps


@pytest.mark.parametrize(
    ("setting", "value", "rooted"),
    [("RootDirectory", "/srv/own", True), ("RootDirectory", "/", False), ("RootImage", "/srv/own.raw", True)],
)
def test_a_unit_may_have_a_root_of_its_own(setting, value, rooted):
    assert unit(**{setting: value}).rooted == rooted
    assert not unit(RootDirectory="").rooted


def test_the_limits_of_jobs_have_the_names_of_settings():
    limits = dict(JobTimeoutUSec="2s", JobRunningTimeoutUSec="infinity")
    assert unit(**limits).job_limits == {"JobTimeoutSec": "2s"}
