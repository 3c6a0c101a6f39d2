"""storage/database/pool.py through a real PgBouncer in transaction mode."""

from __future__ import annotations

from contextlib import suppress
from typing import LiteralString

import msgspec
import pytest
import trio

from actors.messages import Event
from actors.storage import requests
from actors.storage.write_batch import WriteBatch, perform_single_statement
from config.postgres_url import read
from storage.database.connection import Connection
from storage.database.migrate import migrate, pending, shipped
from storage.database.pool import open_database
from storage.errors import StorageBusy, StorageRefused, StorageUnavailable
from storage.tables import companies, ownership
from tests.support.bars import patience
from tests.support.held_write import HeldWrite
from tests.support.pgbouncer import PgBouncer, pgbouncer, running_pgbouncer
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

__all__ = ["pgbouncer"]

_KEPT: LiteralString = """
    SELECT 'statement ' || statement AS kept FROM pg_prepared_statements
    UNION ALL SELECT 'setting ' || name FROM pg_settings
        WHERE source = 'session' AND name NOT IN ('application_name', 'client_encoding')
    UNION ALL SELECT 'channel ' || channel FROM pg_listening_channels() AS channel
    UNION ALL SELECT 'lock ' || objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION ALL SELECT 'table ' || relname FROM pg_class WHERE relpersistence = 't'
"""
"""The session state that this query shows."""


async def insert(connection: Connection, n: int) -> None:
    await connection.execute("INSERT INTO t (n) VALUES ($1)", n)


async def limits(connection: Connection) -> tuple[str, ...]:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "jit")
    return tuple([await connection.fetchval("SELECT current_setting($1)", name) for name in names])


async def test_it_is_found_out(pgbouncer: PgBouncer, postgres_dsn: str) -> None:
    """It is detected, and so is a server that is reached directly."""
    async with open_database(pgbouncer.url_of(postgres_dsn)) as pooled, open_database(postgres_dsn) as direct:
        assert pooled.statistics().is_pooled is None
        for database in (pooled, direct):
            assert await database.fetchval("SELECT $1::text", "x") == "x"

        assert (pooled.statistics().is_pooled, direct.statistics().is_pooled) == (True, False)
        assert pooled.statistics().connect_failures == 0


async def test_a_pooler_that_takes_every_setting_is_found_out_too(
    postgres_server: PostgresServer, postgres_dsn: str
) -> None:
    """Some ignore settings that they do not know; the server's process still has another number."""
    ignored = "statement_timeout, idle_in_transaction_session_timeout, jit"
    with running_pgbouncer(postgres_server.dsn, more=f"ignore_startup_parameters = {ignored}") as bouncer:
        async with open_database(bouncer.url_of(postgres_dsn)) as database:
            assert await database.write(limits) == ("10s", "0", "5s", "off")
            assert database.statistics().is_pooled


async def test_the_setting_spares_the_finding_out(pgbouncer: PgBouncer, postgres_dsn: str) -> None:
    """`transaction` on a direct server works as well; `none` on a pooler is what the operator asked for."""
    async with open_database(postgres_dsn, pooler="transaction") as database:
        assert await database.write(limits) == ("10s", "0", "5s", "off")
    async with open_database(pgbouncer.url_of(postgres_dsn), pooler="none") as database:
        with pytest.raises(StorageRefused, match="unsupported startup parameter"):
            await database.fetchval("SELECT 1")


async def test_each_transaction_has_its_limits(pgbouncer: PgBouncer, postgres_dsn: str) -> None:
    """Those that a direct session has from its start, and those that the call sets."""
    async with open_database(pgbouncer.url_of(postgres_dsn)) as database:
        assert await database.write(limits) == ("10s", "0", "5s", "off")
        assert await database.write_single_statement(limits) == ("10s", "0", "5s", "off")
        assert await database.write_unless_locked(0.25, limits) == ("10s", "250ms", "5s", "off")
        assert await database.write_slowly(60.0, limits) == ("1min", "0", "5s", "off")


