"""The steps that happen once, before everything else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from actors.daemon.boot import BootActor
from config.postgres_url import PostgresUrl, read
from storage.database.pool import Database, open_database
from storage.tables import api_keys, auth_state, leases
from supervisor import ChildSpec, Restart, SupervisorSpec, open_system
from supervisor.errors import StartFailed
from tests.support.master_keys import vault
from tests.support.pgbouncer import PgBouncer, pgbouncer
from tests.support.postgres import PostgresServer, database_name
from tests.support.waiting import wait_until

__all__ = ["pgbouncer"]


async def boot(database: Database, file: Path, direct: PostgresUrl | None = None) -> str:
    spec = ChildSpec(
        id="boot", start=lambda _: BootActor(database, admin_key_file=file, direct=direct), restart=Restart.TRANSIENT
    )
    async with open_system(SupervisorSpec([spec])) as system:
        return system.snapshot("/boot").state


async def test_a_new_database_gets_its_schema_and_a_first_admin_key(empty_dsn: str, tmp_path: Path) -> None:
    """The key's text is in a file that only its owner may read, and nowhere else."""
    file = tmp_path / "admin.key"
    async with open_database(empty_dsn) as database:
        await boot(database, file)
        found = await api_keys.find(database, api_keys.digest(file.read_text().strip()))

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert found is not None
    assert found.is_admin


async def test_a_second_boot_makes_no_second_key(empty_dsn: str, tmp_path: Path) -> None:
    """Also when the file was removed: a lost key is replaced by `wasup keys create`, not silently."""
    file = tmp_path / "admin.key"
    async with open_database(empty_dsn) as database:
        await boot(database, file)
        file.unlink()
        await boot(database, file)

        assert len(await api_keys.list_all(database)) == 1
        assert not file.exists()


async def test_a_read_only_server_is_waited_for(
    postgres_server: PostgresServer, postgres_dsn: str, tmp_path: Path
) -> None:
    """Its schema is current and its admin key is there, so that only a write can show it; boot ends when one succeeds."""
    name = database_name(postgres_dsn)
    ended = trio.Event()
    async with open_database(postgres_dsn) as database, trio.open_nursery() as nursery:
        await boot(database, tmp_path / "admin.key")

        async def boot_again() -> None:
            async with open_database(postgres_dsn) as later:
                await boot(later, tmp_path / "admin.key")
            ended.set()

        async def run(sql: str) -> None:
            await trio.to_thread.run_sync(postgres_server.run, sql)

        await run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with capture_logs() as lines:
            nursery.start_soon(boot_again)
            await wait_until(lambda: any(line["event"] == "waiting_for_postgres" for line in lines))
        assert not ended.is_set()
        await run(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        with trio.fail_after(30):
            await ended.wait()


async def test_a_way_past_the_pooler_must_lead_to_the_same_database(
    postgres_server: PostgresServer, pgbouncer: PgBouncer, postgres_dsn: str, tmp_path: Path
) -> None:
    """Another database is refused at the start; one that does not answer now is logged, since nothing needs it yet."""
    file = tmp_path / "admin.key"
    async with open_database(pgbouncer.url_of(postgres_dsn)) as database:
        with capture_logs() as lines:
            assert await boot(database, file, read(postgres_dsn)) != "failed"
            assert await boot(database, file, read("postgresql://u@127.0.0.1:1/d")) != "failed"
        with pytest.raises(StartFailed, match="leads to another database"):
            await boot(database, file, read(postgres_server.dsn))

    events = [line["event"] for line in lines]
    assert (events.count("postgres_through_pooler"), events.count("direct_database_away")) == (2, 1)


async def test_a_sealed_database_without_its_master_key_is_not_started_on(postgres_dsn: str, tmp_path: Path) -> None:
    """The start fails with a sentence that says which key is missing, and nothing is made or changed."""
    file = tmp_path / "admin.key"
    async with open_database(postgres_dsn, size=1, vault=vault(tmp_path / "master.key", 1)) as sealing:
        await sealing.write(leases.acquire, "962302", "daemon-1", 30.0)
        delta = auth_state.Delta("962302", "daemon-1", 1, "file-1", 1, b"{}", (), base=True)
        await sealing.write(auth_state.commit_deltas, [delta])
        async with open_database(postgres_dsn, size=1) as keyless:
            with pytest.raises(StartFailed, match="none is configured: set WASUP_MASTER_KEY_FILE"):
                await boot(keyless, file)
            assert await api_keys.list_all(keyless) == []

        assert not file.exists()
        assert await boot(sealing, file) != "failed"


async def test_a_key_whose_file_cannot_be_written_is_no_key(empty_dsn: str, tmp_path: Path) -> None:
    """Else the next start would find an admin key that was never handed out, and make none."""
    async with open_database(empty_dsn) as database:
        with pytest.raises(StartFailed):
            await boot(database, tmp_path / "missing" / "admin.key")
        assert await api_keys.list_all(database) == []
        await boot(database, tmp_path / "admin.key")

        assert len(await api_keys.list_all(database)) == 1
