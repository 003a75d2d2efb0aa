# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as it is published: what the tarball has, and nothing else of the checkout."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def install(folder: pathlib.Path) -> str:
    """Build the tarball and install it below the folder. Return what ANSIBLE_COLLECTIONS_PATH has to be."""
    galaxy = pathlib.Path(sys.executable).with_name("ansible-galaxy")
    # Not the variables by which this checkout is found: it would count as installed.
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}

    def run(*words: str | pathlib.Path) -> None:
        subprocess.run([galaxy, "collection", *words], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)

    run("build", "--output-path", folder)
    [tarball] = folder.glob("*.tar.gz")
    run("install", "--offline", "--collections-path", folder, tarball)
    return str(folder)
