"""storage/database/pool.py: reads, writes, and the errors of calls, with a server that is well."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import LiteralString

import pytest
import trio

from storage.database.connection import Connection
from storage.database.pool import Database, open_database
from storage.errors import (
    IntegrityError,
    InvalidValue,
    QueryFailed,
    StorageBusy,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
)
from tests.support.bars import patience
from tests.support.held_write import HeldWrite
from tests.support.postgres import PostgresServer, database_name

_ACTIVE: LiteralString = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
"""


@asynccontextmanager
async def table(database: Database) -> AsyncGenerator[None]:
    """A table `t` with one integer."""
    await database.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, at TEXT CHECK (at <> 'bad'))")
    yield


async def insert(connection: Connection, n: int) -> int:
    await connection.execute("INSERT INTO t (n) VALUES ($1)", n)
    return n


async def idle(database: Database) -> None:
    """Wait until no other connection of this database does anything."""
    with trio.fail_after(patience(5)):
        while await database.fetchval(_ACTIVE):
            await trio.sleep(0.005)


async def test_json_passes_as_bytes(database: Database) -> None:
    """JSON and JSONB go in and come out as bytes, NULL as None."""
    row = await database.fetchrow("SELECT $1::jsonb AS a, $2::json AS b, NULL::jsonb AS c", b'{"n":1}', b'{"n":1}')

    assert row is not None
    assert (row["a"], row["b"], row["c"]) == (b'{"n": 1}', b'{"n":1}', None)


async def test_a_write_is_one_transaction(database: Database) -> None:
    """What fn raises is raised here and undoes everything fn wrote."""

    async def half(connection: Connection) -> None:
        await insert(connection, 1)
        raise LookupError("changed my mind")

    async with table(database):
        with pytest.raises(LookupError, match="changed my mind"):
            await database.write(half)
        assert await database.write(insert, 2) == 2

    assert [row["n"] for row in await database.fetch("SELECT n FROM t")] == [2]


async def test_an_ignored_failure_cannot_pass_for_a_commit(database: Database) -> None:
    """A write that swallows a statement's error is not reported as done: the server has rolled it back."""

    async def careless(connection: Connection) -> None:
        await insert(connection, 1)
        with suppress(Exception):
            await insert(connection, 1)

    async with table(database):
        with pytest.raises(QueryFailed, match="ignored"):
            await database.write(careless)

    assert await database.fetchval("SELECT count(*) FROM t") == 0


async def test_a_cancelled_write_completes(database: Database) -> None:
    """A write under way when its caller is cancelled is committed, and the caller learns its result."""
    held: HeldWrite[int] = HeldWrite(insert, 7)
    results: list[int] = []

    async def release_late() -> None:
        await held.entered.wait()
        scope.cancel()
        held.release()

    async with table(database), trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(release_late)
            results.append(await database.write(held))

    assert results == [7]
    assert await database.fetchval("SELECT n FROM t") == 7


async def test_a_cancelled_read_ends_on_the_server_too(database: Database) -> None:
    """Cancelling a read returns at once, stops the statement on the server and leaves the connection usable."""
    began = time.monotonic()

    with trio.move_on_after(0.2) as scope:
        await database.fetchval("SELECT pg_sleep(30)")

    assert scope.cancelled_caught
    await idle(database)
    assert time.monotonic() - began < 20  # the statement would take 30
    assert database.statistics().size == 1


@pytest.mark.slow
async def test_no_write_lands_after_its_cancellation(database: Database) -> None:
    """Autocommitted inserts, cancelled at random moments: the rows there when the caller resumes are all that ever
    comes."""
    moments = random.Random(20261121)

    async def count(reader: Database) -> int:
        n: int = await reader.fetchval("SELECT count(*) FROM t")
        return n

    async with table(database):
        cancelled = 0
        for n in range(150):
            with trio.move_on_after(moments.uniform(0, 0.002)) as scope:
                await database.execute("INSERT INTO t (n) VALUES ($1)", n)
            cancelled += scope.cancelled_caught
            at_once = await count(database)
            await idle(database)
            assert await count(database) == at_once, f"insert {n} landed late"

    assert cancelled > 0


async def test_a_slow_write_is_given_up(postgres_dsn: str) -> None:
    """A transaction longer than the command time-out fails with nothing written, known for certain, and within a second
    of it."""

    async def slow(connection: Connection) -> None:
        await insert(connection, 1)
        await connection.execute("SELECT pg_sleep(30)")

    async with open_database(postgres_dsn, size=1, command_timeout_s=0.3) as database, table(database):
        began = time.monotonic()
        with pytest.raises(StorageUnavailable) as caught:
            await database.write(slow)

        assert time.monotonic() - began < 20  # the statement would take 30
        assert not caught.value.in_doubt
        assert await database.fetchval("SELECT count(*) FROM t") == 0


