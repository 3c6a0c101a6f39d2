"""Dead letters as their readers see them: list, ask for a replay, prune.

Each letter, not its webhook, decides whether an API key may see it: a webhook that served more companies once keeps the
letters of those it no longer serves. ``only`` holds the companies of the key, None for all.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import LiteralString, final

import msgspec

from storage.database.batches import BATCH_ROWS, count_of, in_batches
from storage.database.connection import Connection, Reader
from storage.database.pool import Database

_LIST: LiteralString = """
    SELECT seq, event_id, type, company_id, attempts, failure, status, died_at, replay_at, body FROM webhook_dead_letters
    WHERE webhook_id = $1 AND ($2::text[] IS NULL OR company_id = ANY ($2)) AND seq > $3 ORDER BY seq LIMIT $4
"""
# A letter is sent again only if the webhook still serves its company.
_REPLAY: LiteralString = """
    UPDATE webhook_dead_letters dead SET replay_at = now() FROM webhooks hook
    WHERE hook.webhook_id = $1 AND dead.webhook_id = $1 AND (hook.companies IS NULL OR dead.company_id = ANY (hook.companies))
        AND ($2::text[] IS NULL OR dead.company_id = ANY ($2))
        AND dead.replay_at IS NULL AND ($3::text[] IS NULL OR dead.event_id = ANY ($3))
"""
_DISCARD: LiteralString = """
    DELETE FROM webhook_dead_letters
    WHERE webhook_id = $1 AND ($2::text[] IS NULL OR company_id = ANY ($2)) AND ($3::text[] IS NULL OR event_id = ANY ($3))
"""
_PRUNE_OLD: LiteralString = """
    DELETE FROM webhook_dead_letters WHERE (webhook_id, seq) IN (
        SELECT webhook_id, seq FROM webhook_dead_letters WHERE died_at < now() - make_interval(secs => $1) ORDER BY died_at LIMIT $2
    )
"""
_PRUNE_MANY: LiteralString = """
    DELETE FROM webhook_dead_letters WHERE (webhook_id, seq) IN (
        SELECT webhook_id, seq FROM (
            SELECT webhook_id, seq, row_number() OVER (PARTITION BY webhook_id ORDER BY seq DESC) AS place FROM webhook_dead_letters
        ) placed WHERE place > $1 LIMIT $2
    )
"""


@final
class ListedLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter."""

    seq: int
    event_id: str
    type: str
    company_id: str
    attempts: int
    failure: str
    status: int | None
    died_at: datetime
    replay_at: datetime | None
    body: bytes


async def list_page(
    reader: Reader, only: Collection[str] | None, webhook_id: str, *, after: int = 0, limit: int = 100
) -> list[ListedLetter]:
    """Return dead letters of a webhook by seq."""
    rows = await reader.fetch(_LIST, webhook_id, _array(only), after, limit)
    return [ListedLetter(**{name: row[name] for name in ListedLetter.__struct_fields__}) for row in rows]


async def ask_for_replay(
    connection: Connection, only: Collection[str] | None, webhook_id: str, event_ids: Collection[str] | None
) -> int:
    """Request a replay of these letters (None: all) and return how many. Letters with a pending replay do not count
    again, nor do those of companies that the webhook no longer serves."""
    return count_of(await connection.execute(_REPLAY, webhook_id, _array(only), _array(event_ids)))


async def discard(
    connection: Connection, only: Collection[str] | None, webhook_id: str, event_ids: Collection[str] | None
) -> int:
    """Delete these letters (None: all) for good and return how many."""
    return count_of(await connection.execute(_DISCARD, webhook_id, _array(only), _array(event_ids)))


async def prune(database: Database, older_than_s: float, most: int, *, batch: int = BATCH_ROWS) -> int:
    """Delete old letters, and of each webhook the oldest beyond ``most``. Return how many."""
    old = await _prune(database, _PRUNE_OLD, older_than_s, batch)
    return old + await _prune(database, _PRUNE_MANY, most, batch)


def _array(values: Collection[str] | None) -> list[str] | None:
    return None if values is None else list(values)


async def _prune(database: Database, sql: LiteralString, limit: float, batch: int) -> int:
    return await in_batches(database, lambda connection, rows: _delete(connection, sql, limit, rows), batch)


async def _delete(connection: Connection, sql: LiteralString, limit: float, batch: int) -> int:
    return count_of(await connection.execute(sql, limit, batch))
