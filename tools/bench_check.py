# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `s3-leader check` costs beside a Python that does nothing: units and monitoring run it again and again."""

from __future__ import annotations

import compileall
import json
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence

CORE = pathlib.Path(__file__).resolve().parent.parent / "plugins" / "module_utils" / "_lease"
NOTHING = (sys.executable, "-IBS", "-c", "pass")
# As the role's, but for the folder.
PROGRAM = """
import sys
sys.path.insert(0, {lib!r})
from s3_leader.host import runtime
runtime.FOLDER = {run!r}
from s3_leader.host.command import main
sys.exit(main())
"""
STATUS = dict(name="db", role="leader", bucket="b", key="db", holder="web-1", term=1, reason="leads", until=1e12)


def bench_check(rounds: int) -> None:
    """Run both in turn, and print the medians."""
    with tempfile.TemporaryDirectory(prefix="bench-check-") as name:
        folder = pathlib.Path(name)
        code = shutil.copytree(CORE, folder / "s3_leader", ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(code, quiet=2)  # as the role does
        (folder / "run" / "db").mkdir(parents=True)
        (folder / "run" / "db" / "status.json").write_text(json.dumps(STATUS))
        program = folder / "s3-leader"
        program.write_text(PROGRAM.format(lib=str(folder), run=str(folder / "run")))
        check = (sys.executable, "-IBXutf8", str(program), "check", "db")
        costs = [(seconds(NOTHING), seconds(check)) for _round in range(rounds + 3)][3:]
    nothing, checks = (statistics.median(each) for each in zip(*costs, strict=True))
    print(f"\nSeconds of CPU, median of {rounds}, in turn")
    print(f"  {'python3 -IBS -c pass':24} {nothing:.4f}")
    print(f"  {'s3-leader check':24} {checks:.4f}  {checks / nothing:.2f} times as much")


def seconds(command: Sequence[str]) -> float:
    """Seconds of CPU that a command takes. Raises CalledProcessError where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
