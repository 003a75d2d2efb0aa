# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service of the lab, on a host: it runs for as long as the watcher sees it.

Usage: service.py LEASE NAME [--stubborn]; a stubborn one ignores SIGTERM. Python 3.9 and newer.
"""

import json
import os
import signal
import socket
import sys

if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

with open("/proc/self/stat") as stat:
    # Field 22, see proc(5). The name, field 2 in parentheses, may hold anything.
    ticks = int(stat.read().rpartition(")")[2].split()[19])

story = {
    "lease": sys.argv[1],
    "service": sys.argv[2],
    "host": socket.gethostname(),
    "pid": os.getpid(),
    "term": os.environ.get("S3_LEADER_TERM", ""),
    "start": ticks / os.sysconf("SC_CLK_TCK"),
}
watcher = socket.socket(socket.AF_UNIX)
watcher.connect(os.path.join(os.path.dirname(__file__), "watcher"))
watcher.sendall(json.dumps(story).encode() + b"\n")
if watcher.recv(1):  # it is written down: now it may work
    watcher.recv(1)  # for ever
sys.exit("The watcher is gone.")
