"""Answers given under an idempotency key, kept for a time so that a repeated request gets the first one's."""

from __future__ import annotations

from typing import Final, LiteralString, final

import msgspec

from storage.connection import Connection, Reader
from storage.pool import Database

KEEP_S: Final = 24 * 3600.0

_FIND: LiteralString = """
    SELECT request_digest, response FROM idempotency WHERE company_id = $1 AND key = $2 AND expires_at > now()
"""
# An expired record that has not been swept yet gives way; a live one stays.
_REMEMBER: LiteralString = """
    INSERT INTO idempotency AS kept (company_id, key, request_digest, response, expires_at)
    VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))
    ON CONFLICT (company_id, key) DO UPDATE SET request_digest = excluded.request_digest, response = excluded.response,
        created_at = now(), expires_at = excluded.expires_at
    WHERE kept.expires_at <= now()
"""
_PRUNE: LiteralString = """
    DELETE FROM idempotency WHERE (company_id, key) IN (
        SELECT company_id, key FROM idempotency WHERE expires_at <= now() ORDER BY expires_at LIMIT $1
    )
"""


@final
class KeptAnswer(msgspec.Struct, frozen=True):
    """What was asked under a key, and answered."""

    request_digest: bytes
    response: bytes
    """JSON."""


async def find(reader: Reader, company_id: str, key: str) -> KeptAnswer | None:
    """The answer kept under the company's key, None when there is none or its time is over."""
    row = await reader.fetchrow(_FIND, company_id, key)
    return None if row is None else KeptAnswer(row["request_digest"], row["response"])


async def remember(
    connection: Connection, company_id: str, key: str, request_digest: bytes, response: bytes, keep_s: float = KEEP_S
) -> bool:
    """Keep the answer (JSON) for ``keep_s`` seconds. False, and nothing changed, when one is kept under this key
    already."""
    return await connection.execute(_REMEMBER, company_id, key, request_digest, response, keep_s) == "INSERT 0 1"


async def prune(db: Database, *, batch: int = 1000) -> int:
    """Delete the answers whose time is over, ``batch`` a transaction, and return how many."""
    total = 0
    while True:
        deleted = await db.write(_prune_batch, batch)
        total += deleted
        if deleted < batch:
            return total


async def _prune_batch(connection: Connection, batch: int) -> int:
    tag = await connection.execute(_PRUNE, batch)
    return int(tag.removeprefix("DELETE "))
