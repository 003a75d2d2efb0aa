# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host: real systemd as PID 1 in a container, on a copy of an image that costs nothing."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import typing as t
import uuid
from collections.abc import Iterator

from support.waiting import LIMIT, wait_for

from system.lab import network
from system.lab.group import Group
from system.lab.images import image

SHARED = "/lab"  # where hosts see the lab's shared folder
ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8")


class CommandFailed(AssertionError):
    """A command on a host failed; the message has what it said."""


class Host:
    """A context manager: a host that is switched off at first.

    Its files, and its network with the faults in it, outlive a reboot. Nothing of it outlives the with block.
    """

    def __init__(
        self,
        name: str,
        address: str,
        release: int,
        folder: pathlib.Path,
        group: pathlib.Path,
        shared: pathlib.Path,
        key: str,
    ) -> None:
        self.name = name
        self.address = address
        self.release = release
        self.root = folder / "root"  # its files, but for /run and /tmp, whether it runs or not
        self._folder = folder
        self._shared = shared
        self._key = key
        self._group = Group(group)
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._pid = 0  # of its PID 1, here
        self._notices: socket.socket | None = None  # while it boots
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Host:
        with contextlib.ExitStack() as stack:
            for name in ("changes", "work", "root"):
                (self._folder / name).mkdir(parents=True)
            stack.callback(shutil.rmtree, self._folder)
            self._mount_root()
            stack.callback(subprocess.run, ["umount", str(self.root)], check=True)
            self._personalize()
            stack.callback(self._listen_no_more)
            network.add_host(self.name, self.address)
            stack.callback(network.remove_host, self.name)
            stack.callback(self._wait_for_end)
            stack.enter_context(self._group)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def switch_on(self) -> None:
        """Begin to boot."""
        self._listen()
        with (self._folder / "nspawn").open("ab") as said:
            self._nspawn = subprocess.Popen(
                # into the group first: whatever the host starts will be in it
                ["sh", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', str(self._group.folder), *self._command()],
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": str(self._folder / "notices")},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests
            )

    def wait_until_up(self) -> None:
        """Wait until systemd has started all that it starts at boot. Raises TimeoutError with its last words."""
        try:
            wait_for(self._hear_that_it_is_up, f"{self.name} is up")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.last_words()}") from None
        self._listen_no_more()

    def boot(self) -> None:
        """Switch on, and wait until it is up."""
        self.switch_on()
        self.wait_until_up()

    def power_off(self) -> None:
        """Shut down in order: services are stopped. Returns when nothing of it runs."""
        self._end("poweroff")

    def reboot(self) -> None:
        """Shut down in order, and boot again."""
        self._end("reboot")
        self.boot()

    def cut_power(self) -> None:
        """End it at once, without a word on the network either."""
        network.set_link(self.name, "down")
        self._group.kill()
        self._wait_for_end()
        self._group.renew()
        network.set_link(self.name, "up")

    def freeze(self) -> None:
        """Stop all of its processes in mid-air, as when a hypervisor does not run it; clocks go on."""
        self._group.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        self._group.thaw()

    @contextlib.contextmanager
    def hung_systemd(self) -> Iterator[None]:
        """Its process 1 does nothing any more; all others go on."""
        os.kill(self._pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._pid, signal.SIGCONT)

    def run(
        self, *command: str, stdin: str = "", check: bool = True, timeout: float = LIMIT
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root on the running host. Raises CommandFailed unless it succeeds or check is false."""
        enter = ["nsenter", f"--target={self._pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"]
        result = subprocess.run(
            [*enter, "env", "-i", *ENVIRONMENT, *command],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if check and result.returncode:
            said = result.stdout + result.stderr
            raise CommandFailed(f"{self.name}: {' '.join(command)} ended with status {result.returncode}\n{said}")
        return result

    def write_units(self, units: t.Mapping[str, str], folder: str = "etc/systemd/system") -> None:
        """Write units and drop-ins, by their names; nobody tells systemd."""
        for name, text in units.items():
            path = self.root / folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    def mounts(self) -> set[str]:
        """Where something is mounted now, as its processes see it; nowhere while it is off."""
        with contextlib.suppress(OSError):
            lines = pathlib.Path(f"/proc/{self._pid}/mountinfo").read_text().splitlines()
            return {line.split()[4] for line in lines}
        return set()

    def main_pid(self, unit: str) -> str:
        """The main process of a unit, as the host counts; 0 without one."""
        return self.run("systemctl", "show", "--property=MainPID", "--value", unit).stdout.strip()

    @property
    def is_on(self) -> bool:
        """Whether it was switched on, and not off since."""
        return self._nspawn is not None

    @property
    def inside(self) -> pathlib.Path:
        """The root of the running host as its processes see it, with /run; it can be read while the host is frozen."""
        return pathlib.Path(f"/proc/{self._pid}/root")

    def last_words(self) -> str:
        """What systemd-nspawn says, and the end of the journal."""
        return (self._folder / "nspawn").read_text() + self.journal("--lines=30")

    def journal(self, *arguments: str) -> str:
        """Its journal, also of earlier boots, and whether it runs or not; arguments are journalctl's."""
        command = ["journalctl", f"--directory={self.root}/var/log/journal", "--no-pager", "-o", "short-monotonic"]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False).stdout

    def _mount_root(self) -> None:
        layers = f"lowerdir={image(self.release)},upperdir={self._folder}/changes,workdir={self._folder}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", str(self.root)], check=True)

    def _personalize(self) -> None:
        (self.root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{self.address} {self.name}\n")
        keys = self.root / "root/.ssh/authorized_keys"
        keys.parent.mkdir(mode=0o700, exist_ok=True)
        keys.write_text(self._key)

    def _command(self) -> t.Sequence[str]:
        return (
            *("systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}", f"--hostname={self.name}"),
            # No systemd outside is asked for anything. No terminal: one fell silent, and the host hung at shutdown.
            *("--register=no", "--keep-unit", "--console=pipe", "--notify-ready=yes"),
            *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
            # Its network is its own, so its services may have addresses.
            *(f"--network-namespace-path=/run/netns/{self.name}", "--capability=CAP_NET_ADMIN"),
            f"--bind-ro={self._shared}:{SHARED}",
        )

    def _end(self, verb: str) -> None:
        # systemctl may not hear the answer: its connection ends with all else
        self.run("systemctl", verb, check=False)
        self._wait_for_end()

    def _wait_for_end(self) -> None:
        if self._nspawn:
            try:
                self._nspawn.wait(2 * LIMIT)  # a service that is masked may take 90 s to stop
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"{self.name} has not ended within {2 * LIMIT:.0f} s\n{self.last_words()}") from None
        self._nspawn = None
        self._listen_no_more()  # what it said is not about its next boot

    def _listen(self) -> None:
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(self._folder / "notices"))
        self._notices.setblocking(False)

    def _listen_no_more(self) -> None:
        """Take the socket away. Where it is there and nobody reads, who sends waits for ever: the host's systemd."""
        if self._notices:
            self._notices.close()
            (self._folder / "notices").unlink()
            self._notices = None

    def _hear_that_it_is_up(self) -> bool:
        """Take in what systemd-nspawn has to say; nothing more once the host is up."""
        up = False
        assert self._notices, "it is not booting"
        with contextlib.suppress(BlockingIOError):
            while True:
                notice = self._notices.recv(4096).decode().splitlines()
                values = dict(line.partition("=")[::2] for line in notice)
                self._pid = int(values.get("X_NSPAWN_LEADER_PID", self._pid))
                up = up or "READY" in values
        if not up and self._nspawn and self._nspawn.poll() is not None:
            raise RuntimeError(f"{self.name} ended with status {self._nspawn.returncode}\n{self.last_words()}")
        return up
