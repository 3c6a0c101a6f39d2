"""``python -m benchmarks encryption``: what sealing costs a commit and a load, and how long a rotation of the master key takes.

Plain and sealed run in turns in the same rounds, on two databases of one embedded server with fsync on. Bars: 10,000 data keys are
rewrapped within 5 s, and no read fails meanwhile.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, LiteralString

import trio

from benchmarks.report import print_load, print_origin, print_table
from storage.crypto.master_key import MasterKeys
from storage.crypto.sealing import KEYS_TABLE, Vault
from storage.database.migrate import migrate
from storage.database.pool import Database, open_database
from storage.embedded.server import EmbeddedPostgres
from storage.errors import StorageError
from storage.tables import auth_state, leases
from storage.tables.auth_state import Delta, KeyChange
from storage.upkeep.rotation import Rotated, rewrap_all
from tests.support.postgres import reachable_directory

ROTATION_MOST_S: Final = 5.0
VALUE_BYTES: Final = 195
"""Random bytes in a value. As base64 in its JSON they make the 300 bytes that stored values have on average."""
SIZES: Final = (335, 1313)
OWNER: Final = "bench/1"

_PLANT: LiteralString = """
    INSERT INTO whatsapp_leases (company_id, owner, epoch, acquired_at, expires_at)
    SELECT 'c' || n, 'bench/1', 1, now(), now() + interval '1 hour' FROM generate_series(1, $1) n
