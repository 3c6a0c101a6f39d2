"""Who did what to the daemon: a log that is only ever appended to."""

from __future__ import annotations

from typing import LiteralString, final

import msgspec

from storage.connection import Connection, Reader

_APPEND: LiteralString = """
    INSERT INTO audit_log (at, key_id, action, target, address) VALUES (to_timestamp($1::float8), $2, $3, $4, $5) RETURNING id
"""
_READ: LiteralString = """
    SELECT id, extract(epoch FROM at)::float8 AS at, key_id, action, target, address
    FROM audit_log WHERE id < $1 ORDER BY id DESC LIMIT $2
"""
_END: LiteralString = "SELECT coalesce(max(id), 0) + 1 FROM audit_log"


@final
class AuditRecord(msgspec.Struct, frozen=True):
    """One action. ``at`` in Unix seconds; ``key_id`` names the API key that acted, from ``address``."""

    id: int
    at: float
    key_id: str
    action: str
    target: str
    address: str


async def append(connection: Connection, at: float, key_id: str, action: str, target: str, address: str) -> int:
    """Write down one action and return its id."""
    audit_id: int = await connection.fetchval(_APPEND, at, key_id, action, target, address)
    return audit_id


async def read(reader: Reader, *, before: int | None = None, limit: int = 100) -> list[AuditRecord]:
    """Up to ``limit`` actions with an id below ``before`` (None: the newest), newest first."""
    end = await reader.fetchval(_END) if before is None else before
    return [
        AuditRecord(row["id"], row["at"], row["key_id"], row["action"], row["target"], row["address"])
        for row in await reader.fetch(_READ, end, limit)
    ]
