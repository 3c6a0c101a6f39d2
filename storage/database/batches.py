"""Work on many rows in transactions of a bounded size, so that none of them holds its locks for long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from storage.database.connection import Connection
from storage.database.pool import Database

BATCH_ROWS: Final = 1000


def unheard(_rows: int) -> None:
    """Nobody wants to know."""


async def in_batches(
    db: Database,
    work: Callable[[Connection, int], Awaitable[int]],
    batch: int,
    progress: Callable[[int], None] = unheard,
) -> int:
    """Run ``work`` with at most ``batch`` rows a transaction until it finds fewer; how many rows that were in all.

    ``work`` is given the most it may do and returns what it did; ``progress`` is told that, of each transaction.
    """
    total = 0
    while True:
        rows = await db.write(work, batch)
        total += rows
        progress(rows)
        if rows < batch:
            return total


def count_of(tag: str) -> int:
    """The rows of a command, from the tag that PostgreSQL answers it with: ``DELETE 3``."""
    return int(tag.rpartition(" ")[2])
