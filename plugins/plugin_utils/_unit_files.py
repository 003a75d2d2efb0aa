# Copyright (c) 2026 the leaderelection.s3 authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: it can have breaking changes at any time.

"""The role heartbeat's files in systemd's folders: their paths, and the templates that they come from."""

from __future__ import annotations

import typing as t

UNITS = "/etc/systemd/system"
"""The folder of the role's units."""
DROPINS = "/usr/local/lib/systemd/system"
"""The folder of its drop-ins for services: systemctl revert removes those in UNITS, and not those here."""
DROPINS_AND_ABOVE = ["/", "/usr", "/usr/local", "/usr/local/lib", "/usr/local/lib/systemd", DROPINS]
"""Folders whose devices tell whether systemd finds the drop-ins when it reads units at boot: /usr is mounted then."""
HOOKS = {"on_acquired": ["acquired.service"], "on_lost": ["lost.service"], "on_error": ["error.path", "error.service"]}
"""The templates of each hook, by its option."""


def dropin_folder(devices: t.Sequence[str]) -> str:
    """Return where drop-ins for services go, by the devices of DROPINS_AND_ABOVE, as far as those exist."""
    return DROPINS if set(devices[2:]) <= set(devices[:2]) else UNITS


def hook_unit(hook: str, lease: str) -> str:
    """Return the unit that starts a hook."""
    return f"s3-leader-{hook[3:]}@{lease}.service"


def files(lease: str, services: t.Iterable[str], hooks: t.Iterable[str], dropins: str) -> list[dict[str, str]]:
    """Return the files of a lease; its services' drop-ins are in the folder ``dropins``."""
    own = f"s3-leader-{lease}.conf"
    templates = {
        f"{UNITS}/s3-leader@{lease}.service.d/{own}": "daemon.conf",
        f"{UNITS}/s3-leader-active@{lease}.target.d/{own}": "target.conf",
    }
    for hook in hooks:
        for template in HOOKS[hook]:
            kind, _dot, suffix = template.partition(".")
            templates[f"{UNITS}/s3-leader-{kind}@{lease}.{suffix}"] = template
    for service in services:
        templates[f"{dropins}/{service}.d/zzz-{own}"] = "service.conf"  # after those of others
    return [dict(lease=lease, path=path, template=template) for path, template in templates.items()]


def patterns(lease: str) -> list[str]:
    """Return what the names of all files of a lease match, whatever options it has or had."""
    return [f"s3-leader@{lease}.*", f"s3-leader-*@{lease}.*", f"*s3-leader-{lease}.conf"]
