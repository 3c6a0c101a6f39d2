"""storage/database/pool.py when the server is away, hung, killed, or lost in the middle of a commit."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from storage.database import asyncpg_pool
from storage.database.connection import Connection
from storage.database.pool import Database, open_database
from storage.embedded.process import serving
from storage.embedded.server import EmbeddedPostgres
from storage.errors import StorageUnavailable
from tests.support.bars import patience
from tests.support.held_write import HeldWrite
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

# At COMMIT the deferred trigger waits: there the connection is then cut.
_SLOW_COMMIT = """
    CREATE TABLE slow (n INTEGER);
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait();
"""


@asynccontextmanager
async def running(cluster: Path) -> AsyncGenerator[EmbeddedPostgres]:
    """A server of the test's own."""
    server = EmbeddedPostgres(cluster, settings={"fsync": "off"})
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def insert_slowly(connection: Connection) -> None:
    await connection.execute("INSERT INTO slow VALUES (1)")


async def expect_unavailable(call: object, within_s: float) -> StorageUnavailable:
    """The awaitable fails with StorageUnavailable, in time."""
    began = time.monotonic()
    with pytest.raises(StorageUnavailable) as caught:
        await call  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    assert time.monotonic() - began < patience(within_s)
    return caught.value


async def test_opening_does_not_need_the_server(directory: Path) -> None:
    """With nothing listening the database opens, and each call fails after the acquire time-out at the latest."""
    async with open_database(f"postgresql://postgres@/postgres?host={directory}", acquire_timeout_s=0.3) as database:
        await expect_unavailable(database.fetchval("SELECT 1"), 0.3 + 0.5)
        error = await expect_unavailable(database.write(insert_slowly), 0.3 + 0.5)

        assert not error.in_doubt
        assert not database.statistics().gate_open
        assert database.statistics().unavailable == 2


async def test_ended_backends_are_replaced(postgres_server: PostgresServer, database: Database) -> None:
    """When the server ends idle connections, the next calls get new ones and succeed."""
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(database.fetchval, "SELECT pg_sleep(0.05)")
    pids = [
        row["pid"]
        for row in await database.fetch("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
    ]
    assert len(pids) == 4

    postgres_server.run(f"SELECT pg_terminate_backend(pid) FROM unnest(ARRAY{pids}) AS pid")
    await wait_until(lambda: database.statistics().size == 0)

    for _ in range(6):
        assert await database.fetchval("SELECT 1") == 1
    assert database.statistics().unavailable == 0


async def test_a_commit_that_breaks_is_in_doubt(postgres_server: PostgresServer, database: Database) -> None:
    """A connection lost at COMMIT is in_doubt; one lost before it is not."""
    await database.execute(_SLOW_COMMIT)

    async def end(state: str) -> None:
        query = f"""
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = '{await database.fetchval("SELECT current_database()")}' AND query LIKE '{state}%'
        """

        async def ended() -> bool:
            return await database.fetchval(query) is True  # pyright: ignore[reportArgumentType]

        await wait_until(ended)

    async def sleep(connection: Connection) -> None:
        await connection.execute("SELECT pg_sleep(30)")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end, "COMMIT")
        assert (await expect_unavailable(database.write(insert_slowly), 5)).in_doubt
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end, "SELECT pg_sleep")
        assert not (await expect_unavailable(database.write(sleep), 5)).in_doubt

    assert database.statistics().in_doubt == 1


async def test_a_commit_that_takes_too_long_is_in_doubt(postgres_dsn: str) -> None:
    """The command time-out at COMMIT leaves the outcome open, and says so."""
    async with open_database(postgres_dsn, size=1, command_timeout_s=0.3) as database:
        await database.execute(_SLOW_COMMIT)

        assert (await expect_unavailable(database.write(insert_slowly), 0.3 + 1.0 + 0.5)).in_doubt


@pytest.mark.slow
async def test_a_stopped_server_never_hangs_a_call(cluster: Path) -> None:
    """With every process of the server stopped, reads, writes and new connections fail in time; continued, it serves
    again."""
    async with (
        running(cluster) as server,
        open_database(server.dsn, size=2, acquire_timeout_s=0.3, command_timeout_s=0.4) as database,
    ):
        assert await database.fetchval("SELECT 1") == 1
        stopped = serving(server.data)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(2):
                await expect_unavailable(database.fetchval("SELECT 1"), 0.3 + 0.4 + 1.0 + 0.5)
                error = await expect_unavailable(database.write(insert_slowly), 0.3 + 0.4 + 1.0 + 0.5)
                assert not error.in_doubt
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)

        await wait_until(lambda: answers(database))


@pytest.mark.slow
async def test_closing_a_pool_on_a_stopped_server_is_bounded(cluster: Path) -> None:
    """Leaving the block does not wait for a server that does not answer."""
    async with running(cluster) as server:
        async with open_database(server.dsn, size=2) as database:
            await database.fetchval("SELECT 1")
            stopped = serving(server.data)
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            began = time.monotonic()
        try:
            assert time.monotonic() - began < patience(4)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)


@pytest.mark.slow
async def test_the_pool_heals_through_one_gate(cluster: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Twenty workers, the server killed and started again: few attempts to connect, all resume soon, nothing floods the
    log."""
    caplog.set_level(logging.WARNING)
    async with running(cluster) as server, open_database(server.dsn, size=10) as database:
        resumed: list[float] = []
        restarted = trio.Event()

        async def work() -> None:
            while True:
                asked_after = restarted.is_set()
                if await answers(database) and asked_after:
                    break
            resumed.append(time.monotonic())

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(work)
            await wait_until(lambda: database.statistics().size == 10)
            for pid in serving(server.data):
                os.kill(pid, signal.SIGKILL)
            await server.wait_exit()
            await server.stop()
            await wait_until(lambda: database.statistics().connect_failures >= 6)
            before = database.statistics().connect_attempts
            await server.start()
            began = time.monotonic()
            restarted.set()

        assert max(resumed) - began < 5
        assert database.statistics().connect_attempts - before < 30
        assert database.statistics().gate_open
    assert caplog.records == []


async def answers(database: Database) -> bool:
    """Whether the database answers now."""
    try:
        return bool(await database.fetchval("SELECT 1") == 1)
    except StorageUnavailable:
        return False


async def test_a_transaction_in_which_nothing_happens_is_ended(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that was stopped in the middle of one must not keep others from the rows it has locked."""
    monkeypatch.setattr(asyncpg_pool, "IDLE_IN_TRANSACTION_S", 0.2)
    held: HeldWrite[str] = HeldWrite(_lock)
    async with open_database(postgres_dsn, size=1) as stopped, open_database(postgres_dsn, size=1) as other:
        await other.execute("CREATE TABLE t (n int)")
        await other.execute("INSERT INTO t VALUES (1)")
        outcome: list[StorageUnavailable] = []

        async def stop_within() -> None:
            try:
                await stopped.write(held)
            except StorageUnavailable as error:
                outcome.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_within)
            await held.entered.wait()
            await other.execute("UPDATE t SET n = 2")
            held.release()

        assert len(outcome) == 1
        assert await stopped.fetchval("SELECT n FROM t") == 2


async def _lock(connection: Connection) -> str:
    return await connection.execute("SELECT FROM t FOR UPDATE")
