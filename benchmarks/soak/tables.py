"""Measures the database: rows of each table, keys by kind, and the sizes of the files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, LiteralString

from storage.database.pool import Database

MIB: Final = 1024**2
_FILES: LiteralString = """
    SELECT relname, pg_total_relation_size(oid) AS bytes FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname
"""
_KINDS: LiteralString = """
    SELECT key_type, count(*) AS rows, sum(pg_column_size(value)) AS bytes
    FROM whatsapp_keys WHERE company_id = ANY($1::text[]) GROUP BY 1
"""


async def look_at_tables(database: Database, staying: Sequence[str]) -> dict[str, float]:
    """Return the rows and the file size of each table; for ``whatsapp_keys`` also the staying companies' keys of each kind."""
    found: dict[str, float] = {}
    for row in await database.fetch(_FILES):
        found[f"table {row['relname']}, MB"] = row["bytes"] / MIB
        found[f"table {row['relname']}, rows"] = await database.fetchval(_rows_of(row["relname"]))
    for row in await database.fetch(_KINDS, list(staying)):
        found[f"keys of who stays: {row['key_type']}"] = row["rows"]
        found[f"keys of who stays: {row['key_type']}, MB"] = row["bytes"] / MIB
    return found


async def pack_tables(database: Database) -> None:
    """Free each file of unused space, so that sizes can be compared."""
    for row in await database.fetch(_FILES):
        await database.execute(_packing(row["relname"]))


def _rows_of(table: str) -> LiteralString:
    # The name comes from the catalogue.
    return f'SELECT count(*) FROM "{table}"'  # pyright: ignore[reportReturnType]


def _packing(table: str) -> LiteralString:
    return f'VACUUM FULL "{table}"'  # pyright: ignore[reportReturnType]
