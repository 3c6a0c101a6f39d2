"""The asyncio side of the pool: asyncpg's connections, its time-outs, and what its errors mean."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final, TypeVar, final

import asyncpg
import msgspec

from config.postgres_url import PostgresUrl
from config.sections import PoolerMode
from storage.crypto.sealing import Vault
from storage.database.connection import Connection, Row, milliseconds
from storage.database.dialer import Dialer, Session, session_of
from storage.database.dialing import connect_timeout
from storage.database.gate import ReconnectGate
from storage.database.listening import NotificationSocket
from storage.database.sqlstates import is_outdated, translate
from storage.database.transaction import RELEASE_S, Held, Stage, Transaction, begin, in_transaction, is_usable
from storage.errors import StorageError, StorageUnavailable

T = TypeVar("T")

IDLE_IN_TRANSACTION_S: Final = 5.0
"""PostgreSQL ends a transaction that has been idle for this long: a daemon that was stopped or cut off within one
still holds the locks of companies that another daemon must take over."""

_NO_SETTINGS: Final[Mapping[str, str]] = MappingProxyType({})
_CLOSE_S: Final = 2.0
_DEFINITE = (asyncpg.IntegrityConstraintViolationError, asyncpg.TransactionRollbackError)
"""The errors of COMMIT after which it is certain that nothing was committed."""


class PoolStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot; counters grow from the pool's opening."""

    size: int
    """Connections open now."""
    idle: int
    limit: int
    reads: int
    writes: int
    unavailable: int
    """Calls that ended with `StorageUnavailable`."""
    in_doubt: int
    gate_open: bool
    """False: the last attempt to connect failed and no other has succeeded yet."""
    connect_attempts: int
    connect_failures: int
    last_error: str | None
    is_pooled: bool | None
    """Whether a pooler in transaction mode is in between; None until the first session exists."""