async def test_nothing_is_kept_in_the_session(postgres_server: PostgresServer, empty_dsn: str) -> None:
    """Migrations, writes, reads and a cancelled read leave the server's only session as it was."""
    with running_pgbouncer(postgres_server.dsn, sessions=1) as bouncer:
        async with open_database(bouncer.url_of(empty_dsn), size=3) as database:
            assert len(await migrate(database)) == len(shipped())
            assert await pending(database) == []
            event = Event(id="e", type="t", company_id="962302", timestamp=0.0, payload=msgspec.Raw(b"{}"))
            work = WriteBatch((requests.AppendEvents((event,)),), "daemon-1", 30.0)
            assert await database.write_single_statement(perform_single_statement, work, 0.25) == [(1,)]
            with trio.move_on_after(0.1):
                await database.fetchval("SELECT pg_sleep(30)")
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(database.fetch, "SELECT * FROM whatsapp_events WHERE seq = $1", 1)

            assert [row["kept"] for row in await database.fetch(_KEPT)] == []


async def test_many_at_once_share_few_sessions(pgbouncer: PgBouncer, postgres_dsn: str) -> None:
    """Ten clients on four sessions of the server: each statement is its own, on whatever session it runs."""
    async with open_database(pgbouncer.url_of(postgres_dsn), size=10, acquire_timeout_s=20.0) as database:
        await database.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")

        async def use(n: int) -> None:
            await database.write(insert, n)
            assert await database.fetchval("SELECT n FROM t WHERE n = $1", n) == n
            assert await database.fetchval("SELECT $1::text", f"text {n}") == f"text {n}"

        async with trio.open_nursery() as nursery:
            for n in range(200):
                nursery.start_soon(use, n)

        assert await database.fetchval("SELECT count(*) FROM t") == 200


async def test_a_lock_is_given_up_in_time(pgbouncer: PgBouncer, postgres_dsn: str) -> None:
    """Rows that another session has locked are StorageBusy, as they are directly."""
    async with open_database(pgbouncer.url_of(postgres_dsn), size=2) as database:
        await database.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        held: HeldWrite[None] = HeldWrite(insert, 1)
        async with open_database(postgres_dsn, size=1) as other, trio.open_nursery() as nursery:
            nursery.start_soon(other.write, held)
            await held.entered.wait()
            with pytest.raises(StorageBusy):
                await database.write_unless_locked(0.05, insert, 1)
            held.release()


async def test_a_killed_pooler_is_waited_for(pgbouncer: PgBouncer, postgres_dsn: str) -> None:
    """Calls fail as unavailable while it is away; back, it serves again, and nothing that was acknowledged is lost."""
    async with open_database(pgbouncer.url_of(postgres_dsn), size=4) as database:
        await database.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        written: list[int] = []
        numbers = iter(range(10_000))
        back = trio.Event()

        async def write() -> None:
            while not back.is_set():
                n = next(numbers)
                with suppress(StorageUnavailable):
                    await database.write(insert, n)
                    written.append(n)

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(write)
            await wait_until(lambda: len(written) > 20)
            await trio.to_thread.run_sync(pgbouncer.kill)
            await wait_until(lambda: not database.statistics().gate_open)
            before = len(written)
            await trio.to_thread.run_sync(pgbouncer.start)
            await wait_until(lambda: len(written) > before)
            back.set()
        async with open_database(postgres_dsn) as direct:
            stored = {row["n"] for row in await direct.fetch("SELECT n FROM t")}

    assert set(written) <= stored


async def test_a_listener_goes_past_the_pooler_or_does_without(pgbouncer: PgBouncer, postgres_dsn: str) -> None:
    """With a direct URL it hears of changes that were made through the pooler; without one it says so, and leaves no LISTEN behind."""
    url = pgbouncer.url_of(postgres_dsn)
    async with open_database(url) as alone:
        with pytest.raises(StorageUnavailable, match="passes on no notifications"):
            await alone.listener(ownership.CHANNEL).wait()
        with pytest.raises(
            StorageUnavailable, match="passes on no notifications"
        ):  # now that the pooler is known as well
            await alone.listener(ownership.CHANNEL).wait()
        assert [row["kept"] for row in await alone.fetch(_KEPT)] == []
    async with open_database(url, direct=read(postgres_dsn)) as database:
        listener = database.listener(ownership.CHANNEL)
        await listener.wait()
        await database.write(companies.ensure, "962302", "running")
        with trio.fail_after(patience(5)):
            await listener.wait()
