# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from support.listener import Listener


@pytest.fixture
def host(monkeypatch, tmp_path):
    """A host with the lease db, which leads."""
    from support import fenced  # pytest loads this file before a collection can be imported

    return fenced.host(monkeypatch, tmp_path)


@pytest.fixture
def journal(monkeypatch):
    """What stands in the journal since it was last looked at."""
    systemd = "ansible_collections.leaderelection.s3.plugins.module_utils._lease.host.systemd"
    with Listener() as listener:
        monkeypatch.setattr(systemd + ".JOURNAL", listener.address)
        yield listener.messages
