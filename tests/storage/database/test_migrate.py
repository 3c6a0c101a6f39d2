"""storage/database/migrate.py: the schema, applied once and in order."""

from __future__ import annotations

from pathlib import Path
from typing import LiteralString

import pytest
import trio

from storage.database.migrate import Migration, migrate, pending, shipped
from storage.database.pool import Database, open_database
from storage.embedded.server import EmbeddedPostgres
from storage.errors import MigrationError
from storage.tables import auth_state, leases

ONE = Migration(1, "0001_one", "CREATE TABLE one (n INTEGER)")
TWO = Migration(2, "0002_two", "CREATE TABLE two (n INTEGER); INSERT INTO two VALUES (1)")
BROKEN = Migration(3, "0003_broken", "CREATE TABLE three (n INTEGER); SELECT nothing")


async def exists(database: Database, table: str) -> bool:
    return await database.fetchval("SELECT to_regclass($1) IS NOT NULL", table) is True


async def test_the_shipped_schema_is_applied_once(empty_dsn: str) -> None:
    """A first run applies every shipped migration in order, a second one nothing."""
    names = [migration.name for migration in shipped()]
    async with open_database(empty_dsn) as database:
        assert await pending(database) == names
        assert await migrate(database) == names
        assert await migrate(database) == []
        assert await pending(database) == []


def test_shipped_migrations_have_a_number_each() -> None:
    """Numbers grow from 1, none comes twice, and they are the beginning of the names."""
    found = shipped()
    numbers = [migration.number for migration in found]

    assert numbers[0] == 1
    assert numbers == sorted(set(numbers))
    assert all(migration.name.startswith(f"{migration.number:04}_") for migration in found)


async def test_two_daemons_migrate_at_once(empty_dsn: str) -> None:
    """When several migrate at the same moment, each migration is applied by one."""
    applied: list[str] = []

    async def run() -> None:
        async with open_database(empty_dsn, size=1) as database:
            applied.extend(await migrate(database, (ONE, TWO)))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(run)

    assert sorted(applied) == ["0001_one", "0002_two"]


async def test_p7_a_newer_database_is_refused(empty_dsn: str) -> None:
    """A database with a migration that this version does not know is left alone, naming it."""
    async with open_database(empty_dsn) as database:
        await migrate(database, (ONE, TWO))

        with pytest.raises(MigrationError, match=r"0002_two.*up to 0001_one.*newer"):
            await migrate(database, (ONE,))
        with pytest.raises(MigrationError):
            await pending(database, (ONE,))


async def test_a_changed_file_is_refused(empty_dsn: str) -> None:
    """A migration whose text changed after it was applied is refused, and nothing later is applied."""
    changed = Migration(1, "0001_one", "CREATE TABLE one (n BIGINT)")
    async with open_database(empty_dsn) as database:
        await migrate(database, (ONE,))

        with pytest.raises(MigrationError, match=r"0001_one.*changed"):
            await migrate(database, (changed, TWO))

        assert not await exists(database, "two")


async def test_a_gap_is_refused(empty_dsn: str) -> None:
    """A database that has a later migration but lacks an earlier one is refused."""
    async with open_database(empty_dsn) as database:
        await migrate(database, (ONE, TWO))
        await database.execute("DELETE FROM wasup_migrations WHERE number = 1")

        with pytest.raises(MigrationError, match="lacks some"):
            await migrate(database, (ONE, TWO))


async def test_a_failing_migration_changes_nothing(empty_dsn: str) -> None:
    """Those before the failing one stay applied; the failing one leaves no trace, and the error names it."""
    async with open_database(empty_dsn) as database:
        with pytest.raises(MigrationError, match="0003_broken failed and changed nothing"):
            await migrate(database, (ONE, TWO, BROKEN))

        assert await exists(database, "two")
        assert not await exists(database, "three")
        assert await pending(database, (ONE, TWO, BROKEN)) == ["0003_broken"]


async def test_a_migration_may_take_longer_than_a_command(empty_dsn: str) -> None:
    """The pool's command time-out does not hold for migrations."""
    slow = Migration(1, "0001_slow", "SELECT pg_sleep(0.4)")
    async with open_database(empty_dsn, command_timeout_s=0.2) as database:
        assert await migrate(database, (slow,)) == ["0001_slow"]


async def test_no_redundant_indexes(database: Database) -> None:
    """whatsapp_keys has its primary key and the partial index by expiry, and leaves room on its pages for updates."""
    sql: LiteralString = "SELECT indexdef FROM pg_indexes WHERE tablename = 'whatsapp_keys' ORDER BY indexname"
    primary, expiry = [row["indexdef"] for row in await database.fetch(sql)]

    assert "whatsapp_keys_expires_at" in primary or "whatsapp_keys_expires_at" in expiry
    assert "WHERE (expires_at IS NOT NULL)" in primary + expiry
    assert "(company_id, key_type, key_id)" in primary + expiry
    assert await database.fetchval("SELECT reloptions FROM pg_class WHERE relname = 'whatsapp_keys'") == [
        "fillfactor=85"
    ]


@pytest.mark.slow
async def test_an_owner_without_rights_to_make_roles(cluster: Path) -> None:
    """A plain owner of its database can migrate and work, though row security is forced; the tenant role can follow
    later."""
    server = EmbeddedPostgres(cluster, settings={"fsync": "off"})
    dsn = await server.start()
    try:
        async with open_database(dsn, size=1) as superuser:
            await superuser.execute("CREATE ROLE plain LOGIN")
            await superuser.execute("CREATE DATABASE plain OWNER plain")
        async with open_database(dsn.replace("postgres@/postgres", "plain@/plain"), size=1) as database:
            await migrate(database)
            assert await database.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = 'wasup_tenant'") == 0
            await database.write(leases.acquire, "962302", "daemon-1", 30.0)
            delta = auth_state.Delta("962302", "daemon-1", 1, "file-1", 1, b"{}", (), base=True)
            await database.write(auth_state.commit_deltas, [delta])
            assert (await auth_state.load(database, "962302")).creds == b"{}"
            async with open_database(dsn, size=1) as superuser:
                await superuser.execute("CREATE ROLE wasup_tenant NOLOGIN")
            assert await database.fetchval("SELECT wasup_admit_tenant_role()") is True
            assert await database.fetchval("SELECT wasup_admit_tenant_role()") is True
    finally:
        await server.stop()
