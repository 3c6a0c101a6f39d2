"""The companies on record, and whether each is to run. Listening daemons are notified of each change (storage.tables.ownership)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, LiteralString, TypeAlias, final

import msgspec

from storage.database.connection import Connection, Reader, Row
from storage.tables import removal

Desired: TypeAlias = Literal["running", "stopped"]

_LIST: LiteralString = "SELECT * FROM whatsapp_companies WHERE company_id > $1 ORDER BY company_id LIMIT $2"
_FIND: LiteralString = "SELECT * FROM whatsapp_companies WHERE company_id = $1"
_ENSURE: LiteralString = """
    WITH made AS (
        INSERT INTO whatsapp_companies (company_id, desired) VALUES ($1, $2) ON CONFLICT DO NOTHING
        RETURNING *, pg_notify('wasup_ownership', '')
    )
    SELECT company_id, desired, created_at, updated_at FROM made
    UNION ALL SELECT company_id, desired, created_at, updated_at FROM whatsapp_companies WHERE company_id = $1
"""
_SET_DESIRED: LiteralString = """
    UPDATE whatsapp_companies SET desired = $2, updated_at = now() WHERE company_id = $1 RETURNING pg_notify('wasup_ownership', '')
"""
_REMOVE: LiteralString = """
    DELETE FROM whatsapp_companies WHERE company_id = $1 RETURNING pg_notify('wasup_ownership', '')
"""
_LOCK: LiteralString = "SELECT FROM whatsapp_companies WHERE company_id = $1 FOR NO KEY UPDATE"
_WANTED: LiteralString = "SELECT desired FROM whatsapp_companies WHERE company_id = $1 FOR SHARE"


@final
class Company(msgspec.Struct, frozen=True):
    """A company's record."""

    company_id: str
    desired: Desired
    created_at: datetime
    updated_at: datetime


async def list_all(reader: Reader, *, after: str = "", limit: int = 1000) -> list[Company]:
    """Return up to ``limit`` companies by ascending id, beginning after ``after``."""
    return [_company(row) for row in await reader.fetch(_LIST, after, limit)]


async def find(reader: Reader, company_id: str) -> Company | None:
    """Return the company's record, None when there is none."""
    row = await reader.fetchrow(_FIND, company_id)
    return None if row is None else _company(row)


async def ensure(connection: Connection, company_id: str, desired: Desired = "running") -> Company:
    """Return the company's record; create it with ``desired`` when there was none, and erase what an earlier company of that id left.

    `IntegrityError` for an invalid id (valid: ``[A-Za-z0-9_-]{1,64}``).
    """
    rows: Sequence[Row] = await connection.fetch(_ENSURE, company_id, desired)
    if not rows:  # made by another transaction that committed after this statement's snapshot
        rows = await connection.fetch(_FIND, company_id)
    await removal.make_way(connection, company_id)
    return _company(rows[0])


async def set_desired(connection: Connection, company_id: str, desired: Desired) -> bool:
    """Record whether the company is to run. Return False when there is no such company."""
    return await connection.execute(_SET_DESIRED, company_id, desired) == "UPDATE 1"


async def lock(connection: Connection, company_id: str) -> None:
    """Keep others from changing the record, or taking the company's lease by `ownership.take_up`, until this transaction ends."""
    await connection.execute(_LOCK, company_id)


async def wanted(connection: Connection, company_id: str) -> Desired | None:
    """Return the recorded state, which stays so until this transaction ends; None when there is no such company."""
    desired: Desired | None = await connection.fetchval(_WANTED, company_id)
    return desired


async def remove(connection: Connection, company_id: str) -> bool:
    """Delete the company's record (for its auth state see `archive`). Return False when there was none."""
    return await connection.execute(_REMOVE, company_id) == "DELETE 1"


def _company(row: Row) -> Company:
    return Company(row["company_id"], row["desired"], row["created_at"], row["updated_at"])
