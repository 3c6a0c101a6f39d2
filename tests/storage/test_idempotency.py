"""storage/idempotency.py."""

from __future__ import annotations

from storage import idempotency
from storage.pool import Database


async def test_the_first_answer_stays(database: Database) -> None:
    """A second answer under a live key is not kept; another company's same key is another key."""
    assert await database.write(idempotency.remember, "962302", "k", b"d1", b'{"n":1}')
    assert not await database.write(idempotency.remember, "962302", "k", b"d2", b'{"n":2}')

    kept = await idempotency.find(database, "962302", "k")
    assert kept is not None
    assert (kept.request_digest, kept.response) == (b"d1", b'{"n":1}')
    assert await idempotency.find(database, "962303", "k") is None


async def test_an_expired_answer_gives_way(database: Database) -> None:
    """An answer whose time is over is not found, and a new one takes its place."""
    await database.write(idempotency.remember, "962302", "k", b"d1", b"1", 0.0)

    assert await idempotency.find(database, "962302", "k") is None
    assert await database.write(idempotency.remember, "962302", "k", b"d2", b"2")


async def test_pruning_takes_expired_answers_only(database: Database) -> None:
    """Expired answers go over several batches; live ones stay."""
    for n in range(5):
        await database.write(idempotency.remember, "962302", str(n), b"d", b"1", 0.0 if n < 4 else 60.0)

    assert await idempotency.prune(database, batch=3) == 4
    assert await idempotency.find(database, "962302", "4") is not None
