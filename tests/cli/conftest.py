"""A daemon with fakes behind a real server, and the command line pointed at it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
import structlog

from tests.cli.terminal import Terminal
from tests.http.world import ADMIN_KEY, Daemon, running
from tests.support.master_keys import write_keys


@pytest.fixture
async def daemon() -> AsyncGenerator[Daemon, None]:
    """Companies 962302 and 962303 connected, an admin key, a key for 962302."""
    async with running() as started:
        yield started


@pytest.fixture
def bare_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """The command line with a state directory of its own and nothing else in its environment."""
    for name in ("WASUP_URL", "WASUP_KEY", "WASUP_CONFIG", "DATABASE_URL", "REDIS_URL", "WASUP_MASTER_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    state_dir = tmp_path / "state"
    monkeypatch.setenv("WASUP_STATE_DIR", str(state_dir))
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Terminal(state_dir)
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def terminal(bare_terminal: Terminal, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """The command line with the address of the daemon and the admin key."""
    monkeypatch.setenv("WASUP_URL", daemon.url)
    monkeypatch.setenv("WASUP_KEY", ADMIN_KEY)
    return bare_terminal


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "master.key"


@pytest.fixture
def configured(bare_terminal: Terminal, postgres_dsn: str, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal with the database and master key 1."""
    monkeypatch.setenv("DATABASE_URL", postgres_dsn)
    monkeypatch.setenv("WASUP_MASTER_KEY_FILE", str(write_keys(key_file, 1)))
    return bare_terminal
