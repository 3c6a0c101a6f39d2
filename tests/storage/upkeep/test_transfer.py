"""A company's whole state into the database and out of it: one transaction, under its lease, read back before it counts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, LiteralString

import msgspec
import pytest

from storage.baileys.directory import read_directory
from storage.baileys.importing import plan_import
from storage.database.connection import Connection, Row
from storage.database.pool import Database
from storage.errors import LeaseLost
from storage.tables import auth_state, companies, leases
from storage.tables.auth_state import Delta, KeyChange
from storage.tables.leases import Lease
from storage.upkeep import transfer as moving
from storage.upkeep.transfer import Arrival, MoveRefused
from tests.support import baileys as b
from tests.support.records import is_wanted

A = "962302"
B = "962303"


@pytest.fixture
def arrival(tmp_path: Path) -> Arrival:
    """A Baileys directory, converted, with more than one batch of keys."""
    files = b.directory_v7() | {
        f"pre-key-{number}.json": {"private": b.BASE64(key.private), "public": b.BASE64(key.public)}
        for number in range(10, 260)
        for key in [b.pair("pre-key", number)]
    }
    plan = plan_import(read_directory(b.write(tmp_path / "auth", files)), time.time())
    return Arrival(A, plan.digest, plan.identity.creds, plan.changes)


async def take_in(database: Database, arrival: Arrival, lease: Lease | None = None) -> list[int]:
    """Store it; return the progress it reported."""
    if lease is None:
        lease = await database.write(leases.acquire, arrival.company_id, "move/1", 30.0)
    said: list[int] = []
    await database.write(moving.take_in, arrival, lease, said.append)
    return said


async def test_everything_is_stored_in_batches(database: Database, arrival: Arrival) -> None:
    """100 keys at a time, all of them, and the company is recorded as running."""
    said = await take_in(database, arrival)

    state = await auth_state.load(database, A)
    assert said == [100, 200, len(arrival.changes)]
    assert moving.digest_of(state.creds, state.keys) == arrival.digest
    assert (state.file_id, state.position) == (arrival.file_id, 3)
    assert await is_wanted(database, A)


async def test_standing(database: Database, arrival: Arrival) -> None:
    """Nothing yet; exactly this; this device, used since; another one."""
    other = msgspec.structs.replace(arrival, creds=msgspec.json.encode({"signedIdentityKey": {"public": "x"}}))
    before = await moving.standing(database, arrival)
    await take_in(database, arrival)
    stored, taken = await moving.standing(database, arrival), await moving.standing(database, other)
    lease = await database.write(leases.acquire, A, "move/1", 30.0)
    await database.write(
        auth_state.commit_deltas, [Delta(A, lease.owner, lease.epoch, "device", 1, None, (), base=True)]
    )

    assert (before, stored, taken) == ("free", "stored", "taken")
    assert await moving.standing(database, arrival) == "moved on"


async def test_a_directory_belongs_to_one_company(database: Database, arrival: Arrival) -> None:
    """Found under another company as long as that has not run."""
    await take_in(database, arrival)

    assert await moving.owner_of_source(database, arrival) is None
    assert await moving.owner_of_source(database, msgspec.structs.replace(arrival, company_id=B)) == A


async def test_a_company_with_a_device_takes_no_other(database: Database, arrival: Arrival) -> None:
    """Whatever the caller expected."""
    await take_in(database, arrival)

    with pytest.raises(MoveRefused, match="device already"):
        await take_in(database, arrival)


async def test_a_lost_lease_voids_the_whole(database: Database, arrival: Arrival) -> None:
    """No key and no company is left behind."""
    lease = await database.write(leases.acquire, A, "move/1", 30.0)
    await database.execute("UPDATE whatsapp_leases SET epoch = epoch + 1")

    with pytest.raises(LeaseLost):
        await take_in(database, arrival, lease)
    assert await moving.standing(database, arrival) == "free"
    assert await companies.find(database, A) is None
    assert (await auth_state.load(database, A)).keys == []


async def test_what_does_not_read_back_is_not_committed(database: Database, arrival: Arrival) -> None:
    """A row that changes between writing and reading voids the transaction."""
    lease = await database.write(leases.acquire, A, "move/1", 30.0)

    async def spoiled(connection: Connection) -> None:
        await moving.take_in(Spoiling(connection), arrival, lease, lambda _stored: None)

    with pytest.raises(MoveRefused, match="does not read back"):
        await database.write(spoiled)
    assert await moving.standing(database, arrival) == "free"


class Spoiling:
    """A connection on which the last statement that writes keys loses a row, as a broken disk or server would."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.vault = connection.vault

    async def fetch(self, sql: LiteralString, /, *args: object) -> Sequence[Row]:
        return await self._connection.fetch(sql, *args)

    async def fetchrow(self, sql: LiteralString, /, *args: object) -> Row | None:
        return await self._connection.fetchrow(sql, *args)

    async def fetchval(self, sql: LiteralString, /, *args: object) -> Any:
        return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: LiteralString, /, *args: object) -> str:
        done = await self._connection.execute(sql, *args)
        await self._connection.execute("DELETE FROM whatsapp_keys WHERE key_type = 'pre-key' AND key_id = '8'")
        return done


