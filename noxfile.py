# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
# /// script
# dependencies = ["nox>=2025.2.9", "antsibull-nox"]
# ///
"""The checks that collections of the Ansible community have in common, for who is used to `nox`.

`make check` has these and more. antsibull-nox.toml says which there are.
"""

import antsibull_nox
import nox

antsibull_nox.load_antsibull_nox_toml()

if __name__ == "__main__":
    nox.main()
