"""Commits, takeovers and renewals at the same moment: an old owner never writes after a new one has begun."""

from __future__ import annotations

import random

import pytest
import trio

from storage.database.pool import Database
from storage.errors import LeaseLost
from storage.tables import auth_state, leases
from storage.tables.auth_state import CommitResult, Delta, KeyChange
from storage.tables.leases import Lease
from tests.support.bars import patience
from tests.support.held_write import HeldWrite, waiting_for_a_lock
from tests.support.waiting import wait_until

A = "962302"


def delta(company_id: str, owner: str, epoch: int, position: int, value: bytes = b"1") -> Delta:
    return Delta(company_id, owner, epoch, "file", position, None, (KeyChange("session", "k", value),), position == 1)


async def test_a_takeover_waits_for_a_commit_under_way(database: Database) -> None:
    """A commit that found its lease live is finished before another owner gets the lease, even when it expired
    meanwhile."""
    await database.write(leases.acquire, A, "daemon-1", 0.2)
    held: HeldWrite[list[CommitResult]] = HeldWrite(auth_state.commit_deltas, [delta(A, "daemon-1", 1, 1, b'"old"')])
    taken: list[Lease] = []

    async def take_over() -> None:
        taken.append(await database.write(leases.acquire, A, "daemon-2", 30.0))

    async def expired() -> bool:
        return await database.fetchval("SELECT expires_at < now() FROM whatsapp_leases") is True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write, held)
        await held.entered.wait()
        await wait_until(expired)
        nursery.start_soon(take_over)
        await waiting_for_a_lock(database)
        assert taken == []
        held.release()

    assert (await auth_state.load(database, A)).keys == [("session", "k", b'"old"')]
    [late] = await database.write(auth_state.commit_deltas, [delta(A, "daemon-1", 1, 2)])
    assert (taken[0].epoch, type(late.error)) == (2, LeaseLost)


async def test_a_commit_waits_for_a_takeover_under_way(database: Database) -> None:
    """A commit that meets a takeover not yet committed is refused once it is."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)
    await database.write(auth_state.commit_deltas, [delta(A, "daemon-1", 1, 1)])
    await database.execute("UPDATE whatsapp_leases SET expires_at = now()")
    held: HeldWrite[Lease] = HeldWrite(leases.acquire, A, "daemon-2", 30.0)
    results: list[CommitResult] = []

    async def commit() -> None:
        results.extend(await database.write(auth_state.commit_deltas, [delta(A, "daemon-1", 1, 2, b'"stale"')]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write, held)
        await held.entered.wait()
        nursery.start_soon(commit)
        await waiting_for_a_lock(database)
        held.release()

    assert isinstance(results[0].error, LeaseLost)
    assert (await auth_state.load(database, A)).keys == [("session", "k", b"1")]


@pytest.mark.parametrize("first", [1, 2], ids=["first delta of its file", "a later one"])
async def test_the_repeat_of_a_commit_still_under_way(database: Database, first: int) -> None:
    """Repeating a delta whose first transaction is still open waits for that one and writes nothing again."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)
    if first > 1:
        await database.write(auth_state.commit_deltas, [delta(A, "daemon-1", 1, 1)])
    held: HeldWrite[list[CommitResult]] = HeldWrite(auth_state.commit_deltas, [delta(A, "daemon-1", 1, first)])
    results: list[CommitResult] = []

    async def repeat() -> None:
        results.extend(await database.write(auth_state.commit_deltas, [delta(A, "daemon-1", 1, first)]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write, held)
        await held.entered.wait()
        nursery.start_soon(repeat)
        await waiting_for_a_lock(database)
        held.release()

    assert [(result.error, result.repeated) for result in results] == [(None, True)]


async def test_companies_do_not_wait_for_each_other(database: Database) -> None:
    """While one company's commit is open another's goes through."""
    for company_id in (A, "962303"):
        await database.write(leases.acquire, company_id, "daemon-1", 30.0)
    held: HeldWrite[list[CommitResult]] = HeldWrite(auth_state.commit_deltas, [delta(A, "daemon-1", 1, 1)])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write, held)
        await held.entered.wait()
        with trio.fail_after(patience(5)):
            [other] = await database.write(auth_state.commit_deltas, [delta("962303", "daemon-1", 1, 1)])
        held.release()

    assert other.error is None


@pytest.mark.slow
async def test_renewals_and_commits_never_deadlock(database: Database) -> None:
    """Renewals and commits over the same companies, in any order and all at once, all succeed."""
    order = random.Random(20261121)
    companies = [f"company-{n}" for n in range(12)]
    for company_id in companies:
        await database.write(leases.acquire, company_id, "daemon-1", 30.0)
    positions = dict.fromkeys(companies, 0)

    async def commit(share: list[str]) -> None:
        for _ in range(40):
            chosen = order.sample(share, 3)
            for company_id in chosen:
                positions[company_id] += 1
            deltas = [delta(company_id, "daemon-1", 1, positions[company_id]) for company_id in chosen]
            results = await database.write(auth_state.commit_deltas, deltas)
            assert [result.error for result in results] == [None] * 3

    async def renew() -> None:
        for _ in range(40):
            chosen = order.sample(companies, 12)
            renewal = await database.write(leases.renew, "daemon-1", chosen, 30.0)
            assert renewal.renewed | renewal.locked == set(companies)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(commit, companies[::2])
        nursery.start_soon(commit, companies[1::2])
        nursery.start_soon(renew)

    for company_id in companies:
        assert (await auth_state.journal_position(database, company_id))[1] == positions[company_id]
