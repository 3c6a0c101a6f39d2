"""deploy/backup.sh, restore.sh and restore-drill.sh on a server of the operator's own (P8)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import pytest

from storage.database.migrate import migrate
from storage.database.pool import open_database
from storage.tables import auth_state, leases
from storage.tables.auth_state import Delta, KeyChange
from tests.engine.rows import creds
from tests.support.master_keys import key_id, vault, write_keys
from tests.support.postgres import PostgresServer, database_name
from tests.support.scripts import environment_for, run_script

pytestmark = pytest.mark.slow

COMPANIES = ("962302", "962303")
OWNER = "wasup_owner"
NAME: LiteralString = "whatsmeow-chat-settings"
EVERYTHING: LiteralString = """
    SELECT 'auth' AS part, company_id AS a, '' AS b, creds::text AS c FROM whatsapp_auth
    UNION ALL SELECT 'key', company_id, key_type || '/' || key_id, value::text FROM whatsapp_keys
    UNION ALL SELECT 'journal', company_id, file_id, position::text FROM whatsapp_journal
    UNION ALL SELECT 'data key', company_id, kek_id, wrapped::text FROM whatsapp_data_keys
    ORDER BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A server with a filled database of a role that is no superuser, and a directory for files."""

    server: PostgresServer
    dsn: str
    directory: Path

    @property
    def backup(self) -> Path:
        return self.directory / "wasup.dump"

    @property
    def environment(self) -> dict[str, str]:
        return self.environment_for(self.dsn)

    def environment_for(self, dsn: str) -> dict[str, str]:
        return environment_for(dsn, self.directory / "state", WASUP_MASTER_KEY_FILE=str(self.directory / "master.key"))

    def new_database(self) -> str:
        """An empty one of the same role's."""
        dsn = self.server.create_database(migrated=False)
        self.server.run(f"ALTER DATABASE {database_name(dsn)} OWNER TO {OWNER}")
        return owned(dsn)

    async def backed_up(self) -> Path:
        done = await run_script("backup.sh", self.backup, environment=self.environment)
        assert done.returncode == 0, done.stderr
        return self.backup


def owned(dsn: str) -> str:
    """The same database as the plain role sees it."""
    return dsn.replace("postgres@", f"{OWNER}@")


async def contents(dsn: str) -> list[tuple[Any, ...]]:
    """Every row of the companies' state."""
    async with open_database(dsn, size=1) as database:
        return [tuple(row[name] for name in ("part", "a", "b", "c")) for row in await database.fetch(EVERYTHING)]


async def tables(dsn: str) -> int:
    async with open_database(dsn, size=1) as database:
        return int(await database.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))


async def databases(server: PostgresServer) -> set[str]:
    async with open_database(server.dsn, size=1) as database:
        return {row["datname"] for row in await database.fetch("SELECT datname FROM pg_database")}


@pytest.fixture(scope="module")
def role(postgres_server: PostgresServer) -> Iterator[str]:
    """A role such as a careful operator gives to wasup."""
    postgres_server.run(f"CREATE ROLE {OWNER} LOGIN CREATEDB")
    yield OWNER
    postgres_server.run(f"DROP ROLE {OWNER}")


@pytest.fixture
async def place(postgres_server: PostgresServer, role: str, tmp_path: Path) -> AsyncIterator[Place]:
    """Two companies, sealed, each with credentials, a session and settings."""
    dsn = postgres_server.create_database(migrated=False)
    before = await databases(postgres_server)
    postgres_server.run(f"ALTER DATABASE {database_name(dsn)} OWNER TO {role}")
    sealing = vault(write_keys(tmp_path / "master.key", 1), 1)
    async with open_database(owned(dsn), size=2, vault=sealing) as database:
        await migrate(database)
        for company in COMPANIES:
            lease = await database.write(leases.acquire, company, "daemon-1/1", 60.0)
            changes = (
                KeyChange("whatsmeow-session", "100000000000002_1:0", b"null"),
                KeyChange(NAME, "2@lid", b'{"mutedUntil":1,"pinned":true,"archived":false}'),
            )
            delta = Delta(company, lease.owner, lease.epoch, "file-1", 7, creds(), changes, base=True)
            (result,) = await database.write(auth_state.commit_deltas, [delta])
            assert result.error is None
    yield Place(postgres_server, owned(dsn), tmp_path)
    for name in await databases(postgres_server) - before | {database_name(dsn)}:
        postgres_server.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def test_what_is_restored_is_what_was_backed_up(place: Place) -> None:
    """Every row, also for a role under row security; only its owner can read the file."""
    before = await contents(place.dsn)
    restored = place.new_database()

    await place.backed_up()
    done = await run_script("restore.sh", "--keep-sessions", place.backup, environment=place.environment_for(restored))

    assert done.returncode == 0, done.stderr
    assert await contents(restored) == before
    assert len(before) == 10
    assert place.backup.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in place.directory.iterdir()} == {"wasup.dump", "master.key"}


