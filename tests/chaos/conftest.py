"""Sites as the acceptance tests have them, and an end of the suite."""

from __future__ import annotations

import time
from typing import Final

import pytest

from tests.acceptance.conftest import (
    api,
    database,
    listener,
    loopback,
    peers,
    plan,
    pytest_runtest_makereport,
    site,
    talker,
)

__all__ = ["api", "database", "listener", "loopback", "peers", "plan", "pytest_runtest_makereport", "site", "talker"]

BEGINS_WITHIN_S: Final = 5400.0
"""Nothing is begun later than that after the first test. With `tests.support.deadline` the suite has ended an hour and a half later at the
very most."""
_BEGAN: Final = pytest.StashKey[float]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A suite that hangs here and there ends all the same."""
    now = time.monotonic()
    if now - item.config.stash.setdefault(_BEGAN, now) > BEGINS_WITHIN_S:
        pytest.fail(f"not begun: the suite has taken more than {BEGINS_WITHIN_S / 60:g} minutes")
