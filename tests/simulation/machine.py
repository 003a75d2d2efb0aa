# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the core takes for its operating system: each call is made in the name of the process that runs just now.

A process of the world is a set of greenlets: what would block switches back to the world, which goes on with
whatever is due next.
"""

from __future__ import annotations

import contextlib
import errno
import io
import posixpath
import stat
import types
import typing as t

if t.TYPE_CHECKING:
    from .world import Process


class Now:
    """Who runs just now. There is one world at a time."""

    process: Process


class Time:
    """The module time."""

    CLOCK_MONOTONIC = 1
    CLOCK_BOOTTIME = 7

    @staticmethod
    def clock_gettime(clock: int) -> float:
        process = Now.process
        return process.boottime() if clock == Time.CLOCK_BOOTTIME else process.monotonic()

    @staticmethod
    def strftime(_format: str) -> str:
        return ""

    @staticmethod
    def time() -> float:
        return Now.process.wall_clock()

    @staticmethod
    def sleep(seconds: float) -> None:
        Now.process.block(seconds)


class Random:
    """The module random."""

    @staticmethod
    def uniform(low: float, high: float) -> float:
        return Now.process.world.rng.uniform(low, high)


class Secrets:
    """The module secrets."""

    @staticmethod
    def token_hex(count: int) -> str:
        return "%0*x" % (2 * count, Now.process.world.rng.getrandbits(8 * count))


class _Thread:
    def __init__(self, target: t.Callable[..., None], daemon: bool, args: t.Sequence[t.Any] = ()) -> None:
        self._target = target
        self._args = args
        self._ended = _Event()

    def start(self) -> None:
        Now.process.start_thread(self._run)

    def join(self, timeout: float) -> None:
        self._ended.wait(timeout)

    def _run(self) -> None:
        self._target(*self._args)
        self._ended.set()


class _Event:
    def __init__(self) -> None:
        self._is_set = False
        self._wake: list[t.Callable[[], object]] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        wake, self._wake = self._wake, []
        for one in wake:
            Now.process.world.after(0, one)

    def wait(self, timeout: float) -> bool:
        if not self._is_set:
            process = Now.process
            self._wake.append(process.waker())
            process.block(timeout)
        return self._is_set


class Threading:
    """The module threading, as far as the core uses it."""

    Thread = _Thread
    Event = _Event
    Lock = contextlib.nullcontext  # a thread runs until it waits


@contextlib.contextmanager
def run_as(process: Process) -> t.Iterator[None]:
    """Let this process be the one that runs, for a moment."""
    before, Now.process = Now.process, process
    try:
        yield
    finally:
        Now.process = before


class Executed(BaseException):
    """The program of the running process was replaced."""

    def __init__(self, environ: dict[str, str]) -> None:
        super().__init__()
        self.environ = environ


def _at(path: str) -> str:
    return path.rstrip("/")


class _Writing(io.StringIO):
    """A file that is being written."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def fileno(self) -> int:
        return 0

    def close(self) -> None:
        if not self.closed:
            Now.process.host.files[self._path] = self.getvalue()
        super().close()


def open_file(path: str, mode: str = "r", **_how: t.Any) -> io.StringIO:
    """The function open, on the running process's host."""
    if "w" in mode:
        return _Writing(path)
    try:
        return io.StringIO(Now.process.host.files[path])
    except KeyError:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", path) from None


class _Path:
    join = staticmethod(posixpath.join)

    @staticmethod
    def exists(path: str) -> bool:
        return _at(path) in Now.process.host.files

    lexists = exists


class _Os:
    """The module os, as far as a daemon uses it."""

    O_RDONLY, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY, O_CLOEXEC = 0, 64, 131072, 2048, 256, 524288
    path = _Path

    @property
    def environ(self) -> dict[str, str]:
        environ: dict[str, str] = Now.process.host.environ
        return environ

    @staticmethod
    def open(path: str, flags: int, _mode: int = 0) -> int:
        host = Now.process.host
        if flags & _Os.O_CREAT:
            host.files.setdefault(path, "")
        host.opened = open_file(path).getvalue()
        return 0

    @staticmethod
    def read(_file: int, _most: int) -> bytes:
        content: str = Now.process.host.opened
        return content.encode()

    @staticmethod
    def fstat(_file: int) -> types.SimpleNamespace:
        return types.SimpleNamespace(st_mode=stat.S_IFREG)

    @staticmethod
    def rename(path: str, to: str) -> None:
        host = Now.process.host
        host.wrote(to)
        host.files[to] = host.files.pop(path)

    @staticmethod
    def unlink(path: str) -> None:
        if Now.process.host.files.pop(path, None) is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)

    @staticmethod
    def execve(_path: str, _arguments: t.Sequence[str], environ: dict[str, str]) -> None:
        if Now.process.world.rng.random() < 0.2:
            Now.process.world.fault("a program cannot be replaced")
            Now.process.host.environ = dict(Now.process.host.environ)  # it was heard all the same
            raise OSError(errno.ENOENT, "No such file or directory")
        raise Executed(environ)

    @staticmethod
    def _nothing(*_arguments: t.Any, **_options: t.Any) -> None:
        pass

    close = fchmod = utime = _nothing


Os = _Os()


class Fcntl:
    """The module fcntl: nobody else takes the lock."""

    LOCK_EX, LOCK_NB = 2, 4

    @staticmethod
    def flock(_file: int, _how: int) -> None:
        pass


class _Received(t.NamedTuple):
    si_signo: int
    si_errno: int = 0
    si_code: int = 0


class Signal:
    """The module signal."""

    SIGHUP, SIGINT, SIGTERM = 1, 2, 15
    SIG_BLOCK = 0

    @staticmethod
    def pthread_sigmask(_how: int, _signals: t.Any) -> None:
        pass

    @staticmethod
    def sigtimedwait(signals: t.Collection[int], seconds: float) -> _Received | None:
        process = Now.process
        if seconds > 0 and not any(number in signals for number in process.signals):
            process.wait_for_signal(seconds)
        for number in process.signals:
            if number in signals:
                process.signals.remove(number)
                return _Received(number)
        return None


class _Socket:
    """A datagram socket: what it sends is taken by the host."""

    def __init__(self, _family: int, _kind: int) -> None:
        pass

    def __enter__(self) -> _Socket:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def setblocking(self, _blocks: bool) -> None:
        pass

    def sendto(self, text: bytes, address: str) -> None:
        Now.process.host.message(address, text.decode())


class Socket:
    """The module socket."""

    AF_UNIX, SOCK_DGRAM = 1, 2
    socket = _Socket


class Sys:
    """The module sys."""

    argv: t.ClassVar[list[str]] = ["s3-leader"]
