# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ansible_collections.leaderelection.s3.plugins.module_utils._lease import processes
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute import keeper
from support.waiting import wait_for

# A keeper of its own process: which files it has, whether it has a session of its own, and what it says at the end.
STARTS = """
import json, os, sys
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute import keeper
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.keeper import Keeper
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.options import parse
from ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.execute.signals import Signals
def keep(order, kept):
    names = [name for name in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + name)]
    files = {name: os.readlink("/proc/self/fd/" + name) for name in names}
    kept._line.tell(files=files, session=os.getsid(0) == os.getpid(), parent=os.getppid())
    WHAT
keeper._keep = keep
signals = Signals()
made = Keeper.forked(parse(["--key", "a", "--", "true"]), signals)
heard = []
while not made.line.closed:
    signals.wait(60, [made.line])
    heard += made.line.read()
made.kill()
print(json.dumps([heard, os.getpid(), made.process.pid]))
"""


def told(what):
    import json

    program = STARTS.replace("WHAT", what)
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, encoding="utf-8", check=True)
    return json.loads(done.stdout)


def test_the_keeper_has_a_session_of_its_own_and_none_of_the_runners_files():
    (command, told_by_keeper), runner, _keeper = told("pass")
    assert set(command) == {"command", "mark", "alone"}
    assert told_by_keeper["session"] is True
    assert told_by_keeper["parent"] == runner
    files = told_by_keeper["files"]
    assert {files[number] for number in "012"} == {os.devnull}
    assert [
        name for name in files.values() if not name.startswith(("socket:", "pipe:", os.devnull, "/proc", "anon_inode:"))
    ] == []


@pytest.mark.parametrize(
    ("raises", "message"),
    [
        ("raise keeper.BadOption('key', 'a', 'use another')", {"failed": 'key is "a": use another', "code": 64}),
        ("raise keeper.StoreError('403', 'Mend it')", {"failed": "403. Mend it", "code": 69}),
        ("raise BlockingIOError()", {"failed": "no process can be started for the command", "code": 126}),
        ("raise KeyError('x')", {"lost": "KeyError: 'x'"}),
    ],
)
def test_whatever_fails_is_told_and_nothing_is_left(raises, message):
    heard, _runner, pid = told(raises)
    assert heard[-1] == message
    wait_for(lambda: not processes.of(heard[0]["command"]).is_alive(), "the process that waited has ended")
    assert not processes.of(pid).is_alive()


def test_without_botocore_it_says_so(monkeypatch):
    from ansible_collections.leaderelection.s3.plugins.module_utils._lease import connection

    monkeypatch.setattr(connection, "MISSING_LIBRARY", "No module named 'botocore'")
    with pytest.raises(keeper.StoreError, match="has no botocore: install boto3 for it"):
        keeper._keep(None, None)
