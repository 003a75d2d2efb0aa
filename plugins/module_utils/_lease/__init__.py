# Copyright (c) 2026 the leaderelection.s3 authors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
# SPDX-License-Identifier: BSD-2-Clause

# Private to the collection: it can have breaking changes at any time.

"""Leases on S3."""

from __future__ import annotations

import time

BEGAN = time.time() - 0.02
"""The time before this program read the rest of its code, in seconds since 1970, less 0.02 s: file times are coarse."""
