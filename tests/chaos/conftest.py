"""Sites as the acceptance tests have them."""

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
