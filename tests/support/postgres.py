"""The tests' PostgreSQL: one embedded server for the whole run, a fresh migrated database for each test that asks for one."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import final

import asyncpg
import pytest
import trio

from storage.database.migrate import migrate
from storage.database.pool import Database, open_database
from storage.embedded.server import EmbeddedPostgres

_TEMPLATE = "wasup_template"
_MEMORY = "/dev/shm"


@final
class PostgresServer:
    """The session's server. Databases are cloned from one that has been migrated once."""

    def __init__(self, server: EmbeddedPostgres, dsn: str) -> None:
        self.server = server
        self.dsn = dsn
        """Of the maintenance database."""
        self._numbers = count(1)

    def create_database(self, *, migrated: bool = True) -> str:
        """Make a database of its own for a test and return its DSN."""
        name = f"test_{next(self._numbers)}"
        template = _TEMPLATE if migrated else "template0"
        # Twice as fast as the default, which writes every page to the log.
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return self.dsn_of(name)

    def drop_database(self, dsn: str) -> None:
        """Drop it, ending every connection to it."""
        self.run(f"DROP DATABASE IF EXISTS {database_name(dsn)} WITH (FORCE)")

    def dsn_of(self, name: str) -> str:
        """The DSN of another database of this server."""
        return self.dsn.replace("@/postgres?", f"@/{name}?")

    def run(self, sql: str) -> None:
        """Run one statement on the maintenance database, outside any transaction."""
        asyncio.run(_execute(self.dsn, sql))


def database_name(dsn: str) -> str:
    """The database that a DSN of this server names."""
    return dsn.partition("@/")[2].partition("?")[0]


async def _execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def _migrate(dsn: str) -> None:
    async with open_database(dsn, size=1) as database:
        await migrate(database)


def reachable_directory() -> Path:
    """A new directory that the embedded server's account can enter: pytest's own (0700) are closed to root's `nobody`.

    In memory where there is room: a busy disk takes a second to clone a database, memory 25 ms.
    """
    directory = Path(tempfile.mkdtemp(prefix="wasup-tests-", dir=_MEMORY if _has_room(_MEMORY) else None))
    directory.chmod(0o711)
    return directory


def _has_room(directory: str) -> bool:
    try:
        facts = os.statvfs(directory)
    except OSError:
        return False
    roomy = facts.f_bavail * facts.f_frsize >= 2 * 1024**3
    return roomy and not facts.f_flag & os.ST_NOEXEC and os.access(directory, os.W_OK | os.X_OK)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's embedded server. fsync is off: no test simulates a power failure."""
    directory = reachable_directory()
    embedded = EmbeddedPostgres(directory / "postgres", settings={"fsync": "off", "max_connections": "100"})
    try:
        server = PostgresServer(embedded, trio.run(embedded.start))
        server.run(f"CREATE DATABASE {_TEMPLATE}")
        trio.run(_migrate, server.dsn_of(_TEMPLATE))
        yield server
    finally:
        trio.run(embedded.stop)
        shutil.rmtree(directory)


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """The DSN of a fresh, migrated database."""
    dsn = postgres_server.create_database()
    yield dsn
    postgres_server.drop_database(dsn)


@pytest.fixture
def empty_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """The DSN of a fresh database that has not been migrated."""
    dsn = postgres_server.create_database(migrated=False)
    yield dsn
    postgres_server.drop_database(dsn)


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncIterator[Database]:
    """An open pool on a fresh, migrated database."""
    async with open_database(postgres_dsn, size=4) as opened:
        yield opened
