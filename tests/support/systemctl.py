# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemctl show prints."""

from __future__ import annotations


def shown(name, limit="2s", after="", triggers="", stops=0, posts=0, state="loaded", **others):
    """Of a unit whose stop takes so many commands."""
    lines = [
        f"TimeoutStopUSec={limit}",
        *["ExecStop={ path=/bin/true ; argv[]=/bin/true A=1 }"] * stops,
        *["ExecStopPost={ path=/bin/true }"] * posts,
        f"LoadState={state}",
        f"After=basic.target system.slice {after}",
        f"Triggers={triggers}",
        *(f"{name}={value}" for name, value in others.items()),
    ]
    return name, "\n".join(lines)
