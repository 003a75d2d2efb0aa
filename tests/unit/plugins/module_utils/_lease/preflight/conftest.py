# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest


@pytest.fixture
def workspace():
    """Makes the workspace of a preflight on a store of this kind; its connection has the store and its faults."""
    # pytest loads this file before the collection and tests/ can be imported.
    from ansible_collections.leaderelection.s3.plugins.module_utils._lease.preflight.scratch import Workspace
    from ansible_collections.leaderelection.s3.plugins.module_utils._lease.settings import Endpoint, Location
    from support.stores.odd import Store
    from support.wire import VirtualClock, Wire

    def make(kind=Store, key="jobs/a", **attributes):
        store = kind()
        for name, value in attributes.items():
            setattr(store, name, value)
        clock = VirtualClock()
        return Workspace(Wire(store, clock), Endpoint(), Location("bucket", key), clock)

    return make
