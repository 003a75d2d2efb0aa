# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _run
from ansible_collections.leaderelection.s3.plugins.test import held as module

held = module.TestModule().tests()["held"]


def result(left=30.0, run=_run.RUN, is_leader=True):
    """A registered result with so many seconds left, among what else a result has."""
    return dict(is_leader=is_leader, deadline=dict(run=run, at=_run.now() + left), changed=True, term=7)


def test_the_plugin_has_one_test():
    assert list(module.TestModule().tests()) == ["held"]


def test_a_result_is_held_until_its_deadline():
    assert held(result()) is True
    assert held(result(left=-0.001)) is False


@pytest.mark.parametrize(
    "one",
    [
        result(left=1e6, is_leader=False),
        result(left=1e6, run="another run"),
        dict(result(), deadline=None),  # of check mode, for one
        dict(is_leader=False, failed=True, deadline=None),
        dict(is_leader=True),
    ],
)
def test_what_is_not_leader_or_has_no_deadline_of_this_run_is_not_held(one):
    assert held(one) is False


@pytest.mark.parametrize(
    ("nonsense", "words"),
    [
        (None, "was given nothing"),
        ("text", "was given no dictionary"),
        (True, "was given no dictionary"),
        ([result()], "was given no dictionary"),
        ({}, "without is_leader"),
        (dict(rc=0), "without is_leader"),
        (dict(result(), is_leader=True)["deadline"], "without is_leader"),
        (dict(skipped=True, changed=False), "lease is not skipped and lease is leaderelection.s3.held"),
        (dict(results=[result()]), "test each of its results"),
    ],
)
def test_what_is_no_registered_result_is_an_error_and_not_unheld(nonsense, words):
    with pytest.raises(AnsibleFilterError) as error:
        held(nonsense)
    message = str(error.value)
    assert "leaderelection.s3.held tests the registered result of s3_leader_acquire or s3_leader_renew" in message
    assert words in message


@pytest.mark.parametrize(("is_leader", "warned"), [(True, True), (False, False)])
def test_a_leader_without_a_deadline_is_warned_of(monkeypatch, is_leader, warned):
    """A result of s3_leader_info would keep the work from being done, without a word."""
    told = []
    monkeypatch.setattr(module._display, "warning", told.append)
    assert held(dict(result(is_leader=is_leader), deadline=None)) is False
    assert [("s3_leader_info" in text) for text in told] == [True] * warned
