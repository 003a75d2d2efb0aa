# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Processes that belong together, by /proc: proc(5). Without it, as on macOS, none is found."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from typing import Callable, Container, Dict, Iterable, List, NamedTuple, Set, Tuple, TypeVar, Union

from .clock import Clock

POLL = 0.02
"""Seconds between two looks at processes that are to end."""
_PARENT_DIES, _SUBREAPER = 1, 36
"""PR_SET_PDEATHSIG and PR_SET_CHILD_SUBREAPER of prctl(2)."""


class Process(NamedTuple):
    """A process, and not another one that has its number later."""

    pid: int
    started: str

    def send(self, number: int) -> None:
        """Send it a signal, if it is there and this user may."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.is_alive():
                os.kill(self.pid, number)

    def is_alive(self) -> bool:
        return _stat(self.pid)[1:] == (self.started,)

    def catches(self, number: int) -> bool:
        """Tell whether it has a handler for this signal."""
        try:
            with open("/proc/%d/status" % self.pid, encoding="ascii", errors="replace") as file:
                (mask,) = (line.split()[1] for line in file if line.startswith("SigCgt:"))
        except (OSError, ValueError):
            return False
        return self.is_alive() and bool(int(mask, 16) >> (number - 1) & 1)


class Group(NamedTuple):
    """A process group. Its number is not used again while it has processes."""

    number: int

    def send(self, number: int) -> None:
        """Send its processes a signal, if there are some and this user may."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.number, number)

    def is_alive(self) -> bool:
        """Tell whether it has processes. One that has ended counts until its parent has taken note."""
        try:
            os.killpg(self.number, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True


T = TypeVar("T", bound=Union[Process, Group])


def of(pid: int) -> Process:
    """Return the process that has this number now."""
    stat = _stat(pid)
    return Process(pid, stat[1] if stat else "")


def this() -> Process:
    """Return the process that calls this."""
    return of(os.getpid())


def adopt_orphans() -> None:
    """Become the parent of what the descendants of this process leave behind. Only Linux can do it."""
    _prctl(_SUBREAPER, 1)


def end_with(parent: int) -> None:
    """Have the system ask this process to end if its parent does, however that ends. Only Linux can do it."""
    if _prctl(_PARENT_DIES, signal.SIGTERM) and os.getppid() != parent:
        os._exit(128 + signal.SIGTERM)


def let_go_of_files(but: Container[int]) -> None:
    """Let go of terminals, pipes, locks and connections, so that nobody waits for this process.

    Their numbers stay in use: objects of this process that are collected later close them once more.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in map(int, os.listdir("/dev/fd")):
        if descriptor not in but and descriptor != nothing:
            with contextlib.suppress(OSError):  # the folder itself
                os.fstat(descriptor)
                os.dup2(nothing, descriptor, inheritable=descriptor < 3)


def family(heads: Container[Process], is_member: Callable[[int], bool], but: Container[Process]) -> Set[Process]:
    """Return the processes for whose number ``is_member`` returns true, and all that descend from them or from one of
    the heads. The heads are not in it; nor are those in ``but``, and what descends from them.
    """
    children: Dict[int, List[int]] = {}
    found: Dict[int, Process] = {}
    for pid in _numbers():
        stat = _stat(pid)
        if stat:
            children.setdefault(stat[0], []).append(pid)
            found[pid] = Process(pid, stat[1])
    first = {pid for pid, one in found.items() if one in heads}
    unseen = [*first, *(pid for pid, one in found.items() if one not in but and is_member(pid))]
    seen: Set[int] = set()
    while unseen:
        pid = unseen.pop()
        if pid not in seen and found.get(pid) not in but:
            seen.add(pid)
            unseen += children.get(pid, ())
    return {found[pid] for pid in seen - first}


def has_word(pid: int, variable: str, word: str) -> bool:
    """Tell whether a program was started with an environment variable in which this word occurs."""
    start = ("%s=" % variable).encode()
    try:
        with open("/proc/%d/environ" % pid, "rb") as file:
            values = [one[len(start) :] for one in file.read().split(b"\0") if one.startswith(start)]
    except OSError:
        return False
    return any(word.encode() in value.split() for value in values)


def end(look: Callable[[], Set[T]], killed_at: float, deadline: float, clock: Clock, known: Iterable[T] = ()) -> Set[T]:
    """Ask processes to end. Kill, later, those that do not, until none is left, or to the deadline.

    ``look`` finds them; ``known`` were found before, and may have lost what they were known by. Returns all that were
    seen.
    """
    asked: Set[T] = set()
    left = set(known)
    while True:
        left = alive(left | look())
        kills = clock.now() >= killed_at
        for one in left if kills else left - asked:
            one.send(signal.SIGKILL if kills else signal.SIGTERM)
            one.send(signal.SIGCONT)  # a stopped process hears nothing else
        asked |= left
        if not left or clock.now() >= deadline:
            return asked
        clock.sleep(POLL)


def alive(processes: Iterable[T]) -> Set[T]:
    """Return those that have not ended."""
    return {one for one in processes if one.is_alive()}


def _prctl(option: int, value: int) -> bool:
    """Tell whether the system has done it."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    return False


def _numbers() -> List[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _stat(pid: int) -> Union[Tuple[int, str], Tuple[()]]:
    """Return a process's parent, and when it was started; () if there is no such process, or it has ended."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ()
    return () if fields[0] in "ZX" else (int(fields[1]), fields[19])
