"""A transaction on an asyncpg connection, with its progress and its limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, LiteralString, TypeAlias, TypeVar, final

import asyncpg

from storage.crypto.sealing import Vault
from storage.database.connection import Row
from storage.errors import QueryFailed

T = TypeVar("T")

Held: TypeAlias = asyncpg.pool.PoolConnectionProxy
"""A connection while it is acquired from the pool."""

RELEASE_S: Final = 1.0


@final
class Stage:
    """How far a transaction got."""

    def __init__(self) -> None:
        self.committing = False
        """From now on a lost response may have been a commit's."""


@final
class Transaction:
    """Implements `storage.database.connection.Connection` on a connection within a transaction."""

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


def begin(settings: Mapping[str, str]) -> str:
    """Return the statement that begins a transaction with these settings, in one message to the server."""
    return "; ".join(["BEGIN", *(f"SET LOCAL {name} = '{value}'" for name, value in settings.items())])


async def in_transaction(held: Held, work: Callable[[], Awaitable[T]], stage: Stage, beginning: str) -> T:
    """Begin, do the work and commit. An error before the COMMIT rolls back."""
    await held.execute(beginning)
    try:
        result = await work()
    except Exception:
        if is_usable(held):
            # If this fails, releasing the connection ends it, and the server rolls back.
            with suppress(Exception):
                await held.execute("ROLLBACK", timeout=RELEASE_S)
        raise
    stage.committing = True
    if await held.execute("COMMIT") != "COMMIT":
        # PostgreSQL answers COMMIT with ROLLBACK, without an error, when a statement had failed and `work` went on.
        stage.committing = False
        raise QueryFailed("25P02", "a statement of the transaction failed and was ignored; nothing was written")
    return result


def is_usable(held: Held) -> bool:
    """Return whether statements may still be sent."""
    try:
        return not held.is_closed()
    except asyncpg.InterfaceError:  # the connection was lost, and the pool has taken it back already
        return False
