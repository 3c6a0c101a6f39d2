"""The sites of the acceptance tests."""

from __future__ import annotations

from tests.acceptance.conftest import (
    api,
    database,
    listener,
    loopback,
    peers,
    plan,
    pooler,
    pytest_runtest_makereport,
    site,
    talker,
)

__all__ = [
    "api",
    "database",
    "listener",
    "loopback",
    "peers",
    "plan",
    "pooler",
    "pytest_runtest_makereport",
    "site",
    "talker",
]
