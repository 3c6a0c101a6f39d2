"""Rotation to a new master key: wraps every data key by it and seals what is still stored plain.

Each step is its own transaction and leaves everything readable with both keys, so that a rotation can be interrupted at
any point and begun again. Daemons keep running meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString, final

import msgspec

from storage.crypto.master_key import MasterKey
from storage.crypto.sealing import StoredDataKey
from storage.database.connection import Connection, Reader, Row
from storage.database.pool import Database
from storage.errors import UnreadableState
from storage.tables import data_keys, media_keys, webhook_secrets
from storage.tables.archive import seal_archives
from storage.tables.sealed_rows import seal_company

BATCH_KEYS: Final = 1000
COMPANY_TIMEOUT_S: Final = 60.0
"""For sealing all values of one company in place."""

Progress = Callable[[int, int], None]
"""``(done, of)``."""

_COUNT: LiteralString = """
    SELECT (SELECT count(*) FROM whatsapp_data_keys WHERE kek_id <> $1) + (SELECT count(*) FROM whatsapp_media_keys WHERE kek_id <> $1)
"""
_NEXT: LiteralString = """
    SELECT company_id, data_key_id, kek_id, wrapped, all_sealed FROM whatsapp_data_keys
    WHERE kek_id <> $1 AND (company_id, data_key_id) > ($2, $3)
    ORDER BY company_id, data_key_id LIMIT $4 FOR UPDATE
"""
_NEXT_OF_MEDIA: LiteralString = """
    SELECT company_id, data_key_id, kek_id, wrapped, all_sealed FROM whatsapp_media_keys
    WHERE kek_id <> $1 AND (company_id, data_key_id) > ($2, $3)
    ORDER BY company_id LIMIT $4 FOR UPDATE
"""
_PLAIN: LiteralString = """
    SELECT company_id FROM (SELECT company_id FROM whatsapp_auth UNION SELECT company_id FROM whatsapp_keys) AS known
    WHERE NOT EXISTS (
        SELECT FROM whatsapp_data_keys key
        WHERE key.company_id = known.company_id AND key.retired_at IS NULL AND key.all_sealed
    )
    ORDER BY company_id
"""
_MASTERS: LiteralString = """
    SELECT kek_id, count(*) FILTER (WHERE retired_at IS NULL) AS live, count(*) FILTER (WHERE retired_at IS NOT NULL) AS archived
    FROM (
        SELECT kek_id, retired_at FROM whatsapp_data_keys
        UNION ALL SELECT kek_id, NULL FROM whatsapp_media_keys
        UNION ALL SELECT kek_id, NULL FROM webhooks WHERE kek_id IS NOT NULL
    ) AS wrapped GROUP BY 1 ORDER BY 1
"""


@final
class Rotated(msgspec.Struct):
    """The result of a rotation."""

    rewrapped: int = 0
    """Data keys newly wrapped by the new master key."""
    webhooks: int = 0
    """Webhooks whose secrets are newly wrapped by it."""
    sealed_companies: int = 0
    sealed_values: int = 0
    sealed_archives: int = 0
    sealed_files: int = 0
    """Keys of files that were stored plain."""
    unreadable: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """Companies that were left as they are, each with the reason."""


@final
class MasterKeyUse(msgspec.Struct, frozen=True, rename="camel"):
    """How many data keys and webhook secrets a master key wraps."""

    master_key: str
    live: int
    archived: int


async def master_key_use(reader: Reader) -> list[MasterKeyUse]:
    """Return the master keys that the database needs."""
    return [MasterKeyUse(row["kek_id"], row["live"], row["archived"]) for row in await reader.fetch(_MASTERS)]


async def rewrap_all(db: Database, master: MasterKey, rotated: Rotated, progress: Progress) -> None:
    """Wrap by ``master`` every data key that another master key wraps. The vault knows the others.

    Keys that cannot be unwrapped are left as they are and noted in ``rotated.unreadable``.
    """
    total: int = await db.fetchval(_COUNT, master.id)
    while True:
        before = rotated.rewrapped
        for keys in _ALL_KEYS:
            place = ("", "")
            while (batch := await db.write(_rewrap_batch, keys, master, place)) is not None:
                place, done, failed = batch
                rotated.rewrapped += done
                rotated.unreadable |= failed
                progress(min(rotated.rewrapped, total), total)
        # Once more: a daemon that does not know the new key yet may have made a data key meanwhile.
        if rotated.rewrapped == before:
            return


async def rewrap_webhooks(db: Database, rotated: Rotated) -> None:
    """Wrap the secrets of all webhooks by the vault's current master key."""
    rotated.webhooks, failed = await db.write(webhook_secrets.wrap_all)
    rotated.unreadable |= failed


@dataclass(frozen=True, slots=True)
class _Keys:
    """A table of data keys."""

    following: LiteralString
    """Selects, and locks, the keys beyond a place that another master key wraps."""
    from_row: Callable[[Row], StoredDataKey]
    replace: Callable[[Connection, Sequence[StoredDataKey]], Awaitable[None]]


_ALL_KEYS: Final = (
    _Keys(_NEXT, data_keys.from_row, data_keys.replace),
    _Keys(_NEXT_OF_MEDIA, media_keys.from_row, media_keys.replace),
)

_Batch = tuple[tuple[str, str], int, dict[str, str]] | None
"""Where to go on, how many were done, and which were not, with the reason; None: there are no more."""


async def _rewrap_batch(connection: Connection, keys: _Keys, master: MasterKey, after: tuple[str, str]) -> _Batch:
    rows = await connection.fetch(keys.following, master.id, *after, BATCH_KEYS)
    if not rows:
        return None
    done: list[StoredDataKey] = []
    failed: dict[str, str] = {}
    for stored in map(keys.from_row, rows):
        try:
            done.append(connection.vault.rewrap(stored, master, all_sealed=stored.all_sealed))
        except UnreadableState as error:
            failed[stored.company_id] = str(error)
    await keys.replace(connection, done)
    return (rows[-1]["company_id"], rows[-1]["data_key_id"]), len(done), failed


async def seal_everything(db: Database, rotated: Rotated, progress: Progress) -> None:
    """Seal what is stored plain: live values company by company, then archives, then files' keys."""
    companies = [row["company_id"] for row in await db.fetch(_PLAIN)]
    for number, company_id in enumerate(companies, start=1):
        try:
            rotated.sealed_values += await db.write_slowly(COMPANY_TIMEOUT_S, seal_company, company_id)
            rotated.sealed_companies += 1
        except UnreadableState as error:
            rotated.unreadable[company_id] = str(error)
        progress(number, len(companies))
    while sealed := await db.write_slowly(COMPANY_TIMEOUT_S, seal_archives, 1):
        rotated.sealed_archives += sealed
    rotated.sealed_files, failed = await media_keys.seal_plain(db)
    rotated.unreadable |= failed
