"""Measures loading all keys of a company: from Postgres as the daemon does, from files, and row by row."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from benchmarks.storage import files, raw
from benchmarks.storage.node import Baileys
from benchmarks.storage.rounds import Rounds
from benchmarks.storage.sample import Sample, some
from benchmarks.storage.site import Site, Store
from benchmarks.storage.writers import Writers, open_writers
from storage.database.pool import Database
from storage.tables import auth_state

OURS: Final = "wasup {way}"
DECODED: Final = "wasup {way}, every value decoded"
NODE: Final = "Baileys in Node, all files of a type at once"
NODE_ONE: Final = "Baileys in Node, file by file"
PYTHON_ROWS: Final = "Python, row by row (asyncpg)"
PYTHON_FILES: Final = "Python, file by file (trio)"
PYTHON_BLOCKING: Final = "Python, file by file, nothing else running meanwhile"

BATCH: Final = 100
COMMIT: Final = "wasup {way}, one commit of 100 keys"
SAFELY: Final = "100 files: write, fsync, rename, fsync of the directory, each"
SAFELY_AT_ONCE: Final = "100 files: write, fsync, rename, each; fsync of the directory once"
NODE_WRITES: Final = "100 files as Baileys in Node writes them: no fsync, a crash may tear them"
_ONE_ROW: Final = "SELECT value FROM whatsapp_keys WHERE company_id = $1 AND key_type = $2 AND key_id = $3"
_COMPANY: Final = "load-{keys}"


@dataclass(slots=True)
class Loading:
    """The figures in milliseconds; loads by number of keys."""

    loads: dict[int, Rounds] = field(default_factory=dict[int, Rounds])
    writes: Rounds = field(default_factory=Rounds)
    no_node: str | None = None
    """Why there is no comparison with Baileys in Node; None when there is one."""


async def measure(site: Site, samples: Sequence[Sample], baileys: Baileys | str, rounds: int) -> Loading:
    """Measure loads, and writes of 100 keys, each in every round, in half of the rounds in reverse order."""
    found = Loading(no_node=baileys if isinstance(baileys, str) else None)
    node = None if isinstance(baileys, str) else baileys
    async with AsyncExitStack() as stack:
        stores = {way: await stack.enter_async_context(site.store(way)) for way in site.vaults}
        for sample in samples:
            for store in stores.values():
                await sample.store(store.database, _COMPANY.format(keys=len(sample.changes)))
        for sample in samples:
            times = found.loads[len(sample.changes)] = Rounds()
            await _in_rounds(_loads(times, sample, stores, node), rounds)
        writers = {
            way: await stack.enter_async_context(open_writers(store.database, 1)) for way, store in stores.items()
        }
        await _in_rounds(_writes(found.writes, site, samples[0], writers, node), rounds)
    return found


async def _in_rounds(steps: Sequence[Callable[[], Awaitable[None]]], rounds: int) -> None:
    for round_ in range(rounds):
        for step in reversed(steps) if round_ % 2 else steps:
            await step()


def _loads(
    times: Rounds, sample: Sample, stores: dict[str, Store], node: Baileys | None
) -> list[Callable[[], Awaitable[None]]]:
    company = _COMPANY.format(keys=len(sample.changes))
    steps: list[Callable[[], Awaitable[None]]] = []
    for way, store in stores.items():
        steps.append(partial(times.time, OURS.format(way=way), partial(auth_state.load, store.database, company)))
        steps.append(partial(times.time, DECODED.format(way=way), partial(_load_decoded, store.database, company)))
    steps.append(partial(_row_by_row, times, stores["plain"].dsn, company, sample))
    steps.append(partial(times.time, PYTHON_FILES, partial(files.read_one_by_one, sample)))
    steps.append(partial(times.time, PYTHON_BLOCKING, partial(_blocking, sample)))
    if node is not None:
        steps.append(partial(_add, times, NODE, partial(node.load_ms, sample)))
        steps.append(partial(_add, times, NODE_ONE, partial(node.load_ms, sample, one_by_one=True)))
    return steps


def _writes(
    times: Rounds, site: Site, sample: Sample, writers: dict[str, Writers], node: Baileys | None
) -> list[Callable[[], Awaitable[None]]]:
    directory = site.directory / "written"
    directory.mkdir()
    paths, changes = some(sample.files, BATCH), tuple(some(sample.changes, BATCH))
    contents = {path.name: path.read_bytes() for path in paths}
    steps: list[Callable[[], Awaitable[None]]] = [
        partial(times.time, COMMIT.format(way=way), partial(ours.commit_changes, 0, changes))
        for way, ours in writers.items()
    ]
    for name, sync_each in ((SAFELY, True), (SAFELY_AT_ONCE, False)):
        steps.append(partial(times.time, name, partial(_safely, directory, contents, sync_each)))
    if node is not None:
        steps.append(partial(_add, times, NODE_WRITES, partial(node.write_ms, sample, paths)))
    return steps


async def _add(times: Rounds, name: str, fn: Callable[[], Awaitable[float]]) -> None:
    times.add(name, await fn())


async def _load_decoded(database: Database, company: str) -> list[object]:
    state = await auth_state.load(database, company)
    return [msgspec.json.decode(value) for _, _, value in state.keys]


async def _row_by_row(times: Rounds, dsn: str, company: str, sample: Sample) -> None:
    times.add(PYTHON_ROWS, await raw.run_apart(_read_rows, dsn, company, sample))


async def _read_rows(dsn: str, company: str, sample: Sample) -> float:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.fetchval(_ONE_ROW, company, "", "")  # prepares the statement
        began = time.perf_counter()
        for change in sample.changes:
            json.loads(await connection.fetchval(_ONE_ROW, company, change.key_type, change.key_id))
        return 1000 * (time.perf_counter() - began)
    finally:
        await connection.close()


async def _blocking(sample: Sample) -> None:
    files.read_blocking(sample)


async def _safely(directory: Path, contents: dict[str, bytes], sync_each: bool) -> None:
    files.write_safely(directory, contents, sync_each=sync_each)
