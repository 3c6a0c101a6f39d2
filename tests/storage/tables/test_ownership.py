"""storage/tables/ownership.py: orders need the lease, every take-over reads the record first, and what daemons see of each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from storage.database.pool import Database
from storage.errors import LeaseHeld
from storage.tables import auth_state, companies, leases, ownership
from storage.tables.auth_state import Delta, KeyChange
from storage.tables.leases import Lease
from storage.tables.ownership import NotWanted
from tests.support.held_write import HeldWrite, waiting_for_a_lock

A = "962302"
HERE, THERE = "here/host-1", "there/host-1"
EVERYTHING = """
    SELECT coalesce(string_agg(part, ' ' ORDER BY part), '') FROM (
        SELECT to_jsonb(c)::text AS part FROM whatsapp_companies c UNION ALL SELECT to_jsonb(l)::text FROM whatsapp_leases l
        UNION ALL SELECT to_jsonb(a)::text FROM whatsapp_auth a UNION ALL SELECT to_jsonb(k)::text FROM whatsapp_keys k
        UNION ALL SELECT to_jsonb(v)::text FROM whatsapp_auth_archive v
    ) all_parts
"""


async def linked(database: Database, owner: str, company_id: str = A) -> Lease:
    """A company with an identity, which runs at ``owner``."""
    lease = await database.write(ownership.claim, company_id, owner, 60.0, "running")
    changes = (KeyChange("session", "s", b'"1"'),)
    delta = Delta(company_id, owner, lease.epoch, "file-1", 1, b'{"me":1}', changes, base=True)
    [result] = await database.write(auth_state.commit_deltas, [delta])
    assert result.error is None
    return lease


ORDERS: list[tuple[str, Callable[..., Awaitable[Any]], tuple[Any, ...]]] = [
    ("start", ownership.claim, (A, HERE, 60.0, "running")),
    ("forget, first step", ownership.claim, (A, HERE, 60.0, "stopped")),
    ("stop", ownership.record_stop, (A, HERE)),
    ("forget", lambda c: ownership.forget(c, A, HERE, 60.0, "test", give_back=True), ()),
    ("archive", lambda c: ownership.archive_owned(c, A, HERE, 60.0, "test"), ()),
    ("take up", ownership.take_up, (A, HERE, 60.0)),
]


@pytest.mark.parametrize(("order", "args"), [each[1:] for each in ORDERS], ids=[each[0] for each in ORDERS])
async def test_an_order_for_another_daemons_company_changes_nothing(
    database: Database, order: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
) -> None:
    """Not a row of the company: it is refused with the owner's name."""
    await linked(database, THERE)
    before = await database.fetchval(EVERYTHING)

    with pytest.raises(LeaseHeld, match=THERE):
        await database.write(order, *args)

    assert await database.fetchval(EVERYTHING) == before


async def test_the_next_boot_of_the_owner_is_the_owner(database: Database) -> None:
    """Same installation: it does not wait for its own lease."""
    await linked(database, "here/host-0")

    lease = await database.write(ownership.claim, A, HERE, 60.0, "running")

    assert lease.epoch == 2


async def test_a_forgotten_company_is_archived_and_its_lease_free(database: Database) -> None:
    """Of an owner that has left WhatsApp: nothing live is left."""
    await linked(database, HERE)

    await database.write(lambda c: ownership.forget(c, A, HERE, 60.0, "test", give_back=True))

    state = await auth_state.load(database, A)
    assert (state.creds, state.keys) == (None, [])
    assert await companies.find(database, A) is None
    assert await leases.owner_of(database, A) is None
    assert await database.fetchval("SELECT count(*) FROM whatsapp_auth_archive") == 1


async def test_a_lease_that_was_held_runs_out_by_itself(database: Database) -> None:
    """Its owner may not have left WhatsApp for certain: others wait for the lease's end before they make the company anew."""
    await linked(database, HERE)

    await database.write(lambda c: ownership.forget(c, A, HERE, 60.0, "test", give_back=False))

    owner = await leases.owner_of(database, A)
    assert owner is not None
    assert owner.name == HERE


async def test_a_free_company_is_archived_under_a_lease_that_is_given_back(database: Database) -> None:
    """No other daemon gets it in between, and any may have it afterwards."""
    lease = await linked(database, HERE)
    await database.write(leases.release, A, HERE, lease.epoch)

    await database.write(ownership.archive_owned, A, THERE, 60.0, "test")

    assert (await auth_state.load(database, A)).creds is None
    assert await leases.owner_of(database, A) is None


@pytest.mark.parametrize("desired", ["stopped", None])
async def test_what_is_not_wanted_is_not_taken_up(database: Database, desired: companies.Desired | None) -> None:
    """Stopped or forgotten: the lease stays free."""
    if desired is not None:
        await database.write(companies.ensure, A, desired)

    assert await database.write(ownership.take_up, A, HERE, 60.0) == NotWanted(desired)
    assert await leases.owner_of(database, A) is None


async def test_a_take_over_waits_for_a_stop_under_way(database: Database) -> None:
    """A stop that was recorded a moment before, and is not committed yet, is seen."""
    await database.write(companies.ensure, A, "running")
    held: HeldWrite[None] = HeldWrite(ownership.record_stop, A, THERE)
    taken: list[Lease | NotWanted] = []

    async def take_up() -> None:
        taken.append(await database.write(ownership.take_up, A, HERE, 60.0))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write, held)
        await held.entered.wait()
        nursery.start_soon(take_up)
        await waiting_for_a_lock(database)
        held.release()

    assert taken == [NotWanted("stopped")]


async def test_a_stop_waits_for_a_take_over_under_way(database: Database) -> None:
    """The daemon that takes the company over is the owner then, and has to carry out the stop."""
    await database.write(companies.ensure, A, "running")
    held: HeldWrite[Lease | NotWanted] = HeldWrite(ownership.take_up, A, THERE, 60.0)
    refused: list[LeaseHeld] = []

    async def stop() -> None:
        try:
            await database.write(ownership.record_stop, A, HERE)
        except LeaseHeld as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write, held)
        await held.entered.wait()
        nursery.start_soon(stop)
        await waiting_for_a_lock(database)
        held.release()

    assert [error.owner for error in refused] == [THERE]
    record = await companies.find(database, A)
    assert record is not None
    assert record.desired == "running"


async def test_the_digest_tells_every_change_of_the_record(database: Database) -> None:
    """And nothing else: a lease does not change it."""
    digests = [(await ownership.survey(database)).digest]
    for change in (
        (companies.ensure, A, "running"),
        (companies.ensure, "962303", "running"),
        (companies.set_desired, A, "stopped"),
        (companies.set_desired, "962303", "stopped"),
        (companies.remove, A),
    ):
        await database.write(*change)
        digests.append((await ownership.survey(database)).digest)
    await database.write(leases.acquire, "962303", HERE, 60.0)

    assert len(set(digests)) == len(digests)
    assert (await ownership.survey(database)).digest == digests[-1]


async def test_free_is_what_is_to_run_and_has_no_owner(database: Database) -> None:
    """Never taken, given back, or expired; each with whether there are credentials."""
    lease = await linked(database, THERE, "given-back")
    await database.write(leases.release, "given-back", THERE, lease.epoch)
    await linked(database, THERE, "owned")
    await linked(database, THERE, "expired")
    await database.execute("UPDATE whatsapp_leases SET expires_at = now() WHERE company_id = 'expired'")
    await database.write(companies.ensure, "new", "running")
    await database.write(companies.ensure, "stopped", "stopped")

    assert (await ownership.survey(database)).free == {"given-back": True, "expired": True, "new": False}
