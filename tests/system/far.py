# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that writes to the store from a network namespace of its own, whose link a test cuts."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import subprocess
import sys
import time
import typing as t
from collections.abc import Collection, Iterator, Sequence

from support import late
from support.child_process import die_with_parent
from support.stores.served import Served
from support.waiting import wait_for

from system.lab import network

Cut = t.Literal["cable", "beyond"]
"""The host's own cable, which its kernel notices; or a link further on, which it does not."""

SETTLE = 1.0  # seconds

_numbers = itertools.count()


class Far:
    """A context manager: a writer (support.late) behind a link."""

    def __init__(self, store: Served, keys: Sequence[str], without: Collection[late.Layer] = ()) -> None:
        number = next(_numbers)
        self._name, self._address = f"far{number}", f"10.77.0.{250 - number % 20}"
        given = json.dumps({"options": store.options, "keys": keys, "without": list(without)})
        self._command = [sys.executable, "-m", "support.late", given]
        self._writes = len(keys)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> t.Self:
        network.add_host(self._name, self._address)
        self._process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self._name}", *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent(),
        )
        assert self._read() == "prepared"
        return self

    def __exit__(self, *_exc: object) -> None:
        self.go_on()
        self.end()
        network.remove_host(self._name)

    @contextlib.contextmanager
    def cut(self, which: Cut) -> Iterator[None]:
        """Cut the link for as long as the with block lasts."""
        if which == "cable":
            network.set_link(self._name, "down")
        else:
            network.lose_from(self._name, self._address)
        yield
        if which == "cable":
            network.set_link(self._name, "up")
        else:
            network.lose_no_more(self._name)

    def send(self) -> None:
        """Send all writes."""
        self._say("write")

    def told(self) -> list[str]:
        """Wait until all callers have been told what became of their writes. What it was, in the order of the keys."""
        told: list[str] = json.loads(self._read())
        return told

    def stop(self) -> None:
        """Stop the process once all of its writes are in the hands of its kernel."""
        assert self._process
        wait_for(lambda: network.unsent(self._name) == self._writes, "all writes are under way")
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let the process that was stopped go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Let the process end; its kernel lives on."""
        if self._process:
            self._process.communicate()

    def wait_until_quiet(self) -> None:
        """Wait until the kernel has nothing left to deliver, and the store has surely dealt with what has arrived."""
        wait_for(lambda: not network.unsent(self._name), "nothing is under way to the store")
        time.sleep(SETTLE)

    def _say(self, line: str) -> None:
        assert self._process
        assert self._process.stdin
        print(line, file=self._process.stdin, flush=True)

    def _read(self) -> str:
        assert self._process
        assert self._process.stdout
        return self._process.stdout.readline().strip()
