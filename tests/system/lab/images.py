# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roots of Debian 11, 12 and 13, made once by debootstrap from the mirror that this machine's apt uses."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import typing as t
from collections.abc import Iterator

from support.child_process import die_with_parent

SUITES = {11: "bullseye", 12: "bookworm", 13: "trixie"}
# Ansible's apt module wants python3-apt; debootstrap takes no recommended packages, and systemd only recommends dbus.
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "iproute2", "iputils-arping"),
    *("python3", "python3-apt", "python3-boto3", "python3-venv"),
)
# These reach for the internet, at times that are not the test's.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "systemd-timesyncd.service", "console-getty.service")


class ImageError(RuntimeError):
    """An image could not be made."""


def image(release: int) -> pathlib.Path:
    """Where the root of this Debian release is, or will be: its name changes with what is put into it."""
    recipe = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()[:8]
    return _cache() / f"debian-{release}-{recipe}"


def build() -> None:
    """Make the images that are missing, all at once. Raises ImageError."""
    with _alone():
        missing = [release for release in SUITES if not image(release).exists()]
        if not missing:
            return
        print(f"Making images of Debian {', '.join(map(str, missing))} in {_cache()}; this takes minutes.", flush=True)
        started = time.monotonic()
        url = mirror()
        with concurrent.futures.ThreadPoolExecutor(len(missing)) as pool:
            list(pool.map(lambda release: _make(release, url), missing))
        print(f"Made in {time.monotonic() - started:.0f} s.", flush=True)


def mirror() -> str:
    """The address from which apt takes this machine's Debian. Raises ImageError."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"]
    for line in _run(command).splitlines():
        # apt knows ways to a mirror that debootstrap does not
        if line.startswith(("http://", "https://", "file:")):
            return line.rstrip("/")
    raise ImageError("apt has no mirror of Debian among its sources")


def _make(release: int, url: str) -> None:
    unfinished = pathlib.Path(tempfile.mkdtemp(prefix="unfinished-", dir=_cache()))
    # debootstrap leaves /proc mounted in the image when it is killed; not so in a namespace that ends with it.
    private = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    _run(
        [
            *private,
            "debootstrap",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            SUITES[release],
            str(unfinished),
            url,
        ]
    )
    for unit in MASKED:
        (unfinished / "etc/systemd/system" / unit).symlink_to("/dev/null")
    for name in ("etc/machine-id", "etc/resolv.conf"):
        (unfinished / name).write_text("")
    for name in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(unfinished / name)
        (unfinished / name / "partial").mkdir(parents=True)
    unfinished.chmod(0o755)
    unfinished.rename(image(release))


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One builder at a time; what others left unfinished is removed."""
    _cache().mkdir(parents=True, exist_ok=True)
    with (_cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in _cache().glob("unfinished-*"):
            shutil.rmtree(leftover)
        yield


def _cache() -> pathlib.Path:
    # All checkouts share it, so that a fresh clone need not make the images anew.
    caches = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(caches) / "leaderelection.s3" / "lab"


def _run(command: t.Sequence[str]) -> str:
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=die_with_parent(),
    )
    if result.returncode:
        tail = "\n".join((result.stdout + result.stderr).splitlines()[-20:])
        raise ImageError(f"{' '.join(command)} ended with status {result.returncode}:\n{tail}")
    return result.stdout
