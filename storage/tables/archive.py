"""Takes an identity out of use without destroying it. It is archived as stored: sealed values stay sealed."""

from __future__ import annotations

from typing import Final, LiteralString, final

import msgspec

from config.json_text import read_json
from storage.crypto.sealing import AUTH_TABLE, KEYS_TABLE
from storage.database.batches import BATCH_ROWS, in_batches
from storage.database.connection import Connection, Reader
from storage.database.pool import Database
from storage.errors import LeaseLost, UnreadableState
from storage.tables import data_keys
from storage.tables.auth_state import opened
from storage.tables.sealed_rows import seal_company

KEEP: Final = 10
"""Archived states kept for each company; when one is added, the oldest beyond this are deleted."""

_LEASE: LiteralString = """
    SELECT owner, epoch, expires_at > now() AS live FROM whatsapp_leases WHERE company_id = $1 FOR SHARE
"""
_LOCK: LiteralString = "SELECT FROM whatsapp_journal WHERE company_id = $1 FOR UPDATE"
_COPY: LiteralString = """
    WITH fence AS MATERIALIZED (
        SELECT FROM whatsapp_leases WHERE company_id = $1 AND owner = $3 AND epoch = $4 AND expires_at > now() FOR SHARE
    ),
    creds AS (DELETE FROM whatsapp_auth WHERE company_id = $1 AND EXISTS (SELECT FROM fence) RETURNING creds),
    keys AS (
        DELETE FROM whatsapp_keys WHERE company_id = $1 AND EXISTS (SELECT FROM fence)
        RETURNING key_type, key_id, value, expires_at
    )
    INSERT INTO whatsapp_auth_archive (company_id, reason, creds, keys, data_key_id)
    SELECT $1, $2, (SELECT creds FROM creds),
        (SELECT coalesce(jsonb_agg(jsonb_build_array(key_type, key_id, value, expires_at)), '[]'::jsonb) FROM keys),
        (SELECT data_key_id FROM whatsapp_data_keys WHERE company_id = $1 AND retired_at IS NULL)
    WHERE EXISTS (SELECT FROM creds) OR EXISTS (SELECT FROM keys)
    RETURNING id
"""
_FORGET_FILE: LiteralString = "UPDATE whatsapp_journal SET file_id = NULL, position = 0 WHERE company_id = $1"
_LIMIT: LiteralString = """
    DELETE FROM whatsapp_auth_archive WHERE id IN (
        SELECT id FROM whatsapp_auth_archive WHERE company_id = $1 ORDER BY id DESC OFFSET $2
    )
"""

# A locked row is being deleted by its company's next archiving.
_PRUNE: LiteralString = """
    WITH old AS (
        SELECT id FROM whatsapp_auth_archive WHERE archived_at < now() - make_interval(secs => $1)
        ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    DELETE FROM whatsapp_auth_archive gone USING old WHERE gone.id = old.id RETURNING gone.company_id
"""

_FIND: LiteralString = """
    SELECT archive.company_id, archive.creds, archive.keys, key.data_key_id, key.kek_id, key.wrapped, key.all_sealed
    FROM whatsapp_auth_archive archive
        LEFT JOIN whatsapp_data_keys key ON key.company_id = archive.company_id AND key.data_key_id = archive.data_key_id
    WHERE archive.id = $1
"""

_PLAIN: LiteralString = """
    SELECT id, company_id, creds, keys FROM whatsapp_auth_archive WHERE data_key_id IS NULL ORDER BY id LIMIT $1 FOR UPDATE
"""
_PUT: LiteralString = "UPDATE whatsapp_auth_archive SET creds = $2, keys = $3, data_key_id = $4 WHERE id = $1"


@final
class Archived(msgspec.Struct, frozen=True):
    """An identity out of use. Values are JSON."""

    company_id: str
    creds: bytes | None
    keys: list[tuple[str, str, bytes]]
    """(key_type, key_id, value)."""


