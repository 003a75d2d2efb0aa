# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the pictures of the documents from real runs; `make pictures` calls this.

lease.svg shows three contenders that share a lease on a real S3 server, by the core that ships; quickstart.svg the
terminal of `make quickstart`, as it went.
"""

from __future__ import annotations

import html
import pathlib
import subprocess
import sys
import threading
import time
import typing as t

from ansible_collections.leaderelection.s3.plugins.module_utils._lease import protocol
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.driver import fresh_nonce
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Answer,
    Held,
    Read,
    Seen,
    Step,
    Steps,
    Verdict,
    Want,
    Write,
    overheard,
)
from ansible_collections.leaderelection.s3.plugins.module_utils._options import Handle
from support.stores.seaweedfs import SeaweedFS

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures"
DURATION, EACH = 10.0, 3.0  # seconds of the lease, and between renewals
NAMES = ("app-1", "app-2", "app-3")
LEGAL = "\n".join(line.removeprefix("# ") for line in pathlib.Path(__file__).read_text().splitlines()[:2])

HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">
<!--
{legal}

`make pictures` draws it.
-->
<style>
svg {{ --ink: #1f2328; --dim: #6e7781; --line: #d0d7de; --paper: #ffffff; --one: #0969da; --two: #1a7f37;
--three: #9a6700; --bad: #cf222e }}
@media (prefers-color-scheme: dark) {{
svg {{ --ink: #e6edf3; --dim: #8b949e; --line: #3d444d; --paper: #0d1117; --one: #4493f8; --two: #3fb950;
--three: #d29922; --bad: #f85149 }} }}
text {{ font: 13px system-ui, sans-serif; fill: var(--ink) }}
{style}
</style>
<rect width="{width}" height="{height}" fill="var(--paper)"/>
"""


class Request(t.NamedTuple):
    """A request to the store that was answered, in seconds since the lease was acquired first."""

    who: str
    at: float
    is_write: bool


class Reign(t.NamedTuple):
    """A term: who led, and from when until when."""

    who: str
    term: int
    began: float
    ended: float
    released: bool


class Life:
    """The life of a lease."""

    def __init__(self, server: SeaweedFS) -> None:
        self.requests: list[Request] = []
        self.reigns: list[Reign] = []
        self.valid: list[tuple[str, float, float]] = []
        """Who the object says leads, from when until when."""
        self._zero = 0.0
        place = dict(bucket="leader-election", key="deploy/shop", session=None, region=server.region)
        keys = dict(access_key=server.access_key, secret_key=server.secret_key)
        self._options = {**place, **keys, "endpoint_url": server.endpoint_url}
        server.create_bucket("leader-election")

    def play(self) -> None:
        """The first one dies after two renewals; the second one takes over and releases; the third one is next."""
        threads = []
        for name, renewals, releases in zip(NAMES, (2, 1, 0), (False, True, True), strict=True):
            leads = threading.Event()
            threads.append(threading.Thread(target=self._contend, args=(name, renewals, releases, leads)))
            threads[-1].start()
            leads.wait()
        for thread in threads:
            thread.join()

    def _contend(self, name: str, renewals: int, releases: bool, leads: threading.Event) -> None:
        lease = Handle({**self._options, "holder": name})
        want = Want(DURATION, 60, wait_timeout=60, poll_interval=1)
        held = self._held(lease, protocol.acquire(lease.me, want, lease.clock.now(), fresh_nonce))
        if not self._zero:  # before, it was asked whether the store can be trusted
            self._zero = lease.clock.now()
            self.requests = [Request(name, 0.0, True)]
            self.valid = [(name, 0.0, DURATION)]
        began = lease.clock.now() - self._zero
        leads.set()
        for _renewal in range(renewals):
            time.sleep(EACH)
            held = self._held(lease, protocol.renew(lease.me, held, DURATION, lease.clock.now(), 5, fresh_nonce))
        time.sleep(EACH * 0.6)
        if releases:
            lease.drive(self._seen(lease, protocol.release(lease.me, held, lease.clock.now(), 5, fresh_nonce)))
        ended = lease.clock.now() - self._zero
        term = protocol.term_of(held.seen)
        self.reigns.append(Reign(name, term, began, ended, releases))
        if releases:
            who, since, _until = self.valid[-1]
            self.valid[-1] = (who, since, ended)

    def _held(self, lease: Handle, steps: Steps[Verdict]) -> Held:
        verdict = lease.drive(self._seen(lease, steps))
        if not isinstance(verdict.lease, Seen) or verdict.deadline is None:
            raise RuntimeError(f"{lease.me.holder} does not lead: {verdict}")
        return Held(verdict.lease, verdict.deadline, lease.clock.now())

    def _seen(self, lease: Handle, steps: Steps[Verdict]) -> Steps[Verdict]:
        """Return the operation unchanged, but note its requests, and what the object says after its writes."""

        def after(step: Step, answer: Answer) -> None:
            at = answer.at - self._zero
            if isinstance(step, (Read, Write)):
                self.requests.append(Request(lease.me.holder, at, isinstance(step, Write)))
            if isinstance(step, Write):
                self.valid.append((lease.me.holder, at, at + DURATION))

        return overheard(steps, after=after)


