# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""s3-leader webhook: a ready hook, which posts what its unit was told to a URL.

It runs in the unit of the hook, so no renewal waits for it. Neither URL nor headers are in what it says: both may be
secrets.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import ssl
import stat
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence
from urllib.parse import urlsplit

from ..bad_option import HIDDEN, BadOption
from ..clock import Clock, NotStarted, Overdue
from ..record import utc
from ..settings import check_range
from ..wording import plain
from .arguments import duration

EVENTS = dict(acquired="leader_acquired", lost="leader_lost", error="store_error")
"""What the event source calls what a hook is run for, by the word on the command line."""
RANGES = {"--for": (1, 3600), "--timeout": (1, 60)}
KEEPS_TRYING = dict(acquired=8, lost=3, error=8)
"""Seconds, by the word; less than the default of hook_timeout, so that the journal has the outcome. on_lost has to end
before the lease is released, and the next host waits for that."""
TIMEOUT = 3
"""Seconds that one request may take."""
FIRST_RETRY, SLOWEST_RETRY = 0.5, 8.0
"""Seconds before the first repetition, and at most before any."""
MOST = 65536
"""Characters of a file."""
DELIVERED, UNDELIVERED = 0, 1
"""Exit statuses."""
_REDIRECTS = (301, 302, 303, 307, 308)
_OURS = ("connection", "content-length", "host", "transfer-encoding")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)


class Order(NamedTuple):
    """What is to be posted, and how. Times are in seconds."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    context: ssl.SSLContext
    keeps_trying: float
    timeout: float


class Tried(NamedTuple):
    """What became of one request."""

    what: str
    delivered: bool = False
    again: bool = False
    """The same request may succeed later."""


def parse(words: Sequence[str], environment: Mapping[str, str]) -> Order:
    """Return what the command line and the hook's environment ask for. Raises BadOption, or SystemExit after a
    message.
    """
    parser = argparse.ArgumentParser(
        prog="s3-leader webhook",
        description="Post what a hook of the role is told, as JSON. Errors of the network, 408, 425, 429 and 5xx are "
        "tried again. Redirects are not followed. Exits with 0 after an answer of 2xx, with 1 if there was none.",
    )
    parser.add_argument("event", choices=sorted(EVENTS), help="the hook that it is: on_acquired, on_lost or on_error")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", help="like https://hooks.example.com/leases; every user of the host can read it")
    where.add_argument("--url-file", metavar="FILE", help="a file with the URL, if it is a secret")
    parser.add_argument("--headers-file", metavar="FILE", help="a file with a header in each line, like Name: value")
    parser.add_argument("--ca-bundle", metavar="FILE", help="a file of certificates to trust instead of the system's")
    parser.add_argument("--for", dest="keeps_trying", type=duration, help="default: 8s; of lost: 3s")
    parser.add_argument("--timeout", type=duration, default=TIMEOUT, help="of each request; default: %(default)ds")
    given = parser.parse_args(words)
    keeps_trying = KEEPS_TRYING[given.event] if given.keeps_trying is None else given.keeps_trying
    check_range("--for", keeps_trying, RANGES)
    check_range("--timeout", given.timeout, RANGES)
    url = given.url if given.url_file is None else _read("--url-file", given.url_file).strip()
    headers = {} if given.headers_file is None else _headers(given.headers_file)
    body = json.dumps(document(given.event, environment)).encode("ascii")
    return Order(_checked(url), headers, body, _context(given.ca_bundle), keeps_trying, given.timeout)


def document(event: str, environment: Mapping[str, str]) -> Dict[str, Any]:
    """Return what is posted. The time is this machine's. Raises BadOption where the environment is no hook's."""
    name = environment.get("S3_LEADER_NAME")
    if not name:
        raise BadOption("S3_LEADER_NAME", None, "the hooks of the role heartbeat have it: run this command as one")
    term, slot = environment.get("S3_LEADER_TERM", ""), environment.get("S3_LEADER_SLOT", "")
    return dict(
        type=EVENTS[event],
        id=uuid.uuid4().hex,
        at=utc(time.time()),
        host=os.uname().nodename,
        name=name,
        holder=environment.get("S3_LEADER_HOLDER"),
        term=int(term) if term.isdecimal() else None,
        slot=int(slot) if slot.isdecimal() else None,
        error=environment.get("S3_LEADER_ERROR"),
    )


def run(order: Order, clock: Clock) -> int:
    """Post it, and say what became of that. Return the exit status."""
    end, delay = clock.now() + order.keeps_trying, FIRST_RETRY
    while True:
        tried = _post(order, end, clock)
        where = "the webhook at %s %s" % (_origin(order.url), tried.what)
        pause = random.uniform(delay / 2, delay)
        if tried.delivered or not tried.again or clock.now() + pause >= end:
            sys.stderr.write("s3-leader: %s\n" % (where if tried.delivered else where + ". Given up"))
            return DELIVERED if tried.delivered else UNDELIVERED
        sys.stderr.write("s3-leader: %s. Trying again\n" % where)
        clock.sleep(pause)
        delay = min(delay * 2, SLOWEST_RETRY)


def _post(order: Order, end: float, clock: Clock) -> Tried:
    seconds = min(order.timeout, end - clock.now())
    try:
        return clock.bounded(lambda until: _answered(order, until - clock.now()), seconds)
    except NotStarted:
        return Tried("was not asked: there was no thread for a request", again=True)
    except Overdue:
        return Tried("did not answer within %.3g s" % seconds, again=True)


def _answered(order: Order, seconds: float) -> Tried:
    handlers = (urllib.request.HTTPSHandler(context=order.context), _NoRedirects())
    headers = {"Content-Type": "application/json", "User-Agent": "leaderelection.s3", **order.headers}
    request = urllib.request.Request(order.url, order.body, headers, method="POST")
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=max(seconds, 0.001)) as answer:
            return Tried("answered %d" % answer.status, delivered=True)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _REDIRECTS and "Location" in error.headers:
            return Tried("answered %d: it is somewhere else, and redirects are not followed" % error.code)
        return Tried("answered %d" % error.code, again=error.code in (408, 425, 429) or error.code >= 500)
    except urllib.error.URLError as error:
        reason = error.reason
        if isinstance(reason, ssl.SSLCertVerificationError):
            return Tried("has no certificate that can be trusted (%s)" % reason.verify_message)
        return Tried("could not be reached (%s)" % reason, again=True)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Tried("gave no usable answer (%s)" % plain(str(error) or type(error).__name__), again=True)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Headers may be secrets, and another place is not to learn them."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        return None


def _checked(url: str) -> str:
    """Return the URL. Raises BadOption, without the URL, if it is none."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        parts.port  # noqa: B018  (raises for an invalid port)
        (parts.hostname or "").encode("idna")  # of a label that is empty or too long, urllib makes a traceback
    except ValueError:
        good = False
    if not good or not (url.isascii() and url.isprintable()) or " " in url:
        raise BadOption("--url", HIDDEN, "use a URL like https://hooks.example.com/leases")
    if "@" in parts.netloc:
        raise BadOption("--url", HIDDEN, "it contains a user or password. Put Authorization into the --headers-file")
    return url


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return "%s://%s" % (parts.scheme, parts.netloc)