async def test_a_slow_write_may_be_allowed(postgres_dsn: str) -> None:
    """write_slowly has a time-out of its own, on the server too."""

    async def slow(connection: Connection) -> str:
        await connection.execute("SELECT pg_sleep(0.4)")
        return "done"

    async with open_database(postgres_dsn, size=1, command_timeout_s=0.2) as database:
        assert await database.write_slowly(5.0, slow) == "done"


async def test_an_exhausted_pool_is_given_up(postgres_dsn: str) -> None:
    """With every connection taken, a call fails after the acquire time-out."""
    held: HeldWrite[int] = HeldWrite(insert, 1)

    async with open_database(postgres_dsn, size=1, acquire_timeout_s=2.0) as database, table(database):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.write, held)
            await held.entered.wait()
            with pytest.raises(StorageUnavailable, match="no connection in time"):
                await database.fetchval("SELECT 1")
            held.release()

        assert await database.fetchval("SELECT n FROM t") == 1


@pytest.mark.parametrize(
    ("sql", "args", "kind"),
    [
        ("INSERT INTO t VALUES (1, 'secret-value'), (1, 'secret-value')", (), IntegrityError),
        ("INSERT INTO t VALUES (1, 'bad')", (), IntegrityError),
        ("SELECT $1::text", ("a\0b",), InvalidValue),
        ("SELECT $1::jsonb", (b'"\\u0000"',), InvalidValue),
        ("SELECT $1::jsonb", (b"{",), InvalidValue),
        ("SELECT $1::int", (2**40,), InvalidValue),
        ("SELECT nothing FROM t", (), QueryFailed),
    ],
)
async def test_what_the_server_refuses(
    database: Database, sql: LiteralString, args: tuple[object, ...], kind: type[StorageError]
) -> None:
    """Each refusal has its own error, the connection stays usable, and no stored value is quoted anywhere in it."""
    async with table(database):
        with pytest.raises(kind) as caught:
            await database.fetch(sql, *args)

        assert type(caught.value) is kind
        assert "secret-value" not in "".join(traceback.format_exception(caught.value))
        assert await database.fetchval("SELECT 1") == 1
        assert database.statistics().size == 1


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("53100", StorageFull),
        ("53300", StorageFull),
        ("40001", StorageBusy),
        ("55P03", StorageBusy),
        ("57P03", StorageUnavailable),
        ("25006", StorageUnavailable),
        ("58030", StorageUnavailable),
        ("22001", InvalidValue),
        ("23505", IntegrityError),
        ("42501", QueryFailed),
        ("XX000", QueryFailed),
    ],
)
async def test_what_a_sqlstate_becomes(database: Database, sqlstate: str, kind: type[StorageError]) -> None:
    """An error that waiting may end is StorageUnavailable, of the kind that says how; the rest is QueryFailed."""

    async def fail(connection: Connection) -> None:
        await connection.execute(f"DO $$ BEGIN RAISE EXCEPTION 'so' USING ERRCODE = '{sqlstate}'; END $$")  # pyright: ignore[reportArgumentType]

    with pytest.raises(kind, match="so") as caught:
        await database.write(fail)

    assert type(caught.value) is kind
    assert not getattr(caught.value, "in_doubt", False)


async def test_sessions_begun_while_the_server_was_read_only_are_replaced(
    postgres_server: PostgresServer, postgres_dsn: str
) -> None:
    """Once it is writable again, one write finds out and every other one is done, however many such sessions there are."""
    async with open_database(postgres_dsn, size=4) as database, table(database):
        name = database_name(postgres_dsn)
        await trio.to_thread.run_sync(
            postgres_server.run, f"ALTER DATABASE {name} SET default_transaction_read_only = on"
        )
        with pytest.raises(StorageUnavailable):
            await database.execute("DO $$ BEGIN RAISE EXCEPTION 'so' USING ERRCODE = '57P01'; END $$")
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(database.fetchval, "SELECT pg_sleep(0.1)")
        await trio.to_thread.run_sync(postgres_server.run, f"ALTER DATABASE {name} RESET default_transaction_read_only")

        with pytest.raises(StorageUnavailable, match="read-only"):
            await database.write(insert, 0)
        async with trio.open_nursery() as nursery:
            for n in range(8):
                nursery.start_soon(database.write, insert, n)

        assert await database.fetchval("SELECT count(*) FROM t") == 8


