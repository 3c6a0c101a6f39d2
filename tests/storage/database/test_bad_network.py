"""storage/database/pool.py over a network that is slow, chopped, torn or silent: calls end in time, and the pool heals (P5)."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import unquote

import pytest
import trio

from storage.database.pool import Database, open_database
from storage.errors import StorageUnavailable
from tests.support.eventually import eventually
from tests.support.postgres import PostgresServer
from tests.support.toxic import ToxicProxy, toxic_proxy

ACQUIRE_S = 1.0
COMMAND_S = 1.5
ENDED_WITHIN_S = ACQUIRE_S + COMMAND_S + 1.0 + 3.0
"""The deadline and a second, and the delay of a busy machine."""
HEALED_WITHIN_S = 10.0
CONNECTIONS = 4
BIG = "SELECT repeat('x', 1000000)"


@asynccontextmanager
async def far_away(server: PostgresServer) -> AsyncGenerator[tuple[Database, ToxicProxy]]:
    """The suite's server behind a proxy."""
    directory = unquote(server.dsn.partition("host=")[2].partition("&")[0])
    async with (
        toxic_proxy(f"{directory}/.s.PGSQL.5432") as proxy,
        open_database(
            f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres",
            size=CONNECTIONS,
            acquire_timeout_s=ACQUIRE_S,
            command_timeout_s=COMMAND_S,
        ) as database,
    ):
        assert await database.fetchval("SELECT 1") == 1
        yield database, proxy


async def all_at_once(database: Database) -> bool:
    """Whether as many calls as the pool has connections succeed at the same time."""
    done: list[int] = []

    async def call() -> None:
        with suppress(StorageUnavailable):
            done.append(await database.fetchval("SELECT 1"))

    async with trio.open_nursery() as nursery:
        for _ in range(CONNECTIONS):
            nursery.start_soon(call)
    return len(done) == CONNECTIONS


async def heal(database: Database, proxy: ToxicProxy) -> float:
    """Make the network good again; return the seconds until the pool is whole."""
    proxy.toxics.heal()
    began = time.monotonic()
    await eventually("the pool to be whole", lambda: all_at_once(database), within=HEALED_WITHIN_S)
    return time.monotonic() - began


async def test_p5_latency_makes_calls_slow_and_nothing_else(postgres_server: PostgresServer) -> None:
    """Half a second for each round trip is within the command's time."""
    async with far_away(postgres_server) as (database, proxy):
        proxy.toxics.latency_s = 0.25
        began = time.monotonic()

        assert await database.fetchval("SELECT 2") == 2
        print(f"P5 latency: a call takes {time.monotonic() - began:.2f} s where a round trip takes 0.5 s")


async def test_p5_single_bytes_make_the_same_rows(postgres_server: PostgresServer) -> None:
    """The driver joins what the network split."""
    async with far_away(postgres_server) as (database, proxy):
        proxy.toxics.slice_bytes = 1

        assert await database.fetchval("SELECT repeat('y', 2000)") == "y" * 2000
        print("P5 slicer: 2,000 bytes in pieces of one byte arrive whole")


async def test_p5_a_black_hole_ends_every_call_in_time(postgres_server: PostgresServer) -> None:
    """More callers than connections, all of them answered; once it is over the pool is whole again."""
    async with far_away(postgres_server) as (database, proxy):
        proxy.toxics.is_black_hole = True
        taken: list[float] = []

        async def call() -> None:
            began = time.monotonic()
            with pytest.raises(StorageUnavailable):
                await database.fetchval("SELECT 1")
            taken.append(time.monotonic() - began)

        async with trio.open_nursery() as nursery:
            for _ in range(3 * CONNECTIONS):
                nursery.start_soon(call)
        healed_s = await heal(database, proxy)
        assert len(taken) == 3 * CONNECTIONS
        assert max(taken) < ENDED_WITHIN_S
        print(
            f"P5 black hole: slowest call {max(taken):.2f} s with {ACQUIRE_S:g} s to acquire and {COMMAND_S:g} s a command; "
            f"the pool whole {healed_s:.2f} s later (bar {HEALED_WITHIN_S:g})"
        )


async def test_p5_a_reset_in_the_middle_of_a_result_is_unavailable(postgres_server: PostgresServer) -> None:
    """Half a result is no result; the next call has a new connection."""
    async with far_away(postgres_server) as (database, proxy):
        proxy.toxics.reset_after_bytes = 100_000
        with pytest.raises(StorageUnavailable):
            await database.fetchval(BIG)
        healed_s = await heal(database, proxy)

        assert len(await database.fetchval(BIG)) == 1_000_000
        print(f"P5 reset in a result: the call fails, the pool whole {healed_s:.2f} s later (bar {HEALED_WITHIN_S:g})")


async def test_p5_a_narrow_line_is_cut_at_the_commands_end(postgres_server: PostgresServer) -> None:
    """A result that would take ten seconds is given up after its time; a small one gets through."""
    async with far_away(postgres_server) as (database, proxy):
        proxy.toxics.bytes_per_s = 100_000
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            await database.fetchval(BIG)
        print(f"P5 narrow line: given up after {time.monotonic() - began:.2f} s with {COMMAND_S:g} s a command")

        assert await database.fetchval("SELECT 3") == 3
