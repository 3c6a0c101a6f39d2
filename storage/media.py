"""Files on WhatsApp's servers, kept for a time: where each is and the key that opens it, never the file itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, LiteralString, final

import msgspec

from storage.connection import Connection, Reader
from storage.pool import Database

KEPT_PER_COMPANY: Final = 100_000
"""Of more, the oldest go at the next sweep."""

_KEEP: LiteralString = """
    INSERT INTO whatsapp_media (company_id, media_id, message_id, file, expires_at)
    SELECT company_id, media_id, message_id, file, now() + make_interval(secs => $5)
    FROM unnest($1::text[], $2::text[], $3::text[], $4::json[]) AS new (company_id, media_id, message_id, file)
    ON CONFLICT (company_id, media_id) DO NOTHING
"""
_FIND: LiteralString = """
    SELECT media_id, message_id, file, extract(epoch FROM expires_at)::float8 AS expires_at
    FROM whatsapp_media WHERE company_id = $1 AND media_id = $2 AND expires_at > now()
"""
_PRUNE: LiteralString = """
    DELETE FROM whatsapp_media WHERE (company_id, media_id) IN (
        SELECT company_id, media_id FROM whatsapp_media WHERE expires_at <= now() ORDER BY expires_at LIMIT $1
    )
"""
_TRIM: LiteralString = """
    DELETE FROM whatsapp_media WHERE (company_id, media_id) IN (
        SELECT company_id, media_id FROM (
            SELECT company_id, media_id, row_number() OVER (PARTITION BY company_id ORDER BY created_at DESC) AS place
            FROM whatsapp_media
        ) counted WHERE place > $1 LIMIT $2
    )
"""


@final
class NewMedia(msgspec.Struct, frozen=True):
    """A file to remember."""

    company_id: str
    media_id: str
    message_id: str | None
    """The message it came with; None for one that the application uploaded."""
    file: bytes
    """JSON."""


@final
class KeptMedia(msgspec.Struct, frozen=True):
    """A file that is remembered."""

    media_id: str
    message_id: str | None
    file: bytes
    expires_at: float
    """Unix seconds."""


async def keep(connection: Connection, media: Sequence[NewMedia], keep_s: float) -> None:
    """Remember files for ``keep_s`` seconds; one that is remembered already stays as it is."""
    await connection.execute(
        _KEEP,
        [one.company_id for one in media],
        [one.media_id for one in media],
        [one.message_id for one in media],
        [one.file for one in media],
        keep_s,
    )


async def find(reader: Reader, company_id: str, media_id: str) -> KeptMedia | None:
    """The company's file of this id; None when there is none (any more)."""
    row = await reader.fetchrow(_FIND, company_id, media_id)
    return None if row is None else KeptMedia(row["media_id"], row["message_id"], row["file"], row["expires_at"])


async def prune(db: Database, *, batch: int = 1000, kept_per_company: int = KEPT_PER_COMPANY) -> int:
    """Forget what is over and what is too much, ``batch`` a transaction, and return how many."""
    total = 0
    while True:
        deleted = await db.write(_prune_batch, kept_per_company, batch)
        total += deleted
        if deleted < batch:
            return total


async def _prune_batch(connection: Connection, kept_per_company: int, batch: int) -> int:
    over = await connection.execute(_PRUNE, batch)
    too_many = await connection.execute(_TRIM, kept_per_company, batch)
    return sum(int(tag.removeprefix("DELETE ")) for tag in (over, too_many))
