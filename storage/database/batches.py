"""Work on many rows in transactions of a bounded size, so that none of them holds its locks for long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from storage.database.connection import Connection
from storage.database.pool import Database

BATCH_ROWS: Final = 1000


def unheard(_rows: int) -> None:
    """Ignore the progress."""


async def in_batches(
    db: Database,
    work: Callable[[Connection, int], Awaitable[int]],
    batch: int,
    progress: Callable[[int], None] = unheard,
) -> int:
    """Run ``work`` with at most ``batch`` rows a transaction until it handles fewer. Return how many rows that were in all.

    ``work`` gets the most rows it may handle and returns how many it did; ``progress`` gets that number for each
    transaction.
    """
    total = 0
    while True:
        rows = await db.write(work, batch)
        total += rows
        progress(rows)
        if rows < batch:
            return total


def count_of(tag: str) -> int:
    """Return the number of rows in PostgreSQL's command tag, such as ``DELETE 3``."""
    return int(tag.rpartition(" ")[2])
