"""The embedded server with the daemon's settings, and databases in it: plain, and sealed as with a master key."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, final

import trio

from config.sections import StorageSettings
from storage.crypto.sealing import Vault
from storage.database.migrate import migrate
from storage.database.pool import Database, open_database
from storage.embedded.process import serving
from storage.embedded.server import EmbeddedPostgres
from tests.support.master_keys import vault
from tests.support.postgres import PostgresServer

SHOWN: Final = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
)
FILL_TIMEOUT_S: Final = 1800.0
_TEMPLATE: Final = "wasup_bench"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Store:
    """A database in use."""

    database: Database
    dsn: str


@final
class Site:
    """A running server; made by `open_site`."""

    def __init__(self, directory: Path, embedded: EmbeddedPostgres, dsn: str) -> None:
        self.directory = directory
        self.vaults = {"plain": Vault(), "sealed": vault(directory / "master.key", 1)}
        """The vault of a database, by the way its values are stored."""
        self._embedded = embedded
        self._server = PostgresServer(embedded, dsn)
        self._numbers = count(1)

    async def prepare(self) -> None:
        """Make the database that all others are copies of, and print the server's settings."""
        await self._run(f"CREATE DATABASE {_TEMPLATE}")
        async with open_database(self._server.dsn_of(_TEMPLATE), size=2) as database:
            await migrate(database)
            shown = [f"{name} {await database.fetchval('SELECT current_setting($1)', name)}" for name in SHOWN]
        print("postgres  ", ", ".join(shown), flush=True)

    @asynccontextmanager
    async def store(self, way: str, *, command_timeout_s: float | None = None) -> AsyncGenerator[Store]:
        """Yield a new migrated database with the daemon's pool, and drop it after the block. ``way`` is `plain` or `sealed`."""
        name, settings = f"{_TEMPLATE}_{next(self._numbers)}", StorageSettings()
        await self._run(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        dsn = self._server.dsn_of(name)
        try:
            async with open_database(
                dsn,
                size=settings.pool_connections,
                acquire_timeout_s=settings.acquire_timeout_s,
                command_timeout_s=command_timeout_s or settings.command_timeout_s,
                vault=self.vaults[way],
            ) as database:
                yield Store(database, dsn)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._server.drop_database, dsn)

    def postgres_cpu_s(self) -> float:
        """Return the processor time of all processes of the server so far, also ended ones."""
        parent = self._embedded.pid
        return sum(_cpu_s(pid, with_children=pid == parent) for pid in serving(self._embedded.data))

    async def _run(self, sql: str) -> None:
        await trio.to_thread.run_sync(partial(self._server.run, sql))


@asynccontextmanager
async def open_site(directory: Path) -> AsyncGenerator[Site]:
    """Run a server in ``directory`` with only the daemon's own settings."""
    embedded = EmbeddedPostgres(directory / "postgres")
    dsn = await embedded.start()
    try:
        site = Site(directory, embedded, dsn)
        await site.prepare()
        yield site
    finally:
        await embedded.stop()


def _cpu_s(pid: int, *, with_children: bool) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended, and its time counts for its parent
        return 0.0
    return sum(map(int, fields[11 : 15 if with_children else 13])) / _TICKS
