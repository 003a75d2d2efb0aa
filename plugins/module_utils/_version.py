# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""The collection's version, which a module on a host cannot read from galaxy.yml."""

from __future__ import annotations

VERSION = "1.0.0"
