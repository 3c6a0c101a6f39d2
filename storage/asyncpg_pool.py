"""The asyncio side of the pool: asyncpg's connections, its time-outs, and what its errors mean."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, LiteralString, TypeAlias, TypeVar, cast, final

import asyncpg
import msgspec

from storage.connection import Connection, Row, milliseconds
from storage.errors import QueryFailed, StorageError, StorageUnavailable
from storage.gate import ReconnectGate
from storage.listening import NotificationSocket
from storage.sealing import Vault
from storage.sqlstates import is_outdated, translate

T = TypeVar("T")

Held: TypeAlias = asyncpg.pool.PoolConnectionProxy
"""A connection while it is taken out of the pool."""

IDLE_IN_TRANSACTION_S: Final = 5.0
"""A daemon that was stopped within a transaction, or cut off, holds the locks of companies that another one is to take over: PostgreSQL
ends it after this."""

_RELEASE_S: Final = 1.0
_CLOSE_S: Final = 2.0
_DEFINITE = (asyncpg.IntegrityConstraintViolationError, asyncpg.TransactionRollbackError)
"""What COMMIT may answer that says for certain that nothing was committed."""


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


@final
class AsyncpgPool:
    """Lives on the asyncio side; only `statistics` is called from trio's thread, and reads plain numbers."""

    def __init__(self, dsn: str, size: int, acquire_timeout_s: float, command_timeout_s: float, vault: Vault) -> None:
        self.command_timeout_s = command_timeout_s
        self.vault = vault
        self._dsn = dsn
        self._size = size
        self._acquire_timeout_s = acquire_timeout_s
        self._generation = 0
        """Of the sessions that are begun now; it grows when they turn out to be outdated."""
        self._reads = self._writes = self._unavailable = self._in_doubt = 0
        self._last_error: str | None = None
        self._sockets: list[NotificationSocket] = []

    async def open(self) -> None:
        self._gate = ReconnectGate()
        milliseconds = str(int(self.command_timeout_s * 1000))
        self._pool = await asyncpg.create_pool(
            self._dsn,
            min_size=0,
            max_size=self._size,
            connect=self._connect,
            connection_class=_Connection,
            init=_pass_json_through,
            # A statement that we gave up must not go on holding locks; jit costs more than it gives on statements this
            # short.
            server_settings={
                "application_name": "wasup",
                "statement_timeout": milliseconds,
                "idle_in_transaction_session_timeout": str(int(IDLE_IN_TRANSACTION_S * 1000)),
                "jit": "off",
                "timezone": "UTC",
            },
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
        self._writes += 1
        connection = await self._acquire()
        stage = _Stage()
        try:
            async with asyncio.timeout(timeout_s):
                return await _in_transaction(
                    connection,
                    lambda: work(_Transaction(connection, self.vault)),
                    stage,
                    _begin(timeout_s if timeout_s > self.command_timeout_s else None, lock_timeout_s),
                )
        except Exception as exc:
            in_commit = stage.committing and not isinstance(exc, _DEFINITE)
            await self._fail(exc, connection, in_commit=in_commit)
            raise
        finally:
            await self._release(connection)

    async def write_at_once(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """For statements that are transactions by themselves: so any of their answers that is lost may have been a commit's."""
        self._writes += 1
        connection = await self._acquire()
        try:
            async with asyncio.timeout(self.command_timeout_s):
                return await work(_Transaction(connection, self.vault))
        except Exception as exc:
            in_commit = not isinstance(exc, _DEFINITE)
            await self._fail(exc, connection, in_commit=in_commit)
            raise
        finally:
            await self._release(connection)

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
        )

    def listen(self, channel: str) -> NotificationSocket:
        """A connection beside the pool that hears of what is notified on ``channel``; closed with the pool."""
        socket = NotificationSocket(self._connect_to_listen, channel)
        self._sockets.append(socket)
        return socket

    async def _connect_to_listen(self) -> asyncpg.Connection:
        return await asyncpg.connect(self._dsn, server_settings={"application_name": "wasup (listens)"})

    async def _connect(self, *args: Any, **kwargs: Any) -> Any:
        generation = self._generation
        connection: Any = await self._gate.attempt(lambda: asyncpg.connect(*args, **kwargs))
        connection.generation = generation
        return connection

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
            await self._pool.release(connection, timeout=_RELEASE_S)

    async def _fail(self, exc: Exception, held: Held, *, in_commit: bool = False) -> None:
        error = translate(exc, connecting=False, usable=_is_usable(held), in_commit=in_commit)
        if is_outdated(exc):
            await self._discard(held)
        self._raise(error, exc)

    async def _discard(self, held: Held) -> None:
        """End an outdated session; those that were begun no later are outdated too, and are replaced when they are taken next."""
        with suppress(asyncpg.InterfaceError):  # it was lost, and the pool has taken it back already
            generation: int = cast("Any", held).generation
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


@final
class _Stage:
    """How far a transaction got."""

    def __init__(self) -> None:
        self.committing = False


@final
class _Transaction:
    """What `storage.connection.Connection` asks for, of a connection within a transaction."""

    __slots__ = ("_held", "vault")

    def __init__(self, held: Held, vault: Vault) -> None:
        self._held = held
        self.vault = vault

    async def fetch(self, sql: LiteralString, /, *args: object) -> Sequence[Row]:
        return await self._held.fetch(sql, *args)

    async def fetchrow(self, sql: LiteralString, /, *args: object) -> Row | None:
        return await self._held.fetchrow(sql, *args)

    async def fetchval(self, sql: LiteralString, /, *args: object) -> Any:
        return await self._held.fetchval(sql, *args)

    async def execute(self, sql: LiteralString, /, *args: object) -> str:
        return await self._held.execute(sql, *args)


def _begin(statement_timeout_s: float | None, lock_timeout_s: float | None) -> str:
    """What begins a transaction, in one message to the server."""
    limits = {"statement_timeout": statement_timeout_s, "lock_timeout": lock_timeout_s}
    changed = [f"SET LOCAL {name} = {milliseconds(s)}" for name, s in limits.items() if s is not None]
    return "; ".join(["BEGIN", *changed])


async def _in_transaction(connection: Held, work: Callable[[], Awaitable[T]], stage: _Stage, begin: str) -> T:
    await connection.execute(begin)
    try:
        result = await work()
    except Exception:
        if _is_usable(connection):
            # Should this fail, releasing the connection ends it, and the server rolls back by itself.
            with suppress(Exception):
                await connection.execute("ROLLBACK", timeout=_RELEASE_S)
        raise
    stage.committing = True
    if await connection.execute("COMMIT") != "COMMIT":
        # PostgreSQL answers COMMIT with ROLLBACK, and no error, when a statement had failed and `work` went on
        # regardless.
        stage.committing = False
        raise QueryFailed("25P02", "a statement of the transaction failed and was ignored; nothing was written")
    return result


def _is_usable(connection: Held) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # it was lost, and the pool has taken it back already
        return False


@final
class _Connection(asyncpg.Connection):
    generation: int
    """The pool's when this was begun."""

    def get_reset_query(self) -> str:
        """Empty: nothing here changes a session's state outside a transaction, so releasing needs no round trip."""
        return ""


async def _pass_json_through(connection: asyncpg.Connection) -> None:
    # JSON goes in and out as the bytes of its text: whoever wants it decoded decodes it. JSONB's binary form is a
    # version byte and that text.
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
