"""A running daemon for tests with no special needs."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from tests.http.world import Daemon, running


@pytest.fixture
async def daemon() -> AsyncGenerator[Daemon, None]:
    """Companies A and B connected, an admin key, a key for A."""
    async with running() as started:
        yield started