async def test_leftover_keys_are_archived_first(database: Database, arrival: Arrival) -> None:
    """Keys without credentials belong to no device; they are not mixed with the imported ones."""
    await database.execute("INSERT INTO whatsapp_keys VALUES ($1, 'pre-key', '9999', '{}')", A)

    await take_in(database, arrival)

    state = await auth_state.load(database, A)
    assert "9999" not in [key_id for key_type, key_id, _ in state.keys if key_type == "pre-key"]
    assert await database.fetchval("SELECT reason FROM whatsapp_auth_archive") == "left over before an import"


async def test_a_stopped_company_stays_stopped(database: Database, arrival: Arrival) -> None:
    """An import does not start a company that an operator had stopped."""
    await database.write(companies.ensure, A, "stopped")

    await take_in(database, arrival)

    assert not await is_wanted(database, A)


async def test_handing_over_leaves_nothing_to_run(database: Database, arrival: Arrival) -> None:
    """The state is archived with its destination, and the company is recorded as stopped."""
    await take_in(database, arrival)
    state = await auth_state.load(database, A)
    lease = await database.write(leases.acquire, A, "move/1", 30.0)

    await database.write(moving.hand_over, state, lease, "there")

    assert (await auth_state.load(database, A)).creds is None
    assert not await is_wanted(database, A)
    assert await moving.was_handed_over(database, A, "there")
    assert not await moving.was_handed_over(database, A, "elsewhere")


async def test_a_state_that_changed_is_not_handed_over(database: Database, arrival: Arrival) -> None:
    """The directory as written would be out of date."""
    await take_in(database, arrival)
    state = await auth_state.load(database, A)
    lease = await database.write(leases.acquire, A, "move/1", 30.0)
    change = KeyChange("pre-key", "2", None)
    await database.write(
        auth_state.commit_deltas, [Delta(A, lease.owner, lease.epoch, arrival.file_id, 9, None, (change,))]
    )

    with pytest.raises(MoveRefused, match="changed"):
        await database.write(moving.hand_over, state, lease, "there")
    assert not await moving.was_handed_over(database, A, "there")


async def test_without_the_lease_nothing_is_handed_over(database: Database, arrival: Arrival) -> None:
    """Another process may be running the company."""
    await take_in(database, arrival)
    state = await auth_state.load(database, A)

    with pytest.raises(LeaseLost):
        await database.write(moving.hand_over, state, Lease(A, "move/2", 1, 30.0), "there")
    assert (await auth_state.load(database, A)).creds is not None
    assert await is_wanted(database, A)
