"""Checks that two URLs lead to one database, through a pooler or not."""

from __future__ import annotations

from typing import Final, LiteralString

from config.postgres_url import PostgresUrl
from storage.database.pool import Database, open_database
from storage.errors import StorageRefused, StorageUnavailable

_WHICH: Final[LiteralString] = """
    SELECT oid || ' since ' || extract(epoch FROM pg_postmaster_start_time()) FROM pg_database WHERE datname = current_database()
"""


async def require_same(database: Database, url: PostgresUrl) -> None:
    """Raise `StorageRefused` when ``url`` leads to another database, `StorageUnavailable` when that cannot be determined now."""
    async with open_database(url, size=1, pooler="none") as other:
        try:
            is_same = await other.fetchval(_WHICH) == await database.fetchval(_WHICH)
        except StorageUnavailable as error:
            raise StorageUnavailable(
                f"whether database_direct_url is the same one cannot be seen: {error.reason}"
            ) from error
    if not is_same:
        raise StorageRefused(
            "database_direct_url leads to another database than database_url; set both to the same one"
        )
