"""storage/tables/archive.py: out of use, not destroyed."""

from __future__ import annotations

import msgspec
import pytest

from storage.database.pool import Database
from storage.errors import LeaseLost
from storage.tables import archive, auth_state, leases
from storage.tables.auth_state import Delta, KeyChange

A = "962302"


async def link(database: Database, position: int = 4) -> None:
    """Give company A an identity with one key."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)
    changes = (KeyChange("session", "79000000001.0", b'{"n":1}'),)
    delta = Delta(A, "daemon-1", 1, "file-1", position, b'{"me":1}', changes, base=True)
    await database.write(auth_state.commit_deltas, [delta])


async def test_archiving_leaves_no_live_identity(database: Database) -> None:
    """Creds, keys and the device file are gone from the live tables and complete in the archive."""
    await link(database)

    archived = await database.write(archive.archive, A, "logged out", owner="daemon-1", epoch=1)

    state = await auth_state.load(database, A)
    assert (state.creds, state.keys, state.file_id, state.position) == (None, [], None, 0)
    row = await database.fetchrow("SELECT * FROM whatsapp_auth_archive WHERE id = $1", archived)
    assert row is not None
    assert (row["company_id"], row["reason"], row["creds"]) == (A, "logged out", b'{"me": 1}')
    assert msgspec.json.decode(row["keys"]) == [["session", "79000000001.0", {"n": 1}, None]]


async def test_nothing_to_archive_is_no_archive(database: Database) -> None:
    """A company without an identity is not changed."""
    await database.write(leases.acquire, A, "daemon-1", 30.0)
    assert await database.write(archive.archive, A, "logged out", owner="daemon-1", epoch=1) is None
    assert await database.fetchval("SELECT count(*) FROM whatsapp_auth_archive") == 0


async def test_a_lost_lease_archives_nothing(database: Database) -> None:
    """With another lease than the present one, nothing is moved."""
    await link(database)

    async def with_old_epoch(epoch: int) -> None:
        with pytest.raises(LeaseLost):
            await database.write(archive.archive, A, "logged out", owner="daemon-1", epoch=epoch)

    await with_old_epoch(0)
    assert (await auth_state.load(database, A)).creds is not None
    assert await database.write(archive.archive, A, "logged out", owner="daemon-1", epoch=1) is not None


async def test_a_number_of_archives_is_kept(database: Database) -> None:
    """Beyond the limit the company's oldest archive is deleted."""
    for position in range(1, archive.KEEP + 3):
        await link(database, position)
        await database.write(archive.archive, A, f"the {position}th", owner="daemon-1", epoch=1)

    reasons = [row["reason"] for row in await database.fetch("SELECT reason FROM whatsapp_auth_archive ORDER BY id")]
    assert len(reasons) == archive.KEEP
    assert reasons[0] == "the 3th"


async def test_an_archive_is_destroyed_when_its_time_is_over(database: Database) -> None:
    """Younger ones and live identities stay, also of the same company; batch by batch."""
    for position in range(1, 6):
        await link(database, position)
        await database.write(archive.archive, A, f"the {position}th", owner="daemon-1", epoch=1)
    await link(database, 6)
    await database.execute(
        "UPDATE whatsapp_auth_archive SET archived_at = now() - interval '2 minutes' WHERE reason < 'the 4'"
    )

    assert await archive.prune(database, 60.0, batch=2) == 3
    assert await archive.prune(database, 60.0, batch=2) == 0
    reasons = [row["reason"] for row in await database.fetch("SELECT reason FROM whatsapp_auth_archive ORDER BY id")]
    assert reasons == ["the 4th", "the 5th"]
    assert (await auth_state.load(database, A)).creds is not None
