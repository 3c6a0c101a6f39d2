"""The same upserts without wasup: plain asyncpg, on uvloop, in a thread of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import asyncpg
import trio
import uvloop

from benchmarks.storage import rows
from config.sections import StorageSettings

T = TypeVar("T")
Batch = list[tuple[str, str, str, str]]

_INTO: Final = "INSERT INTO whatsapp_keys (company_id, key_type, key_id, value)"
_UPDATE: Final = "ON CONFLICT (company_id, key_type, key_id) DO UPDATE SET value = excluded.value, updated_at = now()"
UPSERT: Final = f"{_INTO} VALUES ($1, $2, $3, $4) {_UPDATE}"
_UNNEST: Final = f"{_INTO} SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[]) {_UPDATE}"
_UNNEST_TEXT: Final = (
    f"{_INTO} SELECT a, b, c, d::jsonb FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS new (a, b, c, d)"
    f" {_UPDATE}"
)
_STAGE: Final = (
    "CREATE TEMP TABLE stage (company_id text, key_type text, key_id text, value jsonb) ON COMMIT DELETE ROWS"
)
_MERGE: Final = f"{_INTO} SELECT company_id, key_type, key_id, value FROM stage {_UPDATE}"


@dataclass(slots=True)
class Ran:
    """The result of one measurement."""

    keys: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Keys a second."""
        return self.keys / self.seconds


@dataclass(frozen=True, slots=True)
class Way:
    """One way to upsert many rows in one transaction."""

    name: str
    write: Callable[[asyncpg.Connection[Any], Batch], Awaitable[object]]
    rows: int
    """How many rows a transaction has."""

    @property
    def title(self) -> str:
        """The name in the tables."""
        return f"{self.name}, {self.rows} rows"


async def run_apart(fn: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    """Run a coroutine function in a uvloop of its own, as a program without trio would."""
    return await trio.to_thread.run_sync(partial(_run, fn, args))


def _run(fn: Callable[..., Coroutine[Any, Any, T]], args: tuple[Any, ...]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(fn(*args))


async def one_by_one(dsn: str, writers: int, seconds: float) -> Ran:
    """Upsert from ``writers`` tasks, each key in a transaction of its own, over a pool as large as the daemon's."""
    values = rows.Values()

    async def write(number: int, pool: asyncpg.Pool[Any], until: float) -> int:
        at = 0
        while time.perf_counter() < until:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(UPSERT, *row_of(number, at, values))
            at += 1
        return at

    size = StorageSettings().pool_connections
    async with asyncpg.create_pool(dsn, min_size=size, max_size=size) as pool:
        began = time.perf_counter()
        done = await asyncio.gather(*(write(number, pool, began + seconds) for number in range(writers)))
        return Ran(sum(done), time.perf_counter() - began)


async def statement(dsn: str, way: Way, seconds: float) -> Ran:
    """Upsert one batch after another on one connection, each in a transaction of its own."""
    values, done = rows.Values(), 0
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(_STAGE)
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            await way.write(connection, [row_of(number, done, values) for number in range(way.rows)])
            done += way.rows
        return Ran(done, time.perf_counter() - began)
    finally:
        await connection.close()


def row_of(number: int, at: int, values: rows.Values) -> tuple[str, str, str, str]:
    """Return the row number ``at`` of a writer."""
    return (rows.company(number), rows.KEY_TYPE, rows.key_id(number + at), values[number + at].decode())


async def _unnest(sql: str, connection: asyncpg.Connection[Any], batch: Batch) -> None:
    await connection.execute(sql, *map(list, zip(*batch, strict=True)))


async def _executemany(connection: asyncpg.Connection[Any], batch: Batch) -> None:
    await connection.executemany(UPSERT, batch)


async def _values(connection: asyncpg.Connection[Any], batch: Batch) -> None:
    places = ", ".join(f"(${n}, ${n + 1}, ${n + 2}, ${n + 3})" for n in range(1, 4 * len(batch), 4))
    await connection.execute(f"{_INTO} VALUES {places} {_UPDATE}", *(cell for row in batch for cell in row))


async def _copy(connection: asyncpg.Connection[Any], batch: Batch) -> None:
    async with connection.transaction():
        await connection.copy_records_to_table("stage", records=batch)
        await connection.execute(_MERGE)


WAYS: Final = tuple(
    Way(name, write, size)
    for size in (100, 256, 1000)
    for name, write in (
        ("unnest of jsonb[]", partial(_unnest, _UNNEST)),
        ("unnest of text[], cast", partial(_unnest, _UNNEST_TEXT)),
        ("executemany", _executemany),
        ("VALUES of many rows", _values),
        ("COPY to a temporary table, then INSERT", _copy),
    )
)
