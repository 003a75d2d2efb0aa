# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python with the given arguments, in a lab of its own: `python -m system.lab.worker -c ...`."""

from __future__ import annotations

import os
import pathlib
import sys

from system.lab.namespaces import APART, PRIVATE_RUN


def main() -> None:
    """Become that Python. LAB_GROUP is the control group of the run before, and of the lab then."""
    group = pathlib.Path(os.environ["LAB_GROUP"]) / f"lab-{os.getpid()}"
    group.mkdir()
    command = [*APART, *PRIVATE_RUN, sys.executable, *sys.argv[1:]]
    os.execvpe(command[0], command, {**os.environ, "LAB_GROUP": str(group), "TMPDIR": "/run/tmp"})


if __name__ == "__main__":
    main()
