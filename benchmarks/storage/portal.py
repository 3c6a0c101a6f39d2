"""The same upserts, one transaction a key, from a trio program that calls asyncpg through anyio's portal and worker threads."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import anyio.from_thread
import asyncpg
import trio

from benchmarks.storage import rows
from benchmarks.storage.raw import UPSERT, Ran, row_of
from config.sections import StorageSettings


async def one_by_one(dsn: str, writers: int, seconds: float) -> Ran:
    """Run ``writers`` trio tasks over a pool as large as the daemon's. Every call holds one of trio's worker threads."""
    values, ran = rows.Values(), Ran()
    manager = anyio.from_thread.start_blocking_portal("asyncio", {"use_uvloop": True})
    portal = await trio.to_thread.run_sync(manager.__enter__)
    try:
        pool = await _call(portal, partial(_open, dsn))
        began = time.perf_counter()

        async def write(number: int) -> None:
            at = 0
            while time.perf_counter() - began < seconds:
                await _call(portal, partial(_upsert, pool, row_of(number, at, values)))
                at += 1
                ran.keys += 1

        async with trio.open_nursery() as nursery:
            for number in range(writers):
                nursery.start_soon(write, number)
        ran.seconds = time.perf_counter() - began
        await _call(portal, pool.close)
    finally:
        await trio.to_thread.run_sync(manager.__exit__, None, None, None)
    return ran


async def _call(portal: anyio.from_thread.BlockingPortal, fn: Any) -> Any:
    return await trio.to_thread.run_sync(portal.call, fn)


async def _open(dsn: str) -> asyncpg.Pool[Any]:
    size = StorageSettings().pool_connections
    return await asyncpg.create_pool(dsn, min_size=size, max_size=size)


async def _upsert(pool: asyncpg.Pool[Any], row: tuple[str, str, str, str]) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(UPSERT, *row)
