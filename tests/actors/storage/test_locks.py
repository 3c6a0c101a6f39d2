"""The storage actor while another session holds locks in Postgres, and while Postgres hangs (P6)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from actors.messages import Refused
from actors.storage.requests import CheckWritable, ClaimCompany, CommitDelta, RenewLeases
from storage.database.asyncpg_pool import PoolStatistics
from storage.database.connection import Connection
from storage.database.pool import Database
from storage.tables import auth_state
from storage.tables.auth_state import Delta, KeyChange
from storage.tables.leases import Lease
from supervisor import ActorRef
from tests.actors.storage.test_actor import CountingMetrics, samples, storage_actor
from tests.support.eventually import eventually
from tests.support.held_write import HeldWrite

A, B, C = "962302", "962303", "962304"
LOCKS = {
    "its keys": "SELECT FROM whatsapp_keys WHERE company_id = $1 FOR UPDATE",
    "its credentials": "SELECT FROM whatsapp_auth WHERE company_id = $1 FOR UPDATE",
    "its journal": "SELECT FROM whatsapp_journal WHERE company_id = $1 FOR UPDATE",
    "its lease": "SELECT FROM whatsapp_leases WHERE company_id = $1 FOR UPDATE",
}


def delta(lease: Lease, position: int, *, base: bool = False, size: int = 1) -> Delta:
    """A delta that changes the same key and the credentials each time."""
    value = b'{"position": %d, "pad": "%s"}' % (position, b"x" * size)
    changes = (KeyChange("session", "a", value),)
    return Delta(lease.company_id, lease.owner, lease.epoch, "file-1", position, value, changes, base)


async def begun(storage: ActorRef, company_id: str) -> Lease:
    """A company with something stored."""
    lease = await storage.ask(ClaimCompany(company_id, "running"))
    await storage.ask(CommitDelta(delta(lease, 1, base=True)))
    return lease


@asynccontextmanager
async def locked(database: Database, statement: str, *args: object) -> AsyncIterator[None]:
    """A transaction of another session, which has run the statement and does not end while the block runs."""

    async def lock(connection: Connection) -> None:
        await connection.execute(statement, *args)  # pyright: ignore[reportArgumentType]

    held = HeldWrite(lock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write_slowly, 60.0, held)
        await held.entered.wait()
        try:
            yield
        finally:
            held.release()


async def commit_all(storage: ActorRef, lease: Lease, first: int, count: int, done: list[int]) -> None:
    """Commit one delta after the other, as a company's shipment does."""
    for position in range(first, first + count):
        await storage.ask(CommitDelta(delta(lease, position)), timeout=60.0)
        done.append(position)


@pytest.mark.parametrize("what", LOCKS)
async def test_a_company_behind_a_lock_waits_alone(database: Database, what: str) -> None:
    """Whatever of a company's rows is locked, the others' commits go on; its own follow once the lock is gone."""
    async with storage_actor(database, lock_timeout_s=0.05) as storage:
        leases = {company: await begun(storage, company) for company in (A, B, C)}
        done: list[int] = []
        async with trio.open_nursery() as nursery, locked(database, LOCKS[what], A):
            nursery.start_soon(commit_all, storage, leases[A], 2, 20, done)
            with trio.fail_after(30):
                for position in range(2, 30):
                    await storage.ask(CommitDelta(delta(leases[B], position)))
                    await storage.ask(CommitDelta(delta(leases[C], position)))
            assert done == []

        assert done == list(range(2, 22))
        assert [(await auth_state.load(database, company)).position for company in (A, B, C)] == [21, 29, 29]


async def test_what_is_behind_a_lock_is_shown_and_nothing_new_is_begun(database: Database) -> None:
    """`CheckWritable` says no for that company only; the metric counts it; both end with the lock."""
    metrics = CountingMetrics()
    async with storage_actor(database, metrics=metrics, lock_timeout_s=0.05) as storage:
        lease = await begun(storage, A)
        async with trio.open_nursery() as nursery, locked(database, LOCKS["its keys"], A):
            nursery.start_soon(storage.ask, CommitDelta(delta(lease, 2)))
            await _until_locked(metrics, 1)
            with pytest.raises(Refused, match="locked this company"):
                await storage.ask(CheckWritable(A))
            await storage.ask(CheckWritable(B))
        await _until_locked(metrics, 0)

        await storage.ask(CheckWritable(A))


