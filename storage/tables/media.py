"""Files on WhatsApp's servers, kept for a time: each file's location and the key that opens it, never the file itself.

These are secrets like auth state: with a master key configured they are sealed on writing and opened on reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, LiteralString, final

import msgspec

from storage.crypto.sealing import MEDIA_TABLE, DataKey
from storage.database.batches import BATCH_ROWS, count_of, in_batches
from storage.database.connection import Connection, Reader
from storage.database.pool import Database
from storage.tables import media_keys
from storage.tables.auth_state import opened

KEPT_PER_COMPANY: Final = 100_000
"""Beyond this number the next sweep deletes a company's oldest."""

_KEEP: LiteralString = """
    INSERT INTO whatsapp_media (company_id, media_id, message_id, file, expires_at)
    SELECT company_id, media_id, message_id, file, now() + make_interval(secs => $5)
    FROM unnest($1::text[], $2::text[], $3::text[], $4::json[]) AS new (company_id, media_id, message_id, file)
    ON CONFLICT (company_id, media_id) DO NOTHING
"""
_FIND: LiteralString = """
    SELECT kept.company_id, media_id, message_id, file, extract(epoch FROM expires_at)::float8 AS expires_at,
        data_key_id, kek_id, wrapped, all_sealed
    FROM whatsapp_media kept LEFT JOIN whatsapp_media_keys key ON key.company_id = kept.company_id
    WHERE kept.company_id = $1 AND media_id = $2 AND expires_at > now()
"""
_PAGE: LiteralString = """
    SELECT media_id, file FROM whatsapp_media WHERE company_id = $1 AND media_id > $2 ORDER BY media_id LIMIT $3
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
    """A remembered file."""

    media_id: str
    message_id: str | None
    file: bytes
    expires_at: float
    """Unix seconds."""


async def keep(connection: Connection, media: Sequence[NewMedia], keep_s: float) -> None:
    """Remember files for ``keep_s`` seconds; a file that is remembered already stays as it is.

    Raises `UnreadableState`, with nothing remembered, when they cannot be sealed as the company's other files are.
    """
    keys = await media_keys.for_writing(connection, {one.company_id for one in media})
    await connection.execute(
        _KEEP,
        [one.company_id for one in media],
        [one.media_id for one in media],
        [one.message_id for one in media],
        [_stored(keys.get(one.company_id), one) for one in media],
        keep_s,
    )


def _stored(key: DataKey | None, new: NewMedia) -> bytes:
    return new.file if key is None else key.seal(MEDIA_TABLE, "file", new.media_id, new.file)


async def find(reader: Reader, company_id: str, media_id: str) -> KeptMedia | None:
    """Return the company's file of this id; None when there is none or it has expired. `UnreadableState` when it is not what was kept."""
    row = await reader.fetchrow(_FIND, company_id, media_id)
    if row is None:
        return None
    key = None if row["data_key_id"] is None else reader.vault.unlock(media_keys.from_row(row))
    file = opened(key, company_id, MEDIA_TABLE, "file", media_id, row["file"])
    return KeptMedia(media_id, row["message_id"], file, row["expires_at"])


async def open_all(reader: Reader, company_id: str, *, at_once: int = 1000) -> int:
    """Open everything that is remembered of the company's files and return how many there are. Raises `UnreadableState`."""
    key = await media_keys.for_reading(reader, company_id)
    count, after = 0, ""
    while rows := await reader.fetch(_PAGE, company_id, after, at_once):
        for row in rows:
            opened(key, company_id, MEDIA_TABLE, "file", row["media_id"], row["file"])
        count, after = count + len(rows), rows[-1]["media_id"]
    return count


async def prune(db: Database, *, batch: int = BATCH_ROWS, kept_per_company: int = KEPT_PER_COMPANY) -> int:
    """Delete expired files and those beyond a company's limit, ``batch`` a transaction, and return how many."""
    return await in_batches(db, lambda connection, rows: _prune_batch(connection, kept_per_company, rows), batch)


async def _prune_batch(connection: Connection, kept_per_company: int, batch: int) -> int:
    over = await connection.execute(_PRUNE, batch)
    too_many = await connection.execute(_TRIM, kept_per_company, batch)
    return count_of(over) + count_of(too_many)