@pytest.mark.parametrize(
    ("sqlstate", "is_kept"),
    [
        ("25006", False),
        ("57P01", False),
        ("57P02", False),
        ("57P03", False),
        ("0A000", False),
        ("26000", False),
        ("40001", True),
        ("53100", True),
        ("23505", True),
        ("XX000", True),
    ],
)
async def test_which_answers_end_their_session(postgres_dsn: str, sqlstate: str, is_kept: bool) -> None:
    """After an error that shows an outdated session that session is not used again, by reads or writes; after any other it is."""
    sql: LiteralString = f"DO $$ BEGIN RAISE EXCEPTION 'so' USING ERRCODE = '{sqlstate}'; END $$"  # pyright: ignore[reportAssignmentType]

    async def fail(connection: Connection) -> None:
        await connection.execute(sql)

    async def is_ended(call: Awaitable[object]) -> bool:
        before = await database.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(StorageError, match="so"):
            await call
        return bool(before != await database.fetchval("SELECT pg_backend_pid()"))

    async with open_database(postgres_dsn, size=1) as database:
        ended = [
            await is_ended(database.execute(sql)),
            await is_ended(database.write(fail)),
            await is_ended(database.write_single_statement(fail)),
        ]

    assert ended == [not is_kept] * 3


async def test_a_mistake_of_ours_is_not_dressed_up(database: Database) -> None:
    """Arguments that do not match the statement are a programming error, and stay one."""
    with pytest.raises(Exception, match="expects 1 argument") as caught:
        await database.fetchval("SELECT $1::text")

    assert not isinstance(caught.value, StorageError)
    assert await database.fetchval("SELECT 1") == 1


async def test_a_changed_schema_is_no_lasting_trouble(postgres_dsn: str, database: Database) -> None:
    """A statement prepared before its table changed fails once, as unavailable, and works when repeated."""

    async def read(connection: Connection) -> int:
        return len(await connection.fetch("SELECT * FROM t"))

    async with table(database), open_database(postgres_dsn, size=1) as other:
        await database.write(read)
        await other.execute("ALTER TABLE t ADD COLUMN m INTEGER")

        with pytest.raises(StorageUnavailable):
            await database.write(read)
        assert await database.write(read) == 0


async def test_a_deferred_violation_is_no_doubt(database: Database) -> None:
    """A constraint that fails at COMMIT is a definite refusal."""
    await database.execute("CREATE TABLE u (n INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED)")

    async def twice(connection: Connection) -> None:
        await connection.execute("INSERT INTO u VALUES (1), (1)")

    with pytest.raises(IntegrityError):
        await database.write(twice)


async def test_a_deadlock_is_busy(database: Database) -> None:
    """Of two writes that wait for each other one gets StorageBusy, and the other is done."""
    first: HeldWrite[int] = HeldWrite(insert, 1)
    outcomes: list[str] = []

    async def then_other(connection: Connection, held: HeldWrite[int], other: int) -> None:
        await held(connection)
        await insert(connection, other)

    async def run(held: HeldWrite[int], other: int) -> None:
        try:
            await database.write(then_other, held, other)
        except StorageBusy:
            outcomes.append("busy")
        else:
            outcomes.append("done")

    second: HeldWrite[int] = HeldWrite(insert, 2)
    async with table(database), trio.open_nursery() as nursery:
        nursery.start_soon(run, first, 2)
        nursery.start_soon(run, second, 1)
        await first.entered.wait()
        await second.entered.wait()
        first.release()
        second.release()

    assert sorted(outcomes) == ["busy", "done"]


async def test_a_wrong_address_is_refused(postgres_server: PostgresServer) -> None:
    """A database that does not exist says so, by its name; a DSN that is none is not opened."""
    async with open_database(postgres_server.dsn_of("nowhere"), size=1) as database:
        with pytest.raises(StorageRefused, match="database `nowhere` does not exist"):
            await database.fetchval("SELECT 1")
    with pytest.raises(ValueError, match="does not start with postgres://"):
        async with open_database("mysql://localhost/"):
            pass


async def test_a_closed_database_is_unavailable(postgres_dsn: str) -> None:
    """After its block a database answers every call with StorageUnavailable."""
    async with open_database(postgres_dsn) as database:
        pass

    with pytest.raises(StorageUnavailable):
        await database.fetchval("SELECT 1")
    with pytest.raises(StorageUnavailable):
        await database.write(insert, 1)


async def test_statistics_count(database: Database) -> None:
    """Reads, writes and connections are counted."""
    async with table(database):
        await database.write(insert, 1)
        await database.fetchval("SELECT 1")

    statistics = database.statistics()
    assert (statistics.reads, statistics.writes, statistics.unavailable) == (2, 1, 0)
    assert (statistics.size, statistics.idle, statistics.limit, statistics.gate_open) == (1, 1, 4, True)
