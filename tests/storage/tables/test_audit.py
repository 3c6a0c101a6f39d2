"""storage/tables/audit.py."""

from __future__ import annotations

import pytest
import trio

from storage.database.pool import Database
from storage.errors import QueryFailed
from storage.tables import audit


async def test_actions_are_read_newest_first(database: Database) -> None:
    """Every field comes back as it was written, pages go backwards in time."""
    for n in range(3):
        await database.write(audit.append, 1_700_000_000.5 + n, "key-1", "kill", f"/companies/{n}", "127.0.0.1")

    newest = await audit.read(database, limit=2)
    oldest = await audit.read(database, before=newest[-1].id)

    assert [record.target for record in (*newest, *oldest)] == ["/companies/2", "/companies/1", "/companies/0"]
    assert (newest[0].at, newest[0].key_id, newest[0].action) == (1_700_000_002.5, "key-1", "kill")
    assert newest[0].address == "127.0.0.1"


async def test_nothing_in_the_log_can_be_changed_or_removed(database: Database) -> None:
    """The daemon's own role is refused with 42501, and every record is there afterwards."""
    await database.write(audit.append, 1_700_000_000.5, "key-1", "kill", "/http", "127.0.0.1")

    for statement in (
        "UPDATE audit_log SET target = '/'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
    ):
        with pytest.raises(QueryFailed) as caught:
            await database.execute(statement)
        assert caught.value.sqlstate == "42501"
    assert [record.target for record in await audit.read(database)] == ["/http"]


async def test_the_chain_shows_what_was_tampered_with(database: Database) -> None:
    """Each record holds the hash of the one before it: a change, a removal and an insertion show, also by a role with all rights."""
    for n in range(5):
        await database.write(audit.append, 1_700_000_000.5 + n, "key-1", "kill", f"/companies/{n}", "127.0.0.1")
    assert await audit.breaks(database) == []
    ids = [record.id for record in reversed(await audit.read(database))]
    await database.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")

    await database.execute("UPDATE audit_log SET target = '/' WHERE id = $1", ids[1])
    assert await audit.breaks(database) == [ids[1]]
    await database.execute("DELETE FROM audit_log WHERE id = $1", ids[3])
    assert await audit.breaks(database) == [ids[1], ids[4]]


async def test_many_writers_keep_one_chain(database: Database) -> None:
    """Records are numbered in the order in which they are chained."""
    async with trio.open_nursery() as nursery:
        for n in range(20):
            nursery.start_soon(database.write, audit.append, 1_700_000_000.5, "k", "kill", f"/companies/{n}", "::1")

    assert len(await audit.read(database)) == 20
    assert await audit.breaks(database) == []
