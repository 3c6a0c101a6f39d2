"""storage/tables/leases.py: one owner a company, an epoch that only grows."""

from __future__ import annotations

import pytest
import trio

from storage.database.connection import Connection
from storage.database.pool import Database
from storage.errors import LeaseHeld
from storage.tables import leases
from tests.support.held_write import HeldWrite

A = "962302"


async def test_another_owner_has_to_wait(database: Database) -> None:
    """A live lease is refused to others with its owner's name and the time it has left."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)

    with pytest.raises(LeaseHeld) as caught:
        await database.write(leases.acquire, A, "daemon-2", 30.0)

    assert caught.value.owner == "daemon-1"
    assert 25.0 < caught.value.expires_in_s <= 30.0


async def test_the_same_owner_keeps_its_epoch(database: Database) -> None:
    """Acquiring a lease again extends it and does not change the epoch."""
    first = await database.write(leases.acquire, A, "daemon-1", 30.0)

    again = await database.write(leases.acquire, A, "daemon-1", 30.0)

    assert (first.epoch, again.epoch) == (1, 1)


async def test_the_epoch_grows_after_release_and_after_expiry(database: Database) -> None:
    """Each new owner of a free or expired lease gets a greater epoch, the former owner too."""
    first = await database.write(leases.acquire, A, "daemon-1", 30.0)
    await database.write(leases.release, A, "daemon-1", first.epoch)
    second = await database.write(leases.acquire, A, "daemon-2", 0.0)

    third = await database.write(leases.acquire, A, "daemon-2", 30.0)

    assert [first.epoch, second.epoch, third.epoch] == [1, 2, 3]


async def test_renewal_names_what_is_still_owned(database: Database) -> None:
    """Renewing extends live leases and leaves out those that are expired, another's, or without an owner."""
    await database.write(leases.acquire, "mine", "daemon-1", 30.0)
    await database.write(leases.acquire, "expired", "daemon-1", 0.0)
    await database.write(leases.acquire, "another", "daemon-2", 30.0)

    renewed = await database.write(leases.renew, "daemon-1", ["mine", "expired", "another", "unknown"], 60.0)

    assert renewed == leases.Renewal(frozenset({"mine"}), frozenset())


async def test_a_renewal_passes_over_rows_that_somebody_has_locked(database: Database) -> None:
    """It names the leases of which it knows nothing, and the others are renewed meanwhile."""
    for company_id in ("free", "locked"):
        await database.write(leases.acquire, company_id, "daemon-1", 30.0)
    held = HeldWrite(_lock, "locked")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write, held)
        await held.entered.wait()
        renewal = await database.write(leases.renew, "daemon-1", ["free", "locked"], 60.0)
        held.release()

    assert renewal == leases.Renewal(frozenset({"free"}), frozenset({"locked"}))


async def _lock(connection: Connection, company_id: str) -> None:
    await connection.execute("SELECT FROM whatsapp_leases WHERE company_id = $1 FOR UPDATE", company_id)


async def test_releasing_an_old_epoch_does_nothing(database: Database) -> None:
    """A release with an epoch that is not the present one leaves the lease with its holder."""
    await database.write(leases.acquire, A, "daemon-1", 0.0)
    await database.write(leases.acquire, A, "daemon-1", 30.0)

    await database.write(leases.release, A, "daemon-1", 1)

    with pytest.raises(LeaseHeld):
        await database.write(leases.acquire, A, "daemon-2", 30.0)
