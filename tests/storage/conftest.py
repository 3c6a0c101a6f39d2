"""Fixtures for tests that damage their server, and for those of sealed values."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from storage.database.pool import Database, open_database
from storage.embedded.server import EmbeddedPostgres
from tests.support.master_keys import vault
from tests.support.postgres import reachable_directory


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that the embedded server's account can enter."""
    made = reachable_directory()
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def made_once() -> Iterator[Path]:
    """A directory with a new cluster, stopped: initdb takes most of a second."""
    made = reachable_directory()

    async def make() -> None:
        server = EmbeddedPostgres(made / "postgres")
        await server.start()
        await server.stop()

    trio.run(make)
    yield made / "postgres"
    shutil.rmtree(made)


@pytest.fixture
def cluster(made_once: Path, directory: Path) -> Path:
    """A directory with a new cluster of the test's own."""
    shutil.copytree(made_once, directory / "postgres", symlinks=True)
    _same_owners(made_once, directory / "postgres")
    return directory / "postgres"


def _same_owners(source: Path, copy: Path) -> None:
    for path in (source, *source.rglob("*")):
        facts = path.lstat()
        shutil.chown(copy / path.relative_to(source), facts.st_uid, facts.st_gid)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "master.key"


@pytest.fixture
async def sealing(postgres_dsn: str, file: Path) -> AsyncIterator[Database]:
    """A database with master key 1."""
    async with open_database(postgres_dsn, size=2, vault=vault(file, 1)) as opened:
        yield opened
