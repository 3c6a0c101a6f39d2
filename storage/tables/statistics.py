"""How much auth state is stored, and of what kind."""

from __future__ import annotations

from typing import LiteralString, final

import msgspec

from storage.database.connection import Reader

_STATISTICS: LiteralString = "SELECT * FROM get_whatsapp_auth_stats()"


@final
class KeyStatistics(msgspec.Struct, frozen=True, rename="camel"):
    """The stored keys of one type of one company; the credentials are the type `creds`."""

    company_id: str
    key_type: str
    total: int
    expired: int
    """Keys whose time is over; the next clean-up removes them or, for a running session, refreshes them."""
    bytes: int
    """Size of the values."""
    sealed: int
    """Keys that are encrypted."""


async def key_statistics(reader: Reader) -> list[KeyStatistics]:
    """Return the statistics by company and type of key."""
    return [
        KeyStatistics(row["company_id"], row["key_type"], row["total"], row["expired"], row["bytes"], row["sealed"])
        for row in await reader.fetch(_STATISTICS)
    ]
