# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Speaks with an operation of the protocol step by step: says what the store answers, and when."""

from __future__ import annotations

import itertools
import json
from collections.abc import Generator
from typing import Any

from ansible_collections.leaderelection.s3.plugins.module_utils._lease.types import (
    Answer,
    Outcome,
    Pause,
    Race,
    Step,
    Unknown,
    Verdict,
    Write,
)


def nonces() -> Any:
    """Return a source of nonces: nonce-1, nonce-2, ..."""
    count = itertools.count(1)
    return lambda: f"nonce-{next(count)}"


class Dialogue:
    """One operation, driven by hand. ``now`` is the caller's clock in seconds; each request takes 0.1 s of it."""

    def __init__(self, steps: Generator[Step, Answer, Verdict], start: float = 0.0) -> None:
        self.now = start
        self.verdict: Verdict | None = None
        self._steps = steps
        self._step: Step | None = None
        self._go_on(None)

    def expect(self, kind: type[Step], **fields: Any) -> Any:
        """Return the step that the operation waits in; fails where it is not of this kind, with these fields."""
        assert isinstance(self._step, kind), f"expected {kind.__name__}, and it is {self._step}"
        assert {name: getattr(self._step, name) for name in fields} == fields
        return self._step

    def answer(self, outcome: Outcome, after: float = 0.1) -> Dialogue:
        """Answer the request ``after`` so many seconds."""
        asked, self.now = self.now, self.now + after
        self._go_on(Answer(outcome, asked, self.now))
        return self

    def wait(self, seconds: float | None = None) -> Pause:
        """Let the pause pass, by default the shortest that it may be."""
        pause = self.expect(Pause)
        asked, self.now = self.now, self.now + (pause.at_least if seconds is None else seconds)
        self._go_on(Answer(Unknown("a pause"), asked, self.now))
        return pause

    def written(self) -> Any:
        """Return the body of the write, or the first one of the race, that the operation waits in."""
        if isinstance(self._step, Race):
            return json.loads(self._step.bodies[0])
        return json.loads(self.expect(Write).body)

    def _go_on(self, answer: Answer | None) -> None:
        try:
            self._step = self._steps.send(answer) if answer else next(self._steps)
        except StopIteration as end:
            self._step, self.verdict = None, end.value