# -- drawing

WIDTH, LEFT, RIGHT, TOP, LANE, BAR = 960, 84, 24, 64, 56, 22


def draw_lease(life: Life) -> str:
    """The picture: a lane for each contender and one for the object, above an axis of seconds."""
    length = max(reign.ended for reign in life.reigns) + 4
    lanes = {name: TOP + LANE * number for number, name in enumerate(NAMES)}
    store = TOP + LANE * len(NAMES)
    axis = store + LANE
    colors = dict(zip(NAMES, ("one", "two", "three"), strict=True))

    def x(seconds: float) -> float:
        return round(LEFT + seconds * (WIDTH - LEFT - RIGHT) / length, 1)

    label = (
        "A lease is acquired and renewed, its holder dies, another one takes over, releases it, and the next one leads"
    )
    parts = []
    for name, y in [*lanes.items(), ("lease", store)]:
        parts.append(f'<text x="{LEFT - 12}" y="{y + 16}" text-anchor="end">{name}</text>')
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y + BAR}" y2="{y + BAR}" stroke="var(--line)"/>')
    for reign in life.reigns:
        y, color = lanes[reign.who], f"var(--{colors[reign.who]})"
        parts.append(_bar(x(reign.began), x(reign.ended), y, color))
        parts.append(f'<text x="{x(reign.began) + 6}" y="{y - 6}">leads, term {reign.term}</text>')
        end = x(reign.ended)
        if reign.released:
            parts.append(f'<text x="{end + 6}" y="{y + 15}" class="dim">gives it back</text>')
        else:
            parts.append(f'<path d="M{end - 6} {y + 5}l12 12m0 -12l-12 12" stroke="var(--bad)" stroke-width="3"/>')
            parts.append(f'<text x="{end + 14}" y="{y + 15}" fill="var(--bad)">killed: nobody gives it back</text>')
    for (who, since, until), following in zip(life.valid, [*life.valid[1:], None], strict=True):
        until = min(until, following[1]) if following else until
        parts.append(_bar(x(since), x(until), store, f"var(--{colors[who]})", 0.45))
        if following and following[0] != who and following[1] > until + 1:
            parts.append(_bar(x(until), x(following[1]), store, "var(--dim)", 0.25))
            middle = (x(until) + x(following[1])) / 2
            parts.append(f'<text x="{middle}" y="{store + 40}" text-anchor="middle" class="dim">margin, poll</text>')
            parts.append(f'<text x="{x(until)}" y="{store - 6}" text-anchor="middle" class="dim">expires</text>')
    for request in life.requests:
        if request.is_write:
            top = lanes[request.who] + BAR
            parts.append(f'<path d="M{x(request.at)} {top}V{store}" stroke="var(--{colors[request.who]})" {_DASHES}/>')
            parts.append(f'<circle cx="{x(request.at)}" cy="{store}" r="4" fill="var(--{colors[request.who]})"/>')
        else:
            parts.append(f'<circle cx="{x(request.at)}" cy="{lanes[request.who] + BAR}" r="2.5" fill="var(--dim)"/>')
    for second in range(0, int(length) + 1, 5):
        parts.append(f'<text x="{x(second)}" y="{axis + 18}" text-anchor="middle" class="dim">{second} s</text>')
        parts.append(f'<line x1="{x(second)}" x2="{x(second)}" y1="{axis}" y2="{axis + 5}" stroke="var(--dim)"/>')
    key = [
        f'<circle cx="{LEFT + 5}" cy="{axis + 46}" r="4" fill="var(--one)"/>',
        f'<text x="{LEFT + 16}" y="{axis + 51}">a conditional PUT that the store carried out</text>',
        f'<circle cx="{LEFT + 325}" cy="{axis + 46}" r="2.5" fill="var(--dim)"/>',
        f'<text x="{LEFT + 334}" y="{axis + 51}">a poll while another holds the lease</text>',
    ]
    title = f'<text x="{LEFT}" y="26">The life of a lease of {DURATION:g} s, as it went on SeaweedFS</text>'
    return _svg(WIDTH, axis + 70, label, ".dim { fill: var(--dim) }", [*parts, *key, title])


_DASHES = 'stroke-dasharray="3 3" opacity="0.8"'


def _svg(width: int, height: int, label: str, style: str, parts: list[str]) -> str:
    head = HEAD.format(legal=LEGAL, width=width, height=height, label=label, style=style)
    return "\n".join([head, *filter(None, parts), "</svg>"]) + "\n"


def _bar(left: float, right: float, top: float, color: str, opacity: float = 1.0) -> str:
    return (
        f'<rect x="{left}" y="{top}" width="{max(right - left, 1):.1f}" height="{BAR}" rx="3" fill="{color}" '
        f'opacity="{opacity}"/>'
    )


ROW, CHARACTER, EDGE, SPEED = 18, 7.8, 16, 4  # pixels; how many times faster than it went


