"""Who did or tried what on the daemon: an append-only log, each record chained to the one before it."""

from __future__ import annotations

from typing import LiteralString, final

import msgspec

from storage.database.connection import Connection, Reader

_APPEND: LiteralString = """
    INSERT INTO audit_log (at, key_id, action, target, address, count) VALUES (to_timestamp($1::float8), $2, $3, $4, $5, $6)
    RETURNING id
"""
_READ: LiteralString = """
    SELECT id, extract(epoch FROM at)::float8 AS at, key_id, action, target, address, count
    FROM audit_log WHERE id < $1 ORDER BY id DESC LIMIT $2
"""
_BREAKS: LiteralString = "SELECT id FROM audit_log_breaks() AS id"
_END: LiteralString = "SELECT coalesce(max(id), 0) + 1 FROM audit_log"


@final
class AuditRecord(msgspec.Struct, frozen=True):
    """One action, or ``count`` alike. ``at`` in Unix seconds; ``key_id`` names the API key that acted, from ``address``."""

    id: int
    at: float
    key_id: str
    action: str
    target: str
    address: str
    count: int


async def append(
    connection: Connection, at: float, key_id: str, action: str, target: str, address: str, count: int = 1
) -> int:
    """Append one action, or ``count`` alike, and return its id."""
    audit_id: int = await connection.fetchval(_APPEND, at, key_id, action, target, address, count)
    return audit_id


async def read(reader: Reader, *, before: int | None = None, limit: int = 100) -> list[AuditRecord]:
    """Return up to ``limit`` actions with an id below ``before`` (None: the newest), newest first."""
    end = await reader.fetchval(_END) if before is None else before
    return [
        AuditRecord(row["id"], row["at"], row["key_id"], row["action"], row["target"], row["address"], row["count"])
        for row in await reader.fetch(_READ, end, limit)
    ]


async def breaks(reader: Reader) -> list[int]:
    """Return the records that do not follow from the one before them: a record there was changed, removed or inserted."""
    return [row["id"] for row in await reader.fetch(_BREAKS)]
