"""storage/audit.py."""

from __future__ import annotations

from storage import audit
from storage.pool import Database


async def test_actions_are_read_newest_first(database: Database) -> None:
    """Every field comes back as it was written, pages go backwards in time."""
    for n in range(3):
        await database.write(audit.append, 1_700_000_000.5 + n, "key-1", "kill", f"/companies/{n}", "127.0.0.1")

    newest = await audit.read(database, limit=2)
    oldest = await audit.read(database, before=newest[-1].id)

    assert [record.target for record in (*newest, *oldest)] == ["/companies/2", "/companies/1", "/companies/0"]
    assert (newest[0].at, newest[0].key_id, newest[0].action) == (1_700_000_002.5, "key-1", "kill")
    assert newest[0].address == "127.0.0.1"