async def test_an_older_backup_is_restored_without_its_sessions(place: Place) -> None:
    """Their keys have been used since; everything else is there, and a newer device file is recognised."""
    restored = place.new_database()

    await place.backed_up()
    done = await run_script("restore.sh", place.backup, environment=place.environment_for(restored))

    assert done.returncode == 0, done.stderr
    async with open_database(restored, size=1) as database:
        types = await database.fetch("SELECT DISTINCT key_type FROM whatsapp_keys")
        positions = await database.fetch("SELECT position FROM whatsapp_journal")
        credentials = await database.fetchval("SELECT count(*) FROM whatsapp_auth")
    assert [row["key_type"] for row in types] == [NAME]
    assert [row["position"] for row in positions] == [6, 6]
    assert credentials == 2


async def test_nobody_holds_a_company_after_a_restore(place: Place) -> None:
    """The lease from the backup has expired, and its epoch is not used again."""
    restored = place.new_database()

    await place.backed_up()
    await run_script("restore.sh", place.backup, environment=place.environment_for(restored))

    async with open_database(restored, size=1) as database:
        rows = await database.fetch("SELECT owner, epoch, expires_at <= now() AS is_over FROM whatsapp_leases")
    assert [(row["owner"], row["epoch"], row["is_over"]) for row in rows] == [(None, 2, True)] * 2


async def test_a_database_with_something_in_it_is_not_restored_over(place: Place) -> None:
    """Refused, and every row is as it was."""
    before = await contents(place.dsn)

    await place.backed_up()
    done = await run_script("restore.sh", place.backup, environment=place.environment)

    assert done.returncode == 1
    assert "this database is not empty" in done.stderr
    assert "nothing was changed" in done.stderr
    assert await contents(place.dsn) == before


async def test_a_database_in_use_is_not_restored_into(place: Place) -> None:
    """A connected daemon would go on with the state in its memory."""
    restored = place.new_database()
    await place.backed_up()
    async with open_database(restored, size=1) as database:
        assert await database.fetchval("SELECT 1") == 1
        done = await run_script("restore.sh", place.backup, environment=place.environment_for(restored))

    assert done.returncode == 1
    assert "1 connections to this database are open: stop wasup first" in done.stderr
    assert await tables(restored) == 0


@pytest.mark.parametrize("share", [0.0, 0.6])
async def test_half_a_backup_changes_nothing(place: Place, share: float) -> None:
    """However much of the file is there."""
    restored = place.new_database()
    whole = (await place.backed_up()).read_bytes()
    place.backup.write_bytes(whole[: int(len(whole) * share)])

    done = await run_script("restore.sh", place.backup, environment=place.environment_for(restored))

    assert done.returncode == 1
    assert "nothing was changed" in done.stderr
    assert await tables(restored) == 0


async def test_the_role_that_owned_the_tables_has_to_be_there(place: Place) -> None:
    """Its name is printed before anything happens: roles belong to the server."""
    restored = place.new_database()
    await place.backed_up()
    place.server.run(f"ALTER ROLE {OWNER} RENAME TO another_owner")
    try:
        environment = place.environment_for(restored.replace(f"{OWNER}@", "another_owner@"))
        done = await run_script("restore.sh", place.backup, environment=environment)
    finally:
        place.server.run(f"ALTER ROLE another_owner RENAME TO {OWNER}")

    assert done.returncode == 1
    assert f"this server has no role {OWNER}" in done.stderr
    assert await tables(restored) == 0


async def test_a_role_that_does_not_see_every_row_makes_no_backup(place: Place) -> None:
    """It would be empty without an error."""
    place.server.run("CREATE ROLE onlooker LOGIN")
    try:
        environment = place.environment_for(place.dsn.replace(f"{OWNER}@", "onlooker@"))
        done = await run_script("backup.sh", place.backup, environment=environment)
    finally:
        place.server.run("DROP ROLE onlooker")

    assert done.returncode == 1
    assert "the role onlooker may not see every row" in done.stderr
    assert {path.name for path in place.directory.iterdir()} == {"master.key"}


