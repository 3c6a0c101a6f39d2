"""Counts the rows that deleted companies leave in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from storage.database.pool import open_database

BY_DESIGN = {
    "audit_log": "takes no changes",
    "whatsapp_auth_archive": "credentials out of use, the last 10 of a company, until their retention is over",
    "whatsapp_events": "until their retention is over",
    "whatsapp_data_keys": "of the archived credentials",
    "whatsapp_leases": "one row a company there ever was: its epoch must only grow",
    "whatsapp_journal": "one row a company there ever was",
}
_WITH_COMPANY: LiteralString = """
    SELECT table_name FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name = 'company_id' ORDER BY table_name
"""


async def remains(dsn: str, companies: Sequence[str]) -> dict[str, int]:
    """Return the number of rows of these companies by table, for tables that have any."""
    async with open_database(dsn, size=1) as database:
        names = [row["table_name"] for row in await database.fetch(_WITH_COMPANY)]
        counts: dict[str, int] = {name: await database.fetchval(_count_in(name), list(companies)) for name in names}
    return {name: count for name, count in counts.items() if count}


def _count_in(table: str) -> LiteralString:
    # The name comes from the catalogue.
    return f'SELECT count(*) FROM "{table}" WHERE company_id = ANY($1::text[])'  # pyright: ignore[reportReturnType]
