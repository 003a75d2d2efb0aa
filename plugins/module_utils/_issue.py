# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""A preflight's report as Markdown that anybody can paste into an issue: it names no host, bucket, key or account."""

from __future__ import annotations

import platform
import re
import typing as t
from urllib.parse import urlsplit

from ansible.module_utils.ansible_release import __version__ as ansible_version

from ._lease import connection
from ._lease.preflight import known_stores
from ._lease.preflight.report import Report
from ._lease.settings import Endpoint, Location
from ._version import VERSION

LEFT_OUT = "The names of the host, the bucket and the key are left out, and so is everything about credentials."
_CREDENTIALS = re.compile(r"(the credentials (?:cannot be used|could not be fetched)).*", re.DOTALL)
"""Their sources say what they like."""
_HOST = re.compile(
    r"(?<![\w/.-])(?:(?:[\w-]+\.)+[a-z][\w-]*(?::\d+)?|[\w.-]+:\d+)(?![\w/.-])", re.ASCII | re.IGNORECASE
)
"""A name with a domain, or with a port, in what a server calls itself."""
_LONGEST_HARMLESS = 2
"""Characters of a name that identifies nothing, but is a part of many words."""


def text(found: Report, endpoint: Endpoint, location: Location, url: str, contenders: int, rounds: int) -> str:
    """Return the report. ``url`` is that of the lease, as it is sent for."""
    hide = _hiding(endpoint, location, url, found.server)
    rows = [
        ("store", _store(found.server, url)),
        ("leaderelection.s3", VERSION),
        ("ansible-core", ansible_version),
        ("Python", f"{platform.python_version()}, {platform.system()}"),
        ("botocore", connection.version()),
        ("asked", f"{contenders} contenders, {rounds} rounds: {found.requests} requests in {found.seconds:.1f} s"),
    ]
    checks = [(f"`{check.name}`", check.verdict, hide(check.text)) for check in found.checks]
    lines = [
        f"### Preflight of leaderelection.s3: {found.verdict}",
        *("", hide(found.reason), ""),
        *_table(("", ""), rows),
        "",
        *_table(("check", "verdict", "seen"), checks),
        *("", LEFT_OUT),
    ]
    return "\n".join(lines) + "\n"


def _store(server: str, url: str) -> str:
    claim = (
        "it calls itself `{}`".format(_HOST.sub("HOST", server).replace("`", "'")[:100])
        if server
        else "it does not say what it is"
    )
    public = known_stores.public_name(url)
    return f"{public or 'on a host of its own'}, by {url.partition(':')[0]}; {claim}"


def _table(head: t.Sequence[str], rows: t.Iterable[t.Sequence[str]]) -> list[str]:
    def row(cells: t.Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"

    return [row(head), row(["---"] * len(head)), *map(row, rows)]


def _hiding(endpoint: Endpoint, location: Location, url: str, server: str) -> t.Callable[[str], str]:
    """Return a function that puts words in capitals in the place of names."""
    parts = urlsplit(url)
    names: dict[str, list[str | None]] = {
        "STORE": [parts.netloc, parts.hostname],
        "HOST": [*_HOST.findall(server)],
        "BUCKET": [location.bucket],
        "KEY": [location.key],
        "ACCOUNT": [endpoint.expected_bucket_owner, endpoint.profile],
        "FILE": [endpoint.aws_ca_bundle, endpoint.credentials_file],
        "HIDDEN": [endpoint.access_key, endpoint.secret_key, endpoint.session_token],
    }
    found = [(value, word) for word, values in names.items() for value in values if value]
    hidden = sorted((one for one in found if len(one[0]) > _LONGEST_HARMLESS), key=lambda one: -len(one[0]))

    def hide(text: str) -> str:
        text = _CREDENTIALS.sub(r"\1", text)
        for value, word in hidden:
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", word, text)
        return text

    return hide