async def test_a_backup_leads_nowhere_else(place: Place) -> None:
    """Another account with write access has laid links where the half-written file might be: nothing is written through them."""
    elsewhere = place.directory / "elsewhere"
    elsewhere.mkdir()
    laid = [place.directory / name for name in ("wasup.dump.partial", ".wasup.dump", "wasup.dump.tmp")]
    for number, link in enumerate(laid):
        link.symlink_to(elsewhere / f"{number}")
    backup = await place.backed_up()

    assert list(elsewhere.iterdir()) == []
    assert all(link.is_symlink() for link in laid)
    assert (backup.is_symlink(), oct(backup.stat().st_mode & 0o777)) == (False, "0o600")
    assert [path.name for path in place.directory.iterdir() if path.name.startswith(".wasup.dump.")] == []


async def test_a_backup_is_not_written_over(place: Place) -> None:
    """The existing one may be the last good one."""
    place.backup.write_text("the last good one")

    done = await run_script("backup.sh", place.backup, environment=place.environment)

    assert done.returncode == 1
    assert "exists already" in done.stderr
    assert place.backup.read_text() == "the last good one"


@pytest.mark.parametrize("script", ["backup.sh", "restore.sh", "restore-drill.sh"])
async def test_a_server_that_is_away(place: Place, script: str) -> None:
    """An error says so, and nothing is left behind."""
    if script != "backup.sh":
        await place.backed_up()
    before = sorted(path.name for path in place.directory.iterdir())
    away = place.environment_for("postgresql://wasup:hunter2@127.0.0.1:9/wasup")

    done = await run_script(script, place.backup, environment=away)

    assert done.returncode == 1
    assert "the database does not answer" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
    assert sorted(path.name for path in place.directory.iterdir()) == before


@pytest.mark.parametrize(
    ("script", "arguments"),
    [("backup.sh", ()), ("restore.sh", ("--all",)), ("restore.sh", ("a", "b")), ("restore-drill.sh", ())],
)
async def test_wrong_words(tmp_path: Path, script: str, arguments: tuple[str, ...]) -> None:
    """The usage, before anything is checked."""
    done = await run_script(script, *arguments, environment=environment_for("postgresql:///", tmp_path))

    assert done.returncode == 1
    assert f"usage: deploy/{script}" in done.stderr


async def test_the_drill_proves_a_good_backup(place: Place) -> None:
    """Restored beside the database in use, every value opened, and nothing of it is left."""
    before, there = await contents(place.dsn), await databases(place.server)

    await place.backed_up()
    done = await run_script("restore-drill.sh", place.backup, environment=place.environment)

    assert done.returncode == 0, done.stderr
    assert "2 companies, 2 of them linked, 6 values and 0 webhooks read" in done.stdout
    assert "the backup is good: 2 linked companies (in use now: 2)" in done.stdout
    assert await contents(place.dsn) == before
    assert await databases(place.server) == there


async def test_the_drill_finds_that_the_master_key_is_another(place: Place) -> None:
    """The needed key is named, and nothing of the drill is left."""
    there = await databases(place.server)
    await place.backed_up()
    write_keys(place.directory / "master.key", 2)

    done = await run_script("restore-drill.sh", place.backup, environment=place.environment)

    assert done.returncode == 1
    assert f"sealed under master key {key_id(1)}" in done.stderr
    assert "not everything in it can be opened and used" in done.stderr
    assert await databases(place.server) == there


async def test_the_drill_finds_a_value_that_was_changed(place: Place) -> None:
    """One company's credentials in the other's row."""
    async with open_database(place.dsn, size=1) as database:
        await database.execute(
            "UPDATE whatsapp_auth SET creds = (SELECT creds FROM whatsapp_auth WHERE company_id = '962302')"
        )

    await place.backed_up()
    done = await run_script("restore-drill.sh", place.backup, environment=place.environment)

    assert done.returncode == 1
    assert "1 cannot be used: 962303" in done.stderr


async def test_the_drill_finds_an_empty_backup(place: Place) -> None:
    """A backup without companies is none when the database has some."""
    empty = place.new_database()
    async with open_database(empty, size=1) as database:
        await migrate(database)
    done = await run_script("backup.sh", place.backup, environment=place.environment_for(empty))
    assert done.returncode == 0, done.stderr

    drilled = await run_script("restore-drill.sh", place.backup, environment=place.environment)

    assert drilled.returncode == 1
    assert "it has no company, and the database in use has 2" in drilled.stderr