def watch_quickstart() -> list[tuple[float, str]]:
    """Run it. Return its lines, and when each was printed. Raises CalledProcessError."""
    began = time.monotonic()
    command = [sys.executable, "-u", str(ROOT / "tools" / "quickstart.py")]
    lines = [(0.0, "$ make quickstart")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines += [(time.monotonic() - began, line.rstrip()) for line in process.stdout]
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return lines


def draw_terminal(lines: list[tuple[float, str]]) -> str:
    """The picture: the lines appear one after the other. Without animation, all are there."""
    total = lines[-1][0] / SPEED
    width = EDGE * 2 + max(len(line) for _at, line in lines) * CHARACTER
    style = "text { font: 13px ui-monospace, monospace; white-space: pre }\n"
    style += "@media (prefers-reduced-motion: no-preference) {\n"
    style += f"text {{ animation: {total:.1f}s step-end }} }}\n"
    rows = []
    for number, (at, line) in enumerate(lines):
        name = ""
        if at:
            share = 100 * at / lines[-1][0]
            style += f"@keyframes l{number} {{ 0% {{ opacity: 0 }} {share:.2f}%, 100% {{ opacity: 1 }} }}\n"
            name = f' style="animation-name: l{number}"'
        rows.append(f'<text x="{EDGE}" y="{EDGE + ROW * (number + 1) - 5}"{name}>{html.escape(line)}</text>')
    height = EDGE * 2 + ROW * len(lines)
    label = "make quickstart: two runs compete, the winner crashes, a third one takes over"
    return _svg(round(width), height, label, style, rows)


class Box(t.NamedTuple):
    """Something on a host: its place in pixels, its name, and what it does."""

    left: float
    top: float
    width: float
    name: str
    does: str
    color: str = "line"


BOX = 54  # pixels of height
BOXES = (
    Box(20, 60, 170, "s3://bucket/key", "the lease", "one"),
    Box(20, 180, 170, "s3-leader@db.service", "renews the lease", "one"),
    Box(250, 180, 185, "/run/s3-leader/db/leader", "exists while it leads", "dim"),
    Box(500, 180, 215, "s3-leader-active@db.path", "waits for that file"),
    Box(780, 180, 240, "s3-leader-active@db.target", "starts the mark, then the services"),
    Box(500, 60, 215, "s3-leader-serving@db.service", "the mark: services may run", "two"),
    Box(780, 60, 240, "app.service, worker.timer, …", "run only while the mark is there", "two"),
    Box(250, 300, 465, "s3-leader-fence@db.service", "stops all of it, and sees that it is gone", "bad"),
    Box(780, 300, 240, "s3-leader-guard.service", "stops what runs without the mark", "bad"),
)
ARROWS = (
    # the line, the words, and where they begin
    ("M105 180V118", "conditional PUTs", (112, 152)),
    ("M190 207H246", "writes", (200, 200)),
    ("M435 207H496", "", (0, 0)),
    ("M715 207H776", "starts", (724, 200)),
    ("M900 180V118", "starts", (908, 152)),
    ("M715 76H776", "allows", (722, 70)),
    ("M105 234V327H246", "when it ends", (112, 272)),
    ("M467 300V212M467 202V87H496", "takes away", (394, 152)),
    ("M715 327H748V224M748 188V100H776", "stops", (756, 272)),
    ("M1020 327H1034V87H1024", "stops", (996, 272)),
)


def draw_host() -> str:
    """The picture: what the role heartbeat sets up on a host for the lease db, and what acts on what."""
    label = "On a host: the daemon renews the lease, a file in /run starts the services, and the fence ends them"
    style = (
        "path { fill: none; stroke: var(--dim); marker-end: url(#tip) }\n.does { fill: var(--dim); font-size: 12px }"
    )
    parts = [
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">',
        '<polygon points="0,0 8,4 0,8" fill="var(--dim)"/></marker>',
        '<text x="20" y="30">What runs on a host that leads by the lease db</text>',
    ]
    for line, words, (x, y) in ARROWS:
        parts.append(f'<path d="{line}"/>')
        parts.append(f'<text x="{x}" y="{y}" class="does">{words}</text>' if words else "")
    for box in BOXES:
        parts.append(
            f'<rect x="{box.left}" y="{box.top}" width="{box.width}" height="{BOX}" rx="6" fill="var(--paper)" '
            f'stroke="var(--{box.color})" stroke-width="2"/>'
        )
        parts.append(f'<text x="{box.left + 10}" y="{box.top + 22}" font-weight="600">{html.escape(box.name)}</text>')
        parts.append(f'<text x="{box.left + 10}" y="{box.top + 42}" class="does">{html.escape(box.does)}</text>')
    return _svg(1050, 376, label, style, parts)


def main() -> None:
    """Write the pictures."""
    FOLDER.mkdir(exist_ok=True)
    with SeaweedFS() as server:
        life = Life(server)
        life.play()
    (FOLDER / "lease.svg").write_text(draw_lease(life))
    (FOLDER / "host.svg").write_text(draw_host())
    (FOLDER / "quickstart.svg").write_text(draw_terminal(watch_quickstart()))


if __name__ == "__main__":
    main()
