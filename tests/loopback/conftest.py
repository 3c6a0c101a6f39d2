"""A loopback WhatsApp per test, and real clients beside it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.loopback.loopback import Loopback
from tests.loopback.node.install import NodeMissingError, installed
from tests.loopback.peers import Peers, start_baileys, start_neonize
from tests.loopback.server import open_loopback
from tests.loopback.users import LIDS, PHONES


@pytest.fixture
async def loopback() -> AsyncGenerator[Loopback]:
    """A loopback WhatsApp on which the users a, b, c and d exist; their clients are not linked yet."""
    async with open_loopback() as running:
        for name in PHONES:
            running.add_account(PHONES[name], LIDS[name], f"User {name}")
        yield running


@pytest.fixture
async def neonize(loopback: Loopback, tmp_path: Path) -> AsyncGenerator[Peers]:
    """A process for neonize clients."""
    async with start_neonize(loopback.endpoints, tmp_path) as peers:
        yield peers


@pytest.fixture(scope="session")
def baileys_modules() -> Path:
    """Where Baileys is installed; skips where there is no Node."""
    try:
        return installed()
    except NodeMissingError as exc:
        pytest.skip(str(exc))


@pytest.fixture
async def baileys(loopback: Loopback, tmp_path: Path, baileys_modules: Path) -> AsyncGenerator[Peers]:
    """A process for Baileys clients."""
    async with start_baileys(loopback.endpoints, tmp_path, baileys_modules) as peers:
        yield peers