async def archive(connection: Connection, company_id: str, reason: str, *, owner: str, epoch: int) -> int | None:
    """Move the company's credentials and keys to whatsapp_auth_archive. No live identity and no known device file remain.

    Return the archive's id, None when there was nothing to move. The move is fenced like any other write: `LeaseLost`
    when the lease of ``owner`` and ``epoch`` is not the present one, and no other owner can take the lease until this
    transaction ends.
    """
    await _check_lease(connection, company_id, owner, epoch)
    await connection.execute(_LOCK, company_id)  # waits for a commit under way
    await _seal(connection, company_id)
    archived: int | None = await connection.fetchval(_COPY, company_id, reason, owner, epoch)
    await connection.execute(_FORGET_FILE, company_id)
    await connection.execute(_LIMIT, company_id, KEEP)
    await data_keys.retire(connection, company_id)
    return archived


async def prune(db: Database, older_than_s: float, *, batch: int = BATCH_ROWS) -> int:
    """Destroy identities archived more than ``older_than_s`` ago, ``batch`` a transaction, and return how many.

    Their data keys are destroyed with them.
    """
    return await in_batches(db, lambda connection, rows: _prune_batch(connection, older_than_s, rows), batch)


async def _prune_batch(connection: Connection, older_than_s: float, batch: int) -> int:
    gone: list[str] = [row["company_id"] for row in await connection.fetch(_PRUNE, older_than_s, batch)]
    await data_keys.destroy_unused(connection, sorted(set(gone)))
    return len(gone)


async def load(reader: Reader, archive_id: int) -> Archived | None:
    """Return an archived identity, opened; None when there is no such archive. Raises `UnreadableState` like `auth_state.load`."""
    row = await reader.fetchrow(_FIND, archive_id)
    if row is None:
        return None
    company_id: str = row["company_id"]
    key = None if row["data_key_id"] is None else reader.vault.unlock(data_keys.from_row(row))
    creds = None if row["creds"] is None else opened(key, company_id, AUTH_TABLE, "creds", "", row["creds"])
    keys = [
        (key_type, key_id, opened(key, company_id, KEYS_TABLE, key_type, key_id, bytes(value)))
        for key_type, key_id, value, _ in _entries(row["keys"])
    ]
    return Archived(company_id, creds, keys)


async def seal_archives(connection: Connection, most: int) -> int:
    """Seal up to ``most`` archives from before the first master key, each under its own data key. Return how many."""
    rows = await connection.fetch(_PLAIN, most)
    for row in rows:
        company_id: str = row["company_id"]
        key = await data_keys.create_retired(connection, company_id)
        creds = None if row["creds"] is None else key.seal(AUTH_TABLE, "creds", "", row["creds"])
        keys = [
            (key_type, key_id, msgspec.Raw(key.seal(KEYS_TABLE, key_type, key_id, bytes(value))), expires_at)
            for key_type, key_id, value, expires_at in _entries(row["keys"])
        ]
        await connection.execute(_PUT, row["id"], creds, msgspec.json.encode(keys), key.id)
    return len(rows)


def _entries(keys: bytes) -> list[tuple[str, str, msgspec.Raw, str | None]]:
    return read_json(keys, list[tuple[str, str, msgspec.Raw, str | None]])


async def _seal(connection: Connection, company_id: str) -> None:
    """Seal values from before encryption, so that they are archived sealed. Values under an unusable key are archived as they are."""
    if not connection.vault.is_sealing:
        return
    try:
        await seal_company(connection, company_id)
    except UnreadableState:
        return


async def _check_lease(connection: Connection, company_id: str, owner: str, epoch: int) -> None:
    lease = await connection.fetchrow(_LEASE, company_id)
    if lease is None:
        raise LeaseLost(company_id, epoch, None)
    if (lease["owner"], lease["epoch"]) != (owner, epoch) or not lease["live"]:
        raise LeaseLost(company_id, epoch, lease["epoch"])
