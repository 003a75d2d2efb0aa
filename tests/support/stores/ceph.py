# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real S3 server for tests: Ceph's RADOS Gateway on a cluster of one monitor and one OSD in memory."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import typing as t
import uuid
from collections.abc import Sequence

from support.child_process import die_with_parent
from support.ports import free_ports

from .served import POLL, Served

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
PACKAGES = "radosgw ceph-mon ceph-osd"
START_TIMEOUT = 60.0  # seconds; 1 to 2 are usual
LOOPBACK = "127.0.0.1"
CRASH = "*** Caught signal"  # the first line of a dump

# No authentication inside of the cluster, no manager, no files outside of the folder. The gateway by default insists on
# an encrypted connection to the monitor, which needs that authentication.
CONFIGURATION = """
[global]
fsid = {fsid}
mon_host = {monitor}
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_bind_msgr1 = false
keyring = /dev/null
run_dir = {folder}
crash_dir = {folder}
mon_data = {folder}/mon
osd_data = {folder}/osd
admin_socket =
log_to_file = false
log_to_stderr = true
err_to_stderr = true
mon_cluster_log_to_file = false
debug_rocksdb = 0
mon_data_avail_crit = 0
paxos_propose_interval = 0.02
osd_objectstore = memstore
memstore_device_bytes = 268435456
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
rgw_frontends = beast endpoint={address}:{port}
"""


class CephError(RuntimeError):
    """The cluster did not start; the message ends with what the program said last."""


class Ceph(Served):
    """A context manager: RADOS Gateway on a free port of an address (loopback), its cluster on loopback.

    All data is in memory or in a temporary folder. The servers die with this process, whatever kills it (Linux; the
    thread that starts them must live on).
    """

    def __init__(self, region: str = "us-east-1", address: str = LOOPBACK) -> None:
        super().__init__("lease-admin", "lease-admin-secret", region)
        self.address = address
        self._folder: pathlib.Path | None = None
        self._servers: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Ceph:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the cluster and wait until a bucket can be made.

        Raises CephError when it does not come up, FileNotFoundError when there is no Ceph.
        """
        check()
        self._folder = folder = pathlib.Path(tempfile.mkdtemp(prefix="ceph-"))
        for name in ("mon", "osd"):
            (folder / name).mkdir()
        [monitor] = (f"v2:{LOOPBACK}:{port}" for port in free_ports(1))
        [port] = free_ports(1, self.address)
        fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        self.endpoint_url = f"http://{self.address}:{port}"
        (folder / "ceph.conf").write_text(
            CONFIGURATION.format(fsid=fsid, monitor=monitor, folder=folder, address=self.address, port=port)
        )
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[{monitor}]", "monmap")
        self._run("ceph-mon", "--id=a", "--mkfs", "--monmap=monmap")
        self._launch("ceph-mon", "--id=a")
        self._run("ceph-osd", "--id=0", "--mkfs", f"--osd-uuid={osd}")
        self._run("ceph", "osd", "new", osd, "0")
        self._run("ceph", "osd", "crush", "add", "osd.0", "1", "root=default")
        self._launch("ceph-osd", "--id=0", f"--public-addr={LOOPBACK}")
        keys = (f"--access-key={self.access_key}", f"--secret-key={self.secret_key}")
        self._run("radosgw-admin", "user", "create", "--uid=lease", "--display-name=lease", *keys)
        self._launch("radosgw", "--name=client.rgw")
        self._wait((self.address, port))

    def stop(self) -> None:
        """Kill the servers and remove their data. Does nothing when they do not run."""
        servers, self._servers = self._servers, {}
        for server in servers.values():
            server.kill()
            server.wait()
        folder, self._folder = self._folder, None
        if folder:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def _options(self) -> dict[str, t.Any]:
        assert self._folder
        return dict(
            cwd=self._folder,
            env={**os.environ, "CEPH_CONF": str(self._folder / "ceph.conf"), "TMPDIR": str(self._folder)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us, we stop it
            preexec_fn=die_with_parent(),
        )

    def _run(self, *command: str) -> None:
        try:
            done = subprocess.run(
                command,
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=START_TIMEOUT,
                **self._options,
            )
        except subprocess.TimeoutExpired:
            raise CephError(f"{' '.join(command)} does not end.\n{self._log_tails()}") from None
        if done.returncode:
            raise CephError(f"{' '.join(command)} ended with status {done.returncode}:\n{tail(done.stdout)}")

    def _launch(self, program: str, *arguments: str) -> None:
        assert self._folder
        with (self._folder / f"{program}.log").open("wb") as log:
            command = [program, *arguments, "--foreground"]
            self._servers[program] = subprocess.Popen(command, stdout=log, stderr=log, **self._options)

    def _wait(self, address: tuple[str, int]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        last: Exception | None = None
        while time.monotonic() < deadline:
            if ended := [name for name, server in self._servers.items() if server.poll() is not None]:
                raise CephError(f"{ended[0]} ended.\n{self._log_tails(ended)}")
            try:
                socket.create_connection(address, timeout=1).close()  # cheaper than a boto3 client
                self.create_bucket("is-it-there")
                return
            except Exception as error:  # whatever it is, it may be better in a moment
                last = error
                time.sleep(POLL)
        raise CephError(f"Ceph does not serve S3 after {START_TIMEOUT:.0f} s ({last!r}).\n{self._log_tails()}")

    def _log_tails(self, programs: Sequence[str] = ()) -> str:
        assert self._folder
        tails = {name: tail((self._folder / f"{name}.log").read_bytes()) for name in programs or self._servers}
        return "\n".join(f"--- the log of {name}:\n{said}" for name, said in tails.items())


def check() -> None:
    """Raise FileNotFoundError where a program of Ceph is missing."""
    if missing := [program for program in PROGRAMS if not shutil.which(program)]:
        raise FileNotFoundError(f"no {' and no '.join(missing)}: apt-get install --no-install-recommends {PACKAGES}")


def tail(output: bytes, lines: int = 20) -> str:
    """The last lines that a program of Ceph wrote, up to the dump with which it crashes.

    What it says of its trouble comes first: radosgw that refuses its configuration crashes now and then while it ends
    (its threads run on), and the dump is longer than the tail.
    """
    written = [line for line in output.decode(errors="replace").splitlines() if line]
    crash = next((number for number, line in enumerate(written) if CRASH in line), len(written))
    return "\n".join(written[: crash + 1][-lines:])
