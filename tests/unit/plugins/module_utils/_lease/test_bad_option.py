# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.bad_option import HIDDEN, BadOption


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "option is not set: do"),
        ("a", 'option is "a": do'),
        (7, "option is 7: do"),
        ("é", 'option is "é": do'),
        ("a\nb", 'option is "a\\nb": do'),
        ({"a": object}, None),
    ],
)
def test_a_value_is_shown_as_one_line(value, shown):
    text = str(BadOption("option", value, "do"))
    assert "\n" not in text
    assert shown is None or text == shown


def test_a_long_value_is_shown_by_its_beginning():
    assert str(BadOption("option", "x" * 5000, "do")) == 'option is "' + "x" * 96 + "...: do"


def test_a_value_that_may_be_secret_is_hidden():
    assert str(BadOption("option", HIDDEN, "do")) == "option is ***: do"
    assert str(BadOption("option", "hunter2", "do")) == 'option is "hunter2": do'
