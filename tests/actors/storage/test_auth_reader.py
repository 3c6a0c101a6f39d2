"""actors/storage/reading.py: what cannot be trusted is reported, once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.storage.reading import ACTION, ACTOR, AuthReader
from storage.database.pool import Database, open_database
from storage.errors import UnreadableState
from storage.tables import audit, auth_state, leases
from tests.support.master_keys import vault

A, B = "962302", "962303"


@pytest.fixture
async def sealing(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Database]:
    """A database with a master key and two linked companies."""
    async with open_database(postgres_dsn, size=2, vault=vault(tmp_path / "master.key", 1)) as opened:
        for company_id in (A, B):
            await opened.write(leases.acquire, company_id, "daemon-1", 60.0)
            delta = auth_state.Delta(company_id, "daemon-1", 1, "file-1", 1, b'{"me": 1}', (), base=True)
            await opened.write(auth_state.commit_deltas, [delta])
        yield opened


async def swap(database: Database) -> None:
    """Give each company the other's credentials."""
    await database.execute(
        "UPDATE whatsapp_auth v SET creds = o.creds FROM whatsapp_auth o WHERE o.company_id <> v.company_id"
    )


async def test_an_integrity_error_is_audited_once(sealing: Database) -> None:
    """However often it is read; again after it has been sound in between."""
    reader = AuthReader(sealing, wall_clock=lambda: 1_700_000_000.0)
    assert (await reader.load(A)).creds == b'{"me": 1}'
    for _ in range(2):
        await swap(sealing)
        for _ in range(3):
            with pytest.raises(UnreadableState):
                await reader.load(A)
        await swap(sealing)
        await reader.load(A)

    records = await audit.read(sealing)

    assert [(record.key_id, record.action, record.at) for record in records] == [(ACTOR, ACTION, 1_700_000_000.0)] * 2
    assert records[0].target == (
        f"/companies/{A}: the stored credentials: it is sealed under another data key than the company's"
    )


async def test_what_is_read_in_order_is_not_audited(sealing: Database) -> None:
    """An unknown company has no credentials, and that is no error."""
    reader = AuthReader(sealing, wall_clock=lambda: 0.0)

    assert (await reader.load("nobody")).creds is None
    assert await audit.read(sealing) == []
