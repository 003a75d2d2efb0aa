# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process of a service of the lab, on a host: it runs for as long as the watcher sees it.

Usage: service.py LEASE NAME [OPTION...]; Python 3.9 and newer. Options, seconds each where they take a number:

--stubborn       ignores SIGTERM and SIGABRT
--for=S          ends after so long; otherwise it runs until it is killed
--fail           ends with status 1 then
--ready-after=S  tells systemd that it is ready only then (Type=notify)
--extend=S       when it is asked to stop, it has systemd extend its time, and ends so much later
--child          leaves a process behind, which is seen as NAME-child
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

options = dict(argument[2:].partition("=")[::2] for argument in sys.argv[3:])
lease, name = sys.argv[1:3]
asked_to_stop, asked = socket.socketpair()


def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])


if "stubborn" in options:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGABRT, signal.SIG_IGN)
if "extend" in options:
    signal.signal(signal.SIGTERM, lambda *_: asked.send(b"."))

with open("/proc/self/stat") as stat:
    # Field 22, see proc(5). The name, field 2 in parentheses, may hold anything.
    ticks = int(stat.read().rpartition(")")[2].split()[19])

story = {
    "lease": lease,
    "service": name,
    "host": socket.gethostname(),
    "pid": os.getpid(),
    "term": os.environ.get("S3_LEADER_TERM", ""),
    "start": ticks / os.sysconf("SC_CLK_TCK"),
}
watcher = socket.socket(socket.AF_UNIX)
watcher.connect(os.path.join(os.path.dirname(__file__), "watcher"))
watcher.sendall(json.dumps(story).encode() + b"\n")
if not watcher.recv(1):
    sys.exit("The watcher is gone.")
# It is written down: now it may work.
if "child" in options:
    subprocess.Popen([sys.executable, "-IB", __file__, lease, f"{name}-child", "--stubborn"])
ends = time.monotonic() + float(options.get("for", "inf"))
if "ready-after" in options:
    time.sleep(float(options["ready-after"]))
    notify("READY=1")
while time.monotonic() < ends:
    left = max(0, min(ends - time.monotonic(), 3600))
    readable = select.select([watcher, asked_to_stop], [], [], left)[0]
    if watcher in readable:
        sys.exit("The watcher is gone.")
    if asked_to_stop in readable:
        ends = time.monotonic() + float(options["extend"])
        asked_to_stop.recv(1)
        while time.monotonic() < ends:
            notify("EXTEND_TIMEOUT_USEC=60000000")
            time.sleep(0.5)
sys.exit("fail" in options)
