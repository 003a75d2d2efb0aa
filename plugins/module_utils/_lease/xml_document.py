# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""XML as S3 answers with it: its namespaces do not matter, since stores differ in them."""

from __future__ import annotations

from typing import Iterator, Optional
from xml.etree.ElementTree import Element, ParseError, fromstring


def parse(body: bytes, most: int) -> Optional[Element]:
    """Return the root; None for what is longer than ``most`` bytes, is not XML in UTF-8, or declares entities."""
    try:
        text = body.decode("utf-8")
        # Without <! it declares no entities. In UTF-16, which the parser knows by its NULs, that would look different.
        return None if len(body) > most or "<!" in text or "\0" in text else fromstring(text)
    except (UnicodeDecodeError, ParseError):
        return None


def name_of(node: Element) -> str:
    return node.tag.rpartition("}")[2]


def all_of(node: Optional[Element], name: str) -> Iterator[Element]:
    """Yield the children that have this name."""
    for child in node if node is not None else ():
        if name_of(child) == name:
            yield child


def one_of(node: Optional[Element], *path: str) -> Optional[Element]:
    """Return the first element at the end of the path."""
    for name in path:
        node = next(all_of(node, name), None)
    return node


def text_of(node: Optional[Element], *path: str) -> str:
    """Return the text of the first element at the end of the path, without blanks around it; '' if there is none."""
    return content_of(node, *path).strip()


def content_of(node: Optional[Element], *path: str) -> str:
    """Return the same with the blanks, which may belong to a key."""
    found = one_of(node, *path)
    return (found.text or "") if found is not None else ""
