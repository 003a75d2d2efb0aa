# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The words in which the protocol and whoever drives it speak: what the store says, and what is to be done next."""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import Callable, Generator, Mapping, NamedTuple, Optional, TypeVar, Union

from .record import Record, Unreadable


def with_advice(why: str, advice: str) -> str:
    """Return what happened, and what to do, as sentences without the last full stop."""
    return "%s. %s" % (why, advice) if advice else why


# -- What the store says ----------------------------------------------------------------------------------------------


class Absent(NamedTuple):
    """There is no object. The time is the store's, in seconds since 1970."""

    store_time: float


class Seen(NamedTuple):
    """The object as it was read, or as it was written: both times are the store's."""

    record: Union[Record, Unreadable]
    etag: str
    modified: float
    store_time: float

    @property
    def age(self) -> float:
        """Seconds since the last write. No clock but the store's takes part."""
        return max(0.0, self.store_time - self.modified)


class Unchanged(NamedTuple):
    """The object still has the ETag that the reader knew."""

    store_time: float


class Written(NamedTuple):
    """The store confirmed the write."""

    etag: str
    store_time: float


class Unknown(NamedTuple):
    """Nobody can tell from this answer what happened (rules 12 and 16)."""

    why: str
    precondition_failed: bool = False
    """412: the store minded the condition of this request, whatever became of an earlier one."""
    conflict: bool = False
    """409: another request to the key was faster, or, with some stores, the same as 412."""
    throttled: bool = False
    sent: bool = True

    @property
    def refuted(self) -> bool:
        """The store says clearly that the condition of a write does not hold."""
        return self.precondition_failed or self.conflict


class Refused(NamedTuple):
    """The same request will not do: something has to be mended first."""

    why: str
    advice: str = ""
    """What to do; '' where that is not known."""

    @property
    def text(self) -> str:
        return with_advice(self.why, self.advice)


Found = Union[Absent, Seen]
Outcome = Union[Absent, Seen, Unchanged, Written, Unknown, Refused]

# -- What is to be done next ------------------------------------------------------------------------------------------


class Read(NamedTuple):
    """Read the object. No request outlives ``until``, a reading of the caller's clock."""

    until: float
    known: Optional[str] = None
    """Answer Unchanged if the object still has this ETag."""


class Write(NamedTuple):
    """Put the object if it has the ETag that is replaced, or, without one, if there is none (rule 1)."""

    body: bytes
    replaces: Optional[str]
    until: float
    requote: bool = False
    """Send the ETag in the form not used so far, quoted or bare, from now on (rule 19)."""


class Pause(NamedTuple):
    """Wait for a random number of seconds between the two (rule 20)."""

    at_least: float
    at_most: float


class Answer(NamedTuple):
    """An outcome, with the caller's clock just before the request was sent, and just after it ended."""

    outcome: Outcome
    asked: float
    at: float


Step = Union[Read, Write, Pause]
T = TypeVar("T")
Steps = Generator[Step, Answer, T]


def overheard(
    steps: Steps[T],
    before: Callable[[Step], None] = lambda step: None,
    after: Callable[[Step, Answer], None] = lambda step, answer: None,
) -> Steps[T]:
    """Let an operation go on as it does, and call these with each step, before it is taken and after."""
    answer: Optional[Answer] = None
    while True:
        try:
            step = steps.send(answer) if answer else next(steps)
        except StopIteration as end:
            verdict: T = end.value
            return verdict
        before(step)
        answer = yield step
        after(step, answer)


# -- Who asks, and for what -------------------------------------------------------------------------------------------


class Claimant(NamedTuple):
    """Who asks (rule 17). The holder is for people; authority goes by the session."""

    holder: str
    session: str


class Want(NamedTuple):
    """What acquire is asked for; seconds throughout."""

    lease_duration: float
    patience: float
    """How long errors are retried where no deadline bounds them."""
    wait_timeout: float = 0
    poll_interval: float = 2
    takeover: str = "store_clock"
    """'store_clock' (rule 15), 'observed' (rule 14) or 'never'."""
    metadata: Mapping[str, str] = MappingProxyType({})


class Held(NamedTuple):
    """A lease that the caller was confirmed to hold: renewing or releasing it takes no read."""

    seen: Seen
    lapses_at: float
    """The deadline, on the caller's clock."""


class Why(enum.Enum):
    """How an operation ended, in one word of the code; wording.py has the sentence for people."""

    ACQUIRED = "acquired"
    RENEWED = "renewed"
    RELEASED = "released"
    BROKEN = "broken"
    FOUND = "found"
    FREE = "free"
    HELD = "held"
    NEVER_TAKEN_OVER = "never taken over"
    NOT_WATCHED_LONG_ENOUGH = "not watched long enough"
    UNREADABLE = "unreadable"
    TAKEN = "taken"
    GONE = "gone"
    LAPSED = "lapsed"
    UNFINISHED = "unfinished"

    @property
    def changes_hands(self) -> bool:
        return self in (Why.ACQUIRED, Why.RELEASED, Why.BROKEN)


class Verdict(NamedTuple):
    """How an operation ended."""

    is_leader: bool
    why: Why
    lease: Found
    """The lease as last known."""
    before: Found
    """The lease as it was before: what was replaced, or, where nothing was, how it stood at first."""
    deadline: Optional[float] = None
    """From here on the caller does not act as leader: a reading of its clock, while it is leader."""


class StoreError(Exception):
    """The operation could not be carried out, so nobody was made leader by it. The text is for people."""

    def __init__(self, why: str, advice: str = "") -> None:
        super().__init__(with_advice(why, advice))
        self.why, self.advice = why, advice
        self.doubtful = False
        """A write of this operation may have landed, or may land yet."""


class StoreRefused(StoreError):
    """Trying again is of no use before something was mended."""


class StoreUnreachable(StoreError):
    """There was no clean answer in the time that could be waited for one."""
