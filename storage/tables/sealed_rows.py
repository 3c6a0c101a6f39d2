"""Seals a company's plain values, from before the first master key."""

from __future__ import annotations

from typing import Final, LiteralString

from storage.crypto.sealing import AUTH_TABLE, KEYS_TABLE, DataKey, is_sealed
from storage.database.connection import Connection
from storage.tables import data_keys

ROWS_A_STATEMENT: Final = 100

_LOCK: LiteralString = "SELECT FROM whatsapp_journal WHERE company_id = $1 FOR UPDATE"
_ANYTHING: LiteralString = """
    SELECT EXISTS (SELECT FROM whatsapp_auth WHERE company_id = $1)
        OR EXISTS (SELECT FROM whatsapp_keys WHERE company_id = $1)
"""
_CREDS: LiteralString = "SELECT creds FROM whatsapp_auth WHERE company_id = $1 FOR UPDATE"
_PLAIN_KEYS: LiteralString = """
    SELECT key_type, key_id, value FROM whatsapp_keys
    WHERE company_id = $1 AND NOT (jsonb_typeof(value) = 'object' AND value ? 'wasupSealed')
    ORDER BY key_type, key_id FOR UPDATE
"""
# Sealing does not change a value's age: expiry and updated_at stay.
_PUT_CREDS: LiteralString = "UPDATE whatsapp_auth SET creds = $2 WHERE company_id = $1"
_PUT_KEYS: LiteralString = """
    UPDATE whatsapp_keys stored SET value = new.value
    FROM unnest($2::text[], $3::text[], $4::jsonb[]) AS new (key_type, key_id, value)
    WHERE stored.company_id = $1 AND stored.key_type = new.key_type AND stored.key_id = new.key_id
"""


async def seal_company(connection: Connection, company_id: str) -> int:
    """Seal every plain value of the company and return how many there were. From then on plain values count as forged.

    Waits for a running commit of the company. Creates its data key when it has none and there is anything to seal.
    Raises `UnreadableState` when its data key cannot be used.
    """
    vault = connection.vault
    assert vault.master_keys is not None
    await connection.execute(_LOCK, company_id)
    stored = await data_keys.live(connection, company_id)
    if stored is not None and stored.all_sealed:
        return 0
    if stored is None:
        if not await connection.fetchval(_ANYTHING, company_id):
            return 0
        await data_keys.create(connection, [company_id])
        stored = await data_keys.live(connection, company_id)
        assert stored is not None
    key = vault.unlock(stored)
    sealed = await _seal_creds(connection, company_id, key) + await _seal_keys(connection, company_id, key)
    await data_keys.replace(connection, [vault.rewrap(stored, vault.master_keys.current(), all_sealed=True)])
    return sealed


async def _seal_creds(connection: Connection, company_id: str, key: DataKey) -> int:
    creds: bytes | None = await connection.fetchval(_CREDS, company_id)
    if creds is None or is_sealed(creds):
        return 0
    await connection.execute(_PUT_CREDS, company_id, key.seal(AUTH_TABLE, "creds", "", creds))
    return 1


async def _seal_keys(connection: Connection, company_id: str, key: DataKey) -> int:
    rows = [
        (row["key_type"], row["key_id"], key.seal(KEYS_TABLE, row["key_type"], row["key_id"], row["value"]))
        for row in await connection.fetch(_PLAIN_KEYS, company_id)
    ]
    for start in range(0, len(rows), ROWS_A_STATEMENT):
        columns = zip(*rows[start : start + ROWS_A_STATEMENT], strict=True)
        await connection.execute(_PUT_KEYS, company_id, *map(list, columns))
    return len(rows)