async def test_everything_waits_when_everything_is_locked(database: Database) -> None:
    """A lock on the whole table is no single company's: no write is refused, and all is committed when it is gone."""
    async with storage_actor(database, lock_timeout_s=0.02) as storage:
        leases = [await begun(storage, str(number)) for number in range(20)]
        async with trio.open_nursery() as nursery, locked(database, "LOCK TABLE whatsapp_keys"):
            for lease in leases:
                nursery.start_soon(storage.ask, CommitDelta(delta(lease, 2)))
            await eventually("the writer to notice", lambda: _is_refusing(storage), within=30)

        assert {(await auth_state.load(database, lease.company_id)).position for lease in leases} == {2}


async def test_leases_behind_a_lock_are_neither_owned_nor_lost(database: Database) -> None:
    """The renewal is answered for the others at once."""
    async with storage_actor(database, lock_timeout_s=0.05) as storage:
        for company in (A, B):
            await begun(storage, company)
        async with locked(database, LOCKS["its lease"], A):
            renewal = await storage.ask(RenewLeases(frozenset({A, B, C})), timeout=30)

    assert (sorted(renewal.renewed), sorted(renewal.locked)) == ([B], [A])


async def test_the_queue_is_bounded_in_bytes(database: Database) -> None:
    """New work that would exceed the bound is refused; a single one that is larger than the bound is taken when nothing waits."""
    hanging = HangingDatabase(database)
    async with storage_actor(hanging, queue_bytes=1 << 20) as storage, trio.open_nursery() as nursery:
        lease = await begun(storage, A)
        hanging.free = trio.Event()
        nursery.start_soon(storage.ask, CommitDelta(delta(lease, 2, size=1 << 20)))
        await hanging.entered.wait()
        with pytest.raises(Refused, match="too many"):
            await storage.ask(CommitDelta(delta(lease, 3, size=1000)))
        hanging.free.set()

    assert (await auth_state.load(database, A)).position == 2


async def test_nothing_new_is_begun_while_a_commit_hangs(database: Database) -> None:
    """Postgres has not refused yet, but it does not answer either."""
    hanging = HangingDatabase(database)
    async with storage_actor(hanging, stalled_after_s=0.1) as storage, trio.open_nursery() as nursery:
        hanging.free = trio.Event()
        nursery.start_soon(storage.ask, ClaimCompany(A, "running"))
        await hanging.entered.wait()
        await eventually("sends to be refused", lambda: _is_refusing(storage), within=30)
        hanging.free.set()
        await eventually("sends to be taken", lambda: _is_taking(storage), within=30)


class HangingDatabase:
    """A real database that does nothing while ``free`` is not set."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.free = trio.Event()
        self.free.set()
        self.entered = trio.Event()

    async def write_unless_locked(self, lock_timeout_s: float, fn: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        if not self.free.is_set():
            self.entered.set()
        await self.free.wait()
        return await self._database.write_unless_locked(lock_timeout_s, fn, *args)

    async def write_single_statement(self, fn: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        if not self.free.is_set():
            self.entered.set()
        await self.free.wait()
        return await self._database.write_single_statement(fn, *args)

    def statistics(self) -> PoolStatistics:
        return self._database.statistics()


async def _is_refusing(storage: ActorRef) -> bool:
    try:
        await storage.ask(CheckWritable())
    except Refused:
        return True
    return False


async def _is_taking(storage: ActorRef) -> bool:
    return not await _is_refusing(storage)


async def _until_locked(metrics: CountingMetrics, companies: int) -> None:
    async def look() -> bool:
        return samples(metrics)["wasup_storage_locked_companies"] == companies

    await eventually(f"{companies} companies to wait by themselves", look, within=30)