@final
class AsyncpgPool:
    """Lives on the asyncio side. Only `statistics` is called from trio's thread; it reads plain numbers."""

    def __init__(
        self,
        url: PostgresUrl,
        size: int,
        acquire_timeout_s: float,
        command_timeout_s: float,
        vault: Vault,
        pooler: PoolerMode,
        direct: PostgresUrl | None,
    ) -> None:
        self.command_timeout_s = command_timeout_s
        self.vault = vault
        self._dialer = Dialer(url, pooler, _session_settings(command_timeout_s), direct)
        self._size = size
        self._acquire_timeout_s = max(acquire_timeout_s, connect_timeout(url) or 0.0)
        self._generation = 0
        """The generation of sessions begun now; it grows when they turn out to be outdated."""
        self._reads = self._writes = self._unavailable = self._in_doubt = 0
        self._last_error: str | None = None
        self._sockets: list[NotificationSocket] = []

    async def open(self) -> None:
        self._gate = ReconnectGate()
        self._pool = await asyncpg.create_pool(
            min_size=0, max_size=self._size, connect=self._connect, connection_class=Session, init=_pass_json_through
        )

    async def close(self) -> None:
        for socket in self._sockets:
            socket.close()
        try:
            await asyncio.wait_for(self._pool.close(), _CLOSE_S)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._pool.terminate()

    async def read(
        self, fn: Callable[[Held, str, tuple[object, ...]], Awaitable[T]], sql: str, args: tuple[object, ...]
    ) -> T:
        self._reads += 1
        connection = await self._acquire()
        try:
            async with asyncio.timeout(self.command_timeout_s):
                return await fn(connection, sql, args)
        except Exception as exc:
            await self._fail(exc, connection)
            raise
        finally:
            await self._release(connection)

    async def write(
        self, timeout_s: float, work: Callable[[Connection], Awaitable[T]], lock_timeout_s: float | None = None
    ) -> T:
        limits: dict[str, str] = {}
        if timeout_s > self.command_timeout_s:
            limits["statement_timeout"] = str(milliseconds(timeout_s))
        if lock_timeout_s is not None:
            limits["lock_timeout"] = str(milliseconds(lock_timeout_s))
        return await self._write(timeout_s, work, limits)

    async def write_single_statement(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run statements that are transactions by themselves. A lost response to any of them may have been a commit's.

        Through a pooler they run in one transaction, since only a transaction can carry their limits there.
        """
        return await self._write(self.command_timeout_s, work, None)

    async def _write(
        self, timeout_s: float, work: Callable[[Connection], Awaitable[T]], limits: dict[str, str] | None
    ) -> T:
        """Run ``work`` in a transaction with these limits; with None, run each statement in its own where that is possible."""
        self._writes += 1
        held = await self._acquire()
        stage, transaction = Stage(), Transaction(held, self.vault)
        own = self._dialer.settings if session_of(held).is_pooled else _NO_SETTINGS
        try:
            async with asyncio.timeout(timeout_s):
                if limits is None and not own:
                    stage.committing = True
                    return await work(transaction)
                return await in_transaction(held, lambda: work(transaction), stage, begin({**own, **(limits or {})}))
        except Exception as exc:
            in_commit = stage.committing and not isinstance(exc, _DEFINITE)
            await self._fail(exc, held, in_commit=in_commit)
            raise
        finally:
            await self._release(held)

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(
            size=self._pool.get_size(),
            idle=self._pool.get_idle_size(),
            limit=self._size,
            reads=self._reads,
            writes=self._writes,
            unavailable=self._unavailable,
            in_doubt=self._in_doubt,
            gate_open=self._gate.is_open,
            connect_attempts=self._gate.attempts,
            connect_failures=self._gate.failures,
            last_error=self._last_error,
            is_pooled=self._dialer.is_pooled,
        )

    def listen(self, channel: str) -> NotificationSocket:
        """Return a socket that hears notifications on ``channel``, on a connection beside the pool. It is closed with the pool."""
        socket = NotificationSocket(self._dialer.dial_to_listen, channel)
        self._sockets.append(socket)
        return socket

    async def _connect(self, *_: Any, **of_pool: Any) -> Session:
        generation = self._generation
        session = await self._gate.attempt(lambda: self._dialer.dial(**of_pool))
        session.generation = generation
        return session

    async def _acquire(self) -> Held:
        try:
            async with asyncio.timeout(self._acquire_timeout_s):  # asyncpg's own time-out takes a task each time
                return await self._pool.acquire()
        except Exception as exc:
            self._raise(translate(exc, connecting=True, usable=False), exc)
            raise

    async def _release(self, connection: Held) -> None:
        # When this fails asyncpg has ended that connection, and the call's own outcome is what counts.
        with suppress(Exception):
            await self._pool.release(connection, timeout=RELEASE_S)

    async def _fail(self, exc: Exception, held: Held, *, in_commit: bool = False) -> None:
        error = translate(exc, connecting=False, usable=is_usable(held), in_commit=in_commit)
        if is_outdated(exc):
            await self._discard(held)
        self._raise(error, exc)

    async def _discard(self, held: Held) -> None:
        """End an outdated session. Sessions begun no later are outdated too, and are replaced when they are next acquired."""
        with suppress(asyncpg.InterfaceError):  # the connection was lost, and the pool has taken it back already
            generation = session_of(held).generation
            held.terminate()
            if generation == self._generation:
                self._generation += 1
                await self._pool.expire_connections()

    def _raise(self, error: StorageError | None, cause: Exception) -> None:
        if error is None:
            return
        if isinstance(error, StorageUnavailable):
            self._unavailable += 1
            self._in_doubt += error.in_doubt
            self._last_error = error.reason
            raise error from cause
        raise error from None  # the server's DETAIL may quote stored values: keep it out of tracebacks


def _session_settings(command_timeout_s: float) -> dict[str, str]:
    return {
        # A statement that we gave up must not keep its locks.
        "statement_timeout": str(milliseconds(command_timeout_s)),
        "idle_in_transaction_session_timeout": str(milliseconds(IDLE_IN_TRANSACTION_S)),
        "jit": "off",  # costs more than it gives on statements this short
        "timezone": "UTC",
    }


async def _pass_json_through(connection: asyncpg.Connection) -> None:
    # JSON goes in and out as the bytes of its text; callers decode it themselves. JSONB's binary form is a version byte
    # and that text.
    await connection.set_type_codec("json", schema="pg_catalog", format="binary", encoder=bytes, decoder=bytes)
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=_jsonb, decoder=operator.itemgetter(slice(1, None))
    )


def _jsonb(value: bytes) -> bytes:
    return b"\x01" + value


async def fetch(connection: Held, sql: str, args: tuple[object, ...]) -> Sequence[Row]:
    return await connection.fetch(sql, *args)


async def fetchrow(connection: Held, sql: str, args: tuple[object, ...]) -> Row | None:
    return await connection.fetchrow(sql, *args)


async def fetchval(connection: Held, sql: str, args: tuple[object, ...]) -> Any:
    return await connection.fetchval(sql, *args)


async def execute(connection: Held, sql: str, args: tuple[object, ...]) -> str:
    return await connection.execute(sql, *args)
