"""Taking an identity out of use without destroying it."""

from __future__ import annotations

from typing import Final, LiteralString

from storage.connection import Connection
from storage.errors import LeaseLost

KEEP: Final = 10
"""Archived states kept for each company; an older one goes when another is added."""

_LEASE: LiteralString = """
    SELECT owner, epoch, expires_at > now() AS live FROM whatsapp_leases WHERE company_id = $1 FOR SHARE
"""
_LOCK: LiteralString = "SELECT FROM whatsapp_journal WHERE company_id = $1 FOR UPDATE"
_COPY: LiteralString = """
    WITH creds AS (DELETE FROM whatsapp_auth WHERE company_id = $1 RETURNING creds),
    keys AS (DELETE FROM whatsapp_keys WHERE company_id = $1 RETURNING key_type, key_id, value, expires_at)
    INSERT INTO whatsapp_auth_archive (company_id, reason, creds, keys)
    SELECT $1, $2, (SELECT creds FROM creds),
        (SELECT coalesce(jsonb_agg(jsonb_build_array(key_type, key_id, value, expires_at)), '[]'::jsonb) FROM keys)
    WHERE EXISTS (SELECT FROM creds) OR EXISTS (SELECT FROM keys)
    RETURNING id
"""
_FORGET_FILE: LiteralString = "UPDATE whatsapp_journal SET file_id = NULL, position = 0 WHERE company_id = $1"
_LIMIT: LiteralString = """
    DELETE FROM whatsapp_auth_archive WHERE id IN (
        SELECT id FROM whatsapp_auth_archive WHERE company_id = $1 ORDER BY id DESC OFFSET $2
    )
"""


async def archive(
    connection: Connection, company_id: str, reason: str, *, owner: str | None = None, epoch: int | None = None
) -> int | None:
    """Move the company's credentials and keys to whatsapp_auth_archive: no live identity is left, and no device file is
    known.

    Returns the archive's id, None when there was nothing to move. With ``owner`` and ``epoch`` it is fenced like any
    other write and raises `LeaseLost` when that lease is not the present one; without, the caller must know that nobody
    else runs it.
    """
    if owner is not None and epoch is not None:
        await _check_lease(connection, company_id, owner, epoch)
    await connection.execute(_LOCK, company_id)  # waits for a commit under way
    archived: int | None = await connection.fetchval(_COPY, company_id, reason)
    await connection.execute(_FORGET_FILE, company_id)
    await connection.execute(_LIMIT, company_id, KEEP)
    return archived


async def _check_lease(connection: Connection, company_id: str, owner: str, epoch: int) -> None:
    lease = await connection.fetchrow(_LEASE, company_id)
    if lease is None:
        raise LeaseLost(company_id, epoch, None)
    if (lease["owner"], lease["epoch"]) != (owner, epoch) or not lease["live"]:
        raise LeaseLost(company_id, epoch, lease["epoch"])
