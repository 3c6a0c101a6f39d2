"""storage/tables/auth_single_statement.py: ordinary deltas in one statement, and all others left to the transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from storage.database.connection import Connection
from storage.database.pool import Database, open_database
from storage.errors import StorageBusy
from storage.tables import auth_single_statement as auth_single_statement
from storage.tables import auth_state, leases
from storage.tables.auth_state import CommitResult, Delta, KeyChange
from storage.tables.data_keys import KnownDataKeys
from tests.support.held_write import HeldWrite
from tests.support.master_keys import vault, write_keys

A, B = "962302", "962303"
LOCKS = {
    "its keys": "SELECT FROM whatsapp_keys WHERE company_id = $1 FOR UPDATE",
    "its journal": "SELECT FROM whatsapp_journal WHERE company_id = $1 FOR UPDATE",
    "its lease": "SELECT FROM whatsapp_leases WHERE company_id = $1 FOR UPDATE",
}


@pytest.fixture
async def sealing(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Database]:
    """A database with a master key."""
    file = tmp_path / "master.key"
    write_keys(file, 1)
    async with open_database(postgres_dsn, size=2, vault=vault(file, 1)) as opened:
        yield opened


def delta(company_id: str = A, position: int = 2, **other: Any) -> Delta:
    """A step of one session."""
    value = b'{"position": %d}' % position
    step = (KeyChange("session", "79000000001.0", value),)
    ordinary = Delta(company_id, "daemon-1", 1, "file-1", position, creds=None, changes=step)
    return msgspec.structs.replace(ordinary, **other)


async def begun(database: Database, *companies: str) -> KnownDataKeys:
    """Companies with stored state, and the known data keys afterwards."""
    known = KnownDataKeys()
    for company_id in companies:
        await database.write(leases.acquire, company_id, "daemon-1", 60.0)
        await database.write(auth_state.commit_deltas, [delta(company_id, 1, base=True)], known)
    await database.write(auth_state.commit_deltas, [delta(company_id, 1) for company_id in companies], known)
    return known


async def commit(
    database: Database, deltas: Sequence[Delta], known: KnownDataKeys, lock_timeout_s: float = 5.0
) -> list[CommitResult] | None:
    return await database.write_single_statement(auth_single_statement.commit, deltas, known, lock_timeout_s)


async def stored(database: Database, company_id: str = A) -> tuple[int, list[bytes]]:
    state = await auth_state.load(database, company_id)
    return state.position, [value for _, _, value in state.keys]


async def test_ordinary_deltas_are_written(database: Database) -> None:
    """Values and journal positions of several companies."""
    known = await begun(database, A, B)
    deltas = [delta(B, 7), delta(A, 5)]

    results = await commit(database, deltas, known)

    assert auth_single_statement.is_ordinary(deltas, known)
    assert results == [CommitResult(B, "file-1", 7), CommitResult(A, "file-1", 5)]
    assert await stored(database, A) == (5, [b'{"position": 5}'])
    assert await stored(database, B) == (7, [b'{"position": 7}'])


async def test_sealed_values_are_sealed_and_opened_again(sealing: Database) -> None:
    """With a master key no value is stored plain."""
    known = await begun(sealing, A)

    await commit(sealing, [delta(position=3)], known)

    raw = await sealing.fetchval("SELECT value FROM whatsapp_keys WHERE company_id = $1", A)
    assert b"position" not in raw
    assert await stored(sealing) == (3, [b'{"position": 3}'])


@pytest.mark.parametrize(
    "other",
    [{"owner": "daemon-2"}, {"epoch": 2}, {"file_id": "file-2"}, {"position": 1}, {"position": 9, "after": 8}],
    ids=["another daemon's lease", "an earlier lease", "another device file", "repeated", "commits before it are gone"],
)
async def test_nothing_is_written_of_a_delta_that_is_not_in_order(database: Database, other: dict[str, Any]) -> None:
    """It is left to the transaction, which says why; deltas beside it are still written."""
    known = await begun(database, A, B)

    results = await commit(database, [msgspec.structs.replace(delta(), **other), delta(B, 2)], known)

    assert results is None
    assert await stored(database, A) == (1, [b'{"position": 1}'])
    assert await stored(database, B) == (2, [b'{"position": 2}'])


async def test_an_expired_lease_writes_nothing(database: Database) -> None:
    """Expired by the database's clock, as everywhere."""
    known = await begun(database, A)
    await database.execute("UPDATE whatsapp_leases SET expires_at = now() - interval '1 second'")

    assert await commit(database, [delta()], known) is None
    assert await stored(database) == (1, [b'{"position": 1}'])


@pytest.mark.parametrize("column", ["data_key_id", "kek_id", "wrapped", "all_sealed"])
async def test_a_data_key_that_was_changed_seals_nothing(sealing: Database, column: str) -> None:
    """The known key is compared with the stored one."""
    known = await begun(sealing, A)
    values = {"wrapped": "'\\x00'", "all_sealed": "NOT all_sealed"}
    await sealing.execute(f"UPDATE whatsapp_data_keys SET {column} = {values.get(column, repr('0' * 16))}")  # pyright: ignore[reportArgumentType]

    assert await commit(sealing, [delta()], known) is None


async def test_values_that_postgres_would_refuse_are_not_tried(database: Database) -> None:
    """They would fail the statement for every company in it."""
    known = await begun(database, A, B)
    bad = delta(changes=(KeyChange("session", "1", rb'"\u0000"'),))

    assert await commit(database, [bad, delta(B)], known) is None
    assert (await stored(database, A))[0] == 1


def test_only_ordinary_deltas_are_tried() -> None:
    """New files, credentials, deleted keys, unknown companies, repetitions and large batches are for the transaction."""
    known = KnownDataKeys()
    known.note(A, None)
    many = tuple(KeyChange("session", str(number), b"1") for number in range(101))

    tried = [
        auth_single_statement.is_ordinary(deltas, known)
        for deltas in (
            [delta()],
            [delta(base=True)],
            [delta(creds=b"{}")],
            [delta(changes=(KeyChange("session", "1", None),))],
            [delta(B)],
            [delta(), delta(position=3)],
            [delta(changes=many)],
        )
    ]

    assert tried == [True, False, False, False, False, False, False]


@pytest.mark.parametrize("what", LOCKS)
async def test_a_lock_is_waited_for_only_so_long(database: Database, what: str) -> None:
    """Then nothing is written, and the next statement of the connection waits as long as before."""
    known = await begun(database, A)

    async def lock(connection: Connection) -> None:
        await connection.execute(LOCKS[what], A)  # pyright: ignore[reportArgumentType]

    held = HeldWrite(lock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.write_slowly, 60.0, held)
        await held.entered.wait()
        with pytest.raises(StorageBusy):
            await commit(database, [delta()], known, lock_timeout_s=0.05)
        held.release()

    assert await database.fetchval("SELECT current_setting('lock_timeout')") == "0"
    assert await stored(database) == (1, [b'{"position": 1}'])


def test_what_is_known_of_data_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one noted first is dropped first."""
    monkeypatch.setattr("storage.tables.data_keys.MOST_KNOWN", 2)
    known = KnownDataKeys()
    for company_id in ("1", "2", "3"):
        known.note(company_id, None)

    assert [company_id in known for company_id in ("1", "2", "3")] == [False, True, True]