def _headers(path: str) -> Dict[str, str]:
    """Read the headers. Raises BadOption, which names the line and does not show it."""
    headers: Dict[str, str] = {}
    lines: Dict[str, int] = {}
    for number, line in enumerate(_read("--headers-file", path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, value = line.partition(":")
        value = value.strip()
        if not colon or not _TOKEN.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise BadOption("--headers-file", path, "its line %d is no header. Use lines like Name: value" % number)
        if name.lower() in _OURS:
            raise BadOption(
                "--headers-file", path, "its line %d has %s, which the request itself decides" % (number, name)
            )
        first = lines.setdefault(name.lower(), number)
        if first != number:
            told = "its line %d has the same header as line %d. Keep one of them" % (number, first)
            raise BadOption("--headers-file", path, told)
        headers[name] = value
    return headers


def _context(ca_bundle: Optional[str]) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:  # also for what are no certificates
        raise BadOption("--ca-bundle", ca_bundle, "it cannot be used: %s" % (error.strerror or error)) from None


def _read(option: str, path: str) -> str:
    try:
        with open(path, encoding="utf-8", opener=_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BadOption(option, path, "it is no regular file")
            text = file.read(MOST + 1)
    except OSError as error:
        raise BadOption(option, path, "it cannot be read: %s" % error.strerror) from None
    except UnicodeDecodeError:
        raise BadOption(option, path, "it is no text") from None
    if len(text) > MOST:
        raise BadOption(option, path, "it has more than %d characters" % MOST)
    return text


def _at_once(path: str, flags: int) -> int:
    """Open it without waiting for anybody, as a pipe would."""
    return os.open(path, flags | os.O_NONBLOCK)
