"""The pool of database connections, as trio sees it.

Every failure below ends here as one of storage's errors, within a bounded time: ``acquire_timeout_s`` for a connection,
``command_timeout_s`` for the work, and at most a second to give up a broken connection.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Concatenate, LiteralString, ParamSpec, TypeVar, TypeVarTuple, final

import trio

from config.postgres_url import PostgresUrl, read
from config.sections import PoolerMode
from storage.crypto.sealing import Vault
from storage.database.asyncpg_pool import AsyncpgPool, PoolStatistics, execute, fetch, fetchrow, fetchval
from storage.database.bridge import Bridge, BridgeClosed, open_bridge
from storage.database.connection import Connection, Row
from storage.database.listening import Listener
from storage.database.transaction import Held
from storage.errors import StorageUnavailable

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@final
class Database:
    """Reads and writes from trio; made by `open_database`.

    Every method raises `StorageUnavailable` when the database cannot be used now, `QueryFailed` when it refuses the
    statement.
    """

    def __init__(self, bridge: Bridge, pool: AsyncpgPool) -> None:
        self._bridge = bridge
        self._pool = pool

    @property
    def vault(self) -> Vault:
        """Seals and opens the values of auth state; the same for every connection of this pool."""
        return self._pool.vault

    async def fetch(self, sql: LiteralString, /, *args: object) -> Sequence[Row]:
        """Return all rows of a reading statement. Cancelling the caller cancels the statement."""
        return await self._read(fetch, sql, args)

    async def fetchrow(self, sql: LiteralString, /, *args: object) -> Row | None:
        """Return the first row, or None."""
        return await self._read(fetchrow, sql, args)

    async def fetchval(self, sql: LiteralString, /, *args: object) -> Any:
        """Return the first column of the first row, or None."""
        return await self._read(fetchval, sql, args)

    async def execute(self, sql: LiteralString, /, *args: object) -> str:
        """Run one statement by itself and return its command tag. Like a read it may be cancelled at any point; use `write` to write."""
        return await self._read(execute, sql, args)

    async def write(
        self, fn: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``await fn(connection, *args)`` in one transaction and return its result once it is committed.

        ``fn`` runs on the asyncio side: it may only await the connection. Whatever it raises rolls everything back and
        is raised here. A write that has begun runs to its end (at most acquire, command and one second) even when the
        caller is cancelled meanwhile. `StorageUnavailable.in_doubt` is True when the connection broke at COMMIT, so
        that the write may have landed.
        """
        return await self._shielded(self._pool.command_timeout_s, None, fn, *args, **kwargs)

    async def write_unless_locked(
        self,
        lock_timeout_s: float,
        fn: Callable[Concatenate[Connection, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Like `write`, but raises `StorageBusy` when another transaction holds a needed lock for longer than ``lock_timeout_s``."""
        return await self._shielded(self._pool.command_timeout_s, lock_timeout_s, fn, *args, **kwargs)

    async def write_single_statement(
        self, fn: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Like `write`, when each statement of ``fn`` may be a transaction by itself: one round trip instead of three."""

        async def work(connection: Connection) -> T:
            return await fn(connection, *args, **kwargs)

        return await self._call_shielded(self._pool.write_single_statement, work)

    async def write_slowly(
        self,
        timeout_s: float,
        fn: Callable[Concatenate[Connection, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Like `write`, with ``timeout_s`` for the transaction instead of the pool's command time-out (migrations,
        sweeps)."""
        return await self._shielded(timeout_s, None, fn, *args, **kwargs)

    def listener(self, channel: str) -> Listener:
        """Return a listener on ``channel``. Its connection, beside the pool, is opened by the first wait."""
        return Listener(self._bridge, self._pool.listen(channel))

    def statistics(self) -> PoolStatistics:
        """Return the pool's state and counters. Never blocks."""
        return self._pool.statistics()

    async def _read(
        self, fn: Callable[[Held, str, tuple[object, ...]], Awaitable[T]], sql: str, args: tuple[object, ...]
    ) -> T:
        try:
            return await self._bridge.call(self._pool.read, fn, sql, args)
        except BridgeClosed:
            raise StorageUnavailable("it was closed") from None

    async def _shielded(
        self,
        timeout_s: float,
        lock_timeout_s: float | None,
        fn: Callable[Concatenate[Connection, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        async def work(connection: Connection) -> T:
            return await fn(connection, *args, **kwargs)

        return await self._call_shielded(self._pool.write, timeout_s, work, lock_timeout_s)

    async def _call_shielded(self, write: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        try:
            return await self._bridge.call_shielded(write, *args)
        except BridgeClosed:
            raise StorageUnavailable("it was closed", in_doubt=True) from None


@asynccontextmanager
async def open_database(
    dsn: str | PostgresUrl,
    *,
    size: int = 10,
    acquire_timeout_s: float = 2.0,
    command_timeout_s: float = 10.0,
    vault: Vault | None = None,
    pooler: PoolerMode = "auto",
    direct: PostgresUrl | None = None,
) -> AsyncGenerator[Database]:
    """Open a pool of at most ``size`` connections. They are opened when first needed, so this does not fail when the server is away.

    ``dsn`` as text is read without the environment; ValueError when it is invalid. ``pooler``: whether one in
    transaction mode is in between; ``auto`` finds out. ``direct``: the URL of the same database past the pooler, for
    listeners.

    ``vault`` seals and opens auth state (storage.tables.auth_state); without one it is stored plain. Leaving the block
    closes the pool; calls still running then end with `StorageUnavailable`.
    """
    url = read(dsn) if isinstance(dsn, str) else dsn
    async with open_bridge() as bridge:
        pool = AsyncpgPool(url, size, acquire_timeout_s, command_timeout_s, vault or Vault(), pooler, direct)
        await bridge.call(pool.open)
        try:
            yield Database(bridge, pool)
        finally:
            with trio.CancelScope(shield=True):
                await bridge.call(pool.close)