"""
_JOURNALS: LiteralString = "INSERT INTO whatsapp_journal (company_id) SELECT 'c' || n FROM generate_series(1, $1) n"
_BYTES: LiteralString = "SELECT sum(pg_column_size(value))::bigint FROM whatsapp_keys WHERE company_id = $1"


@dataclass(slots=True)
class Timings:
    """The seconds of each round, by what was measured."""

    rounds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    async def take(self, name: str, fn: Callable[[], Awaitable[object]]) -> None:
        """Time a call."""
        began = time.perf_counter()
        await fn()
        self.rounds.setdefault(name, []).append(time.perf_counter() - began)

    def row(self, what: str) -> tuple[str, ...]:
        """Return medians and 99th percentiles (ms) of plain and sealed, what sealing adds, and the median ratio within a round."""
        plain, sealed = (self.rounds[f"{what} {way}"] for way in ("plain", "sealed"))
        medians = statistics.median(plain), statistics.median(sealed)
        milliseconds = [f"{1000 * cell:.2f}" for cell in (*medians, _p99(plain), _p99(sealed))]
        ratio = statistics.median(after / before for before, after in zip(plain, sealed, strict=True))
        return (what, *milliseconds, f"{1000 * (medians[1] - medians[0]):+.2f}", f"{ratio:.2f}")


def _p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[min(len(seconds) - 1, round(0.99 * len(seconds)))]


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark. Return 1 when a bar was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks encryption", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="of the 100-key delta; loads have half of them (200)")
    parser.add_argument("--companies", type=int, default=10_000, help="data keys to rotate (10000)")
    options = parser.parse_args(arguments)
    print_origin("encryption", arguments)
    directory = reachable_directory()
    try:
        return trio.run(_run, directory, options.rounds, options.companies)
    finally:
        shutil.rmtree(directory)


async def _run(directory: Path, rounds: int, companies: int) -> int:
    _print_processor_cost(directory)
    server = EmbeddedPostgres(directory / "postgres")
    dsn = await server.start()
    try:
        async with _databases(dsn, directory) as (plain, sealed):
            await _compare(plain, sealed, rounds)
            missed = await _rotate(sealed, directory, companies)
    finally:
        await server.stop()
    print_load("after")
    return missed


@asynccontextmanager
async def _databases(dsn: str, directory: Path) -> AsyncGenerator[tuple[Database, Database]]:
    keys = _write_keys(directory, "first")
    async with open_database(dsn, size=2) as maintenance:
        for name in ("plain", "sealed"):
            await maintenance.execute(f"CREATE DATABASE bench_{name}")  # pyright: ignore[reportArgumentType]
    dsns = [dsn.replace("@/postgres?", f"@/bench_{name}?") for name in ("plain", "sealed")]
    async with open_database(dsns[0]) as plain, open_database(dsns[1], vault=Vault(MasterKeys(keys))) as sealed:
        for database in (plain, sealed):
            await migrate(database)
        yield plain, sealed


def _write_keys(directory: Path, *names: str) -> Path:
    """Write the master key file with these keys; make each when it is first named. Return its path."""
    for name in names:
        if not (directory / name).exists():
            (directory / name).write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
    file, new = directory / "master.key", directory / "master.key.new"
    new.write_text("".join((directory / name).read_text() for name in names))
    return new.replace(file)


def _print_processor_cost(directory: Path) -> None:
    """Print the cost of sealing and opening alone, without a database."""
    _, key = Vault(MasterKeys(_write_keys(directory, "first"))).make("962302", all_sealed=True)
    changes = _changes(100)
    sealed = [key.seal(KEYS_TABLE, c.key_type, c.key_id, c.value or b"") for c in changes]

    def seal() -> None:
        for change in changes:
            key.seal(KEYS_TABLE, change.key_type, change.key_id, change.value or b"")

    def open_() -> None:
        for change, stored in zip(changes, sealed, strict=True):
            key.open(KEYS_TABLE, change.key_type, change.key_id, stored)

    size = len(changes[0].value or b"")
    print(
        f"\nprocessor time for 100 keys of {size} bytes: seal {_median_us(seal):.0f} us, open {_median_us(open_):.0f} us"
    )


def _median_us(fn: Callable[[], None]) -> float:
    times: list[float] = []
    for _ in range(300):
        began = time.process_time()
        fn()
        times.append(time.process_time() - began)
    return 1e6 * statistics.median(times)


def _changes(number: int) -> tuple[KeyChange, ...]:
    return tuple(
        KeyChange(
            "whatsmeow-session",
            f"{100000000000000 + n}_1:0",
            b'{"type":"Buffer","data":"%s","at":%d}' % (base64.b64encode(os.urandom(VALUE_BYTES)), n),
        )
        for n in range(number)
    )


async def _compare(plain: Database, sealed: Database, rounds: int) -> None:
    timings = Timings()
    ways = (("plain", plain), ("sealed", sealed))
    for _, database in ways:
        for company_id, size in [("delta", 1000), *((f"load{size}", size) for size in SIZES)]:
            await database.write(leases.acquire, company_id, OWNER, 3600.0)
            base = Delta(company_id, OWNER, 1, "file", 1, b'{"me":1}', _changes(size), base=True)
            await database.write(auth_state.commit_deltas, [base])
    for number in range(2, rounds + 2):
        changes = _changes(100)
        for way, database in ways if number % 2 else reversed(ways):
            delta = Delta("delta", OWNER, 1, "file", number, None, changes)
            await timings.take(f"commit of 100 keys {way}", partial(_commit, database, delta))
            for size in SIZES if number % 2 else ():
                load = f"load{size}"
                await timings.take(f"load of {size} keys {way}", partial(auth_state.load, database, load))
    head = ("ms", "plain p50", "sealed p50", "plain p99", "sealed p99", "added", "ratio")
    print_table(head, [timings.row(what) for what in ("commit of 100 keys", *(f"load of {n} keys" for n in SIZES))])
    sizes = [int(await database.fetchval(_BYTES, "load1313")) for _, database in ways]
    print(f"\nstored bytes of 1313 values: {sizes[0]} plain, {sizes[1]} sealed ({sizes[1] / sizes[0]:.2f} x)")


async def _commit(database: Database, delta: Delta) -> None:
    [result] = await database.write(auth_state.commit_deltas, [delta])
    assert result.error is None, result.error


async def _rotate(database: Database, directory: Path, companies: int) -> int:
    await database.fetch(_PLANT, companies)
    await database.fetch(_JOURNALS, companies)
    await _renew(database, companies, 1)
    _write_keys(directory, "second", "first")
    counts = {"reads": 0, "failed": 0}
    rotated, keys = Rotated(), database.vault.master_keys
    assert keys is not None
    async with trio.open_nursery() as nursery:
        for reader in range(4):
            nursery.start_soon(_read, database, companies, reader, counts)
        while counts["reads"] < 100:
            await trio.sleep(0.01)
        before, began = counts["reads"], time.perf_counter()
        await rewrap_all(database, keys.current(), rotated, lambda _done, _of: None)
        took, reads = time.perf_counter() - began, counts["reads"] - before
        nursery.cancel_scope.cancel()
    print(
        f"\nrotation: {rotated.rewrapped} data keys wrapped anew in {took:.2f} s (bar: {ROTATION_MOST_S:.0f} s), "
        f"{reads} reads meanwhile, {counts['failed']} of all reads failed (bar: 0)"
    )
    return int(took > ROTATION_MOST_S or counts["failed"] > 0 or rotated.rewrapped < companies)


async def _renew(database: Database, companies: int, position: int) -> None:
    for start in range(1, companies + 1, 500):
        deltas = [
            Delta(f"c{n}", OWNER, 1, "file", position, b'{"me":1}', (), base=True)
            for n in range(start, min(start + 500, companies + 1))
        ]
        await database.write(auth_state.commit_deltas, deltas)


async def _read(database: Database, companies: int, number: int, counts: dict[str, int]) -> None:
    while True:
        number = (number + 7919) % companies
        try:
            state = await auth_state.load(database, f"c{number + 1}")
            counts["failed"] += state.creds is None
        except StorageError:
            counts["failed"] += 1
        counts["reads"] += 1
