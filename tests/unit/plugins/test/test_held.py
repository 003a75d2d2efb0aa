# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.leaderelection.s3.plugins.plugin_utils import _run
from ansible_collections.leaderelection.s3.plugins.test.held import TestModule as Plugin

held = Plugin().tests()["held"]


def result(left=30.0, run=_run.RUN, is_leader=True):
    """A registered result with so many seconds left, among what else a result has."""
    return dict(is_leader=is_leader, deadline=dict(run=run, at=_run.now() + left), changed=True, term=7)


def test_the_plugin_has_one_test():
    assert list(Plugin().tests()) == ["held"]


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
    ("nonsense", "kind"),
    [
        (None, "NoneType"),
        ("text", "str"),
        (True, "bool"),
        (7, "int"),
        ([], "list"),
        ([result()], "list"),
        ({}, "dict"),
        (dict(rc=0), "dict"),
        (dict(skipped=True, changed=False), "dict"),
        (dict(results=[result()]), "dict"),
        (dict(result(), is_leader=True)["deadline"], "dict"),
    ],
)
def test_what_is_no_registered_result_is_an_error_and_not_unheld(nonsense, kind):
    with pytest.raises(AnsibleFilterError) as error:
        held(nonsense)
    message = str(error.value)
    assert "leaderelection.s3.held tests the registered result of s3_leader_acquire or s3_leader_renew" in message
    assert kind + " without is_leader" in message
