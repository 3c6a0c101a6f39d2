"""Expiry of keys: LID mappings expire a week after their last write, unless a running session still needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import LiteralString, final

import msgspec

from storage.database.batches import BATCH_ROWS, in_batches, unheard
from storage.database.connection import Connection
from storage.database.pool import Database

_REFRESH: LiteralString = "SELECT refresh_needed_whatsapp_keys($1)"
_CLEANUP: LiteralString = "SELECT cleanup_expired_whatsapp_keys($1)"


@final
class KeysSwept(msgspec.Struct, frozen=True):
    """How many expiring keys were refreshed and deleted."""

    refreshed: int
    deleted: int


async def sweep_keys(
    db: Database, batch_rows: int = BATCH_ROWS, *, progress: Callable[[int], None] = unheard
) -> KeysSwept:
    """Give running sessions' keys another week and delete the other expired ones, ``batch_rows`` a transaction.

    ``progress`` gets the number of rows of each batch.
    """
    refreshed = await _repeat(db, _REFRESH, batch_rows, progress)
    deleted = await _repeat(db, _CLEANUP, batch_rows, progress)
    return KeysSwept(refreshed, deleted)


async def _repeat(db: Database, sql: LiteralString, batch_rows: int, progress: Callable[[int], None]) -> int:
    return await in_batches(db, lambda connection, rows: _count(connection, sql, rows), batch_rows, progress)


async def _count(connection: Connection, sql: LiteralString, batch_rows: int) -> int:
    rows: int = await connection.fetchval(sql, batch_rows)
    return rows
