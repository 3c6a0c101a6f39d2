"""storage/tables/idempotency.py."""

from __future__ import annotations

from functools import partial

from storage.database.pool import Database
from storage.tables import idempotency


async def take(
    database: Database,
    claim: str,
    *,
    company: str = "962302",
    key: str = "k",
    replaces: str | None = None,
    keep_s: float = 60.0,
) -> bool:
    """Claim a key as daemon `d`."""
    return await database.write(
        partial(idempotency.claim, claim=claim, owner="d", replaces=replaces, keep_s=keep_s), company, key, b"d1"
    )


async def test_a_claim_is_there_before_its_answer(database: Database) -> None:
    """A claimed key is found without a response; another company's same key is another key."""
    assert await take(database, "one")

    kept = await idempotency.find(database, "962302", "k")
    assert kept is not None
    assert (kept.request_digest, kept.response, kept.claim, kept.owner) == (b"d1", None, "one", "d")
    assert 0 <= kept.age_s < 60
    assert await idempotency.find(database, "962303", "k") is None


async def test_a_key_is_claimed_once(database: Database) -> None:
    """A second claim changes nothing, before the first one's response and after it."""
    await take(database, "one")
    assert not await take(database, "two")
    assert await database.write(idempotency.settle, "962302", "k", "one", b'{"n":1}')
    assert not await take(database, "two")
    assert not await take(database, "two", replaces="one")

    kept = await idempotency.find(database, "962302", "k")
    assert kept is not None
    assert (kept.claim, kept.response) == ("one", b'{"n":1}')


async def test_only_the_claims_own_attempt_settles_it_once(database: Database) -> None:
    """Another attempt's response and a second response are refused."""
    await take(database, "one")

    assert not await database.write(idempotency.settle, "962302", "k", "two", b"2")
    assert await database.write(idempotency.settle, "962302", "k", "one", b"1")
    assert not await database.write(idempotency.settle, "962302", "k", "one", b"3")


async def test_a_released_key_is_free_again(database: Database) -> None:
    """Only its own attempt can release it, and only before it was settled."""
    await take(database, "one")
    assert not await database.write(idempotency.release, "962302", "k", "two")
    assert await database.write(idempotency.release, "962302", "k", "one")
    assert await take(database, "two")
    await database.write(idempotency.settle, "962302", "k", "two", b"2")
    assert not await database.write(idempotency.release, "962302", "k", "two")


async def test_a_claim_may_be_repeated_or_taken_over_by_its_maker(database: Database) -> None:
    """Its own one whose commit was in doubt, and one that is known to have sent nothing."""
    assert await take(database, "one")
    assert await take(database, "one")
    assert await take(database, "two", replaces="one")
    assert not await take(database, "three", replaces="one")


async def test_an_expired_record_gives_way(database: Database) -> None:
    """A key whose time is over is not found, and a new claim takes its place."""
    await take(database, "one", keep_s=0.0)

    assert await idempotency.find(database, "962302", "k") is None
    assert await take(database, "two")


async def test_pruning_takes_expired_records_only(database: Database) -> None:
    """Expired ones go over several batches; live ones stay."""
    for n in range(5):
        await take(database, "one", key=str(n), keep_s=0.0 if n < 4 else 60.0)

    assert await idempotency.prune(database, batch=3) == 4
    assert await idempotency.find(database, "962302", "4") is not None
