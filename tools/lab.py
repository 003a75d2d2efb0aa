# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the tests on hosts of their own (tests/system); `make test-system` calls this.

It makes the images of the hosts when they are missing, and starts pytest with the given arguments. The tests wait most
of their time, so three workers share them, each in a lab of its own.
"""

from __future__ import annotations

import sys

from system.lab import images, namespaces

LABS = 3


def main() -> int:
    """Check, make images, and run pytest."""
    if sys.argv[1:] == ["--missing"]:
        print(*namespaces.missing())
        return 0
    try:
        namespaces.check()
        images.build()
        if sys.argv[1:] == ["--images"]:
            return 0
    except (namespaces.CannotRun, images.ImageError) as error:
        print(f"The tests on hosts cannot run here: {error}.", file=sys.stderr)
        return 1
    labs = [
        "--dist=loadscope",
        "--no-loadscope-reorder",
        f"--tx={LABS}*popen//python={sys.executable} -m system.lab.worker",
    ]
    return namespaces.run([sys.executable, "-m", "pytest", "-o", "testpaths=tests/system", *labs, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
