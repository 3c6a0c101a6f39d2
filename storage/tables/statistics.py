"""How much auth state is stored, and of what kind."""

from __future__ import annotations

from typing import LiteralString, final

import msgspec

from storage.database.connection import Reader

_STATISTICS: LiteralString = "SELECT * FROM get_whatsapp_auth_stats()"


@final
class KeyStatistics(msgspec.Struct, frozen=True, rename="camel"):
    """How much is stored of one type of key of one company; the credentials are the type `creds`."""

    company_id: str
    key_type: str
    total: int
    expired: int
    """Of them, those whose time is over; the next clean-up removes or, for a running session, refreshes them."""
    bytes: int
    """Of the values."""
    sealed: int
    """Of them, those that are encrypted."""


async def key_statistics(reader: Reader) -> list[KeyStatistics]:
    """What is stored, by company and type of key."""
    return [
        KeyStatistics(row["company_id"], row["key_type"], row["total"], row["expired"], row["bytes"], row["sealed"])
        for row in await reader.fetch(_STATISTICS)
    ]
