"""The keys that seal companies' remembered files: one a company, which linking anew does not retire."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, LiteralString

import msgspec

from storage.crypto.sealing import MEDIA_TABLE, DataKey, StoredDataKey, is_sealed
from storage.database.batches import BATCH_ROWS, count_of, in_batches
from storage.database.connection import Connection, Reader, Row
from storage.database.pool import Database
from storage.errors import UnreadableState
from storage.tables import data_keys

PURPOSE: Final = "media key"
SEALED_AT_ONCE: Final = 1000

_COLUMNS: Final = ("company_id", "data_key_id", "kek_id", "wrapped", "all_sealed")

_FIND: LiteralString = """
    SELECT company_id, data_key_id, kek_id, wrapped, all_sealed FROM whatsapp_media_keys WHERE company_id = ANY ($1)
"""
# A writer that seals holds the key until its commit, so that `prune` takes no key whose first file is about to be
# stored.
_HOLD: LiteralString = """
    SELECT company_id, data_key_id, kek_id, wrapped, all_sealed FROM whatsapp_media_keys WHERE company_id = ANY ($1)
    ORDER BY company_id FOR KEY SHARE
"""
_LOCK: LiteralString = """
    SELECT company_id, data_key_id, kek_id, wrapped, all_sealed FROM whatsapp_media_keys WHERE company_id = $1 FOR UPDATE
"""
_WITH_FILES: LiteralString = "SELECT DISTINCT company_id FROM whatsapp_media WHERE company_id = ANY ($1)"
# Another daemon may have been faster: then its key is the company's.
_INSERT: LiteralString = """
    INSERT INTO whatsapp_media_keys (company_id, data_key_id, kek_id, wrapped, all_sealed) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (company_id) DO NOTHING
"""
_REPLACE: LiteralString = """
    UPDATE whatsapp_media_keys SET kek_id = $3, wrapped = $4, all_sealed = $5 WHERE company_id = $1 AND data_key_id = $2
"""
_UNUSED: LiteralString = """
    SELECT company_id FROM whatsapp_media_keys key
    WHERE NOT EXISTS (SELECT FROM whatsapp_media kept WHERE kept.company_id = key.company_id)
    ORDER BY company_id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
# A statement of its own: it sees what was committed before its keys were locked.
_FORGET: LiteralString = """
    DELETE FROM whatsapp_media_keys key
    WHERE company_id = ANY ($1) AND NOT EXISTS (SELECT FROM whatsapp_media kept WHERE kept.company_id = key.company_id)
"""
_UNFINISHED: LiteralString = """
    SELECT DISTINCT company_id FROM whatsapp_media kept WHERE NOT EXISTS (
        SELECT FROM whatsapp_media_keys key WHERE key.company_id = kept.company_id AND key.all_sealed
    ) ORDER BY company_id
"""
_FILES: LiteralString = """
    SELECT media_id, file FROM whatsapp_media WHERE company_id = $1 AND media_id > $2 ORDER BY media_id LIMIT $3 FOR UPDATE
"""
_SEAL: LiteralString = """
    UPDATE whatsapp_media stored SET file = new.file FROM unnest($2::text[], $3::json[]) AS new (media_id, file)
    WHERE stored.company_id = $1 AND stored.media_id = new.media_id
"""


def from_row(row: Row) -> StoredDataKey:
    """Return the key of a row with these columns."""
    return msgspec.structs.replace(data_keys.from_row(row), purpose=PURPOSE)


async def for_reading(reader: Reader, company_id: str) -> DataKey | None:
    """Return the key that seals the company's files; None when they are plain. Raises `UnreadableState` for an unusable key."""
    return _unlocked(reader, await reader.fetch(_FIND, [company_id])).get(company_id)


async def for_writing(connection: Connection, company_ids: Collection[str]) -> dict[str, DataKey]:
    """Return the key that must seal each company's files, creating missing ones. A company without an entry is stored plain.

    Raises `UnreadableState` for an unusable key, so that no plain value gets in among sealed ones.
    """
    wanted = sorted(company_ids)
    found = _unlocked(connection, await connection.fetch(_HOLD, wanted))
    missing = [company_id for company_id in wanted if company_id not in found]
    if missing and connection.vault.is_sealing:
        await _make(connection, missing)
        found |= _unlocked(connection, await connection.fetch(_HOLD, missing))
    return found


async def seal_plain(db: Database) -> tuple[int, dict[str, str]]:
    """Seal the files from before the first master key, batch by batch; afterwards a plain one counts as forged.

    Return how many there were, and the companies that were left as they are, each with the reason.
    """
    sealed, failed = 0, dict[str, str]()
    for row in await db.fetch(_UNFINISHED):
        company_id: str = row["company_id"]
        try:
            sealed += await _seal_company(db, company_id)
        except UnreadableState as error:
            failed[company_id] = str(error)
    return sealed, failed


async def prune(db: Database, *, batch: int = BATCH_ROWS) -> int:
    """Destroy the keys of companies without files, ``batch`` a transaction, and return how many."""
    return await in_batches(db, _prune_batch, batch)


async def _prune_batch(connection: Connection, batch: int) -> int:
    unused = [row["company_id"] for row in await connection.fetch(_UNUSED, batch)]
    return count_of(await connection.execute(_FORGET, unused))


async def replace(connection: Connection, keys: Sequence[StoredDataKey]) -> None:
    """Replace the stored keys that have the same company and id."""
    for key in keys:
        await connection.execute(_REPLACE, *(getattr(key, name) for name in _COLUMNS))


def _unlocked(reader: Reader, rows: Sequence[Row]) -> dict[str, DataKey]:
    return {key.company_id: reader.vault.unlock(key) for key in map(from_row, rows)}


async def _make(connection: Connection, company_ids: Sequence[str]) -> None:
    with_files = {row["company_id"] for row in await connection.fetch(_WITH_FILES, company_ids)}
    for company_id in company_ids:
        stored, _ = connection.vault.make(company_id, all_sealed=company_id not in with_files, purpose=PURPOSE)
        await connection.execute(_INSERT, *(getattr(stored, name) for name in _COLUMNS))


async def _seal_company(db: Database, company_id: str) -> int:
    sealed, after = 0, ""
    while True:
        batch, last = await db.write(_seal_batch, company_id, after)
        sealed += batch
        if last is None:
            return sealed
        after = last


async def _seal_batch(connection: Connection, company_id: str, after: str) -> tuple[int, str | None]:
    """Return how many were sealed, and the id to go on after; None at the end."""
    vault = connection.vault
    assert vault.master_keys is not None
    await for_writing(connection, [company_id])
    row = await connection.fetchrow(_LOCK, company_id)
    assert row is not None
    stored = from_row(row)
    key = vault.unlock(stored)
    rows = await connection.fetch(_FILES, company_id, after, SEALED_AT_ONCE)
    plain = [
        (row["media_id"], key.seal(MEDIA_TABLE, "file", row["media_id"], row["file"]))
        for row in rows
        if not is_sealed(row["file"])
    ]
    if plain:
        await connection.execute(_SEAL, company_id, *map(list, zip(*plain, strict=True)))
    if len(rows) == SEALED_AT_ONCE:
        return len(plain), rows[-1]["media_id"]
    await replace(connection, [vault.rewrap(stored, vault.master_keys.current(), all_sealed=True)])
    return len(plain), None
