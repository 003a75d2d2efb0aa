# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""The types that the protocol and its driver exchange: the next step, and the outcome of a request."""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import Callable, Generator, List, Mapping, NamedTuple, Optional, Tuple, TypeVar, Union

from .record import Ended, Proof, Record, Unreadable


def with_advice(why: str, advice: str) -> str:
    """Return what happened and then what to do, without the final full stop."""
    return "%s. %s" % (why, advice) if advice else why


# -- Outcomes of a request --------------------------------------------------------------------------------------------


class Absent(NamedTuple):
    """There is no object. The time is by the store's clock, in seconds since 1970."""

    store_time: float


class Seen(NamedTuple):
    """The object as read or written. Both times are by the store's clock."""

    record: Union[Record, Unreadable]
    etag: str
    modified: float
    store_time: float

    @property
    def age(self) -> float:
        """Seconds since the last write, by the store's clock alone."""
        return max(0.0, self.store_time - self.modified)


class Unchanged(NamedTuple):
    """The object still has the ETag that the caller knew."""

    store_time: float


class Written(NamedTuple):
    """The store confirmed the write."""

    etag: str
    store_time: float


class Unknown(NamedTuple):
    """The answer, or its absence, does not tell what happened (rules 12 and 16)."""

    why: str
    precondition_failed: bool = False
    """412: the store enforced the condition of this request. An earlier one may still have landed."""
    conflict: bool = False
    """409, or what stands for it: another request to the key was faster. Some stores use it like 412."""
    throttled: bool = False
    sent: bool = True

    @property
    def refuted(self) -> bool:
        """The store clearly reported that the condition of a write does not hold."""
        return self.precondition_failed or self.conflict


class Refused(NamedTuple):
    """The same request would fail again: something has to be fixed first."""

    why: str
    advice: str = ""
    """What to do; '' if unknown."""

    @property
    def text(self) -> str:
        return with_advice(self.why, self.advice)


class Raced(NamedTuple):
    """The outcomes of writes that were sent at the same instant, in their order."""

    outcomes: Tuple[Outcome, ...]


Found = Union[Absent, Seen]
Outcome = Union[Absent, Seen, Unchanged, Written, Unknown, Refused, Raced]

# -- Steps of an operation --------------------------------------------------------------------------------------------


class Read(NamedTuple):
    """Read the object. The request ends by ``until``, a reading of the caller's clock."""

    until: float
    known: Optional[str] = None
    """If the object still has this ETag, the outcome is Unchanged."""
    slot: int = 0
    """The slot whose object it is (slots.py); 0 for a lease without slots."""


class Write(NamedTuple):
    """Put the object if its ETag is ``replaces``, or, with None, if there is no object (rule 1)."""

    body: bytes
    replaces: Optional[str]
    until: float
    quoted: bool = True
    """If-Match has the ETag in quotes (rule 19)."""
    dated: bool = True
    """The store is to refuse it once nobody waits for its answer (rule 25)."""
    expired: bool = False
    """The store is to refuse it now: its use-by date has passed."""
    slot: int = 0


class Race(NamedTuple):
    """Put both bodies at the same instant, each as a Write would (rule 18). The outcome is Raced."""

    bodies: Tuple[bytes, bytes]
    replaces: Optional[str]
    until: float
    quoted: bool
    dated: bool
    slot: int = 0


class Pause(NamedTuple):
    """Wait for a random number of seconds in this range (rule 20)."""

    at_least: float
    at_most: float


class Answer(NamedTuple):
    """An outcome, with the caller's clock just before the request was sent and just after it ended."""

    outcome: Outcome
    asked: float
    at: float


Step = Union[Read, Write, Race, Pause]
T = TypeVar("T")
Steps = Generator[Step, Answer, T]


def overheard(
    steps: Steps[T],
    before: Callable[[Step], None] = lambda step: None,
    after: Callable[[Step, Answer], None] = lambda step, answer: None,
) -> Steps[T]:
    """Return the operation unchanged, but call ``before`` and ``after`` around each of its steps."""
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


# -- Arguments and results of operations ------------------------------------------------------------------------------


class Claimant(NamedTuple):
    """The caller of an operation (rule 17). The holder is a name for people; the session gives authority."""

    holder: str
    session: str
    store: str = ""
    """The URL of the bucket, as this caller reaches it (rule 18)."""
    sent: Optional[List[str]] = None
    """If no other process uses the session: the nonces that this one has sent. A record of the session with another
    nonce is by a clone of this process, so it is not its own (rule 17)."""


class Watch:
    """How long a caller has seen the present version of the lease (rule 14). It survives errors."""

    def __init__(self) -> None:
        self._version: Optional[str] = None
        self._since = float("inf")

    def unchanged_for(self, version: Optional[str], at: float) -> float:
        """Take note of the version that was read at this time. Return for how many seconds it has been seen."""
        if version != self._version or self._since > at:
            self._version, self._since = version, at
        return at - self._since


class Want(NamedTuple):
    """The arguments of acquire. Times are in seconds."""

    lease_duration: float
    patience: float
    """How long errors are retried if no deadline bounds them."""
    wait_timeout: float = 0
    poll_interval: float = 2
    takeover: str = "store_clock"
    """'store_clock' (rule 15), 'observed' (rule 14) or 'never'."""
    metadata: Mapping[str, str] = MappingProxyType({})
    hold_at_least: float = 0
    """Seconds after the acquisition before which nobody takes the lease, even if it is released."""
    proof: Optional[Proof] = None
    """What an earlier operation has found out about this store (rule 18)."""
    takeover_delay: float = 0
    """How much longer than others this caller waits before it takes a lease (rule 28)."""
    slots: int = 0
    """How many slots the lease has; 0 for a lease without slots (rule 30)."""


class Held(NamedTuple):
    """A lease that the caller is known to hold, so that renewing or releasing it takes no read."""

    seen: Seen
    lapses_at: float
    """The deadline, on the caller's clock."""
    heard_at: float
    """When the caller knew it, on its clock."""

    @property
    def written_at(self) -> float:
        """When the write that proves it was first sent, on the caller's clock."""
        record = self.seen.record
        return self.lapses_at - (record.lease_duration if isinstance(record, Record) else 0.0)


class Why(enum.Enum):
    """How an operation ended; wording.py has the sentence for people."""

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
    NO_SLOT = "no slot"

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
    """The lease before: the version that was replaced, or, if none was, the first one that was read."""
    deadline: Optional[float] = None
    """When a leader must stop acting as one: a reading of the caller's clock."""
    ended: Optional[Ended] = None
    """How the caller's term ended, where somebody ended it and the lease tells."""
    slot: int = 0
    """The slot that it is about: the caller's, or else the first to be free. 0 for a lease without slots."""
    slots: Tuple[Found, ...] = ()
    """All slots as last known."""


class StoreError(Exception):
    """The operation failed, so it made nobody leader. The text is for people."""

    def __init__(self, why: str, advice: str = "") -> None:
        super().__init__(with_advice(why, advice))
        self.why, self.advice = why, advice
        self.doubtful = False
        """A write of this operation may have landed, or may still land."""


class StoreRefused(StoreError):
    """A retry cannot succeed until something is fixed."""


class StoreUnreachable(StoreError):
    """No clean answer came in the time available."""
