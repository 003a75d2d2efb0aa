# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest


@pytest.fixture
def store(open_store):
    """A store in memory that records what it is asked."""
    from support.stores.odd import Store  # pytest loads this file before tests/ can be imported

    return open_store(Store)


@pytest.fixture
def run(aws, store):
    """Runs a module on the lease jobs/a of that store, as web-1 with the session my-session."""
    from support import module

    def run_module(main, **options):
        return module.run(
            main,
            **dict(
                dict(
                    endpoint_url=store.url,
                    access_key="AKIA-somebody",
                    secret_key="wJalrXUtnFEMI-the-secret-key",
                    bucket="bucket",
                    key="jobs/a",
                    holder="web-1",
                    session="my-session",
                ),
                **options,
            ),
        )

    return run_module
