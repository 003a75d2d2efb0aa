# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.xml_document import (
    all_of,
    content_of,
    name_of,
    one_of,
    parse,
    text_of,
)

MOST = 1000
DOCUMENT = b"""<?xml version="1.0" encoding="UTF-8"?>
<Rules xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Rule><ID> one </ID><Filter><Prefix>jobs/</Prefix></Filter></Rule>
  <Rule><ID>t\xc3\xb6</ID></Rule>
</Rules>"""


def test_names_are_without_their_namespace():
    root = parse(DOCUMENT, MOST)
    assert name_of(root) == "Rules"
    assert [text_of(rule, "ID") for rule in all_of(root, "Rule")] == ["one", "tö"]


def test_the_first_element_of_a_path_counts():
    root = parse(DOCUMENT, MOST)
    assert text_of(root, "Rule", "Filter", "Prefix") == "jobs/"
    assert content_of(root, "Rule", "ID") == " one "


@pytest.mark.parametrize("path", [("Nothing",), ("Rule", "Nothing"), ("Nothing", "Prefix")])
def test_what_is_not_there_has_no_text(path):
    root = parse(DOCUMENT, MOST)
    assert (one_of(root, *path), text_of(root, *path), content_of(root, *path)) == (None, "", "")
    assert list(all_of(None, "Rule")) == []


def test_a_mark_at_the_beginning_is_not_a_part_of_it():
    assert name_of(parse(b"\xef\xbb\xbf<Rules/>", MOST)) == "Rules"


BOMB = "<?xml version='1.0' encoding='{}'?><!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<Rules>",
        bytes(range(256)),
        b"<Rules/>" + b" " * MOST,
        BOMB.format("UTF-8").encode(),
        BOMB.format("UTF-16").encode("utf-16"),
        BOMB.format("UTF-16").encode("utf-16-be"),
        BOMB.format("UTF-7").replace("<!", "+ADwAIQ-").encode(),
    ],
    ids=["empty", "JSON", "cut off", "binary", "long", "entities", "UTF-16", "UTF-16 without its mark", "UTF-7"],
)
def test_what_is_no_plain_xml_is_none(body):
    assert parse(body, MOST) is None
