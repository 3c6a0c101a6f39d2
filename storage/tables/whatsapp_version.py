"""The newest version of WhatsApp Web found so far: one row, which all daemons of a database share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString, final

from storage.database.connection import Connection
from storage.database.pool import Database

_RECALL: LiteralString = """
    SELECT version, extract(epoch FROM found_at)::float8 AS found_at, extract(epoch FROM seen_at)::float8 AS seen_at
    FROM whatsapp_web_version
"""
_REMEMBER: LiteralString = """
    INSERT INTO whatsapp_web_version (version) VALUES ($1)
    ON CONFLICT (is_only) DO UPDATE SET
        found_at = CASE WHEN whatsapp_web_version.version = $1 THEN whatsapp_web_version.found_at ELSE now() END,
        version = $1, seen_at = now()
"""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A version, with the times when it was found first and last; Unix seconds."""

    version: str
    found_at: float
    seen_at: float


@final
class VersionMemory:
    """Reads and writes the row; raises `storage.errors.StorageUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recall(self) -> Remembered | None:
        """Return the last version found; None when none was yet."""
        row = await self._database.fetchrow(_RECALL)
        return None if row is None else Remembered(row["version"], row["found_at"], row["seen_at"])

    async def remember(self, version: str) -> None:
        """Record that ``version`` was found now."""
        await self._database.write(_remember, version)


async def _remember(connection: Connection, version: str) -> None:
    await connection.execute(_REMEMBER, version)
