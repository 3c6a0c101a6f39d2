"""Deletion of a company: what happens to all rows stored under its id, so that the next company of that id finds none of them.

`begin` is part of the transaction that removes the record: from then on no key and no webhook covers the company.
`erase` follows, in batches, since there may be many events. Rows that were on their way then and are stored later are
deleted when the id is made anew (`make_way`) and by the regular sweep. The archive of the auth state, the audit log and
the lease's epoch stay: docs/HANDBOOK.md says why and how long.
"""

from __future__ import annotations

from typing import Final, LiteralString

from storage.database.batches import BATCH_ROWS, count_of, in_batches
from storage.database.connection import Connection, Reader
from storage.database.pool import Database

WATCHED_S: Final = 86_400.0
"""For how long after its removal each sweep looks for late rows of a company."""

ERASED: Final[dict[str, LiteralString]] = {
    "whatsapp_events": """
        DELETE FROM whatsapp_events WHERE seq IN (SELECT seq FROM whatsapp_events WHERE company_id = $1 ORDER BY seq LIMIT $2)
    """,
    "whatsapp_media": """
        DELETE FROM whatsapp_media WHERE company_id = $1 AND media_id IN (
            SELECT media_id FROM whatsapp_media WHERE company_id = $1 ORDER BY media_id LIMIT $2)
    """,
    "whatsapp_media_keys": """
        DELETE FROM whatsapp_media_keys key WHERE company_id = $1 AND $2 > 0
            AND NOT EXISTS (SELECT FROM whatsapp_media kept WHERE kept.company_id = key.company_id)
    """,
    "idempotency": """
        DELETE FROM idempotency WHERE company_id = $1 AND key IN (
            SELECT key FROM idempotency WHERE company_id = $1 ORDER BY key LIMIT $2)
    """,
    "webhook_dead_letters": """
        DELETE FROM webhook_dead_letters WHERE (webhook_id, seq) IN (
            SELECT webhook_id, seq FROM webhook_dead_letters WHERE company_id = $1 ORDER BY webhook_id, seq LIMIT $2)
    """,
}
"""Tables from which every row of a removed company is deleted."""
KEPT: Final = frozenset(
    {
        "whatsapp_auth",  # archived before, in the transaction that removes the record
        "whatsapp_keys",  # likewise
        "whatsapp_auth_archive",  # kept for a time: the way back after a mistake
        "whatsapp_data_keys",  # opens the archive, and is destroyed with it
        "whatsapp_companies",  # the record itself
        "whatsapp_journal",  # which device file was the last; holds nothing else
        "whatsapp_leases",  # the epoch only ever grows, or an old writer would pass for the new one
        "whatsapp_removals",  # says that there is something to erase
    }
)
"""Tables with a company's id that `erase` leaves alone."""

_REVOKE: LiteralString = "UPDATE api_keys SET revoked_at = now() WHERE companies = ARRAY[$1] AND revoked_at IS NULL"
_NARROW: LiteralString = """
    UPDATE api_keys SET companies = array_remove(companies, $1), narrowed_at = now() WHERE $1 = ANY (companies) AND revoked_at IS NULL
"""
_REMOVE_WEBHOOKS: LiteralString = "DELETE FROM webhooks WHERE companies = ARRAY[$1]"
_NARROW_WEBHOOKS: LiteralString = """
    UPDATE webhooks SET companies = array_remove(companies, $1), version = version + 1, updated_at = now() WHERE $1 = ANY (companies)
"""
_NOTE: LiteralString = """
    INSERT INTO whatsapp_removals (company_id) VALUES ($1) ON CONFLICT (company_id) DO UPDATE SET removed_at = now()
"""
# Locked: the id cannot be made anew while it is erased, and rows under an id that was made anew are the next company's.
_HOLD: LiteralString = "SELECT company_id FROM whatsapp_removals WHERE company_id = $1 FOR UPDATE"
_RECENT: LiteralString = (
    "SELECT company_id FROM whatsapp_removals WHERE removed_at > now() - make_interval(secs => $1) ORDER BY company_id"
)
_ALL: LiteralString = "SELECT company_id FROM whatsapp_removals ORDER BY company_id"
_FORGET: LiteralString = "DELETE FROM whatsapp_removals WHERE company_id = $1"
_FORGET_OLD: LiteralString = "DELETE FROM whatsapp_removals WHERE removed_at < now() - make_interval(secs => $1)"
_EVERYTHING: Final = 2**31 - 1


async def begin(connection: Connection, company_id: str) -> None:
    """Take the company from every key and webhook. Those that covered only it are revoked, or removed with their dead letters."""
    for statement in (_REVOKE, _NARROW, _REMOVE_WEBHOOKS, _NARROW_WEBHOOKS, _NOTE):
        await connection.execute(statement, company_id)


async def make_way(connection: Connection, company_id: str) -> None:
    """Erase in this transaction what is left of a removed company whose id is made anew; normally next to nothing."""
    if await connection.fetchval(_HOLD, company_id) is not None:
        for statement in ERASED.values():
            await connection.execute(statement, company_id, _EVERYTHING)
        await connection.execute(_FORGET, company_id)


async def erase(db: Database, company_id: str, *, batch: int = BATCH_ROWS) -> int:
    """Erase the rows of a removed company, ``batch`` a transaction, and return how many.

    Does nothing when the id was made anew meanwhile.
    """
    return sum([await _erase_from(db, company_id, statement, batch) for statement in ERASED.values()])


async def sweep(db: Database, *, batch: int = BATCH_ROWS) -> int:
    """Run `erase` for every removed company, for as long as late rows may come. Return how many rows that were."""
    rows = 0
    for row in await db.fetch(_ALL):
        rows += await erase(db, row["company_id"], batch=batch)
    await db.write(_forget_old)
    return rows


async def recent(reader: Reader, within_s: float) -> frozenset[str]:
    """Return the companies that were removed in the last ``within_s`` seconds and not made anew."""
    return frozenset(row["company_id"] for row in await reader.fetch(_RECENT, within_s))


async def _erase_from(db: Database, company_id: str, statement: LiteralString, batch: int) -> int:
    async def work(connection: Connection, rows: int) -> int:
        if await connection.fetchval(_HOLD, company_id) is None:
            return 0
        return count_of(await connection.execute(statement, company_id, rows))

    return await in_batches(db, work, batch)


async def _forget_old(connection: Connection) -> None:
    await connection.execute(_FORGET_OLD, WATCHED_S)
