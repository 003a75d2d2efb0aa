# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import getpass
import importlib.util
import multiprocessing
import os
import re
import socket

import pytest
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _run


@pytest.fixture
def another_run():
    """The module as another process of ansible-playbook has it."""
    spec = importlib.util.spec_from_file_location("another_run", _run.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_a_worker(function, *arguments):
    """What a function returns in a process that was forked, as Ansible forks one for each task."""
    context = multiprocessing.get_context("fork")
    there, here = context.Pipe()
    worker = context.Process(target=lambda: there.send(function(*arguments)))
    worker.start()
    worker.join()
    return here.recv()


# -- The session


def test_a_run_is_told_from_others_by_128_random_bits(another_run):
    assert re.fullmatch("[0-9a-f]{32}", _run.RUN)
    assert another_run.RUN != _run.RUN


def test_a_session_is_one_for_a_run_and_a_host(another_run):
    assert _run.session("web-1") == _run.session("web-1")
    assert _run.session("web-1") != _run.session("web-2")
    assert _run.session("web-1") != another_run.session("web-1")


def test_all_workers_of_a_run_have_its_sessions():
    assert in_a_worker(_run.session, "web-1") == _run.session("web-1")


def test_a_session_is_128_bits_and_does_not_tell_the_run():
    assert re.fullmatch("[0-9a-f]{32}", _run.session("web-1"))
    assert _run.session("web-1") != _run.RUN


def test_a_host_may_have_any_name():
    assert len({_run.session(name) for name in ("", "wéb", "a/b", "\udcff", "x" * 1000)}) == 5


# -- The holder


def test_the_holder_is_the_host():
    assert _run.holder("web-1") == "web-1"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_the_holder_of_localhost_is_the_user_at_the_controller(monkeypatch, host):
    monkeypatch.setattr(_run, "user", lambda: "alice")
    monkeypatch.setattr(socket, "gethostname", lambda: "bastion")
    assert _run.holder(host) == "alice@bastion"


def test_the_user_is_the_one_who_runs_the_playbook(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "alice")
    assert _run.user() == "alice"


@pytest.mark.parametrize(
    "error", [KeyError("uid not found"), OSError("no username")]
)  # by Python 3.13 it is the latter
def test_a_user_without_a_name_is_a_number(monkeypatch, error):
    def nameless():
        raise error

    monkeypatch.setattr(getpass, "getuser", nameless)
    monkeypatch.setattr(os, "getuid", lambda: 1001)
    assert _run.user() == "1001"


# -- The deadline


@pytest.fixture
def now(monkeypatch):
    """Sets the controller's clock."""

    def set_clock(seconds):
        monkeypatch.setattr(_run, "now", lambda: seconds)

    set_clock(100.0)
    return set_clock


def result(at=130.0, run=_run.RUN, **others):
    return dict(dict(is_leader=True, deadline=dict(run=run, at=at)), **others)


def test_the_clock_of_deadlines_runs_on():
    first = _run.now()
    assert in_a_worker(_run.now) >= first, "readings of all workers compare"


def test_a_result_is_held_until_its_deadline(now):
    now(129.999)
    assert _run.is_held(result()) is True
    now(130.0)
    assert _run.is_held(result()) is False
    now(130.001)
    assert _run.is_held(result()) is False


def test_what_was_not_leader_is_not_held_whatever_its_deadline(now):
    assert _run.is_held(result(is_leader=False)) is False
    assert _run.is_held(dict(deadline=result()["deadline"])) is False


@pytest.mark.parametrize("deadline", [None, {}, "text", 130.0, dict(at=130.0), dict(run="another", at=130.0)])
def test_without_a_deadline_of_this_run_no_time_is_left_to_tell(now, deadline):
    one = result(deadline=deadline)
    assert _run.time_left(one) is None
    assert _run.is_held(one) is False


def test_a_deadline_of_another_run_is_none(now, another_run):
    assert _run.time_left(result(run=another_run.RUN)) is None


@pytest.mark.parametrize("at", [None, "soon", float("inf"), float("nan"), []])
def test_a_deadline_at_no_time_is_none(now, at):
    one = result()
    one["deadline"]["at"] = at
    assert _run.time_left(one) is None
    assert not _run.is_held(one)


def test_the_time_left_is_in_seconds_and_may_be_over(now):
    assert _run.time_left(result(at=130.0)) == 30.0
    assert _run.time_left(result(at=90.0)) == -10.0


def test_a_deadline_that_a_template_has_made_a_text_is_one(now):
    assert _run.time_left(result(at="130.0")) == 30.0


def test_a_session_that_is_named_stays_if_it_can():
    assert _run.session_of("workflow 17") == "workflow 17"


@pytest.mark.parametrize("text", ["17", 17, "x" * 129, "two\nlines of text"])
def test_any_other_text_names_a_session_too(text):
    session = _run.session_of(text)
    assert session == _run.session_of(str(text)) != _run.session_of("18")
    assert (len(session), session.isprintable()) == (32, True)
